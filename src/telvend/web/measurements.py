"""What `/metrics` says: what the processes of this node have counted, and what stands in the database right now."""

from collections import defaultdict

from telvend.kit import metrics
from telvend.kit.db import Database
from telvend.kit.money import CURRENCIES, Money
from telvend.services import Services


async def measured(services: Services, database: Database) -> bytes:
    """The metrics in Prometheus' text format. Raises Busy when the database is away."""
    metrics.pool("shop", database.size, database.in_use)
    counts: dict[tuple[str, ...], float] = {}
    oldest: dict[tuple[str, ...], float] = {}
    held: dict[tuple[str, ...], int] = defaultdict(int)
    for row in await services.orders.open_orders():
        counts[row["state"], row["mode"], row["currency"]] = row["count"]
        oldest[row["state"], row["mode"], row["currency"]] = row["oldest_s"]
        held[row["mode"], row["currency"]] += row["minor"]
    state = ("state", "mode", "currency")
    return metrics.render(
        (
            metrics.gauge("telvend_orders_open", "Orders that are not final.", state, counts),
            metrics.gauge("telvend_orders_oldest_seconds", "The age of the oldest order in a state.", state, oldest),
            metrics.gauge(
                "telvend_held_amount",
                "Money held for orders that are not final, in whole units of the currency.",
                ("mode", "currency"),
                # For a graph only: the ledger itself knows no floats.
                {key: float(Money(minor, CURRENCIES[key[1]]).decimal) for key, minor in held.items()},
            ),
        )
    )
