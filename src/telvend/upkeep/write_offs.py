"""A check of what the shop has had to write off lately, and of what it lends to wallets."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from telvend.fulfilment.provisional import store
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level

_DAYS: Final = 7
_NAMED: Final = 5


async def write_offs(shop: Examined) -> Sequence[Finding]:
    """Warn of provisional credits that were written off, and of providers that have contradicted a person, in the last days."""
    since = datetime.now(UTC) - timedelta(days=_DAYS)
    async with shop.database.connection() as tx:
        written_off = await store.ends_since(tx, since, _NAMED + 1)
        reported = await store.reported_since(tx, since, _NAMED + 1)
        lent = await store.open_totals(tx)
    findings = []
    if written_off:
        text = f"Delivered after all, at the shop's cost, within {_DAYS} days: {_named(written_off)}."
        advice = "Ask the provider why it took so long: telvend order credits --state written_off"
        findings.append(Finding("provisional credits", Level.WARNING, text, advice))
    if reported:
        text = f"A provider has contradicted what a person decided, within {_DAYS} days: {_named(reported)}."
        advice = "Compare with the provider's statement: telvend order late-reports"
        findings.append(Finding("late reports", Level.WARNING, text, advice))
    if not findings:
        open_now = ", ".join(f"{one.amount} for {one.count} orders" for one in lent)
        text = f"Nothing was written off within {_DAYS} days; {open_now or 'nothing'} is lent to wallets."
        findings.append(Finding("write-offs", Level.OK, text))
    return findings


def _named(references: Sequence[str]) -> str:
    more = " and more" if len(references) > _NAMED else ""
    return ", ".join(references[:_NAMED]) + more
