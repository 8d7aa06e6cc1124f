"""What every command shares: where the data is, `--json`, how errors end, how tables look.

A command is a coroutine that gets a `Shop` first and its own arguments after that, and returns an `Output`:

    @command(app, "add")
    async def add(shop: Shop, email: Annotated[str, typer.Argument()]) -> Output: ...

`command` adds `--data-dir`, `--database-url` and `--json` to it. They may stand before the command as well. A command that
prints by itself, piece by piece, takes `as_json: bool` and returns None.
"""

import asyncio
import csv
import functools
import inspect
import io
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar

import asyncpg
import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from telvend.bootstrap import Shop, open_shop, prepare_database
from telvend.cli.secret_arguments import warn_of_password
from telvend.config import Settings, SettingsRefused, load
from telvend.errors import TelvendError
from telvend.kit.db import CONNECTION_LOSS, Database, DatabaseRefused
from telvend.kit.keyfile import KeyRefused
from telvend.kit.postgres import PostgresRefused, open_for_command
from telvend.kit.secret import Secret
from telvend.migrations import SchemaRefused

DataDir = Annotated[
    str | None, typer.Option("--data-dir", metavar="DIR", help="Where this shop is kept.", show_default=False)
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="A PostgreSQL to use instead of the embedded one; its password belongs into TELVEND_DATABASE_URL.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

P = ParamSpec("P")
T = TypeVar("T")

REFUSALS: Final = (TelvendError, SettingsRefused, PostgresRefused, DatabaseRefused, SchemaRefused, KeyRefused)
"""What ends a command with one sentence and exit code 1."""


@dataclass(slots=True)
class Where:
    """The common options that stood before the command."""

    data_dir: str | None = None
    database_url: str | None = None
    json: bool = False


@dataclass(slots=True)
class Output:
    """What a command has to say: `data` for programs, `show` for people (or one `text`), `csv` where asked for."""

    data: dict[str, Any]
    text: str = ""
    show: Callable[[Console], None] | None = None
    exit_code: int = field(default=0)


def common(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Remember the options that stand before the command."""
    context.obj = Where(data_dir, database_url, as_json)


def settings_of(context: typer.Context, data_dir: str | None, database_url: str | None, **others: Any) -> Settings:
    """The settings of a command, from all their places. Ends the program where one cannot be."""
    before: Where = context.find_object(Where) or Where()
    chosen_url = database_url or before.database_url
    warn_of_password(chosen_url)
    overrides = {
        "data_dir": data_dir or before.data_dir,
        "database_url": Secret(chosen_url) if chosen_url else None,
        **others,
    }
    try:
        return load(overrides).settings
    except SettingsRefused as error:
        fail(error)


def as_json_of(context: typer.Context, as_json: bool) -> bool:
    """Whether `--json` stood behind the command or before it."""
    before: Where = context.find_object(Where) or Where()
    return as_json or before.json


def fail(error: BaseException | str) -> NoReturn:
    """End with one sentence on stderr and exit code 1."""
    typer.echo(f"telvend: {error}", err=True)
    raise typer.Exit(1)


def progress(sentence: str) -> None:
    """Say what takes long, on stderr."""
    typer.echo(sentence, err=True)


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """The URL of the shop's database: the one that was named, the running server's, or one started for the command."""
    if settings.database_url is not None:
        yield settings.database_url.reveal()
    else:
        with open_for_command(Path(settings.data_dir), say=progress) as url:
            yield url


def run(settings: Settings, work: Callable[[Shop], Awaitable[T]]) -> T:
    """Open the shop, do the work, close it. Ends the program with a sentence where it is refused."""

    async def inside(url: str) -> T:
        database = await Database.open(url, pool_size=1)
        try:
            await prepare_database(database, progress)
        finally:
            await database.close()
        async with open_shop(settings, url) as shop:
            return await work(shop)

    try:
        with database_of(settings) as url:
            return asyncio.run(inside(url))
    except REFUSALS as error:
        fail(error)
    except (*CONNECTION_LOSS, asyncpg.PostgresError) as error:
        fail(f"The database cannot be used: {error or type(error).__name__}")


Command = Callable[Concatenate[Shop, P], Awaitable[Output | None]]


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Command[P]], Command[P]]:
    """Register a coroutine as a command; see the head of this file."""

    def register(function: Command[P]) -> Command[P]:
        parameters = inspect.signature(function).parameters
        prints_itself = "as_json" in parameters
        own = [parameter for name, parameter in list(parameters.items())[1:] if name != "as_json"]

        def body(
            context: typer.Context, data_dir: DataDir, database_url: DatabaseUrl, as_json: Json, **arguments: Any
        ) -> None:
            settings = settings_of(context, data_dir, database_url)
            as_json = as_json_of(context, as_json)
            if prints_itself:
                arguments["as_json"] = as_json
            output = run(settings, functools.partial(function, **arguments))
            if output is not None:
                emit(output, as_json)

        keyword = inspect.Parameter.KEYWORD_ONLY
        body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter("context", keyword, annotation=typer.Context),
                *(parameter.replace(kind=keyword) for parameter in own),
                inspect.Parameter("data_dir", keyword, annotation=DataDir, default=None),
                inspect.Parameter("database_url", keyword, annotation=DatabaseUrl, default=None),
                inspect.Parameter("as_json", keyword, annotation=Json, default=False),
            ]
        )
        body.__annotations__ = {
            "context": typer.Context,
            "data_dir": DataDir,
            "database_url": DatabaseUrl,
            "as_json": Json,
        }
        body.__annotations__ |= {parameter.name: parameter.annotation for parameter in own}
        body.__doc__ = function.__doc__
        body.__name__ = function.__name__
        app.command(name, **options)(body)
        return function

    return register


_encoder: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def json_text(data: Any) -> str:
    """One JSON value: amounts as exact numbers, times in RFC 3339."""
    return _encoder.encode(data).decode()


def time_text(at: datetime) -> str:
    """A moment for people, to the second; the heading of the column says that it is UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV for a spreadsheet. A text that it would take for a formula is marked as text with an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in columns})
    return out.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _E164.match(value):
        return f"'{value}"
    return value


_E164: Final = re.compile(r"\A\+[0-9]{6,15}\Z", re.ASCII)


def emit(output: Output, as_json: bool) -> None:
    """Print an output and end with its exit code."""
    if as_json:
        sys.stdout.write(json_text(output.data) + "\n")
    elif output.show is not None:
        # Into a file or a pipe, lines are as long as they are.
        output.show(Console(highlight=False, width=None if sys.stdout.isatty() else 240))
    elif output.text:
        sys.stdout.write(output.text + "\n")
    sys.stdout.flush()
    if output.exit_code:
        raise typer.Exit(output.exit_code)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> Callable[[Console], None]:
    """A table for people; amounts to the right. `empty` is said where there is nothing to show."""

    def show(console: Console) -> None:
        if not rows:
            console.print(empty)
            return
        made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            right = all(isinstance(row[index], int | Decimal) for row in rows)
            made.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in rows:
            made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        console.print(made)

    return show


def page(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str, following: object, option: str = "--before"
) -> Callable[[Console], None]:
    """The table of one page; below it how the next one is asked for, where there may be one (`following` is not None)."""
    listed = table("", columns, rows, empty)

    def show(console: Console) -> None:
        listed(console)
        if following is not None:
            console.print(f"\nMore: {option} {following}")

    return show
