"""The options that stand on every command, before its name or after its arguments."""

from dataclasses import dataclass
from typing import Annotated

import typer

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


@dataclass(slots=True)
class Where:
    """The common options that stood before the command."""

    data_dir: str | None = None
    database_url: str | None = None
    json: bool = False


def common_options(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Remember the options that stand before the command."""
    context.obj = Where(data_dir, database_url, as_json)
