"""`telvend backup`: take a backup while the shop sells, list backups, verify one, make an identity that opens them."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from telvend.cli.common import (
    Output,
    as_json_of,
    emit,
    fail,
    progress,
    settings_of,
    table,
    time_text,
    use_zone,
    zone_name,
)
from telvend.cli.opening import FAILURES, database_of, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.cli.whereabouts import no_shop
from telvend.config import Settings, load
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.embedded_postgres.command import has_database
from telvend.kit.processes import is_running
from telvend.sales.continuity import store as continuity
from telvend.upkeep.backup import archive
from telvend.upkeep.backup.model import BackupKind, BackupRecord, BackupRefused, Retention, following, is_id
from telvend.upkeep.backup.places import Place, open_place
from telvend.upkeep.backup.sealing import Opener, Sealer, new_identity
from telvend.upkeep.backup.service import Listed, Source, Taken, Wanted, listed, take

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()

_SCRATCH: Final = "telvend-verify-"

Elsewhere = Annotated[
    str | None,
    typer.Option("--to", metavar="PLACE", help="A folder, or s3://bucket/prefix; else the setting backup_to."),
]
Identity = Annotated[
    Path | None, typer.Option("--identity", metavar="FILE", help="The identity that opens an encrypted backup.")
]
BackupId = Annotated[str | None, typer.Option("--backup", metavar="ID", help="Which backup; else the newest one.")]


@app.command("make")
def make(
    context: typer.Context,
    folder: Annotated[str | None, typer.Argument(metavar="[DIR]", help="The folder to keep it in.")] = None,
    elsewhere: Elsewhere = None,
    sealed_for: Annotated[
        list[str] | None,
        typer.Option("--recipient", metavar="age1…", help="Whom to encrypt it for; else the setting backup_recipient."),
    ] = None,
    beside: Annotated[
        bool, typer.Option("--keys-beside-records", help="Put the keys in unsealed, beside the records that they open.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="A full backup, where an incremental one would do.")] = False,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="Only what has changed since the last one, which it needs from then on."),
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Keep so many backups; else the setting backup_keep.")
    ] = None,
    keep_days: Annotated[
        int | None, typer.Option("--keep-days", min=1, help="Keep backups for so many days; else backup_keep_days.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Take a backup while the shop sells: the database, keys and settings. `telvend backup DIR` is the same.

    The embedded database is copied by PostgreSQL's own tools; of another one a dump is taken. Without a recipient nothing is
    encrypted, and keys are left out. Older backups go as --keep and --keep-days say: never the newest, nor one that is needed.
    """
    settings, file = _settings_and_file(context, data_dir, database_url)
    as_json = as_json_of(context, as_json)
    if full and incremental:
        fail("--full and --incremental exclude each other.")
    if folder is not None and elsewhere is not None:
        fail("Name the place once: as DIR, or as --to.")
    where = folder or elsewhere or settings.backup_to
    if not where:
        fail(_nowhere(settings))
    retention = Retention(keep or settings.backup_keep or None, keep_days or settings.backup_keep_days or None)
    wanted = Wanted(
        incremental=False if full else True if incremental else None,
        beside=beside,
        full_every=timedelta(days=settings.backup_full_every_days),
        retention=retention,
    )
    try:
        sealer = Sealer.of(recipients(settings, sealed_for))
        place = open_place(where, settings)
        with database_of(settings) as url:
            shop, schema = asyncio.run(_whose(url))
            source = Source(url, settings, file, shop, schema)
            shown = progress if sys.stderr.isatty() and not as_json else None
            taken = take(source, place, sealer, wanted, progress, shown)
            if settings.backup_to:
                _ship(settings, taken)
    except (*FAILURES, BackupRefused) as error:
        fail(_text(error, settings))
    emit(_taken(place, taken), as_json)


def recipients(settings: Settings, named: list[str] | None = None) -> list[str]:
    """Whom backups are encrypted for."""
    words = named or settings.backup_recipient.replace(",", " ").split()
    return [word for word in words if word]


def _ship(settings: Settings, taken: Taken) -> None:
    """Archive what waits; a full backup makes good for what was given up."""
    data_dir = Path(settings.data_dir)
    try:
        archive.ship(data_dir, open_place(settings.backup_to, settings), Sealer.of(recipients(settings)))
    except BackupRefused as error:
        taken.notes.append(f"The write-ahead log since then is not archived yet: {error}")
    if taken.record.kind is BackupKind.FULL:
        archive.forget_gap(data_dir)


