"""What a backup is: its record, the names in an archive of write-ahead log, and which backups are kept. No files.

A place (a folder, or a bucket with a prefix) holds

    <backup id>/base.tar.gz[.age]       what pg_basebackup wrote, or dump.gz[.age] of a database that is not ours
    <backup id>/manifest.gz[.age]       PostgreSQL's list of the files, for pg_verifybackup and the next incremental backup
    <backup id>/keys.tar.age            the keys, and settings that hold secrets; sealed by itself
    <backup id>/settings.tar[.age]      settings without secrets, and what the processes remember of the book
    <backup id>/backup.json             the record; written last: without it there is no backup
    wal/<archive id>/<segment>.<time>.<digest>.gz[.age]
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

RECORD: Final = "backup.json"
WAL: Final = "wal"
FORMAT: Final = 1

_ARCHIVED: Final = re.compile(r"([0-9A-F]{24})\.([0-9]{8}T[0-9]{6}Z)\.([0-9a-f]{16})\.gz(\.age)?")
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


class BackupRefused(Exception):
    """A backup cannot be taken, read or restored. The message is one sentence for the operator."""


class BackupDamaged(BackupRefused):
    """A backup is not what its record says: something of it is missing, cut off or changed."""


class BackupKind(StrEnum):
    """How the database stands in a backup."""

    FULL = "full"
    """A copy of the embedded server's files."""
    INCREMENTAL = "incremental"
    """What has changed of them since the backup before, without which it cannot be restored."""
    DUMP = "dump"
    """A dump of a database that is not ours: of one moment, for any server."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a backup as it is stored."""

    name: str
    bytes: int
    sha256: str


class BackupRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of a backup, readable without any key. It holds no secret.

    `archive` names the write-ahead log that continues it, from `start_segment` on. `ended_at`: the database is restored to this
    moment or a later one.
    """

    id: str
    kind: BackupKind
    shop: str
    telvend: str
    schema: str
    postgres: str
    begun_at: datetime
    ended_at: datetime
    files: list[StoredFile]
    format: int = FORMAT
    parent: str = ""
    archive: str = ""
    system: str = ""
    timeline: int = 0
    start_segment: str = ""
    segment_bytes: int = 0
    recipients: list[str] = []
    keys: list[str] = []
    keys_left_out: list[str] = []
    keys_elsewhere: list[str] = []
    data_bytes: int = 0
    digest: str = ""

    @property
    def encrypted(self) -> bool:
        return bool(self.recipients)

    @property
    def stored_bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def file(self, stem: str) -> StoredFile | None:
        """The file whose name begins so, as `base.`."""
        return next((file for file in self.files if file.name.startswith(f"{stem}.")), None)


_encode = msgspec.json.Encoder().encode


def encoded(record: BackupRecord) -> bytes:
    """The text of `backup.json`, with a digest over everything else in it."""
    bare = msgspec.structs.replace(record, digest="")
    digest = hashlib.sha256(_encode(bare)).hexdigest()
    return msgspec.json.format(_encode(msgspec.structs.replace(record, digest=digest)), indent=2) + b"\n"


def decoded(text: bytes, name: str) -> BackupRecord:
    """Read `backup.json`. Raises BackupDamaged; BackupRefused for one of a newer Telvend."""
    try:
        found = msgspec.json.decode(text, type=BackupRecord)
    except msgspec.MsgspecError as error:
        raise BackupDamaged(f"The record {RECORD} of {name} cannot be read: {error}.") from None
    if found.format > FORMAT:
        raise BackupRefused(f"{name} was written by a newer Telvend ({found.telvend}): use that one.")
    bare = msgspec.structs.replace(found, digest="")
    if hashlib.sha256(_encode(bare)).hexdigest() != found.digest:
        raise BackupDamaged(f"The record {RECORD} of {name} was changed after it was written.")
    return found


def is_id(name: str) -> bool:
    """Whether this can be the name of a backup."""
    return _ID.fullmatch(name) is not None


def stamp(at: datetime) -> str:
    """A moment as it stands in names: 20261129T011502Z."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True, slots=True)
