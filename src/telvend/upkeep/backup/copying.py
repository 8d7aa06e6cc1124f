"""Copying a database while it serves: pg_basebackup for the embedded server, pg_dump for one that is not ours.

The copy is a stream: it is compressed, encrypted and stored while it is read, and takes no room on this machine.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Final

from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.environment import environment_of
from telvend.embedded_postgres.files import password_of
from telvend.kit.processes import die_with_parent
from telvend.upkeep.backup import store
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.sealing import Reads, Writes
from telvend.upkeep.backup.tar import Member, TarStream

_SUPERUSER: Final = "postgres"
_LABEL: Final = "backup_label"
_MANIFEST: Final = "backup_manifest"
_ENVIRONMENT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


@dataclass(slots=True)
class CopyNotes:
    """What was read off the stream."""

    label: str = ""
    manifest: bytes = b""

    @property
    def start_segment(self) -> str:
        """The segment of write-ahead log with which recovery begins. Source: backup_label."""
        for line in self.label.splitlines():
            if line.startswith("START WAL LOCATION:"):
                return line.partition("(file ")[2].rstrip(")")
        raise BackupRefused("pg_basebackup wrote no backup_label.")


def superuser_environment(url: str, data_dir: Path) -> dict[str, str]:
    """The address of the embedded server for its superuser, as environment variables. Raises PostgresRefused."""
    return environment_of(url) | {
        "PGUSER": _SUPERUSER,
        "PGPASSWORD": password_of(data_dir, _SUPERUSER, create=False),
    }


def superuser_url(url: str, data_dir: Path) -> str:
    """The same as a URL."""
    _, _, rest = url.partition("@")
    return f"postgresql://{_SUPERUSER}:{password_of(data_dir, _SUPERUSER, create=False)}@{rest}"


@contextmanager
def base_backup(
    url: str, data_dir: Path, *, manifest: Path | None, on_bytes: Callable[[int], None]
) -> Iterator[tuple[Reads, CopyNotes]]:
    """The embedded server's files as one tar stream, with the write-ahead log of the time of copying.

    `manifest`: of the backup before, for an incremental one. Raises BackupRefused at the end where the copy failed.
    """
    arguments = [
        str(client_programs_dir() / "pg_basebackup"),
        "--pgdata=-",
        "--format=tar",
        "--wal-method=fetch",
        "--checkpoint=fast",
        "--label=telvend",
        "--no-password",
    ]
    if manifest is not None:
        arguments.append(f"--incremental={manifest}")
    # Without the slot the server may remove log that the copy still needs, where more is sold than it keeps.
    with ExitStack() as stack:
        try:
            stack.enter_context(store.kept_log(superuser_url(url, data_dir)))
        except store.FAILURES as error:
            raise BackupRefused(f"The database does not let itself be copied: {_last(str(error))}.") from error
        notes = CopyNotes()
        with _running(arguments, superuser_environment(url, data_dir)) as output:
            scanned = _Scanned(output, notes, on_bytes)
            yield scanned, notes
            scanned.finish()


@contextmanager
def dump(url: str) -> Iterator[Reads]:
    """A dump of a database that is not ours, as pg_restore reads it. Raises BackupRefused at the end where it failed."""
    arguments = [
        str(client_programs_dir() / "pg_dump"),
        "--format=custom",
        "--compress=none",  # It is compressed while it is stored.
        "--no-owner",
        "--no-privileges",
        "--no-password",
    ]
    with _running(arguments, environment_of(url)) as output:
        yield output


@contextmanager
def _running(arguments: list[str], variables: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """The output of a program, which must end well once it was read."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "LC_ALL": "C", **variables},
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    assert process.stderr is not None  # noqa: S101
    try:
        yield process.stdout
        said = process.stderr.read().decode(errors="replace")
        if process.wait():
            raise BackupRefused(f"{Path(arguments[0]).name} failed: {_last(said)}.")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


class _Scanned:
    """Reads the tar stream and takes notes of two small files in it."""

    def __init__(self, source: Reads, notes: CopyNotes, on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._members = _Noting(notes)
        self._tar = TarStream(self._members)
        self._on_bytes = on_bytes

    def read(self, size: int = -1, /) -> bytes:
        piece = self._source.read(size)
        if piece:
            self._tar.write(piece)
            self._on_bytes(len(piece))
        return piece

    def finish(self) -> None:
        while self.read(1 << 20):
            pass


@dataclass(slots=True)
class _Noting:
    notes: CopyNotes
    _kept: bytearray = field(default_factory=bytearray)

    def begin(self, member: Member) -> Writes | None:
        self._kept = bytearray()
        return _Appending(self._kept) if member.name in (_LABEL, _MANIFEST) else None

    def end(self, member: Member) -> None:
        if member.name == _LABEL:
            self.notes.label = self._kept.decode()
        if member.name == _MANIFEST:
            self.notes.manifest = bytes(self._kept)


@dataclass(slots=True)
class _Appending:
    target: bytearray

    def write(self, data: bytes, /) -> int:
        self.target += data
        return len(data)


def _last(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()] or ["it gave no reason"]
    telling = [line for line in lines if "error:" in line.lower()] or lines
    return telling[-1].strip().rstrip(".")
