"""The note in a data directory that its shop was moved into another database: `moved.json`, for its owner alone.

Whoever reads the settings follows it (config.py), and the embedded server that is left behind is not started any more.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "moved.json"


class Moved(msgspec.Struct, frozen=True):
    """`url`: where the shop is now, with its password. `place`: the same for people."""

    url: str
    place: str
    moved_at: datetime


def read_moved(data_dir: Path) -> Moved | None:
    """The note, or None where there is none. Raises ValueError, without repeating anything, where it cannot be read."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Moved)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError):
        raise ValueError(f"{data_dir / FILE} cannot be read") from None


def write_moved(data_dir: Path, moved: Moved) -> None:
    """Write the note; it is there whole or not at all. Raises OSError."""
    temporary = data_dir / f".{FILE}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(moved), indent=2))
        file.flush()
        os.fsync(fd)
    temporary.replace(data_dir / FILE)
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
