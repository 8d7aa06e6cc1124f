"""Restoring a backup: into a data directory of its own, which becomes a shop by the last step, or stays none.

plan = choose(place, at=None)                               # which backup, and what continues it
with restored(plan, place, opener, data_dir, say) as done:  # a server that runs there, with the database as it was
    ...
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from telvend.embedded_postgres.binaries import binaries_for, client_programs_dir
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.creation import set_passwords
from telvend.embedded_postgres.environment import environment_of
from telvend.embedded_postgres.files import synchronize_folder
from telvend.embedded_postgres.lock import DataDirectoryLock, LockRole
from telvend.embedded_postgres.privileges import OsAccount, choose_account
from telvend.embedded_postgres.recovery import recover
from telvend.kit.failpoints import hit
from telvend.upkeep.backup import bundles
from telvend.upkeep.backup.archive import archived
from telvend.upkeep.backup.model import (
    ArchivedSegment,
    BackupDamaged,
    BackupKind,
    BackupRecord,
    BackupRefused,
    chain_of,
    following,
)
from telvend.upkeep.backup.places import CountingReader, Place
from telvend.upkeep.backup.sealing import Opener, Writes
from telvend.upkeep.backup.service import Say, listed, read_record
from telvend.upkeep.backup.tar import Member, TarStream

_STAGE: Final = ".restoring"
_PAGE: Final = 8192
_MADE_BY_RESTORE: Final = ("secret", "book", "telvend.toml", "settings", "lock", _STAGE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is restored: the chain of backups, full one first, and the write-ahead log that continues it."""

    record: BackupRecord
    chain: Sequence[BackupRecord]
    segments: Sequence[ArchivedSegment]
    at: datetime | None = None


@dataclass(slots=True)
class Restored:
    """A database that was restored. `to`: up to when the books know what was sold."""

    data_dir: Path
    to: datetime
    keys: list[str] = field(default_factory=list)
    keys_missing: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)


def choose(place: Place, *, backup: str | None = None, at: datetime | None = None) -> Plan:
    """Choose what to restore: the named or the newest backup, or the one from which `at` can be reached.

    Raises BackupRefused, with the moments that are possible; BackupDamaged where something of the chain is missing.
    """
    if backup is not None:
        # Alone: another one that is damaged does not matter, unless this one continues it.
        record = read_record(place, backup)
        records = listed(place).records if record.parent else [record]
    else:
        found = listed(place)
        records = found.records
        if not records and found.damaged:
            raise BackupDamaged(next(iter(found.damaged.values())))
        if not records:
            unfinished = " What is there was never finished." if found.unfinished else ""
            raise BackupRefused(f"There is no backup in {place.text}.{unfinished}")
        if len({one.shop for one in records}) > 1:
            last_of = {one.shop: one.id for one in records}
            raise BackupRefused(
                f"{place.text} holds backups of {len(last_of)} shops: name one, as --backup"
                f" {' or --backup '.join(last_of.values())}."
            )
        if at is None:
            record = records[-1]
            if (newer := [name for name in found.damaged if name > record.id]) and newer:
                raise BackupDamaged(
                    f"{found.damaged[newer[-1]]} Name an older one to restore that: --backup {record.id}."
                )
        else:
            before = [one for one in records if one.ended_at <= at]
            if not before:
                raise BackupRefused(
                    f"There is nothing before {_text(at)} in {place.text}: the oldest possible moment is"
                    f" {_text(records[0].ended_at)}."
                )
            record = before[-1]
    chain = chain_of(record, records)
    segments = following(record, archived(place, record.archive)) if record.archive else []
    if at is not None:
        if at < record.ended_at:
            raise BackupRefused(
                f"There is nothing before {_text(at)} in {record.id}: its oldest possible moment is {_text(record.ended_at)}."
            )
        newest = max([record.ended_at, *(one.archived_at for one in segments)])
        if at > newest or record.kind is BackupKind.DUMP:
            raise BackupRefused(
                f"{place.text} does not reach {_text(at)}: the newest possible moment is {_text(newest)}; leave out --at to go"
                " there."
            )
    return Plan(record, chain, segments, at)


