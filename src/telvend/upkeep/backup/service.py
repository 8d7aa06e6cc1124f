"""Taking backups, listing them, and removing those that are no longer kept.

record = take(Source(url, settings, file), place, sealer, Wanted(), say)
"""

import io
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from telvend import __version__
from telvend.config import Settings
from telvend.kit.failpoints import hit
from telvend.upkeep.backup import bundles, store
from telvend.upkeep.backup.copying import CopyNotes, base_backup, dump, superuser_url
from telvend.upkeep.backup.model import (
    RECORD,
    WAL,
    BackupDamaged,
    BackupKind,
    BackupRecord,
    BackupRefused,
    Retention,
    StoredFile,
    decoded,
    encoded,
    expired,
    is_id,
    stamp,
    wal_not_needed,
)
from telvend.upkeep.backup.places import Counting, Place
from telvend.upkeep.backup.sealing import Reads, Sealer
from telvend.upkeep.backup.state import BackupState, alone, archive_id, change_state, folder_of, give_to_owner

_STARTED: Final = "started"
_ABANDONED_AFTER: Final = timedelta(days=2)
"""After so long an unfinished backup of another machine is taken for dead."""
_MOST_MANIFESTS: Final = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """The shop that is backed up. `shop` and `schema` are what its database says of itself."""

    url: str
    settings: Settings
    settings_file: Path | None
    shop: str
    schema: str

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.data_dir)

    @property
    def embedded(self) -> bool:
        return self.settings.database_url is None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a backup is taken. `incremental`: None decides by what is there; `beside`: keys go in although nothing seals them."""

    incremental: bool | None = None
    beside: bool = False
    full_every: timedelta = timedelta(days=7)
    retention: Retention = field(default_factory=Retention)


@dataclass(slots=True)
class Taken:
    """A backup that was taken, and what else happened."""

    record: BackupRecord
    seconds: float
    notes: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a place holds. `damaged`: names of backups whose record cannot be read, each with the reason."""

    records: list[BackupRecord]
    damaged: dict[str, str]
    unfinished: list[str]


def listed(place: Place) -> Listed:
    """Every backup in a place, oldest first. Raises BackupRefused."""
    records, damaged, folders = [], {}, set()
    whole = set()
    for name in place.names():
        folder, _, rest = name.partition("/")
        if not is_id(folder):
            continue
        folders.add(folder)
        if rest == RECORD:
            whole.add(folder)
            try:
                record = read_record(place, folder)
            except BackupDamaged as error:
                damaged[folder] = str(error)
            else:
                records.append(record)
    return Listed(sorted(records, key=lambda one: (one.ended_at, one.id)), damaged, sorted(folders - whole))


def read_record(place: Place, backup: str) -> BackupRecord:
    """The record of one backup. Raises BackupRefused."""
    try:
        with place.reading(f"{backup}/{RECORD}") as source:
            text = source.read(1 << 24)
            while more := source.read(1 << 24):
                text += more
    except FileNotFoundError:
        raise BackupRefused(f"There is no backup {backup} in {place.text}.") from None
    record = decoded(text, backup)
    if record.id != backup:
        raise BackupDamaged(f"The record of {backup} is that of {record.id}.")
    return record


def take(source: Source, place: Place, sealer: Sealer, wanted: Wanted, say: Say, progress: Say | None = None) -> Taken:
    """Take a backup and store it; remove those that are no longer kept, and what killed ones have left.

    Raises BackupRefused, PostgresRefused.
    """
    began = time.monotonic()
    try:
        with alone(source.data_dir):
            place.prepare()
            _remove_unfinished(place, source)
            taken = _take(source, place, sealer, wanted, say, progress)
            hit("backup.after_record")
            taken.removed = prune(place, wanted.retention)
    except BackupRefused as error:
        _note_failure(source.data_dir, str(error))
        raise
    taken.seconds = round(time.monotonic() - began, 1)
    return taken


def _note_failure(data_dir: Path, failure: str) -> None:
    def failed(state: BackupState) -> None:
        state.failed_at, state.failure = datetime.now(UTC), failure

    with suppress(OSError):
        change_state(data_dir, failed)


