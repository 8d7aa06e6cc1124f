"""Sealing: nothing opens that was changed, moved or sealed with another key; and the file of the master key."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.identity.model import Policy, masked_number
from telvend.identity.vault import FILE, MasterKey, MasterKeys, RecordKey, SealBroken, VaultRefused
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


def test_a_wrapped_key_is_bound_to_its_check_and_its_master() -> None:
    master, key = MasterKey.new(), RecordKey.new(7)
    wrapped = master.wrap(7, key)
    assert master.unwrap(7, wrapped).open("number", key.seal("number", b"1")) == b"1"
    with pytest.raises(SealBroken):
        master.unwrap(8, wrapped)
    with pytest.raises(SealBroken):
        MasterKey.new().unwrap(7, wrapped)


def test_a_number_is_found_by_a_keyed_hash_that_tells_kinds_apart() -> None:
    master = MasterKey(bytes(32))
    assert master.lookup("nin", "12345678901") == MasterKey(bytes(32)).lookup("nin", "12345678901")
    assert master.lookup("nin", "12345678901") != master.lookup("bvn", "12345678901")
    assert master.lookup("nin", "12345678901") != MasterKey.new().lookup("nin", "12345678901")


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


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_what_is_no_key_is_refused_with_a_sentence_that_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultRefused) as refused:
        MasterKeys(tmp_path, Secret(text))
    assert not text or text not in str(refused.value)
    (tmp_path / "secret").mkdir()
    (tmp_path / FILE).write_text(text or "?")
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
    policy = Policy()
    assert [policy.delay_s(strikes) for strikes in (0, 1, 2, 3)] == [2, 4, 8, 16]
    assert policy.delay_s(1000) == policy.longest_delay_s
