"""What a data directory remembers of its backups: `backup/` in it.

backup/state.json       what succeeded and failed last, for the doctor and for /metrics
backup/archive-id       the name of this directory's write-ahead log in an archive; a restored shop has another
backup/lock             held by whoever takes a backup or restores one
backup/wal/             segments that wait for the archive; while it is there, the server archives
backup/manifests/       PostgreSQL's lists of files of the last backups, for incremental ones
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from telvend.embedded_postgres.archiving import GAP, SPOOL, waiting_segments
from telvend.kit.log import get
from telvend.upkeep.backup.model import BackupRefused

_log = get(__name__)
FOLDER: Final = "backup"
_FILE: Final = "state.json"


class BackupState(msgspec.Struct, omit_defaults=True):
    """Times of the last successes and failures. Empty where there was none."""

    place: str = ""
    backup: str = ""
    succeeded_at: datetime | None = None
    keys_sealed_at: datetime | None = None
    """When the keys were in a backup last."""
    keys: list[str] = []
    keys_left_out: list[str] = []
    failed_at: datetime | None = None
    failure: str = ""
    verified: str = ""
    verified_at: datetime | None = None
    verify_seconds: float = 0.0
    verify_failed_at: datetime | None = None
    verify_failure: str = ""
    archived_at: datetime | None = None
    archive_failures: int = 0
    archive_failed_at: datetime | None = None
    archive_failure: str = ""


def folder_of(data_dir: Path) -> Path:
    """The folder, made where it is missing."""
    folder = data_dir / FOLDER
    # A node with a database of its own may have no data directory yet.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    give_to_owner(data_dir, folder)
    return folder


def give_to_owner(data_dir: Path, path: Path) -> None:
    """What root makes in somebody else's data directory is theirs: `telvend serve` has to change it."""
    if os.geteuid() == 0:
        owner = data_dir.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def read_state(data_dir: Path) -> BackupState:
    """What is remembered; nothing where it cannot be read."""
    try:
        return msgspec.json.decode((data_dir / FOLDER / _FILE).read_bytes(), type=BackupState)
    except (OSError, msgspec.MsgspecError):
        return BackupState()


def change_state(data_dir: Path, change: Callable[[BackupState], None]) -> BackupState:
    """Read, change and write, alone."""
    folder = folder_of(data_dir)
    with turn_of(data_dir, ".state") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        state = read_state(data_dir)
        change(state)
        temporary = folder / f".{_FILE}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state), indent=2))
        give_to_owner(data_dir, temporary)
        temporary.replace(folder / _FILE)
    return state


def archive_id(data_dir: Path) -> str:
    """The name of this directory's write-ahead log in an archive, made where there is none."""
    path = folder_of(data_dir) / "archive-id"
    with turn_of(data_dir, ".archive-id") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            found = path.read_text("ascii").strip()
            if found:
                return found
        except FileNotFoundError:
            pass
        made = secrets.token_hex(8)
        temporary = path.with_name(f".archive-id.{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(f"{made}\n")
        give_to_owner(data_dir, temporary)
        temporary.replace(path)
        return made


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Nobody else takes a backup of this data directory meanwhile. Raises BackupRefused."""
    with turn_of(data_dir, "lock") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused("Another backup of this shop is being taken; wait until it is done.") from None
        yield


def turn_of(data_dir: Path, name: str) -> IO[str]:
    """A file to lock, for its owner alone."""
    path = folder_of(data_dir) / name
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w")
    give_to_owner(data_dir, path)
    return file


class Waiting(msgspec.Struct, frozen=True):
    """The write-ahead log that waits for the archive. `gap`: some was given up, since too much waited."""

    segments: int
    bytes: int
    oldest_at: datetime | None
    gap: bool


def waiting(data_dir: Path) -> Waiting | None:
    """What waits for the archive; None where this data directory does not archive."""
    spool = data_dir / FOLDER / SPOOL
    if not spool.is_dir():
        return None
    found = waiting_segments(spool)
    oldest = min((at for _, _, at in found), default=None)
    return Waiting(len(found), sum(size for _, size, _ in found), oldest, (spool / GAP).exists())