def _take(source: Source, place: Place, sealer: Sealer, wanted: Wanted, say: Say, progress: Say | None) -> Taken:
    begun_at = datetime.now(UTC)
    backup = f"{stamp(begun_at)}-{secrets.token_hex(3)}"
    try:
        return _take_as(backup, begun_at, source, place, sealer, wanted, say, progress)
    except BaseException:
        # A place that is away keeps what was stored; the next backup removes it.
        with suppress(BackupRefused):
            _remove_backup(place, backup)
        raise


def _take_as(
    backup: str,
    begun_at: datetime,
    source: Source,
    place: Place,
    sealer: Sealer,
    wanted: Wanted,
    say: Say,
    progress: Say | None,
) -> Taken:
    data_dir = source.data_dir
    # Before the database: what is remembered here is in it then.
    found = bundles.collect(source.settings, source.settings_file)
    notes = list(found.notes)
    with place.writing(f"{backup}/{_STARTED}") as target:
        target.write(f"{archive_id(data_dir)} {begun_at.isoformat()}\n".encode())
    files: list[StoredFile] = []
    keys, left_out = _store_bundles(found, backup, place, sealer, files, beside=wanted.beside)
    if left_out:
        notes.append(
            f"LEFT OUT: {', '.join(left_out)}. Nobody can open with this backup what they seal. Name a recipient"
            " (--recipient, or the setting backup_recipient), or copy them apart yourself; --keys-beside-records puts them"
            " unsealed into this backup."
        )
    if source.embedded:
        record = _store_base(source, backup, place, sealer, wanted, files, say, progress)
    else:
        record = _store_dump(source, backup, place, sealer, files, progress)
        notes += external_notes(source.url)
    hit("backup.before_record")
    record = msgspec.structs.replace(
        record,
        begun_at=begun_at,
        ended_at=datetime.now(UTC),
        files=files,
        recipients=sealer.names,
        keys=keys,
        keys_left_out=left_out,
        keys_elsewhere=found.elsewhere,
    )
    with place.writing(f"{backup}/{RECORD}") as target:
        target.write(encoded(record))
    # From here on it is whole: whatever fails now does not take it away.
    with suppress(BackupRefused):
        place.remove(f"{backup}/{_STARTED}")

    def succeeded(state: BackupState) -> None:
        state.place, state.backup, state.succeeded_at = place.text, backup, record.ended_at
        state.keys, state.keys_left_out, state.failed_at, state.failure = keys, left_out, None, ""
        if keys or not left_out:
            state.keys_sealed_at = record.ended_at

    try:
        change_state(data_dir, succeeded)
    except OSError as error:
        notes.append(f"This could not be noted in {data_dir}: {error.strerror}.")
    return Taken(record, 0.0, notes)


def _store_bundles(
    found: bundles.Bundles, backup: str, place: Place, sealer: Sealer, files: list[StoredFile], *, beside: bool
) -> tuple[list[str], list[str]]:
    """Store keys and settings. Returns the names of what holds secrets: what went in, and what was left out."""
    store_file(place, f"{backup}/settings.tar{sealer.suffix}", io.BytesIO(bundles.packed(found.plain)), sealer, files)
    if not found.secret:
        return [], []
    if not sealer.encrypts and not beside:
        return [], found.secret_names
    store_file(place, f"{backup}/keys.tar{sealer.suffix}", io.BytesIO(bundles.packed(found.secret)), sealer, files)
    return found.secret_names, []


def store_file(
    place: Place, name: str, source: Reads, sealer: Sealer, files: list[StoredFile], *, compress: bool = False
) -> None:
    """Store what `source` yields, and append what it has become to `files`. Raises BackupRefused."""
    with place.writing(name) as target:
        counting = Counting(target)
        sealer.copy(source, counting, compress=compress)
    files.append(StoredFile(name.partition("/")[2], counting.bytes, counting.sha256))