async def _whose(url: str) -> tuple[str, str]:
    """The shop in a database, and its schema."""
    async with Database.briefly(url) as database:
        await migrations.require(database)
        schema = await migrations.current(database) or ""
        async with database.connection() as tx:
            return str((await continuity.standing(tx)).shop), schema


def _taken(place: Place, taken: Taken) -> Output:
    record = taken.record
    data = {
        "backup": _address(place, record.id),
        "id": record.id,
        **_data(record),
        "seconds": taken.seconds,
        "removed": taken.removed,
        "notes": taken.notes,
    }

    def show(console: "Console") -> None:
        kind = "A dump" if record.kind is BackupKind.DUMP else f"A{'n' if record.parent else ''} {record.kind} backup"
        sealed = f", encrypted for {', '.join(record.recipients)}" if record.encrypted else ", not encrypted"
        console.print(
            f"{kind} of {record.data_bytes / 1e6:,.1f} MB was taken in {taken.seconds:g} s:"
            f" {_address(place, record.id)} ({record.stored_bytes / 1e6:,.1f} MB{sealed})",
            markup=False,
            soft_wrap=True,
        )
        console.print(f"Keys and secrets in it: {', '.join(record.keys) or 'none'}.", markup=False, soft_wrap=True)
        if taken.removed:
            console.print(f"Removed, no longer kept: {', '.join(taken.removed)}.", markup=False, soft_wrap=True)

    for note in taken.notes:
        progress(note)
    return Output(data, show=show)


def _address(place: Place, backup: str) -> str:
    return f"{place.text.rstrip('/')}/{backup}"


def _data(record: BackupRecord) -> dict[str, Any]:
    return {
        "kind": record.kind,
        "parent": record.parent or None,
        "shop": record.shop,
        "begun_at": record.begun_at,
        "ended_at": record.ended_at,
        "telvend": record.telvend,
        "schema": record.schema,
        "postgres": record.postgres,
        "encrypted_for": record.recipients,
        "keys": record.keys,
        "keys_left_out": record.keys_left_out,
        "data_bytes": record.data_bytes,
        "bytes": record.stored_bytes,
    }


