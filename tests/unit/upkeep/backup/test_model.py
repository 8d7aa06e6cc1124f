"""Which backups are kept, which write-ahead log continues one, and what a changed record is taken for."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.upkeep.backup.model import (
    ArchivedSegment,
    BackupDamaged,
    BackupKind,
    BackupRecord,
    BackupRefused,
    Retention,
    StoredFile,
    archived_name,
    chain_of,
    decoded,
    encoded,
    expired,
    following,
    next_segment,
    segments_missing,
    wal_not_needed,
)

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
MB16 = 16 << 20


def backup(number: int, *, parent: int | None = None, age: timedelta = timedelta(), shop: str = "ours") -> BackupRecord:
    kind = BackupKind.FULL if parent is None else BackupKind.INCREMENTAL
    return BackupRecord(
        id=f"{number:04d}",
        kind=kind,
        shop=shop,
        telvend="1",
        schema="0036",
        postgres="18.6",
        begun_at=NOW - age,
        ended_at=NOW - age,
        files=[StoredFile("base.tar.gz", 10, "ab")],
        parent="" if parent is None else f"{parent:04d}",
        archive="a",
        timeline=1,
        start_segment=f"00000001000000000000{number:04X}",
        segment_bytes=MB16,
    )


def archived(segment: str, digest: str = "0" * 16) -> ArchivedSegment:
    found = ArchivedSegment.read(archived_name(segment, NOW, digest, encrypted=True))
    assert found is not None
    return found


def test_a_record_reads_as_it_was_written() -> None:
    record = backup(1)
    assert msgspec.structs.replace(decoded(encoded(record), "x"), digest="") == record


@pytest.mark.parametrize("old", [b'"18.6"', b'"bytes": 10', b'"ab"', b"2026-11-29T02"])
def test_a_record_in_which_anything_was_changed_is_damaged(old: bytes) -> None:
    text = encoded(backup(1))
    assert text.count(old) >= 1
    changed = old[:-2] + bytes([old[-2] ^ 1]) + old[-1:]
    with pytest.raises(BackupDamaged):
        decoded(text.replace(old, changed), "x")


def test_a_record_that_is_cut_off_is_damaged_and_one_of_a_later_format_is_refused() -> None:
    with pytest.raises(BackupDamaged):
        decoded(encoded(backup(1))[:-20], "x")
    with pytest.raises(BackupRefused, match="newer Telvend"):
        decoded(encoded(msgspec.structs.replace(backup(1), format=2)), "x")


def test_segments_are_counted_as_postgresql_counts_them() -> None:
    assert next_segment("0000000100000000000000FE", MB16) == "0000000100000000000000FF"
    assert next_segment("0000000100000000000000FF", MB16) == "000000010000000100000000"
    assert next_segment("00000002000000010000003F", 64 << 20) == "000000020000000200000000"


def test_a_backup_is_continued_up_to_the_first_gap() -> None:
    record = backup(5)
    there = [archived(f"00000001000000000000{number:04X}") for number in (4, 5, 6, 8)]
    assert [one.segment[-1] for one in following(record, there)] == ["5", "6"]
    assert segments_missing(record, there) == "000000010000000000000007"
    assert segments_missing(record, there[:3]) is None
    # Nothing of its own is there, and something later is.
    assert segments_missing(record, there[3:]) == "000000010000000000000005"
    # Of another timeline.
    assert segments_missing(record, [archived("000000020000000000000009")]) is None


def test_two_shops_that_archive_into_one_place_are_noticed() -> None:
    segment = "000000010000000000000005"
    assert len(following(backup(5), [archived(segment), archived(segment)])) == 1
    with pytest.raises(BackupDamaged, match="two shops"):
        following(backup(5), [archived(segment), archived(segment, "1" * 16)])


def test_a_chain_needs_each_of_its_backups() -> None:
    full, first, second = backup(1), backup(2, parent=1), backup(3, parent=2)
    assert [one.id for one in chain_of(second, [second, first, full])] == ["0001", "0002", "0003"]
    with pytest.raises(BackupDamaged, match="0001"):
        chain_of(second, [second, first])


def test_the_newest_are_kept_and_what_they_continue() -> None:
    records = [backup(n, age=timedelta(days=10 - n)) for n in (1, 2)]
    records += [backup(3, parent=2, age=timedelta(days=7)), backup(4, parent=3, age=timedelta(days=6))]
    assert [one.id for one in expired(records, Retention(keep=1), NOW)] == ["0001"]
    assert expired(records, Retention(), NOW) == []
    assert [one.id for one in expired(records, Retention(days=1), NOW)] == ["0001"]
    assert [one.id for one in expired([*records, backup(9)], Retention(keep=1), NOW)] == [
        "0001",
        "0002",
        "0003",
        "0004",
    ]


def test_the_last_one_of_another_shop_in_the_same_place_is_kept_too() -> None:
    records = [backup(1, shop="other", age=timedelta(days=90)), backup(2, age=timedelta(days=9)), backup(3)]
    assert [one.id for one in expired(records, Retention(keep=1, days=1), NOW)] == ["0002"]


@given(
    parents=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    keep=st.none() | st.integers(1, 5),
    days=st.none() | st.integers(1, 20),
)
def test_whatever_is_kept_can_be_restored(parents: list[int], keep: int | None, days: int | None) -> None:
    """`parents`: how many places before its own the backup stands that one continues; 0: a full one."""
    records = [
        backup(n, parent=n - back if 0 < back <= n else None, age=timedelta(days=len(parents) - n))
        for n, back in enumerate(parents)
    ]
    going = expired(records, Retention(keep, days), NOW)
    left = [one for one in records if one not in going]
    assert records[-1] in left
    assert len(left) >= min(len(records), keep or 1)
    for one in left:
        chain_of(one, left)


def test_write_ahead_log_goes_with_the_last_backup_that_it_continues() -> None:
    names = [archived(f"00000001000000000000{number:04X}").name for number in range(1, 6)]
    assert wal_not_needed([backup(4), backup(3)], "a", names) == names[:2]
    assert wal_not_needed([], "a", names) == []
    assert wal_not_needed([backup(4)], "b", names) == []
