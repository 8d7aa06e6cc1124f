"""When this data directory was backed up last, as `telvend backup` notes it in `backup/state.json`."""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path("backup") / "state.json"


class LastBackup(msgspec.Struct, frozen=True):
    """The last backup that succeeded, and the last one that was restored on trial; None where there was none."""

    succeeded_at: datetime | None = None
    verified_at: datetime | None = None


def last_backup(data_dir: Path) -> LastBackup:
    """Read what is noted; nothing where there is no note that can be read."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=LastBackup)
    except (OSError, msgspec.MsgspecError):
        return LastBackup()
