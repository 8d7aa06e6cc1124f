"""`telvend doctor`: what would lose money, stop sales or should be changed, one line each."""

import asyncio
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from telvend.audit.store import last_run
from telvend.bootstrap import open_shop
from telvend.cli.common import Output, as_json_of, emit
from telvend.cli.opening import FAILURES, database_of, refusal_text
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.cli.secret_arguments import warn_of_password
from telvend.config import Loaded, Settings, SettingsRefused, load
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.database.migrations import SchemaRefused
from telvend.embedded_postgres.refused import NoDatabase
from telvend.errors import Busy
from telvend.kit.secret import Secret
from telvend.upkeep import doctor as checks
from telvend.upkeep.examined import Examined, LastAudit
from telvend.upkeep.findings import Finding, Level
from telvend.upkeep.permissions import check_permissions

_STYLE: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}


app = typer.Typer()


@app.command("doctor")
def doctor(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Check this machine and this shop: one line each, and what to do about it.

    Changes nothing, works while the server runs, and ends with exit code 1 when something would lose money or stop sales.
    """
    as_json = as_json_of(context, as_json)
    before: Where = context.find_object(Where) or Where()
    chosen = database_url or before.database_url
    warn_of_password(chosen)
    try:
        loaded = load({"data_dir": data_dir or before.data_dir, "database_url": Secret(chosen) if chosen else None})
    except SettingsRefused as error:
        advice = "Correct it; `telvend settings` lists every setting."
        findings = [Finding("settings", Level.FAILURE, str(error), advice)]
    else:
        findings = _examined(loaded)
    emit(_output(findings), as_json)


def _examined(loaded: Loaded) -> list[Finding]:
    settings = loaded.settings
    read = (
        f"The settings were read from {loaded.file}." if loaded.file else "The settings can be read; there is no file."
    )
    findings = [
        Finding("settings", Level.OK, read),
        *check_permissions(Path(settings.data_dir), Path(loaded.file) if loaded.file else None),
        *asyncio.run(checks.look(checks.SETTINGS, settings)),
    ]
    try:
        with database_of(settings) as url:
            return [*findings, *asyncio.run(_of_database(settings, url))]
    except NoDatabase as error:
        return [
            *findings,
            Finding("database", Level.FAILURE, f"{str(error).removesuffix('.')}.", "Nothing else could be looked at."),
        ]
    except FAILURES as error:
        return [*findings, checks.unreachable(refusal_text(error, settings))]


async def _of_database(settings: Settings, url: str) -> list[Finding]:
    async with Database.briefly(url) as database:
        findings = await checks.look(checks.DATABASE, database)
        usable = await _has_schema(database)
    if checks.failed(findings) or not usable:
        # The tables that the checks of the shop read may be missing.
        return findings
    try:
        async with open_shop(settings, url) as shop:
            async with shop.database.connection() as tx:
                run = await last_run(tx)
            audited = None if run is None else LastAudit(run.ended_at, run.findings)
            examined = Examined(settings, shop.database, shop.connected, shop.continuity.halted, audited)
            return findings + await checks.look(checks.SHOP, examined)
    except SettingsRefused as error:
        return [*findings, Finding("settings", Level.FAILURE, str(error), "`serve` refuses to start like this.")]


async def _has_schema(database: Database) -> bool:
    try:
        await migrations.require(database)
    except (SchemaRefused, Busy):
        return False
    return True


def _output(findings: list[Finding]) -> Output:
    failed = checks.failed(findings)
    data = {
        "ok": not failed,
        "findings": [
            {"check": one.check, "level": one.level, "text": one.text, "advice": one.advice} for one in findings
        ],
    }

    def show(console: Console) -> None:
        for one in findings:
            line = Text.assemble(
                (f"{one.level:8}", _STYLE[one.level]), f"{one.check}: {one.text} {one.advice}".rstrip()
            )
            console.print(line, soft_wrap=True)

    return Output(data, show=show, exit_code=1 if failed else 0)
