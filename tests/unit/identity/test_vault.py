"""Sealing: nothing opens that was changed, moved or sealed with another key; and the file of the master key."""

import os
import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.identity.model import VerificationPolicy, masked_number
from telvend.identity.vault import (
    FILE,
    KeyDestroyed,
    MasterKey,
    MasterKeys,
    RecordKey,
    VaultRefused,
    day_of,
)
from telvend.kit.sealing import SealBroken
from telvend.kit.secret import Secret


@given(text=st.binary(max_size=200), number=st.integers(1, 2**62))
def test_what_is_sealed_opens_again_and_shows_nothing(text: bytes, number: int) -> None:
    key = RecordKey.new(number)
    sealed = key.seal("record", text)
    assert key.open("record", sealed) == text
    assert len(text) < 4 or text not in sealed
    assert key.seal("record", text) != sealed


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_single_changed_bit_is_noticed(at: int, bit: int) -> None:
    key = RecordKey.new(7)
    sealed = bytearray(key.seal("number", b"12345678901"))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(SealBroken):
        key.open("number", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(12), bytes(28)])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        RecordKey.new(7).open("number", sealed)


def test_nothing_opens_as_something_else_elsewhere_or_with_another_key() -> None:
    key = RecordKey(7, bytes(32))
    sealed = key.seal("number", b"12345678901")
    with pytest.raises(SealBroken):
        key.open("record", sealed)
    with pytest.raises(SealBroken):
        RecordKey(8, bytes(32)).open("number", sealed)
    with pytest.raises(SealBroken):
        RecordKey.new(7).open("number", sealed)


def test_a_wrapped_key_is_bound_to_its_check_its_day_and_its_master() -> None:
    key = RecordKey.new(7)
    sealed = key.seal("number", b"1")
    master = MasterKey.new()
    assert master.plain is not None
    for wrapping, day, other in ((master.plain, None, master.days), (master.days, 300, master.plain)):
        wrapped = wrapping.wrap(7, key, day)
        assert wrapping.unwrap(7, wrapped, day).open("number", sealed) == b"1"
        elsewhere = MasterKey.new()
        assert elsewhere.plain is not None
        for opener, check, at in (
            (wrapping, 8, day), (wrapping, 7, 301), (other, 7, day), (other, 7, 300 if day is None else None),
            (elsewhere.days if day else elsewhere.plain, 7, day),
        ):  # fmt: skip
            with pytest.raises(SealBroken):
                opener.unwrap(check, wrapped, at)


def test_a_number_is_found_by_a_keyed_hash_that_tells_kinds_and_days_apart() -> None:
    days = MasterKey(bytes(32)).days
    assert days.lookup("nin", "12345678901", 5) == MasterKey(bytes(32)).days.lookup("nin", "12345678901", 5)
    hashes = {
        days.lookup("nin", "12345678901", 5),
        days.lookup("nin", "12345678901", 6),
        days.lookup("bvn", "12345678901", 5),
        MasterKey.new().days.lookup("nin", "12345678901", 5),
    }
    assert len(hashes) == 4


@given(first=st.integers(0, 400), day=st.integers(0, 400), again=st.integers(0, 400))
def test_a_key_that_has_moved_forward_opens_that_day_and_later_ones_only(first: int, day: int, again: int) -> None:
    master = MasterKey(bytes(range(32)))
    key = RecordKey.new(7)
    wrapped, hash_ = master.days.wrap(7, key, day), master.days.lookup("nin", "1", day)
    moved = master.forward(again).forward(first)
    assert (moved.first, moved.plain, moved.id) == (max(first, again), None, master.id)
    if day >= max(first, again):
        moved.days.unwrap(7, wrapped, day).open("number", key.seal("number", b"1"))
        assert moved.days.lookup("nin", "1", day) == hash_
        return
    for use in (
        lambda: moved.days.unwrap(7, wrapped, day),
        lambda: moved.days.wrap(7, key, day),
        lambda: moved.days.lookup("nin", "1", day),
    ):
        with pytest.raises(KeyDestroyed):
            use()


def test_a_day_far_away_is_no_day() -> None:
    with pytest.raises(SealBroken):
        MasterKey.new().days.unwrap(7, bytes(60), 10**9)