def _store_base(
    source: Source,
    backup: str,
    place: Place,
    sealer: Sealer,
    wanted: Wanted,
    files: list[StoredFile],
    say: Say,
    progress: Say | None,
) -> BackupRecord:
    data_dir = source.data_dir
    with _asking(superuser_url(source.url, data_dir)) as session:
        facts, system = session.facts(), session.system()
    if facts.wal_level == "minimal" or not facts.senders:
        raise BackupRefused(
            "The running server was started by an older Telvend, from which nothing can be copied: restart `telvend serve`."
        )
    parent = _parent(source, place, wanted, summarizes=facts.summarizes)
    counter = _Counter(facts.bytes if parent is None else 0, progress)
    try:
        notes = _copy_base(source, backup, place, sealer, files, parent, counter)
    except BackupRefused as error:
        if parent is None or wanted.incremental:
            raise
        # The server has no summaries for so long a time, or was started without them.
        say(f"An incremental backup was not possible ({error}); taking a full one.")
        parent, counter = None, _Counter(facts.bytes, progress)
        files[:] = [file for file in files if not file.name.startswith("base.")]
        notes = _copy_base(source, backup, place, sealer, files, None, counter)
    store_file(place, f"{backup}/manifest.gz{sealer.suffix}", io.BytesIO(notes.manifest), sealer, files, compress=True)
    _keep_manifest(data_dir, backup, notes.manifest)
    if facts.archive_mode == "on":
        with _asking(superuser_url(source.url, data_dir)) as session:
            session.switch_segment()
    return BackupRecord(
        id=backup,
        kind=BackupKind.FULL if parent is None else BackupKind.INCREMENTAL,
        shop=source.shop,
        telvend=__version__,
        schema=source.schema,
        postgres=facts.version,
        begun_at=datetime.now(UTC),
        ended_at=datetime.now(UTC),
        files=[],
        parent="" if parent is None else parent.id,
        archive=archive_id(data_dir),
        system=system,
        timeline=int(notes.start_segment[:8], 16),
        start_segment=notes.start_segment,
        segment_bytes=facts.segment_bytes,
        data_bytes=counter.bytes,
    )


def _copy_base(
    source: Source,
    backup: str,
    place: Place,
    sealer: Sealer,
    files: list[StoredFile],
    parent: BackupRecord | None,
    counter: "_Counter",
) -> CopyNotes:
    manifest = None if parent is None else _manifests(source.data_dir) / parent.id
    with base_backup(source.url, source.data_dir, manifest=manifest, on_bytes=counter.add) as (stream, notes):
        name = f"{backup}/base.tar.gz{sealer.suffix}"
        hit("backup.while_copying")
        store_file(place, name, stream, sealer, files, compress=True)
    if not notes.manifest:
        raise BackupRefused("pg_basebackup wrote no manifest.")
    return notes


def _store_dump(
    source: Source, backup: str, place: Place, sealer: Sealer, files: list[StoredFile], progress: Say | None
) -> BackupRecord:
    with _asking(source.url) as session:
        facts, system = session.facts(), session.system()
    counter = _Counter(0, progress)
    with dump(source.url) as stream:
        name = f"{backup}/dump.gz{sealer.suffix}"
        store_file(place, name, _CountedReader(stream, counter), sealer, files, compress=True)
    return BackupRecord(
        id=backup,
        kind=BackupKind.DUMP,
        shop=source.shop,
        telvend=__version__,
        schema=source.schema,
        postgres=facts.version,
        begun_at=datetime.now(UTC),
        ended_at=datetime.now(UTC),
        files=[],
        system=system,
        data_bytes=counter.bytes,
    )


def external_notes(url: str) -> list[str]:
    """What a server that is not ours has to do for itself, and what it says of that."""
    with _asking(url) as session:
        facts, archiver = session.facts(), session.archiver()
    notes = [
        "This is a dump of one moment: what is sold after it is not in it. Point-in-time recovery is the server's own:"
    ]
    if facts.wal_level == "minimal" or facts.archive_mode == "off":
        notes.append(
            f"it archives nothing (wal_level {facts.wal_level}, archive_mode {facts.archive_mode}): let pgBackRest or Barman"
            " archive it, or take your provider's snapshots with point-in-time recovery."
        )
    elif archiver.last_at is None or (archiver.last_failed_at or archiver.last_at) > archiver.last_at:
        notes.append(f"its archiving fails ({archiver.failed} times, last at {archiver.last_failed_at}): see its log.")
    else:
        age_s = round((datetime.now(UTC) - archiver.last_at).total_seconds())
        notes.append(
            f"it archives ({archiver.archived} segments, the last one {age_s} s ago), and needs base backups too."
        )
    return notes


