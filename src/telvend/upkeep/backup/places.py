"""Where backups are kept: a folder, or a bucket of an S3-compatible store (s3.py).

place = open_place("/var/backups/shop", settings)      # or s3://bucket/prefix
with place.writing("20261129T011502Z-1a2b3c/base.tar.gz") as target:
    target.write(b"…")                                  # appears when all of it is there, or not at all
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from telvend.config import Settings
from telvend.kit.permissions import folder_refusal
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.sealing import Reads, Writes

S3: Final = "s3://"
_UNFINISHED: Final = ".unfinished-"
_OURS: Final = ("postgres", "secret", "backup", "book", "run")
"""Folders of a data directory that hold something else."""


class Place(Protocol):
    """A place for backups. Names are relative, with slashes. Every verb raises BackupRefused where the place is away."""

    @property
    def text(self) -> str:
        """What people call it."""
        ...

    def prepare(self) -> None:
        """Make it where it is missing, and see that it can be written to."""
        ...

    def names(self, prefix: str = "") -> list[str]:
        """Every file below the folder `prefix`, sorted; with the prefix."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Writes]:
        """A file that appears when the context ends without an error."""
        ...

    def reading(self, name: str) -> AbstractContextManager[Reads]:
        """A file from its beginning. Raises FileNotFoundError."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...


class Folder:
    """A folder. Files are for their owner alone, folders too; a file is on the disk before it has its name."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def text(self) -> str:
        return str(self.path)

    def prepare(self) -> None:
        with self._refusing():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (refusal := folder_refusal(self.path, "The folder for backups")) is not None:
            raise BackupRefused(f"{refusal}.")
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise BackupRefused(f"The folder {self.path} may not be written to by this user.")
        self._remove_unfinished()

    def names(self, prefix: str = "") -> list[str]:
        top = self.path / prefix
        with self._refusing():
            return sorted(
                str(path.relative_to(self.path))
                for path in top.rglob("*")
                if path.is_file() and not path.name.startswith(_UNFINISHED)
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Writes]:
        target = self.path / name
        temporary = target.with_name(f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}")
        with self._refusing():
            self._make_folder(target.parent)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(fd, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
                _synchronize(target.parent)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    @contextmanager
    def reading(self, name: str) -> Iterator[Reads]:
        try:
            file = (self.path / name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BackupRefused(f"{self.path / name} cannot be read: {error.strerror}.") from None
        with file:
            yield file

    def remove(self, name: str) -> None:
        path = self.path / name
        with self._refusing():
            path.unlink(missing_ok=True)
            with suppress(OSError):
                if path.parent != self.path:
                    path.parent.rmdir()  # Only when it is empty.

    def _make_folder(self, folder: Path) -> None:
        if folder == self.path or folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _synchronize(folder.parent)

    def _remove_unfinished(self) -> None:
        """Files of processes that were killed: their number stands in the name."""
        for path in self.path.rglob(f"{_UNFINISHED}*"):
            pid = path.name.removeprefix(_UNFINISHED).partition("-")[0]
            if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
                path.unlink(missing_ok=True)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupRefused(f"The folder {self.path} cannot be used: {error.strerror or error}.") from error


def open_place(text: str, settings: Settings) -> Place:
    """The place that `text` names: a folder, or s3://bucket/prefix. Raises BackupRefused."""
    if text.startswith(S3):
        from telvend.upkeep.backup.s3 import Bucket

        return Bucket.at(text, settings)
    if "://" in text:
        raise BackupRefused(f"{text!r} is no place for backups: name a folder, or s3://bucket/prefix.")
    folder = Path(text).expanduser().absolute()
    data_dir = Path(settings.data_dir)
    ours = [data_dir / name for name in _OURS]
    if folder == data_dir or any(one == folder or one in folder.parents for one in ours):
        raise BackupRefused(f"Backups cannot be kept in {folder}: the shop itself keeps other things there.")
    return Folder(folder)


class Counting:
    """Counts and hashes what passes on its way to `target`."""

    def __init__(self, target: Writes) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes, /) -> int:
        self._sha256.update(data)
        self.bytes += len(data)
        self._target.write(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


class CountingReader:
    """Counts and hashes what is read from `source`."""

    def __init__(self, source: Reads) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._source.read(size)
        self._sha256.update(piece)
        self.bytes += len(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def _synchronize(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
