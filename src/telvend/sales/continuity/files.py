"""The memories of a node's processes as files outside the database: `DIR/<shop>/<pid>.json`, one for each process.

A process that starts reads those of its shop, keeps what they say in its own, and removes those of processes that have ended.
One data directory may have been used for several databases: what is remembered of another shop is left alone.
"""

import os
from pathlib import Path
from uuid import UUID

import msgspec

from telvend.kit.log import LogLimit, get
from telvend.kit.processes import is_running
from telvend.sales.continuity.model import Memory

_log = get(__name__)
# It is tried again each second, and a disk that is full stays so for a while.
_limit = LogLimit()
_encode = msgspec.json.Encoder().encode


def read_all(folder: Path, shop: UUID) -> dict[Path, Memory]:
    """Every memory of this shop that lies there. Unreadable ones are logged and left out."""
    found: dict[Path, Memory] = {}
    try:
        paths = sorted((folder / str(shop)).glob("*.json"))
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


def other_shops(folder: Path, shop: UUID) -> list[str]:
    """The other shops of which something is remembered there."""
    try:
        return sorted({path.parent.name for path in folder.glob("*/*.json")} - {str(shop)})
    except OSError:
        return []


def path_of(folder: Path, shop: UUID) -> Path:
    """The file of this process."""
    return folder / str(shop) / f"{os.getpid()}.json"


def write(folder: Path, shop: UUID, memory: Memory) -> bool:
    """Put this process's memory in the place of the one before; readable for its owner alone. Whether it worked."""
    path = path_of(folder, shop)
    temporary = path.with_suffix(".new")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
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
