"""The archive of write-ahead log: what the server has put aside is compressed, encrypted and stored, then removed here.

    shipped = ship(data_dir, place, sealer)        # everything that waits; raises BackupRefused where the place is away
    switch_on(data_dir), switch_off(data_dir)      # before the server is started

The server does not wait for this: embedded_postgres/archiving.py.
"""

import fcntl
import hashlib
import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

from telvend.embedded_postgres.archiving import GAP, spool_of, waiting_segments
from telvend.kit.failpoints import hit
from telvend.upkeep.backup.model import WAL, ArchivedSegment, BackupRefused, archived_name
from telvend.upkeep.backup.places import Place
from telvend.upkeep.backup.sealing import Sealer
from telvend.upkeep.backup.state import BackupState, archive_id, change_state, folder_of, read_state, turn_of


def switch_on(data_dir: Path) -> None:
    """Have the server that is started next archive.

    Where it did so before and was switched off, what was written meanwhile is missing: only a new full backup helps.
    """
    folder_of(data_dir)
    spool = spool_of(data_dir)
    interrupted = not spool.is_dir() and read_state(data_dir).archived_at is not None
    spool.mkdir(mode=0o700, exist_ok=True)
    if interrupted:
        (spool / GAP).touch(mode=0o600)


def switch_off(data_dir: Path) -> None:
    """Have the server that is started next archive nothing. What waits is thrown away: nobody will ask for it."""
    shutil.rmtree(spool_of(data_dir), ignore_errors=True)


def ship(data_dir: Path, place: Place, sealer: Sealer) -> int:
    """Store every segment that waits, oldest first; returns how many. Raises BackupRefused; what was stored by then is stored."""
    spool = spool_of(data_dir)
    if not spool.is_dir():
        return 0
    with turn_of(data_dir, ".shipping") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # Another process is at it.
        shipped, newest = 0, None
        try:
            if read_state(data_dir).archived_at is None:
                # Only the first time: a folder that is gone later may be a disk that is not mounted.
                place.prepare()
            for path, _, finished_at in waiting_segments(spool):
                _store(place, archive_id(data_dir), path, finished_at, sealer)
                hit("backup.after_segment_stored")
                path.unlink(missing_ok=True)
                shipped, newest = shipped + 1, finished_at
        except (BackupRefused, OSError) as error:
            _note_failure(data_dir, error)
            if isinstance(error, BackupRefused):
                raise
            raise BackupRefused(f"The write-ahead log cannot be archived: {error.strerror or error}.") from error
        finally:
            if newest is not None:
                at = newest

                def archived(state: BackupState) -> None:
                    state.archived_at = at

                change_state(data_dir, archived)
    return shipped


def forget_gap(data_dir: Path) -> None:
    """A backup that began anew makes good for segments that were given up."""
    (spool_of(data_dir) / GAP).unlink(missing_ok=True)


def _store(place: Place, archive: str, path: Path, finished_at: datetime, sealer: Sealer) -> None:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = archived_name(path.name, finished_at, digest, encrypted=sealer.encrypts)
    with place.writing(f"{WAL}/{archive}/{name}") as target:
        sealer.copy(io.BytesIO(content), target)


def _note_failure(data_dir: Path, error: BaseException) -> None:
    def failed(state: BackupState) -> None:
        state.archive_failures += 1
        state.archive_failed_at = datetime.now(UTC)
        state.archive_failure = str(error)

    change_state(data_dir, failed)


def archived(place: Place, archive: str) -> list[ArchivedSegment]:
    """What an archive holds, in order."""
    found = (ArchivedSegment.read(name.rpartition("/")[2]) for name in place.names(f"{WAL}/{archive}"))
    return sorted((one for one in found if one is not None), key=lambda one: (one.segment, one.archived_at))
