"""`telvend ledger`: whether the books hold."""

from typing import TYPE_CHECKING

import typer

from telvend.cli.frame import Output, command, table
from telvend.kit.money import Money

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()


@command(app, "check")
async def audit(shop: "Shop") -> Output:
    """Recompute everything and say whether the books hold; exit code 1 and what is wrong where they do not."""
    from telvend.audit.service import audit_books  # It reads every room.

    report = await audit_books(shop.database)
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

    return Output(data, show=show, exit_code=0 if report.ok else 1)


@command(app, "accounts")
async def accounts(shop: "Shop") -> Output:
    """What every account holds, summed from all transfers."""
    totals = await shop.ledger.totals()
    # Hundreds of wallets would bury the accounts of the house: they are one line for each currency.
    sums: dict[tuple[str, str, str, str], int] = {}
    for total in totals:
        owner = "" if total.kind == "wallet" else total.owner
        key = (total.mode, total.total.currency.code, total.kind.replace("_", " "), owner)
        sums[key] = sums.get(key, 0) + total.total.minor
    money = {total.total.currency.code: total.total.currency for total in totals}
    rows = [(*key, Money(minor, money[key[1]]).decimal) for key, minor in sums.items()]
    return Output(
        {
            "accounts": [
                {"mode": mode, "currency": currency, "kind": kind, "owner": owner, "minor": minor}
                for (mode, currency, kind, owner), minor in sums.items()
            ]
        },
        show=table("", ("mode", "currency", "account", "owner", "holds"), rows, "Nothing has moved yet."),
    )
