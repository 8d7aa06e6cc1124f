"""`telvend restore`, and what `telvend backup verify` does: a backup as a database that runs."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import typer

from telvend.bootstrap import open_for_command
from telvend.cli.backups import BackupId, Identity, opener_of, place_of
from telvend.cli.common import Output, as_json_of, emit, fail, progress, settings_of, time_text, use_zone, zone_name
from telvend.cli.opening import FAILURES, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit import environment
from telvend.kit.keyfile import KeyRefused
from telvend.upkeep.backup.archive import archived
from telvend.upkeep.backup.model import BackupDamaged, BackupRefused, segments_missing
from telvend.upkeep.backup.places import Place
from telvend.upkeep.backup.restoring import Plan, Restored, choose, require_free, restored
from telvend.upkeep.backup.sealing import Opener
from telvend.upkeep.backup.state import BackupState, change_state, read_state
from telvend.upkeep.keys_at_start import keys_missing
from telvend.upkeep.preparation import prepare_database

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()


@app.command("restore")
def restore(
    context: typer.Context,
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where backups are kept, one of them, or s3://bucket/prefix.")
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="DATA_DIR", help="The data directory to make; empty, or not there.")
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="Up to which moment, as 2026-11-29T02:15:00Z; without a zone in the shop's."
        ),
    ] = None,
    backup: BackupId = None,
    identity_file: Identity = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data directory, up to its end or to a moment.

    What was sold afterwards is not in it: the shop sells nothing until its providers are reconciled and `telvend shop release`
    was said.
    """
    settings = settings_of(context, data_dir, database_url)
    use_zone(ZoneInfo(settings.timezone))
    as_json = as_json_of(context, as_json)
    began = time.monotonic()
    try:
        moment = None if at is None else moment_of(at, ZoneInfo(settings.timezone))
        require_free(into)
        place, named = place_of(folder, settings)
        plan = choose(place, backup=backup or named, at=moment)
        opener = opener_of(identity_file, settings)
        environment.clean_for_embedded()

        def halt(url: str, done: Restored) -> None:
            asyncio.run(_halt(_settings_in(settings, done.data_dir), url, place, plan, done))

        with restored(plan, place, opener, into, progress, serve=halt) as done:
            pass
    except (*FAILURES, BackupRefused) as error:
        fail(str(error) if isinstance(error, BackupRefused) else refusal_text(error, settings))
    emit(_output(plan, done, time.monotonic() - began), as_json)


