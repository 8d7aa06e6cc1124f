"""Keys that are not in the database: from a setting, else from a file of the data directory that is made by itself.

    keys = KeyFile(data_dir / "secret" / "identity-master-key", "identity master key", "identity_master_key", given)
    keys.read()                             # [bytes], newest first; [] where no file was made yet
    keys.make_first(new_key())              # unless somebody else has just done so: then theirs is the key

A key is 32 bytes, written in base64; a file holds one a line. Files are for their owner alone, appear whole or not at
all, and are on the disk before anything is made with what is in them. No sentence repeats what it was given.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from telvend.kit.secret import Secret

KEY_BYTES: Final = 32


class KeyRefused(Exception):
    """A key cannot be had. The message is one sentence for the shop-keeper."""


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


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
        if self._given is not None:
            words = self._given.reveal().replace(",", " ").split()
        else:
            try:
                words = self._file.read_text("ascii").split()
            except FileNotFoundError:
                return []
            except (OSError, UnicodeDecodeError) as error:
                raise self._refused(f"{self._file} cannot be read: {type(error).__name__}.") from None
        if not words:
            raise self._refused(f"{self.place[0].upper()}{self.place[1:]} is empty.")
        try:
            keys = [base64.b64decode(word, validate=True) for word in words]
        except (binascii.Error, ValueError):
            raise self._refused(f"{self.place} does not hold {self._what}s in base64.") from None
        for key in keys:
            if len(key) != KEY_BYTES:
                raise self._refused(f"Each {self._what} is {KEY_BYTES} bytes in base64, not {len(key)}.")
        return keys

    def make_first(self, key: bytes) -> None:
        """Make the file with this key, unless another process has just done so: read it again. Raises KeyRefused."""
        self._write([key], replace=False)

    def replace(self, keys: Iterable[bytes]) -> None:
        """Put these keys into the file instead of those that are there, all at once. Raises KeyRefused."""
        self._write(keys, replace=True)

    def _write(self, keys: Iterable[bytes], *, replace: bool) -> None:
        folder = self._file.parent
        temporary = folder / f".{self._file.name}.{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, "".join(f"{key_text(key)}\n" for key in keys).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            try:
                if replace:
                    temporary.replace(self._file)
                else:
                    # Unlike a rename, a link never takes the place of what is there.
                    os.link(temporary, self._file)
            except FileExistsError:
                pass  # Another process was first, and its key is the one.
            finally:
                temporary.unlink(missing_ok=True)
            _sync(folder)
        except OSError as error:
            raise self._refused(f"{self._file} cannot be written: {error.strerror}.") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
