"""What `/metrics` says of the upkeep of a shop: audits, backups, room on the disk. Read when somebody asks."""

import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from telvend.audit import invariants
from telvend.audit import store as audit_store
from telvend.database.connections import Database
from telvend.kit import metrics
from telvend.kit.money import CURRENCIES, Money
from telvend.upkeep.backup.metrics import backup_metrics

if TYPE_CHECKING:
    from prometheus_client import Metric

_AUDITED: Final = metrics.Reading(
    "telvend_audit_last_run_timestamp_seconds", "When an audit ended last, in seconds since 1970; 0: none was run."
)
_FINDINGS: Final = metrics.Reading("telvend_audit_findings", "Violations that the last audit has found.")
_HOLDS: Final = metrics.Reading(
    "telvend_ledger_hold_difference_currency_units",
    "What the ledger holds for open orders against their prices, in whole units of the currency; 0 while the books hold.",
    "mode",
    "currency",
)
_FREE: Final = metrics.Reading(
    "telvend_data_filesystem_free_bytes", "Free bytes of the file system that holds the data directory."
)
_SIZE: Final = metrics.Reading(
    "telvend_data_filesystem_size_bytes", "All bytes of the file system that holds the data directory."
)
_DATABASE: Final = metrics.Reading("telvend_database_size_bytes", "Bytes of the database of this shop.")


async def upkeep_readings(database: Database, data_dir: Path) -> "list[Metric]":
    """Read them. Raises Busy while the database is away."""
    async with database.connection() as tx:
        run = await audit_store.last_run(tx)
        holds = await invariants.hold_differences(tx)
    size = await database.size_bytes()
    found = [
        _AUDITED.family({(): _timestamp(run.ended_at if run else None)}),
        _FINDINGS.family({(): float(run.findings if run else 0)}),
        _HOLDS.family({(mode, code): float(Money(minor, CURRENCIES[code]).decimal) for mode, code, minor in holds}),
        _DATABASE.family({(): float(size)}),
        *backup_metrics(data_dir, time.time()),
    ]
    try:
        disk = shutil.disk_usage(data_dir)
    except OSError:
        return found  # A node with everything elsewhere has no data directory.
    return [*found, _FREE.family({(): float(disk.free)}), _SIZE.family({(): float(disk.total)})]


def _timestamp(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
