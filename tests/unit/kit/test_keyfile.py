"""Keys in a file: made once however many try, whole or not at all, and refused in sentences that give nothing away."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from telvend.kit import keyfile as keyfile_module
from telvend.kit.keyfile import KEY_BYTES, KeyFile, KeyRefused, key_text, new_key
from telvend.kit.secret import Secret

MAKES_ONE = """
import sys
from pathlib import Path
from telvend.kit.keyfile import KeyFile, key_text, new_key
keys = KeyFile(Path(sys.argv[1]), "test key", "test_key")
sys.stdin.read()
keys.make_first(new_key())
print(key_text(keys.read()[0]))
"""

ADDS_ONE = """
import sys
from pathlib import Path
from telvend.kit.keyfile import KeyFile, key_text, new_key
KeyFile(Path(sys.argv[1]), "test key", "test_key").change(lambda words: [key_text(new_key()), *words])
"""


def keyfile(folder: Path, given: str | None = None) -> KeyFile:
    return KeyFile(folder / "secret" / "key", "test key", "test_key", None if given is None else Secret(given))


def test_there_are_no_keys_before_the_first_is_made(tmp_path: Path) -> None:
    keys = keyfile(tmp_path)
    assert keys.read() == []
    assert not (tmp_path / "secret").exists()
    key = new_key()
    keys.make_first(key)
    assert keys.read() == [key]
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(os.stat(tmp_path / "secret" / "key").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "secret").st_mode) == 0o700


def test_of_several_processes_that_make_the_first_key_one_does(tmp_path: Path) -> None:
    file = tmp_path / "secret" / "key"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES_ONE, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    told = set()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # All have started by now, or will in a moment: they race.
    for process in processes:
        assert process.stdout is not None
        told.add(process.stdout.read().strip())
        process.stdout.close()
        assert process.wait() == 0
    assert told == {file.read_text().strip()}
    assert list((tmp_path / "secret").iterdir()) == [file]


def test_a_change_puts_all_keys_there_at_once_and_overwrites_the_old_file(tmp_path: Path) -> None:
    keys, one, two = keyfile(tmp_path), new_key(), new_key()
    keys.make_first(one)
    os.link(tmp_path / "secret" / "key", tmp_path / "bytes")  # The old file's bytes, under a name that stays.
    keys.change(lambda words: [key_text(two), *words])
    assert keys.read() == [two, one]
    assert stat.S_IMODE(os.stat(tmp_path / "secret" / "key").st_mode) == 0o600
    assert set((tmp_path / "bytes").read_bytes()) == {0}
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["key"]


@pytest.mark.parametrize("dies_at", ["replace", "_overwrite", "_sync"])
def test_a_change_that_was_killed_leaves_whole_keys_and_the_next_one_removes_remains(
    tmp_path: Path, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, one, two = keyfile(tmp_path), new_key(), new_key()
    keys.make_first(one)
    os.link(tmp_path / "secret" / "key", tmp_path / "bytes")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "replace") if dies_at == "replace" else (keyfile_module, dies_at)), die)
        with pytest.raises(Killed):
            keys.change(lambda _: [key_text(two)])
    assert keys.read() == [one if dies_at == "replace" else two]
    assert len(list((tmp_path / "secret").iterdir())) > 1
    keys.change(lambda _: [key_text(two)])
    assert keys.read() == [two]
    assert set((tmp_path / "bytes").read_bytes()) == {0}
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["key"]


def test_changes_of_several_processes_do_not_lose_each_others_keys(tmp_path: Path) -> None:
    keyfile(tmp_path).make_first(new_key())
    processes = [subprocess.Popen([sys.executable, "-c", ADDS_ONE, str(tmp_path / "secret" / "key")]) for _ in range(5)]
    assert [process.wait() for process in processes] == [0] * 5
    assert len(keyfile(tmp_path).read()) == 6


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    keys = keyfile(tmp_path)
    keys.make_first(new_key())
    (tmp_path / "secret" / "key").chmod(mode)
    with pytest.raises(KeyRefused, match="chmod go= "):
        keys.read()


def test_a_setting_goes_before_the_file(tmp_path: Path) -> None:
    one, two = new_key(), new_key()
    keyfile(tmp_path).make_first(new_key())
    keys = keyfile(tmp_path, f"{key_text(one)}, {key_text(two)}")
    assert keys.from_settings
    assert keys.read() == [one, two]
    assert "test_key" in keys.place


@pytest.mark.parametrize("text", ["", " ,", "not base64!", "c2hvcnQ=", "\u00e9"])
def test_what_is_no_key_is_refused_in_a_sentence_that_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text(text)
    (tmp_path / "secret" / "key").chmod(0o600)
    for keys in (keyfile(tmp_path), keyfile(tmp_path, text)):
        with pytest.raises(KeyRefused) as refused:
            keys.read()
        assert str(refused.value).endswith(".")
        assert not text.strip(" ,") or text not in str(refused.value)


def test_a_file_that_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a file where a folder should be")
    with pytest.raises(KeyRefused, match="key cannot be written"):
        keyfile(tmp_path).make_first(new_key())
