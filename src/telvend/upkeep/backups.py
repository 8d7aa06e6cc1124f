"""Checks of backups: their age, whether one was verified, what waits for the archive, and whether keys are backed up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.upkeep.backup import store
from telvend.upkeep.backup.bundles import collect
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.state import BackupState, Waiting, read_state, waiting
from telvend.upkeep.findings import Finding, Level

_BACKUP: Final = "backup"
_VERIFIED: Final = "backup verified"
_ARCHIVE: Final = "write-ahead log"
_KEYS: Final = "backup of keys"

_OLD: Final = timedelta(hours=26)
"""A backup each night is never older."""
_VERIFIED_WITHIN: Final = timedelta(days=8)
_WAITS: Final = timedelta(minutes=10)


async def backups(settings: Settings) -> Sequence[Finding]:
    """Look at what this data directory remembers of its backups. Needs no database."""
    data_dir = Path(settings.data_dir)
    now = datetime.now(UTC)
    state = read_state(data_dir)
    found = [of_age(state, settings, now)]
    if state.succeeded_at is not None:
        found.append(of_verification(state, now))
        found += of_keys(state, settings)
    waits = waiting(data_dir)
    if waits is not None:
        found.append(of_archive(state, waits, now))
    return found


async def server_archive(database: Database) -> Sequence[Finding]:
    """Warn where the database's own archiving of its write-ahead log fails. Raises Busy."""
    async with database.connection() as tx:
        archiver = await store.archiver_of(tx)
    if archiver.last_failed_at is None or (
        archiver.last_at is not None and archiver.last_at >= archiver.last_failed_at
    ):
        return []
    text = (
        f"The database server cannot archive its write-ahead log since {archiver.last_failed_at:%Y-%m-%d %H:%M} (UTC)."
    )
    advice = "Look at the server's log: until then no later moment can be restored to, and its disk fills."
    return [Finding(_ARCHIVE, Level.WARNING, text, advice)]


def of_age(state: BackupState, settings: Settings, now: datetime) -> Finding:
    """How old the last backup is."""
    if state.succeeded_at is None and settings.database_url is not None and not state.failure:
        text = "The database is a server of its own, and so are its backups; from here no dump was taken."
        return Finding(_BACKUP, Level.OK, text)
    if state.succeeded_at is None:
        why = f" The last attempt failed: {state.failure}" if state.failure else ""
        advice = "Run: telvend backup DIR, on another disk than the shop's; or set backup_to and backup_every_hours."
        return Finding(_BACKUP, Level.WARNING, f"This shop was never backed up from here.{why}", advice)
    age = now - state.succeeded_at
    limit = max(_OLD, timedelta(hours=2 * settings.backup_every_hours))
    text = f"The last backup, {state.backup} in {state.place}, is {_age(age)} old."
    if state.failure:
        return Finding(
            _BACKUP, Level.WARNING, f"{text} The one after it failed: {state.failure}", "Run: telvend backup"
        )
    if age > limit:
        advice = "Run: telvend backup; backup_every_hours has `serve` take them."
        return Finding(_BACKUP, Level.WARNING, text, advice)
    return Finding(_BACKUP, Level.OK, text)


def of_verification(state: BackupState, now: datetime) -> Finding:
    """When a backup was last restored and audited."""
    advice = "Run: telvend backup verify, where its identity is; backup_verify_every_hours has `serve` do it."
    if state.verify_failed_at is not None:
        return Finding(
            _VERIFIED, Level.FAILURE, f"The last backup that was verified is not good: {state.verify_failure}", advice
        )
    if state.verified_at is None:
        return Finding(_VERIFIED, Level.WARNING, "No backup was ever restored to see whether it is good.", advice)
    age = now - state.verified_at
    text = f"{state.verified} was restored and audited {_age(age)} ago, in {state.verify_seconds:g} s."
    return (
        Finding(_VERIFIED, Level.OK, text)
        if age <= _VERIFIED_WITHIN
        else Finding(_VERIFIED, Level.WARNING, text, advice)
    )


def of_keys(state: BackupState, settings: Settings) -> list[Finding]:
    """Whether every key of the data directory is in the last backup."""
    try:
        here = collect(settings, None).secret_names
    except BackupRefused as error:
        return [Finding(_KEYS, Level.FAILURE, str(error))]
    missing = sorted({*here} - {*state.keys})
    if not missing:
        return [Finding(_KEYS, Level.OK, "Every key of the data directory is in the last backup.")] if here else []
    text = f"Not in the last backup: {', '.join(missing)}. Nothing else opens what they seal."
    advice = (
        "Keep copies apart from the backups, or set backup_recipient (`telvend backup identity FILE` makes one)."
        if not settings.backup_recipient
        else "They are younger than it: run telvend backup."
    )
    return [Finding(_KEYS, Level.WARNING, text, advice)]


def of_archive(state: BackupState, waits: Waiting, now: datetime) -> Finding:
    """What waits for the archive."""
    if waits.gap:
        text = (
            "Write-ahead log was given up, since the archive was away for too long: no later moment can be restored to."
        )
        return Finding(_ARCHIVE, Level.FAILURE, text, "Run: telvend backup --full")
    if waits.oldest_at is not None and now - waits.oldest_at > _WAITS:
        why = f": {state.archive_failure}" if state.archive_failure else ""
        text = (
            f"{waits.segments} segments ({waits.bytes / 1e6:,.0f} MB) wait for the archive, the oldest for"
            f" {_age(now - waits.oldest_at)}{why}"
        )
        return Finding(
            _ARCHIVE,
            Level.WARNING,
            f"{text.rstrip('.')}.",
            "`serve` tries again by itself; see that backup_to answers.",
        )
    last = "" if state.archived_at is None else f", the last segment {_age(now - state.archived_at)} ago"
    return Finding(_ARCHIVE, Level.OK, f"The write-ahead log is archived{last}.")


def _age(age: timedelta) -> str:
    seconds = max(0.0, age.total_seconds())
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
