"""The memories of a node's processes as files outside the database: `DIR/<pid>.json`, one for each process.

A process that starts reads them all, keeps what they say in its own, and removes those of processes that have ended.
"""

import os
from pathlib import Path

import msgspec

from telvend.kit.log import LogLimit, get
from telvend.kit.postgres.processes import is_running
from telvend.sales.continuity.model import Memory

_log = get(__name__)
# It is tried again each second, and a disk that is full stays so for a while.
_limit = LogLimit()
_encode = msgspec.json.Encoder().encode


def read_all(folder: Path) -> dict[Path, Memory]:
    """Every memory that lies there. One that cannot be read is logged and left out: it says nothing."""
    found: dict[Path, Memory] = {}
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError as error:
        _log.warning("memory_of_the_book_unreadable", folder=str(folder), why=str(error))
        return {}
    for path in paths:
        try:
            found[path] = msgspec.json.decode(path.read_bytes(), type=Memory)
        except FileNotFoundError:
            continue  # Another process has taken it over.
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("memory_of_the_book_unreadable", file=str(path), why=str(error))
    return found


def path_of(folder: Path) -> Path:
    """The file of this process."""
    return folder / f"{os.getpid()}.json"


def write(folder: Path, memory: Memory) -> bool:
    """Put this process's memory in the place of the one before; readable for its owner alone. Whether it worked."""
    path = path_of(folder)
    temporary = path.with_suffix(".new")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(_encode(memory))
        temporary.replace(path)
    except OSError as error:
        _limit.write(_log.error, "memory_of_the_book_not_written", source=str(path), file=str(path), why=str(error))
        return False
    return True


def remove_ended(paths: list[Path]) -> None:
    """Remove those of these whose process has ended; their memory has been taken over."""
    own = os.getpid()
    for path in paths:
        if path.stem.isascii() and path.stem.isdigit() and int(path.stem) != own and not is_running(int(path.stem)):
            path.unlink(missing_ok=True)
