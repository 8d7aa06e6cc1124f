"""The error message of a command that finds no shop: where shops were found instead."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from telvend.config import PREFIX, Settings, default_data_dir
from telvend.embedded_postgres.command import has_database
from telvend.embedded_postgres.processes import served_folders

_OF_THE_GUIDE: Final = Path("/var/lib/telvend")
"""Where docs/howto/install-on-a-server.md keeps a shop."""
_MOST: Final = 4
"""More places are only counted."""


def no_shop(settings: Settings) -> str:
    """The sentence for a command that found no shop in its data directory: what makes one, and where there are others."""
    sentence = f"There is no shop in {settings.data_dir}; only `telvend serve` and `telvend demo` open one."
    found = [str(folder) for folder in _shops() if str(folder) != settings.data_dir]
    if not found:
        return sentence
    if len(found) == 1:
        return f"{sentence} A shop was found in {found[0]}: use --data-dir {found[0]}"
    more = f" and {len(found) - _MOST} more places" if found[_MOST:] else ""
    return f"{sentence} Shops were found in {', '.join(found[:_MOST])}{more}: name one with --data-dir."


def _shops() -> list[Path]:
    """The shops that run now and those in the usual places, each once."""
    default = Path(default_data_dir())
    named = os.environ.get(f"{PREFIX}DATA_DIR")
    places = [*_served(), default, default.with_name(f"{default.name}-demo"), Path(".demo"), Path(), _OF_THE_GUIDE]
    if named:
        places.insert(0, Path(named).expanduser())
    found = []
    for place in places:
        folder = Path(os.path.abspath(place))
        if folder not in found and has_database(folder) and (folder / "secret").is_dir():
            found.append(folder)
    return found


def _served() -> list[Path]:
    with suppress(OSError):
        return served_folders()
    return []