def test_days_are_counted_and_never_below_the_first() -> None:
    assert [day_of(date(2026, 1, 1)), day_of(date(2026, 12, 31)), day_of(date(2019, 1, 1))] == [0, 364, 0]


def test_a_moved_key_is_kept_in_its_file_and_the_old_one_is_overwritten(tmp_path: Path) -> None:
    keys = MasterKeys(tmp_path)
    made = keys.make_first()
    old = tmp_path / "secret" / "an old name"
    os.link(tmp_path / FILE, old)  # The bytes on the disk, under a name that stays.
    keys.move_forward({made.id: 300, "another": 7})
    assert (keys.all[0].first, keys.get(made.id)) == (300, keys.all[0].days)
    assert (tmp_path / FILE).read_text().strip() == made.forward(300).text()
    assert set(old.read_bytes()) == {0}
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600
    keys.move_forward({made.id: 200})
    assert MasterKeys(tmp_path).all[0].first == 300


def test_keys_of_the_settings_move_in_memory_and_say_that_they_are_behind(tmp_path: Path) -> None:
    one, two = MasterKey.new(), MasterKey.new()
    keys = MasterKeys(tmp_path, Secret(f"{one.text()} {two.text()}"))
    assert keys.behind() == []
    keys.move_forward({two.id: 300})
    assert keys.behind() == [two.id]
    assert [key.first for key in keys.all] == [None, 300]
    keys.write_to(tmp_path / "new")
    text = (tmp_path / "new").read_text()
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o600
    replaced = MasterKeys(tmp_path, Secret(text))
    replaced.move_forward({two.id: 300})
    assert (replaced.behind(), [key.text() for key in replaced.all]) == ([], [key.text() for key in keys.all])
    with pytest.raises(VaultRefused, match="cannot be written"):
        keys.write_to(tmp_path / "new")


def test_keys_print_as_stars() -> None:
    master = MasterKey(bytes(range(32)))
    for shown in (repr(master), repr(RecordKey(1, bytes(range(32))))):
        assert master.text() not in shown
        assert bytes(range(32)).hex() not in shown


def test_the_first_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = MasterKeys(tmp_path)
    assert first.all == ()
    made = first.make_first()
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "secret").st_mode) == 0o700
    another = MasterKeys(tmp_path)
    assert another.make_first().id == made.id
    assert [path.name for path in (tmp_path / "secret").iterdir()] == [FILE.name]


def test_a_new_key_stands_before_the_old_one_until_that_is_dropped(tmp_path: Path) -> None:
    keys = MasterKeys(tmp_path)
    old, new = keys.make_first(), MasterKey.new()
    keys.add(new)
    assert [key.id for key in MasterKeys(tmp_path).all] == [new.id, old.id]
    keys.drop_all_but({new.id})
    assert [key.id for key in MasterKeys(tmp_path).all] == [new.id]
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600


def test_keys_of_the_settings_leave_the_file_alone(tmp_path: Path) -> None:
    one, two = MasterKey.new(), MasterKey.new()
    keys = MasterKeys(tmp_path, Secret(f"{one.text()},{two.text()}"))
    assert [key.id for key in keys.all] == [one.id, two.id]
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "text", ["", "not base64!", "c2hvcnQ=", "0123456789abcdef.12.c2hvcnQ=", "0123456789abcdef.x." + "A" * 43 + "="]
)
def test_what_is_no_key_is_refused_with_a_sentence_that_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultRefused) as refused:
        MasterKeys(tmp_path, Secret(text))
    assert not text or text not in str(refused.value)
    (tmp_path / "secret").mkdir()
    (tmp_path / FILE).write_text(text or "?")
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(VaultRefused):
        MasterKeys(tmp_path)


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a file where a folder should be")
    (tmp_path / "elsewhere").mkdir()
    keys = MasterKeys(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "secret").symlink_to(tmp_path / "secret")
    with pytest.raises(VaultRefused, match="identity-master-key cannot be written"):
        keys.make_first()


def test_masks() -> None:
    assert masked_number("12345678901") == "123*****901"
    assert masked_number("123456") == "******"
    assert masked_number("") == ""


def test_a_sweeping_keys_delay_doubles_up_to_the_longest() -> None:
    policy = VerificationPolicy()
    assert [policy.delay_s(strikes) for strikes in (0, 1, 2, 3)] == [2, 4, 8, 16]
    assert policy.delay_s(1000) == policy.longest_delay_s
