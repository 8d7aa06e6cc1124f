"""What the doctor says of backups."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from telvend.config import Settings
from telvend.upkeep.backup import archive
from telvend.upkeep.backup.state import BackupState, Waiting, archive_id, change_state, read_state, waiting
from telvend.upkeep.backups import backups, of_age, of_archive, of_keys, of_verification
from telvend.upkeep.findings import Finding, Level

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = Settings(data_dir="/data")


def said(finding: Finding) -> tuple[Level, str]:
    assert bool(finding.advice) is (finding.level is not Level.OK)
    return finding.level, finding.text


@pytest.mark.parametrize(
    ("age", "every_hours", "level"),
    [(25, 0, Level.OK), (27, 0, Level.WARNING), (27, 24, Level.OK), (41, 20, Level.WARNING), (13, 6, Level.OK)],
)
def test_a_backup_grows_old(age: float, every_hours: float, level: Level) -> None:
    state = BackupState(place="/b", backup="x", succeeded_at=NOW - age * HOUR)
    found = of_age(state, Settings(data_dir="/data", backup_every_hours=every_hours), NOW)
    assert said(found) == (level, f"The last backup, x in /b, is {age} hours old.")


def test_a_shop_that_was_never_backed_up_and_one_whose_backup_failed_are_warned() -> None:
    assert said(of_age(BackupState(), SETTINGS, NOW))[0] is Level.WARNING
    failed = BackupState(failed_at=NOW, failure="no room")
    assert said(of_age(failed, SETTINGS, NOW)) == (
        Level.WARNING, "This shop was never backed up from here. The last attempt failed: no room",
    )  # fmt: skip
    after = BackupState(place="/b", backup="x", succeeded_at=NOW - HOUR, failed_at=NOW, failure="no room")
    assert "The one after it failed: no room" in said(of_age(after, SETTINGS, NOW))[1]


def test_a_backup_that_is_not_good_is_a_failure() -> None:
    state = BackupState(verified="x", verified_at=NOW - 30 * HOUR, verify_seconds=3.5)
    assert said(of_verification(state, NOW)) == (Level.OK, "x was restored and audited 30 hours ago, in 3.5 s.")
    assert said(of_verification(state, NOW + timedelta(days=8)))[0] is Level.WARNING
    assert said(of_verification(BackupState(), NOW))[0] is Level.WARNING
    state.verify_failed_at, state.verify_failure = NOW, "it is cut off"
    assert said(of_verification(state, NOW)) == (
        Level.FAILURE, "The last backup that was verified is not good: it is cut off",
    )  # fmt: skip


def test_a_key_that_is_in_no_backup_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    assert of_keys(BackupState(), settings) == []
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "voucher-key").write_text("k")
    (tmp_path / "secret" / "postgres-password").write_text("p")
    (missing,) = of_keys(BackupState(), settings)
    assert said(missing) == (Level.WARNING, "Not in the last backup: voucher-key. Nothing else opens what they seal.")
    (there,) = of_keys(BackupState(keys=["voucher-key"]), settings)
    assert there.level is Level.OK


def test_what_waits_for_the_archive_is_counted() -> None:
    state = BackupState(archived_at=NOW - timedelta(seconds=50), archive_failure="s3://x cannot be used")
    assert said(of_archive(state, Waiting(1, 16 << 20, NOW - timedelta(seconds=30), gap=False), NOW)) == (
        Level.OK, "The write-ahead log is archived, the last segment 50 s ago.",
    )  # fmt: skip
    assert said(of_archive(state, Waiting(3, 48 << 20, NOW - 3 * HOUR, gap=False), NOW)) == (
        Level.WARNING, "3 segments (50 MB) wait for the archive, the oldest for 3 hours: s3://x cannot be used.",
    )  # fmt: skip
    assert said(of_archive(state, Waiting(0, 0, None, gap=True), NOW))[0] is Level.FAILURE


def test_nothing_is_made_in_a_folder_that_is_only_looked_at(tmp_path: Path) -> None:
    asyncio.run(backups(Settings(data_dir=str(tmp_path))))
    assert list(tmp_path.iterdir()) == []


def test_what_is_remembered_is_for_its_owner_and_survives_damage(tmp_path: Path) -> None:
    def note(state: BackupState) -> None:
        state.archive_failures += 1

    for _ in range(2):
        change_state(tmp_path, note)
    file = tmp_path / "backup" / "state.json"
    assert (read_state(tmp_path).archive_failures, file.stat().st_mode & 0o777) == (2, 0o600)
    file.write_text("{")
    assert read_state(tmp_path) == BackupState()
    assert archive_id(tmp_path) == archive_id(tmp_path)


def test_an_archive_that_was_switched_off_is_begun_anew(tmp_path: Path) -> None:
    spool = tmp_path / "backup" / "wal"
    archive.switch_on(tmp_path)
    assert list(spool.iterdir()) == []

    def archived(state: BackupState) -> None:
        state.archived_at = NOW

    change_state(tmp_path, archived)
    archive.switch_on(tmp_path)  # A restart.
    assert list(spool.iterdir()) == []
    archive.switch_off(tmp_path)
    assert not spool.exists()
    archive.switch_on(tmp_path)
    waits = waiting(tmp_path)
    assert waits == Waiting(0, 0, None, gap=True)
    archive.forget_gap(tmp_path)
    assert waiting(tmp_path) == Waiting(0, 0, None, gap=False)
