"""Who gives a command, for entries that are kept with a name."""

import getpass
import os
from typing import Annotated, Final

import typer

_UNNAMED: Final = "Who decided it; without it the user of this machine."

By = Annotated[str | None, typer.Option("--by", metavar="WHO", help=_UNNAMED, show_default=False)]

ByWhereMoneyMoves = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="WHO", help=f"{_UNNAMED} Needed where it waits for a second person.", show_default=False
    ),
]

WhoDecided = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="WHO", help="Who decided it; kept with it. Needed where it waits for a second person."
    ),
]


def user_of_machine() -> str:
    """The name of the user who runs this process; its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"
