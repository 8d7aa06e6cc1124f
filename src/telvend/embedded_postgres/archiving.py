"""Archiving the write-ahead log of the embedded server: PostgreSQL copies each finished segment into a folder beside it.

    <data_dir>/backup/wal/          while the folder is there, the server that is started archives into it
    <data_dir>/backup/wal/gap       segments were given up, since too many waited

Whoever takes the segments from there (upkeep/backup/archive.py) may be away for a while: the server never waits for it. Beyond
WAITING_LIMIT_BYTES the server gives segments up and says so; the shop goes on selling, and the next backup begins anew.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from telvend.embedded_postgres.privileges import OsAccount

SPOOL: Final = "wal"
GAP: Final = "gap"
WAITING_LIMIT_BYTES: Final = 4 << 30
"""As much as may wait: what some hours of a busy shop write. PostgreSQL's own limit for a backup that stalls is the same."""
SWITCH_AFTER_S: Final = 60
"""After so long a segment that is not full is finished too: what a burnt server loses at most."""

_SEGMENT: Final = re.compile(r"[0-9A-F]{24}")
_SEGMENT_BYTES: Final = 16 << 20


def spool_of(data_dir: Path) -> Path:
    """The folder into which the server of a data directory archives."""
    return data_dir / "backup" / SPOOL


def open_spool(data_dir: Path, account: OsAccount) -> int | None:
    """Open the folder for the server's account; None where this data directory does not archive."""
    spool = spool_of(data_dir)
    try:
        fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    if account.changed:
        os.fchown(fd, account.uid, account.gid)
    return fd


def settings(fd: int) -> dict[str, str]:
    """What a server that archives into the open folder `fd` is told."""
    folder = f"/proc/self/fd/{fd}"
    limit = WAITING_LIMIT_BYTES // _SEGMENT_BYTES
    # Histories of timelines and marks of backups are of no use here: a restored shop has an archive of its own.
    command = (
        f'case "%f" in *.*) exit 0;; esac; d={folder}; set -- "$d"/0*;'
        f' if [ $# -ge {limit} ]; then : > "$d/{GAP}"; exit 0; fi;'
        f' cp "%p" "$d/.%f" && sync "$d/.%f" && mv "$d/.%f" "$d/%f"'
    )
    return {
        "archive_mode": "on",
        "archive_command": command,
        "archive_timeout": str(SWITCH_AFTER_S),
        # Incremental backups ask for it.
        "summarize_wal": "on",
    }


def waiting_segments(spool: Path) -> list[tuple[Path, int, datetime]]:
    """The segments that wait, oldest first, with their sizes and when each was finished."""
    found = []
    for path in spool.iterdir():
        if _SEGMENT.fullmatch(path.name):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # Another process has just taken it away.
            found.append((path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return sorted(found)