@contextmanager
def _asking(url: str) -> Iterator[store.Session]:
    """A session to ask the server. Raises BackupRefused."""
    try:
        with store.Session(url) as session:
            yield session
    except store.FAILURES as error:
        raise BackupRefused(f"The database does not answer: {type(error).__name__}.") from error


def _parent(source: Source, place: Place, wanted: Wanted, *, summarizes: bool) -> BackupRecord | None:
    """The backup that an incremental one continues; None for a full one. Raises BackupRefused where it was asked for."""
    if wanted.incremental is False:
        return None
    if not summarizes:
        if wanted.incremental:
            raise BackupRefused(
                "An incremental backup needs a server that notes what changes, which it does where the setting backup_to is set;"
                " restart `telvend serve` after setting it."
            )
        return None
    ours = archive_id(source.data_dir)
    records = [one for one in listed(place).records if one.archive == ours]
    manifests = _manifests(source.data_dir)
    for record in reversed(records):
        if not (manifests / record.id).is_file():
            continue
        full = next((one for one in reversed(records) if one.kind is BackupKind.FULL), None)
        if full is None or (wanted.incremental is None and full.ended_at < datetime.now(UTC) - wanted.full_every):
            break
        return record
    if wanted.incremental:
        raise BackupRefused(f"There is no backup of this data directory in {place.text} that could be continued.")
    return None


def _manifests(data_dir: Path) -> Path:
    folder = folder_of(data_dir) / "manifests"
    folder.mkdir(mode=0o700, exist_ok=True)
    give_to_owner(data_dir, folder)
    return folder


def _keep_manifest(data_dir: Path, backup: str, manifest: bytes) -> None:
    folder = _manifests(data_dir)
    path = folder / backup
    path.touch(mode=0o600)
    path.write_bytes(manifest)
    give_to_owner(data_dir, path)
    for old in sorted(folder.iterdir())[:-_MOST_MANIFESTS]:
        old.unlink(missing_ok=True)


def _remove_unfinished(place: Place, source: Source) -> None:
    """Remove what killed backups have left: ours, since nobody else takes one now, and old ones of other machines."""
    ours = archive_id(source.data_dir)
    for backup in listed(place).unfinished:
        try:
            with place.reading(f"{backup}/{_STARTED}") as file:
                owner, _, at = file.read(200).decode().strip().partition(" ")
            mine, at_moment = owner == ours, datetime.fromisoformat(at)
        except (FileNotFoundError, ValueError):
            mine, at_moment = False, datetime.strptime(backup[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if mine or at_moment < datetime.now(UTC) - _ABANDONED_AFTER:
            _remove_backup(place, backup)


def _remove_backup(place: Place, backup: str) -> None:
    """Remove a backup: its record first, so that what is left never looks whole."""
    names = place.names(backup)
    for name in sorted(names, key=lambda name: (not name.endswith(f"/{RECORD}"), name.endswith(f"/{_STARTED}"))):
        place.remove(name)


def prune(place: Place, retention: Retention) -> list[str]:
    """Remove the backups that are no longer kept, and the write-ahead log before the oldest one. Raises BackupRefused."""
    found = listed(place)
    going = expired(found.records, retention, datetime.now(UTC))
    for record in reversed(going):
        _remove_backup(place, record.id)
    left = [one for one in found.records if one not in going]
    if going and not found.damaged:
        for one in {record.archive for record in found.records if record.archive}:
            names = place.names(f"{WAL}/{one}")
            kept = [record for record in left if record.archive == one]
            not_needed = wal_not_needed(left, one, [name.rpartition("/")[2] for name in names])
            for name in not_needed if kept else []:
                place.remove(f"{WAL}/{one}/{name}")
    return [record.id for record in going]


@dataclass(slots=True)
class _Counter:
    """Counts bytes, and says on a terminal how far it is."""

    total: int
    progress: Say | None
    bytes: int = 0
    _said_at: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        self.bytes += count
        if self.progress is not None and time.monotonic() - self._said_at > 1:
            self._said_at = time.monotonic()
            of = f" of about {self.total / 1e6:,.0f}" if self.total > self.bytes else ""
            self.progress(f"{self.bytes / 1e6:,.0f}{of} MB")


@dataclass(slots=True)
class _CountedReader:
    source: Reads
    counter: _Counter

    def read(self, size: int = -1, /) -> bytes:
        piece = self.source.read(size)
        self.counter.add(len(piece))
        return piece