def require_free(data_dir: Path) -> None:
    """Refuse a place where something is: a shop, or anything that a killed restore has not left. Raises BackupRefused."""
    if DataDirectoryLock(data_dir.absolute()).is_held():
        raise BackupRefused(f"A Telvend program is using {data_dir}; a backup is restored into an empty place.")
    try:
        names = sorted(path.name for path in data_dir.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupRefused(f"{data_dir} cannot be used: {error.strerror}.") from None
    killed = _STAGE in names and "postgres" not in names
    left = [name for name in names if not (killed and name in _MADE_BY_RESTORE) and name != "lock"]
    if left:
        what = "There is a shop in" if "postgres" in left else "There is something in"
        raise BackupRefused(f"{what} {data_dir} ({', '.join(left[:4])}): a backup is restored into an empty place.")


@contextmanager
def restored(
    plan: Plan,
    place: Place,
    opener: Opener,
    data_dir: Path,
    say: Say,
    *,
    verify: bool = False,
    serve: Callable[[str, "Restored"], Any] | None = None,
) -> Iterator[Restored]:
    """Restore into `data_dir`, which is empty. The context is entered with the database stopped, and in place when it ends.

    `serve` is called with the URL of the restored database before that. `verify`: compare every file with PostgreSQL's list too.
    Raises BackupRefused, PostgresRefused; then `data_dir` holds nothing that looks like a shop.
    """
    _require_openable(plan, opener)
    data_dir = data_dir.absolute()
    require_free(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DataDirectoryLock(data_dir)
    if not lock.try_acquire(LockRole.COMMAND):
        raise BackupRefused(f"A Telvend program is using {data_dir}; a backup is restored into an empty place.")
    stage = data_dir / _STAGE
    try:
        _clear(data_dir)
        stage.mkdir(mode=0o700)
        done = Restored(data_dir, plan.record.ended_at)
        _restore_bundles(plan, place, opener, stage, done)
        if plan.record.kind is BackupKind.DUMP:
            url_of = _load_dump(plan, place, opener, stage, say)
        else:
            url_of = _restore_server(plan, place, opener, stage, say, done, verify=verify)
        with url_of as url:
            if serve is not None:
                serve(url, done)
        yield done
        hit("restore.before_database_is_in_place")
        _put_in_place(stage, data_dir)
    except OSError as error:
        raise BackupRefused(f"{data_dir} cannot be used: {error.strerror or error}.") from error
    finally:
        if stage.exists():
            _clear(data_dir)
        lock.release()


def _require_openable(plan: Plan, opener: Opener) -> None:
    for record in plan.chain:
        opener.require(record.recipients, f"The backup {record.id}")


def _clear(data_dir: Path) -> None:
    """Remove what a restore that did not end has left."""
    for name in _MADE_BY_RESTORE:
        path = data_dir / name
        if name == "lock" or not os.path.lexists(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _put_in_place(stage: Path, data_dir: Path) -> None:
    """Move everything to where a shop looks for it; the database last, which makes it one."""
    for name in ("secret", "book"):
        if (stage / name).is_dir():
            (stage / name).rename(data_dir / name)
    if (stage / "settings").is_dir():
        for path in sorted((stage / "settings").iterdir()):
            path.rename(data_dir / path.name)
    synchronize_folder(data_dir)
    (stage / "postgres").rename(data_dir / "postgres")
    synchronize_folder(data_dir)
    shutil.rmtree(stage)


# Files ----------------------------------------------------------------------------------------------------------------------


def read_stored(
    record: BackupRecord, stem: str, place: Place, opener: Opener, target: Writes, *, compressed: bool
) -> bool:
    """Read a file of a backup, checked against its record. Whether there is one. Raises BackupDamaged, BackupRefused."""
    file = record.file(stem)
    if file is None:
        return False
    name = f"{record.id}/{file.name}"
    try:
        with place.reading(name) as source:
            counting = CountingReader(source)
            try:
                opener.copy(counting, target, encrypted=file.name.endswith(".age"), name=name, compressed=compressed)
            except BackupDamaged:
                while counting.read(1 << 20):
                    pass
                _compare(name, counting, file.bytes, file.sha256)
                raise
            while counting.read(1 << 20):
                pass
    except FileNotFoundError:
        raise BackupDamaged(f"{name} is missing.") from None
    _compare(name, counting, file.bytes, file.sha256)
    return True


def _compare(name: str, counting: CountingReader, size: int, sha256: str) -> None:
    if counting.bytes != size:
        raise BackupDamaged(f"{name} has {counting.bytes} bytes instead of {size}: it is cut off, or was changed.")
    if counting.sha256 != sha256:
        raise BackupDamaged(f"{name} was changed after it was written.")


class _Buffer:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> int:
        self.data += data
        return len(data)


def _restore_bundles(plan: Plan, place: Place, opener: Opener, stage: Path, done: Restored) -> None:
    record = plan.record
    found: dict[str, bytes] = {}
    for stem in ("settings", "keys"):
        buffer = _Buffer()
        if read_stored(record, stem, place, opener, buffer, compressed=False):
            found |= bundles.unpacked(bytes(buffer.data), f"{record.id}/{stem}")
    missing = [name for name in record.keys if bundles.KEYS + name not in found and name not in found]
    if missing:
        raise BackupDamaged(f"{record.id} says that it holds {', '.join(missing)}, and does not.")
    done.keys = [name.removeprefix(bundles.KEYS) for name in found if name.startswith(bundles.KEYS)]
    done.keys_missing = [*record.keys_left_out, *record.keys_elsewhere]
    toml = f"{bundles.SETTINGS}telvend.toml"
    if toml in found and bundles.names_database(found[toml]):
        # The restored shop would be served from the database that is named there, and not from its own.
        found[f"{toml}.from-backup"] = found.pop(toml)
    done.settings = [name.removeprefix(bundles.SETTINGS) for name in found if name.startswith(bundles.SETTINGS)]
    for name, content in found.items():
        path = stage / PurePosixPath(name)
        for folder in reversed(path.relative_to(stage).parents):
            (stage / folder).mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)


# The embedded server ----------------------------------------------------------------------------------------------------------


@contextmanager
def _restore_server(
    plan: Plan, place: Place, opener: Opener, stage: Path, say: Say, done: Restored, *, verify: bool
) -> Iterator[str]:
    account = choose_account(stage / "postgres")
    folders = []
    for number, record in enumerate(plan.chain):
        say(f"Reading {record.kind} backup {record.id} ({record.stored_bytes / 1e6:,.0f} MB) …")
        folder = stage / f"part-{number}"
        folder.mkdir(mode=0o700)
        extracting = _Extracting(folder)
        tar = TarStream(extracting)
        if not read_stored(record, "base", place, opener, tar, compressed=True):
            raise BackupDamaged(f"The record of {record.id} names no copy of the database.")
        tar.finish()
        if verify or len(plan.chain) > 1:
            _verify(folder, record)
        folders.append(folder)
    pgdata = stage / "postgres"
    if len(folders) == 1:
        folders[0].rename(pgdata)
    else:
        _combine(folders, pgdata)
    _write_segments(plan, place, opener, pgdata, say)
    _give(pgdata, account)
    # No file is lost by a power cut after the database was put in its place.
    os.sync()
    say("Recovering …")
    reached = recover(stage, plan.at, say)
    if reached is not None:
        done.to = reached
    set_passwords(stage, account, binaries_for(account))
    with Cluster(stage, role=LockRole.COMMAND, say=say) as cluster:
        yield cluster.url


@dataclass(slots=True)
class _Extracting:
    """Writes the members of an archive into a folder."""

    folder: Path
    _file: IO[bytes] | None = None

    def begin(self, member: Member) -> Writes | None:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or member.kind not in ("0", "5"):
            raise BackupDamaged(f"The copy of the database holds {member.name!r}, which the embedded server never has.")
        target = self.folder / path
        if member.kind == "5":
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            return None
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(fd, "wb")
        return self._file

    def end(self, member: Member) -> None:  # noqa: ARG002 - one file at a time
        if self._file is not None:
            self._file.close()
            self._file = None


def _verify(folder: Path, record: BackupRecord) -> None:
    """Compare the files with PostgreSQL's own list of them. Raises BackupDamaged."""
    _program("pg_verifybackup", "--exit-on-error", "--quiet", str(folder), said=f"{record.id} is damaged")


def _combine(folders: Sequence[Path], target: Path) -> None:
    _program(
        "pg_combinebackup",
        *map(str, folders),
        f"--output={target}",
        "--no-sync",
        said="The backups do not fit together",
    )
    for folder in folders:
        shutil.rmtree(folder)


def _program(name: str, *arguments: str, said: str) -> None:
    found = subprocess.run(
        [str(client_programs_dir() / name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        check=False,
    )
    if found.returncode:
        lines = (found.stderr + found.stdout).decode(errors="replace").strip().splitlines() or ["no reason was given"]
        raise BackupDamaged(f"{said}: {lines[-1].strip()}.")


def _write_segments(plan: Plan, place: Place, opener: Opener, pgdata: Path, say: Say) -> None:
    """Put the archived write-ahead log where recovery reads it."""
    if not plan.segments:
        return
    say(f"Reading {len(plan.segments)} segments of write-ahead log …")
    folder = pgdata / "pg_wal"
    for segment in plan.segments:
        target = _Segment(folder / segment.segment)
        with target:
            read_segment(plan.record, segment, place, opener, target)


def read_segment(record: BackupRecord, segment: ArchivedSegment, place: Place, opener: Opener, target: Writes) -> None:
    """Read a segment of write-ahead log, checked against its name. Raises BackupDamaged, BackupRefused."""
    name = f"wal/{record.archive}/{segment.name}"
    hashing = _Hashing(target)
    try:
        with place.reading(name) as source:
            opener.copy(source, hashing, encrypted=segment.encrypted, name=name)
    except FileNotFoundError:
        raise BackupDamaged(f"{name} is missing.") from None
    if hashing.sha256[:16] != segment.digest:
        raise BackupDamaged(f"{name} was changed after it was written.")


class _Hashing:
    def __init__(self, target: Writes) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self._sha256.update(data)
        self._target.write(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


class _Segment:
    """A segment as a file with holes: one that was finished early is mostly empty, and takes no room for that."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_Segment":
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._at = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(self._at)
        self._file.close()

    def write(self, data: bytes, /) -> int:
        for start in range(0, len(data), _PAGE):
            piece = data[start : start + _PAGE]
            if piece.count(0) != len(piece):
                os.pwrite(self._file.fileno(), piece, self._at)
            self._at += len(piece)
        return len(data)


def _give(pgdata: Path, account: OsAccount) -> None:
    if account.changed:
        for top, folders, files in os.walk(pgdata):
            for name in (*folders, *files):
                os.chown(os.path.join(top, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(pgdata, account.uid, account.gid)


# A dump -----------------------------------------------------------------------------------------------------------------------


@contextmanager
def _load_dump(plan: Plan, place: Place, opener: Opener, stage: Path, say: Say) -> Iterator[str]:
    """Make a new embedded database of a dump."""
    file = stage / "dump"
    record = plan.record
    say(f"Reading dump {record.id} ({record.stored_bytes / 1e6:,.0f} MB) …")
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as target:
        if not read_stored(record, "dump", place, opener, target, compressed=True):
            raise BackupDamaged(f"The record of {record.id} names no dump.")
    with Cluster(stage, role=LockRole.COMMAND, say=say) as cluster:
        say("Loading the dump …")
        load_dump(file, cluster.url)
        file.unlink()
        yield cluster.url


def load_dump(file: Path, url: str) -> None:
    """Load a dump into an empty database, all of it or nothing. Raises BackupRefused."""
    found = subprocess.run(
        [
            str(client_programs_dir() / "pg_restore"),
            "--no-owner",
            "--no-privileges",
            "--single-transaction",
            "--exit-on-error",
            f"--dbname={environment_of(url).get('PGDATABASE', '')}",
            str(file),
        ],
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", **environment_of(url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if found.returncode:
        lines = found.stderr.decode(errors="replace").strip().splitlines() or ["no reason was given"]
        raise BackupRefused(f"The dump could not be loaded: {lines[-1].strip()}.")


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
