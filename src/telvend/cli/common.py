"""What every command shares: where the data is, `--json`, how errors end, how tables look.

A command is a coroutine that gets a `Shop` first and its own arguments after that, and returns an `Output`:

    @command(app, "add")
    async def add(shop: "Shop", email: Annotated[str, typer.Argument()]) -> Output: ...

`command` adds `--data-dir`, `--database-url` and `--json` to it. They may stand before the command as well. A command that
prints by itself, piece by piece, takes `as_json: bool` and returns None.

A command creates no shop and brings no schema anywhere: it works with what is there, or says what to do. Numbers of
telephones are read before it begins, where a parameter is marked so (arguments.py). What it has done stays done and is
said to be, whatever happens to its output (`emit`).
"""

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Concatenate, Final, NoReturn, ParamSpec
from zoneinfo import ZoneInfo

import msgspec
import typer

from telvend.cli.arguments import numbers_read
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.cli.secret_arguments import warn_of_password
from telvend.cli.streams import OutputLost
from telvend.errors import InvalidInput
from telvend.kit.phone import use_prefixes

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.config import Settings

P = ParamSpec("P")


@dataclass(slots=True)
class Output:
    """What a command has to say: `data` for programs, `show` for people (or one `text`).

    `if_lost` is for what is shown only once: a sentence on what to do when it could not be shown. `only_looked`: the command
    can change something and did not this time (a dry run), so that its output counts as its work.
    """

    data: dict[str, Any]
    text: str = ""
    show: "Callable[[Console], None] | None" = None
    exit_code: int = field(default=0)
    if_lost: str = ""
    only_looked: bool = False


READING: Final = frozenset(
    (
        "accesses", "accounts", "alerts", "audit", "balance", "batches", "book", "check", "costs", "deliveries", "discounts", "doctor",
        "find", "floats", "list", "locks", "margin", "months", "outcomes", "pauses", "postings", "rates", "reconcile", "report", "sales",
        "settings", "show", "statement", "status", "strays", "sweeps", "table", "trials", "url", "verify", "wallets", "acts",
    )
)  # fmt: skip
"""Commands whose work is what they print. All others have done something, printed or not."""


def settings_of(context: typer.Context, data_dir: str | None, database_url: str | None, **others: Any) -> "Settings":
    """The settings of a command, from all their places. Ends the program where one is invalid."""
    from telvend.config import SettingsRefused, load
    from telvend.kit.secret import Secret

    before: Where = context.find_object(Where) or Where()
    chosen_url = database_url or before.database_url
    warn_of_password(chosen_url)
    overrides = {
        "data_dir": data_dir or before.data_dir,
        "database_url": Secret(chosen_url) if chosen_url else None,
        **others,
    }
    try:
        settings = load(overrides).settings
    except SettingsRefused as error:
        fail(error)
    use_prefixes(settings.number_prefixes)  # Before the numbers among the command's arguments are read.
    return settings


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


def end_without_output(error: OutputLost) -> NoReturn:
    """End a command whose output is its work and could not be written. A reader who has seen enough is told nothing."""
    if error.by_reader:
        raise typer.Exit(1)
    fail(f"The output could not be written: {error}.")


Command = Callable[Concatenate["Shop", P], Awaitable[Output | None]]


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
            _zone.set(ZoneInfo(settings.timezone))
            try:
                arguments = numbers_read(own, arguments, settings.madapi_home_country)
            except InvalidInput as error:
                fail(error)
            if prints_itself:
                arguments["as_json"] = as_json
            from telvend.cli.opening import run

            output = run(settings, functools.partial(function, **arguments))
            if output is not None:
                emit(output, as_json, reading=name in READING or output.only_looked)

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
    """A moment for people, to the second, in the shop's zone; the heading of the column says which that is (`zone_name`)."""
    return f"{at.astimezone(zone()):%Y-%m-%d %H:%M:%S}"


def day_text(at: datetime) -> str:
    """The day of a moment, in the shop's zone."""
    return f"{at.astimezone(zone()):%Y-%m-%d}"


def zone() -> ZoneInfo:
    """The zone in which people read times: the setting `timezone` of the command that runs."""
    return _zone.get() or _UTC


def use_zone(chosen: ZoneInfo) -> None:
    """Set the zone of a command that opens no shop before it prints."""
    _zone.set(chosen)


def zone_name() -> str:
    """Return the name of the zone for headings: `UTC`, `Africa/Accra`."""
    return zone().key


_UTC: Final = ZoneInfo("UTC")
_zone: Final[ContextVar[ZoneInfo | None]] = ContextVar("zone", default=None)


def emit(output: Output, as_json: bool, *, reading: bool = True) -> None:
    """Print an output and end with its exit code.

    Where it cannot be printed, a command whose work is what it prints (`reading`) ends with exit code 1, and so does one that
    shows something this once. Any other has done its work, and ends as if it had been printed, with a sentence on stderr.
    """
    try:
        if as_json:
            sys.stdout.write(json_text(output.data) + "\n")
        elif output.show is not None:
            from rich.console import Console  # Programs want JSON, and need not wait for it.

            # Into a file or a pipe, lines are as long as they are.
            output.show(Console(highlight=False, width=None if sys.stdout.isatty() else 240))
        elif output.text:
            sys.stdout.write(output.text + "\n")
        sys.stdout.flush()
    except OutputLost as error:
        if output.if_lost:
            fail(f"Done, but what is shown only now could not be written: {error}. {output.if_lost}")
        if reading:
            end_without_output(error)
        progress(f"telvend: Done, but the output could not be written: {error}.")
    if output.exit_code:
        raise typer.Exit(output.exit_code)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> "Callable[[Console], None]":
    """A table for people; amounts to the right. `empty` is said where there is nothing to show."""

    def show(console: "Console") -> None:
        from rich.table import Table
        from rich.text import Text

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
