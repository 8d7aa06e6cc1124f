"""`telvend audit`, and what `telvend ledger check` is too: whether the books hold."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telvend.cli.common import Output, command, time_text, zone_name
from telvend.cli.common import progress as say

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.audit.model import Report
    from telvend.bootstrap import Shop

app = typer.Typer()

Full = Annotated[bool, typer.Option("--full", help="Recompute everything, not only what the last audit has not seen.")]


@command(app, "audit")
async def audit(shop: "Shop", as_json: bool, *, full: Full = False) -> Output:
    """Say whether the books hold, as `telvend ledger check` does; with --json, also what was seen again."""
    output, report = await run_audit(shop, as_json=as_json, full=full)
    output.data |= {
        "full": report.since is None,
        "why_full": report.why,
        "since": report.since,
        "last_full_at": report.everything_at,
        "oldest_page_at": report.oldest_at,
    }
    return output


async def run_audit(shop: "Shop", *, as_json: bool, full: bool) -> "tuple[Output, Report]":
    """Audit the books of a shop; on a terminal, say on stderr how far it is and what was seen again."""
    from telvend.audit.service import Audit  # It reads every room.

    shown = sys.stderr.isatty() and not as_json
    audit = Audit(shop.database, Path(shop.settings.data_dir))
    report = await audit.run(full=full, progress=_say_progress if shown else None)
    if shown:
        _say_what_was_seen(report)
    data = {
        "ok": report.ok,
        "transfers": report.transfers,
        "orders": report.orders,
        "checked": report.rules,
        "findings": [{"rule": finding.rule, "text": finding.text} for finding in report.findings],
    }

    def show(console: "Console") -> None:
        wrong = {finding.rule for finding in report.findings}
        for rule in report.rules:
            console.print(f"[red]wrong[/red]  {rule}" if rule in wrong else f"[green]holds[/green]  {rule}")
            for finding in report.findings:
                if finding.rule == rule:
                    console.print(f"         {finding.text}", markup=False)
        verdict = "The books hold." if report.ok else "THE BOOKS DO NOT HOLD."
        console.print(f"\n{verdict} {report.transfers} transfers, {report.orders} orders.")

    return Output(data, show=show, exit_code=0 if report.ok else 1), report


def _say_progress(at: int, of: int, rule: str, transfers: int) -> None:
    say(f"{at:3} of {of}, {transfers} transfers: {rule}")


def _say_what_was_seen(report: "Report") -> None:
    """On stderr: what is printed on stdout is read by programs."""
    if report.since is None:
        say(f"Everything was recomputed: {report.why}.")
        return
    say(f"Seen again: what has changed since {time_text(report.since)} {zone_name()}.")
    if report.oldest_at is not None:
        say(f"Every page of the large tables was read again since {time_text(report.oldest_at)}.")
    if report.everything_at is not None:
        say(f"Everything was recomputed last at {time_text(report.everything_at)}; --full does it now.")
