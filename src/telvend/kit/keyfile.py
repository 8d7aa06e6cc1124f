"""Keys that are not in the database: from a setting, else from a file of the data directory that is made by itself.

    keys = KeyFile(data_dir / "secret" / "identity-master-key", "identity master key", "identity_master_key", given)
    keys.read()                             # [bytes], newest first; [] where no file was made yet
    keys.make_first(new_key())              # unless somebody else has just done so: then theirs is the key
    keys.change(lambda words: words[:1])    # rewrite the file; what it held is overwritten on the disk

A key is 32 bytes, written in base64; a file holds one a line. Files are for their owner alone, appear whole or not at
all, and are on the disk before anything is made with what is in them. No sentence repeats what it was given.
"""

import base64
import binascii
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from telvend.kit.permissions import secret_refusal
from telvend.kit.secret import Secret

KEY_BYTES: Final = 32


class KeyRefused(Exception):
    """A key cannot be had. The message is one sentence for the operator."""


class KeyMissing(KeyRefused):
    """There are keys, or none, but not the one that the database was written with."""


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def key_refusal(word: str) -> str | None:
    """Why a word is not a key in base64; None where it is one. Does not repeat it."""
    try:
        key = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    return None if len(key) == KEY_BYTES else f"is {len(key)} bytes in base64 instead of {KEY_BYTES}"


def key_text(key: bytes) -> str:
    """The key as a file or a setting holds it."""
    return base64.b64encode(key).decode()


class KeyFile:
    """The keys of one purpose. `what` names one for sentences; `given` is what the setting `setting` holds, if anything."""

    def __init__(
        self,
        file: Path,
        what: str,
        setting: str,
        given: Secret | None = None,
        refused: type[KeyRefused] = KeyRefused,
    ) -> None:
        self._file = file
        self._what = what
        self._setting = setting
        self._given = given
        self._refused = refused

    @property
    def from_settings(self) -> bool:
        return self._given is not None

    @property
    def place(self) -> str:
        """Where the keys are, for sentences."""
        return f"the setting {self._setting}" if self.from_settings else str(self._file)

    def read(self) -> list[bytes]:
        """The keys, newest first; none where there is no file yet. Raises KeyRefused where what is there is not a key."""
        return [self.decode(word) for word in self.words()]

    def words(self) -> list[str]:
        """The keys as they are written. Raises KeyRefused where the file cannot be read, is empty, or others may read it."""
        if self._given is not None:
            words = self._given.reveal().replace(",", " ").split()
        else:
            try:
                words = self._file.read_text("ascii").split()
            except FileNotFoundError:
                return []
            except (OSError, UnicodeDecodeError) as error:
                raise self._refused(f"{self._file} cannot be read: {type(error).__name__}.") from None
            if (refusal := secret_refusal(self._file, "The key file")) is not None:
                raise self._refused(f"{refusal}.")
        if not words:
            raise self._refused(f"{self.place[0].upper()}{self.place[1:]} is empty.")
        return words

    def decode(self, word: str) -> bytes:
        """The key in one word. Raises KeyRefused."""
        if (refusal := key_refusal(word)) is not None:
            raise self._refused(
                f"{self.place[0].upper()}{self.place[1:]} holds something that {refusal}: no {self._what}."
            )
        return base64.b64decode(word, validate=True)

    def make_first(self, key: bytes) -> None:
        """Make the file with this key, unless another process has just done so: read it again. Raises KeyRefused."""
        with self._alone(make=True):
            if not self._file.exists():
                self._write([key_text(key)])

    def change(self, new: Callable[[list[str]], list[str]]) -> None:
        """Put what `new` makes of the words in the file in their place, all at once; the old file is overwritten.

        No other process changes the file meanwhile. One that was killed in the middle leaves the old words or the new
        ones; remains are overwritten by the next change, also by one that changes nothing. Raises KeyRefused.
        """
        with self._alone(make=False):
            before = self.words()
            after = new(list(before))
            if after != before:
                self._write(after)
            self._remove_remains()

    def _write(self, words: list[str]) -> None:
        folder, name = self._file.parent, self._file.name
        temporary = folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, "".join(f"{word}\n" for word in words).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if self._file.exists():
            # A second name, so that the old words can be found and overwritten whenever we are killed.
            os.link(self._file, folder / f".{name}.{secrets.token_hex(4)}")
        temporary.replace(self._file)
        _sync(folder)

    def _remove_remains(self) -> None:
        folder = self._file.parent
        remains = [path for path in folder.glob(f".{self._file.name}.*") if path.is_file() and not path.is_symlink()]
        for path in remains:
            # A second name of the file that is in force, left by somebody who was killed before the rename.
            if not path.samefile(self._file):
                _overwrite(path)
            path.unlink()
        if remains:
            _sync(folder)

    @contextmanager
    def _alone(self, *, make: bool) -> Iterator[None]:
        """Keep other processes from changing files of this folder. Raises KeyRefused, also for what fails inside."""
        try:
            if make:
                for folder in (self._file.parent.parent, self._file.parent):
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._refused(f"{self._file} cannot be written: {error.strerror}.") from None


def _overwrite(path: Path) -> None:
    """Put zeros where the file's bytes are. A journaling or copying file system, or a disk, may still keep older ones."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.write(descriptor, bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
