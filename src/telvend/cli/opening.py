"""What a command runs in: the database, the shop in it, and the sentence that it ends with where it is refused.

Only a command that is run imports this file, and with it the database's driver; reading its arguments does without.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from telvend.bootstrap import Shop, open_for_command
from telvend.cli.common import end_without_output, fail, progress
from telvend.cli.streams import OutputLost
from telvend.cli.whereabouts import no_shop
from telvend.config import Settings, SettingsRefused
from telvend.database.connections import CONNECTION_LOSS, DatabaseRefused
from telvend.database.migrations import SchemaRefused
from telvend.database.refusals import sentence_of
from telvend.embedded_postgres.command import open_for_command as open_embedded
from telvend.embedded_postgres.refused import NoDatabase, PostgresRefused
from telvend.errors import Busy, TelvendError
from telvend.kit import environment
from telvend.kit.keyfile import KeyRefused

T = TypeVar("T")

REFUSALS: Final = (TelvendError, SettingsRefused, PostgresRefused, DatabaseRefused, SchemaRefused, KeyRefused)
"""The errors whose own text is the sentence that a command ends with."""

_DATABASE_ERRORS: Final = (*CONNECTION_LOSS, asyncpg.PostgresError)

FAILURES: Final = (*REFUSALS, *_DATABASE_ERRORS)
"""What ends a command with one sentence and exit code 1; `refusal_text` makes the sentence."""


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """The URL of the shop's database: the one that was named, the running server's, or one started for the command.

    Creates nothing. Raises PostgresRefused; NoDatabase with where a shop was found instead.
    """
    if settings.database_url is not None:
        yield settings.database_url.reveal()
        return
    environment.clean_for_embedded()
    with ExitStack() as stack:
        try:
            url = stack.enter_context(open_embedded(Path(settings.data_dir), say=progress))
        except NoDatabase:
            raise NoDatabase(no_shop(settings)) from None
        yield url


def run(settings: Settings, work: Callable[[Shop], Awaitable[T]]) -> T:
    """Open the shop, do the work, close it. Ends the program with a sentence where it is refused."""
    done: list[T] = []

    async def inside(url: str) -> None:
        async with open_for_command(settings, url) as shop:
            done.append(await work(shop))

    try:
        with database_of(settings) as url:
            asyncio.run(inside(url))
    except OutputLost as error:
        end_without_output(error)
    except FAILURES as error:
        if not done:
            fail(refusal_text(error, settings))
        # The work is done; only closing what it was done with was not.
        progress(f"telvend: done; afterwards: {refusal_text(error, settings)}")
    return done[0]


def refusal_text(error: BaseException, settings: Settings) -> str:
    """The sentence for what has ended a command."""
    url = settings.database_url.reveal() if settings.database_url else None
    if isinstance(error, Busy) and isinstance(error.__cause__, _DATABASE_ERRORS):
        return sentence_of(error.__cause__, url)
    return str(error) if isinstance(error, REFUSALS) else sentence_of(error, url)