@app.command("list")
def list_(
    context: typer.Context,
    folder: Annotated[str | None, typer.Argument(metavar="[DIR]", help="Where backups are kept.")] = None,
    elsewhere: Elsewhere = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """List the backups of a place, oldest first, and up to when each can be restored."""
    settings, _ = _settings_and_file(context, data_dir, database_url)
    try:
        place, _ = place_of(folder or elsewhere or settings.backup_to, settings)
        found = listed(place)
        reach = _reaches(place, found.records)
    except (*FAILURES, BackupRefused) as error:
        fail(_text(error, settings))
    emit(_listed(place, found, reach), as_json_of(context, as_json), reading=True)


def _reaches(place: Place, records: list[BackupRecord]) -> dict[str, datetime]:
    """Up to when each can be restored."""
    archives = {one: archive.archived(place, one) for one in {record.archive for record in records if record.archive}}
    found = {}
    for record in records:
        run = following(record, archives[record.archive]) if record.archive else []
        found[record.id] = max([record.ended_at, *(one.archived_at for one in run)])
    return found


def _listed(place: Place, found: Listed, reach: dict[str, datetime]) -> Output:
    data = {
        "place": place.text,
        "backups": [{"id": one.id, **_data(one), "restores_until": reach[one.id]} for one in found.records],
        "damaged": found.damaged,
        "unfinished": found.unfinished,
    }
    rows = [
        (
            one.id,
            one.kind,
            time_text(one.ended_at),
            time_text(reach[one.id]),
            f"{one.stored_bytes / 1e6:,.1f} MB",
            "yes" if one.encrypted else "no",
            "left out" if one.keys_left_out else "in it" if one.keys else "none",
            one.parent,
        )
        for one in found.records
    ]
    columns = (
        "backup",
        "kind",
        f"from ({zone_name()})",
        f"until ({zone_name()})",
        "size",
        "encrypted",
        "keys",
        "continues",
    )
    shown = table("", columns, rows, f"There is no backup in {place.text}.")

    def show(console: "Console") -> None:
        shown(console)
        for text in found.damaged.values():
            console.print(f"Damaged: {text}", markup=False, soft_wrap=True)
        for name in found.unfinished:
            console.print(f"Never finished: {name}. The next backup removes it.", markup=False, soft_wrap=True)

    return Output(data, show=show, exit_code=1 if found.damaged else 0)


@app.command("identity")
def identity(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write; keep it away from the shop's machine.")],
    data_dir: DataDir = None,  # noqa: ARG001 - every command takes it
    database_url: DatabaseUrl = None,  # noqa: ARG001
    as_json: Json = False,
) -> None:
    """Make an identity of age, which opens backups, and print its recipient, which they are encrypted for.

    Make it on another machine, or move it away: who has it and a backup has everything. Without it no backup opens.
    """
    try:
        recipient = new_identity(file)
    except BackupRefused as error:
        fail(error)
    text = f"{recipient}\nPut it into the setting backup_recipient. {file} opens the backups: keep it somewhere else, twice."
    lost = f"The recipient stands in the first line of {file}."
    emit(Output({"recipient": recipient, "file": str(file)}, text, if_lost=lost), as_json_of(context, as_json))


@app.command("verify")
def verify(
    context: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="Where backups are kept, or one backup in there.")
    ] = None,
    elsewhere: Elsewhere = None,
    backup: BackupId = None,
    identity_file: Identity = None,
    scratch: Annotated[
        Path | None,
        typer.Option("--scratch", metavar="DIR", help="Where to restore it meanwhile; else the system's place."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into a scratch place, start it, audit its books, and say how long it took; exit code 1 where it is not good.

    Everything of it is read and compared, the write-ahead log since then too. What was restored is removed again.
    """
    from telvend.cli.restoring import verified

    settings, _ = _settings_and_file(context, data_dir, database_url)
    as_json = as_json_of(context, as_json)
    began = time.monotonic()
    try:
        place, named = place_of(folder or elsewhere or settings.backup_to, settings)
        opener = opener_of(identity_file, settings)
        with _scratch(scratch) as target:
            result = verified(place, backup or named, opener, target, settings)
    except (*FAILURES, BackupRefused) as error:
        fail(_text(error, settings))
    result.data["seconds"] = round(time.monotonic() - began, 1)
    emit(result, as_json, reading=True)


@contextmanager
def _scratch(named: Path | None) -> Iterator[Path]:
    """A folder that is removed afterwards, for as much as the database takes."""
    top = named or Path(tempfile.gettempdir())
    for left in top.glob(f"{_SCRATCH}*-*"):
        # Of one that was killed: what it has restored must not stay.
        pid = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if pid.isdigit() and not is_running(int(pid)) and left.lstat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(
            prefix=f"{_SCRATCH}{os.getpid()}-", dir=top, ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise BackupRefused(f"There is no place to restore to: {error.strerror} ({error.filename}).") from None


# Shared with `telvend restore` --------------------------------------------------------------------------------------------------------


def place_of(text: str, settings: Settings) -> tuple[Place, str | None]:
    """The place that was named, and the backup in it where it was named with it. Raises BackupRefused."""
    if not text:
        raise BackupRefused(_nowhere(settings))
    parent, _, last = text.rstrip("/").rpartition("/")
    if is_id(last):
        return _existing(parent or ".", settings), last
    return _existing(text, settings), None


def _nowhere(settings: Settings) -> str:
    """The sentence for a command that was told no place; where there is no shop either, that comes first."""
    if settings.database_url is None and not has_database(Path(settings.data_dir)):
        return no_shop(settings)
    return "Where are the backups kept? Name a folder, --to s3://bucket/prefix, or the setting backup_to."


def _existing(text: str, settings: Settings) -> Place:
    place = open_place(text, settings)
    if "://" not in text and not Path(text).expanduser().is_dir():
        raise BackupRefused(f"{text} is not a folder.")
    return place


def opener_of(file: Path | None, settings: Settings) -> Opener:
    """Return what decrypts backups: the identity in this file, else in that of the settings. Raises BackupRefused."""
    if file is None and settings.backup_identity_file:
        file = Path(settings.backup_identity_file).expanduser()
    return Opener.of(file)


def _settings_and_file(
    context: typer.Context, data_dir: str | None, database_url: str | None
) -> tuple[Settings, Path | None]:
    settings = settings_of(context, data_dir, database_url)
    use_zone(ZoneInfo(settings.timezone))
    before: Where = context.find_object(Where) or Where()
    file = load({"data_dir": data_dir or before.data_dir}).file
    return settings, Path(file) if file else None


def _text(error: BaseException, settings: Settings) -> str:
    return str(error) if isinstance(error, BackupRefused) else refusal_text(error, settings)
