"""`telvend ledger`: whether the books hold."""

from typing import TYPE_CHECKING

import typer

from telvend.cli.audit import Full, run_audit
from telvend.cli.common import Output, command, table
from telvend.kit.money import Money

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()


@command(app, "check")
async def check(shop: "Shop", as_json: bool, *, full: Full = False) -> Output:
    """Say whether the books hold; exit code 1 and what is wrong where they do not.

    Takes up where the last audit that found nothing has stopped. Recomputes everything with --full, the first time, after a
    restore, and where something seems to be wrong.
    """
    output, _ = await run_audit(shop, as_json=as_json, full=full)
    return output


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
