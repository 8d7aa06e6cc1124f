"""What is measured of backups: read from what the data directory remembers, when somebody asks."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from telvend.kit.metrics import CounterReading, Reading
from telvend.upkeep.backup.state import read_state, waiting

if TYPE_CHECKING:
    from prometheus_client import Metric

_SUCCESS: Final = Reading(
    "telvend_backup_last_success_timestamp_seconds",
    "When the last backup of this data directory was finished; 0: never.",
)
_AGE: Final = Reading("telvend_backup_age_seconds", "How old the last backup of this data directory is.")
_VERIFIED: Final = Reading(
    "telvend_backup_last_verified_timestamp_seconds",
    "When a backup of this data directory was last restored and audited, and found good; 0: never.",
)
_FAILED: Final = CounterReading("telvend_wal_archive_failed", "Times that write-ahead log could not be archived.")
_WAITING: Final = Reading("telvend_wal_archive_waiting_bytes", "Write-ahead log that waits for the archive.")
_WAITING_AGE: Final = Reading(
    "telvend_wal_archive_oldest_waiting_age_seconds", "How long the oldest write-ahead log has waited for the archive."
)


def backup_metrics(data_dir: Path, now: float) -> list["Metric"]:
    """The metrics of a data directory. Reads a few small files."""
    state = read_state(data_dir)
    success = 0.0 if state.succeeded_at is None else state.succeeded_at.timestamp()
    verified = 0.0 if state.verified_at is None else state.verified_at.timestamp()
    found = [
        _SUCCESS.family({(): success}),
        _VERIFIED.family({(): verified}),
        _FAILED.family({(): float(state.archive_failures)}),
    ]
    if success:
        found.append(_AGE.family({(): max(0.0, now - success)}))
    if (waits := waiting(data_dir)) is not None:
        oldest = 0.0 if waits.oldest_at is None else max(0.0, now - waits.oldest_at.timestamp())
        found += [_WAITING.family({(): float(waits.bytes)}), _WAITING_AGE.family({(): oldest})]
    return found
