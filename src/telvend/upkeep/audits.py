"""The check of audits: when one was run last, and what it has found."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from telvend.orders import store as order_store
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level

_CHECK: Final = "audit"
_OLD: Final = timedelta(days=2)
_ADVICE: Final = "Run `telvend audit` now, and every night: docs/howto/service.md"


async def audits(shop: Examined) -> Sequence[Finding]:
    """Fail where the last audit has found something; warn where it is long ago. Raises Busy."""
    last = shop.last_audit
    if last is None:
        async with shop.database.connection() as tx:
            newest = await order_store.newest_placed_at(tx)
        if newest is None:
            return [Finding(_CHECK, Level.OK, "Nothing was sold yet, so that nothing had to be audited.")]
        return [Finding(_CHECK, Level.WARNING, "The books were never audited.", _ADVICE)]
    at = f"{last.ended_at:%Y-%m-%d %H:%M} (UTC)"
    if last.findings:
        text = f"The audit of {at} has found {last.findings} violations: the books do not hold."
        return [Finding(_CHECK, Level.FAILURE, text, "Stop selling, and see docs/howto/alerts/audit-failed.md")]
    age = datetime.now(UTC) - last.ended_at
    if age > _OLD:
        return [Finding(_CHECK, Level.WARNING, f"The last audit was {age.days} days ago, at {at}.", _ADVICE)]
    return [Finding(_CHECK, Level.OK, f"The books held at {at}.")]