def moment_of(text: str, zone: ZoneInfo) -> datetime:
    """A moment as people write it; without a zone of its own in the shop's. Raises BackupRefused."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BackupRefused(
            f"--at {text!r} is no moment: write 2026-11-29T02:15:00Z, or 2026-11-29 02:15 in the zone {zone.key}."
        ) from None
    found = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    if found > datetime.now(UTC):
        raise BackupRefused(f"--at {text} is in the future.")
    return found


def _settings_in(settings: Settings, data_dir: Path) -> Settings:
    """The settings for a database that was restored there: nothing is connected, and it is the embedded one."""
    return msgspec.structs.replace(settings, data_dir=str(data_dir), database_url=None)


async def _halt(settings: Settings, url: str, place: Place, plan: Plan, done: Restored) -> None:
    """Bring the schema to this version, and sell nothing with what was restored until somebody has looked."""
    async with Database.briefly(url) as database:
        await prepare_database(database, progress)
    async with open_for_command(settings, url) as shop:
        await shop.continuity.restored(shop.database, backup=f"{plan.record.id} of {place.text}", known_until=done.to)


def _output(plan: Plan, done: Restored, seconds: float) -> Output:
    data: dict[str, Any] = {
        "restored": str(done.data_dir),
        "backup": plan.record.id,
        "known_until": done.to,
        "held": True,
        "keys": done.keys,
        "keys_missing": done.keys_missing,
        "settings": done.settings,
        "seconds": round(seconds, 1),
    }

    def show(console: "Console") -> None:
        def say(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        say(
            f"Restored into {done.data_dir} in {seconds:.1f} s. The books know what was sold until {time_text(done.to)}"
            f" {zone_name()}."
        )
        if done.keys_missing:
            say(f"Not in this backup, and to be put into {done.data_dir}/secret: {', '.join(done.keys_missing)}.")
        if "telvend.toml.from-backup" in done.settings:
            say(
                "Its settings name a database of their own, from which nothing was restored: they are in telvend.toml.from-backup."
                " Take database_url out before you rename it to telvend.toml."
            )
        elif done.settings:
            say(f"Its settings are there: {', '.join(done.settings)}. Compare backup_to before you serve it.")
        say(
            f"It sells nothing yet. `telvend shop status --data-dir {done.data_dir}` says which providers have to be reconciled;"
            " then `telvend shop release`. docs/howto/restore.md has every step."
        )

    return Output(data, show=show)


# Verifying --------------------------------------------------------------------------------------------------------------------


def verified(place: Place, backup: str | None, opener: Opener, scratch: Path, settings: Settings) -> Output:
    """Restore into `scratch` and audit. Raises BackupRefused, PostgresRefused where the place itself is away."""
    problems: list[str] = []
    notes: list[str] = []
    data: dict[str, Any] = {"ok": False, "backup": None, "place": place.text}
    began = time.monotonic()
    plan: Plan | None = None
    try:
        plan = choose(place, backup=backup)
        data["backup"] = plan.record.id
        if plan.record.archive and (gap := segments_missing(plan.record, archived(place, plan.record.archive))):
            problems.append(f"The segment {gap} of the write-ahead log is missing: nothing after it can be restored.")
        environment.clean_for_embedded()
        target = scratch / "shop"

        def audit(url: str, done: Restored) -> None:
            data["restore_seconds"] = round(time.monotonic() - began, 1)
            data["known_until"] = done.to
            asyncio.run(_audit(_settings_in(settings, target / ".restoring"), url, done, data, problems, notes))

        with restored(plan, place, opener, target, progress, verify=True, serve=audit):
            pass
    except (BackupDamaged, KeyRefused) as error:
        problems.append(str(error))
    except BackupRefused as error:
        if plan is None:
            raise
        problems.append(str(error))
    except FAILURES as error:
        problems.append(refusal_text(error, settings))
    data |= {"ok": not problems, "problems": problems, "notes": notes}
    if plan is not None:
        _remember(settings, place, plan.record.id, problems, time.monotonic() - began)

    def show(console: "Console") -> None:
        def say(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        for text in (*notes, *problems):
            say(text)
        if problems:
            say(f"THE BACKUP {data['backup'] or ''} IS NOT GOOD.".replace("  ", " "))
            return
        say(
            f"{data['backup']} is good: restored in {data['restore_seconds']:g} s, {data['transfers']} transfers and"
            f" {data['orders']} orders audited; it took {data['seconds']:g} s altogether."
        )

    return Output(data, show=show, exit_code=0 if not problems else 1)


async def _audit(
    settings: Settings, url: str, done: Restored, data: dict[str, Any], problems: list[str], notes: list[str]
) -> None:
    from telvend.audit.service import audit_books  # It reads every room.

    async with Database.briefly(url) as database:
        await prepare_database(database, progress)
        report = await audit_books(database)
        missing = await keys_missing(settings, database)
    data |= {"transfers": report.transfers, "orders": report.orders}
    problems += [f"The books do not hold: {finding.text}" for finding in report.findings]
    for name, why in missing.items():
        if name in done.keys_missing:
            notes.append(f"The {name} is not in this backup, as it says itself: keep a copy of it elsewhere.")
        else:
            problems.append(why)


def _remember(settings: Settings, place: Place, backup: str, problems: list[str], seconds: float) -> None:
    """Note it where the shop is, for the doctor and /metrics; elsewhere nobody would read it."""
    data_dir = Path(settings.data_dir)
    if read_state(data_dir).place != place.text:
        return

    def change(state: BackupState) -> None:
        if problems:
            state.verify_failed_at, state.verify_failure = datetime.now(UTC), problems[0]
        else:
            state.verified, state.verified_at = backup, datetime.now(UTC)
            state.verify_seconds, state.verify_failed_at, state.verify_failure = round(seconds, 1), None, ""

    change_state(data_dir, change)