class ArchivedSegment:
    """A segment of write-ahead log in an archive. `digest` is the beginning of the SHA-256 of its plain bytes."""

    name: str
    segment: str
    archived_at: datetime
    digest: str

    @classmethod
    def read(cls, name: str) -> "ArchivedSegment | None":
        """Read the name of a file in an archive; None for something else."""
        found = _ARCHIVED.fullmatch(name)
        if found is None:
            return None
        at = datetime.strptime(found[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return cls(name, found[1], at, found[3])

    @property
    def encrypted(self) -> bool:
        return self.name.endswith(".age")


def archived_name(segment: str, at: datetime, digest: str, *, encrypted: bool) -> str:
    """The name under which a segment is archived."""
    return f"{segment}.{stamp(at)}.{digest[:16]}.gz{'.age' if encrypted else ''}"


def next_segment(segment: str, segment_bytes: int) -> str:
    """The segment that follows on the same timeline. Source: XLogFileName of xlog_internal.h."""
    per_id = 0x100000000 // segment_bytes
    number = int(segment[8:16], 16) * per_id + int(segment[16:], 16) + 1
    return f"{segment[:8]}{number // per_id:08X}{number % per_id:08X}"


def following(record: BackupRecord, archived: Sequence[ArchivedSegment]) -> list[ArchivedSegment]:
    """The segments that continue a backup, in order, up to the first that is missing.

    Raises BackupDamaged where one was archived twice, and not with the same bytes.
    """
    by_segment: dict[str, ArchivedSegment] = {}
    for one in archived:
        other = by_segment.setdefault(one.segment, one)
        if other.digest != one.digest:
            raise BackupDamaged(
                f"The segment {one.segment} was archived twice, with different bytes: two shops have written to one archive."
            )
    found = []
    wanted = record.start_segment
    while wanted in by_segment:
        found.append(by_segment[wanted])
        wanted = next_segment(wanted, record.segment_bytes)
    return found


def segments_missing(record: BackupRecord, archived: Sequence[ArchivedSegment]) -> str | None:
    """The first segment that is missing between a backup and the newest of its timeline; None where none is."""
    ours = [one.segment for one in archived if one.segment[:8] == record.start_segment[:8]]
    newer = [segment for segment in ours if segment >= record.start_segment]
    if not newer:
        return None
    run = following(record, archived)
    last = run[-1].segment if run else ""
    if last == max(newer):
        return None
    return next_segment(last, record.segment_bytes) if run else record.start_segment


def chain_of(record: BackupRecord, records: Sequence[BackupRecord]) -> list[BackupRecord]:
    """The backups that are needed to restore one: the full one first. Raises BackupDamaged where one is missing."""
    by_id = {one.id: one for one in records}
    chain = [record]
    while chain[0].parent:
        parent = by_id.get(chain[0].parent)
        if parent is None or parent in chain:
            raise BackupDamaged(f"The backup {record.id} continues {chain[0].parent}, which is not there.")
        chain.insert(0, parent)
    return chain


@dataclass(frozen=True, slots=True)
class Retention:
    """Which backups are kept: the newest `keep`, and those of the last `days`; None: this says nothing."""

    keep: int | None = None
    days: int | None = None


def expired(records: Sequence[BackupRecord], retention: Retention, now: datetime) -> list[BackupRecord]:
    """The backups that may go. Never the newest one of a shop, nor one that a kept one continues."""
    if retention.keep is None and retention.days is None:
        return []
    kept: set[str] = set()
    by_id = {one.id: one for one in records}
    for shop in {one.shop for one in records}:
        ours = sorted(
            (one for one in records if one.shop == shop), key=lambda one: (one.ended_at, one.id), reverse=True
        )
        for place, one in enumerate(ours):
            young = retention.days is not None and one.ended_at > now - timedelta(days=retention.days)
            if place < max(1, retention.keep or 0) or young:
                kept.add(one.id)
    for name in list(kept):
        parent = by_id[name].parent
        while parent and parent in by_id:
            kept.add(parent)
            parent = by_id[parent].parent
    return [one for one in records if one.id not in kept]


def wal_not_needed(records: Sequence[BackupRecord], archive: str, archived: Sequence[str]) -> list[str]:
    """The files of an archive that no backup which is left continues with."""
    starts = [one.start_segment for one in records if one.archive == archive and one.start_segment]
    if not starts:
        return []
    oldest = min(starts)
    found = (ArchivedSegment.read(name) for name in archived)
    # The first eight digits are the timeline: what lies before the first backup of a later one goes with it.
    return [one.name for one in found if one is not None and one.segment < oldest]
