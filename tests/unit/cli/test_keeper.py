"""When `telvend serve` takes and verifies backups."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from telvend.cli.keeper import backup_due, verification_due
from telvend.config import Settings
from telvend.upkeep.backup.state import BackupState

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
SETTINGS = Settings(data_dir="/data", backup_to="/backups", backup_every_hours=24, backup_verify_every_hours=168)
HOUR = timedelta(hours=1)


def state(**values: object) -> BackupState:
    return msgspec.structs.replace(BackupState(place="/backups", backup="b", succeeded_at=NOW - 23 * HOUR), **values)


@pytest.mark.parametrize(
    ("found", "gap", "due"),
    [
        (state(), False, False),
        (state(succeeded_at=NOW - 24 * HOUR), False, True),
        (state(succeeded_at=None), False, True),
        (BackupState(), False, True),
        # The setting names another place than the last backup's.
        (state(place="/elsewhere"), False, True),
        # Log was given up: only a new one helps.
        (state(), True, True),
        # One that has failed is tried again after a while, not at once.
        (state(failed_at=NOW - timedelta(minutes=9)), True, False),
        (state(failed_at=NOW - timedelta(minutes=11)), False, True),
    ],
)
def test_a_backup_is_taken_when_the_last_one_is_old_or_no_longer_enough(
    found: BackupState, gap: bool, due: bool
) -> None:
    assert backup_due(found, SETTINGS, NOW, gap=gap) is due


def test_nothing_is_taken_where_nobody_asked_for_it() -> None:
    for settings in (Settings(data_dir="/data", backup_to="/backups"), Settings(data_dir="/d", backup_every_hours=1)):
        assert not backup_due(BackupState(), settings, NOW, gap=True)
        assert not verification_due(state(), settings, NOW)


@pytest.mark.parametrize(
    ("found", "due"),
    [
        (BackupState(), False),  # There is none to verify.
        (state(), True),
        (state(verified="a", verified_at=NOW - 167 * HOUR), False),
        (state(verified="a", verified_at=NOW - 168 * HOUR), True),
        (state(verified="b", verified_at=NOW - 200 * HOUR), False),  # It was this one.
        (state(verify_failed_at=NOW - timedelta(minutes=30)), False),
        (state(verify_failed_at=NOW - 2 * HOUR), True),
    ],
)
def test_the_newest_backup_is_verified_when_the_last_look_is_old(found: BackupState, due: bool) -> None:
    assert verification_due(found, SETTINGS, NOW) is due
