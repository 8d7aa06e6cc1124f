"""All SQL of provisional credits."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.fulfilment.provisional.model import (
    CreditableOrder,
    CreditState,
    EnteredReport,
    OpenCredits,
    ProvisionalCredit,
)
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money, currency_of
from telvend.orders.model import AttemptState, OrderState

_CREDIT: Final = """
    select c.id, c.our_reference, c.order_id, o.reference, o.state as order_state, c.wallet_id, c.amount_minor, o.currency, c.position,
        c.reason, c.by_whom, o.provisional, c.created_at
    from provisional_credit c cross join lateral (select * from orders where orders.id = c.order_id limit 1) as o
"""

# By the two partial indexes of orders that are not final. What `refusal_of` would refuse is left out, so that pages are full. $1: the
# last order of the page before; $2: seconds; $3: the size of a page.
UNKNOWN: Final = """
    select o.id, o.wallet_id, o.currency, extract(epoch from clock_timestamp() - coalesce(tried.open_since, tried.last_at))::float8 as age_s
    from (
        select id, wallet_id, currency, mode, provisional, state from orders where due_at is not null and state = 'waiting'
        union all
        select id, wallet_id, currency, mode, provisional, state from orders where state = 'review'
    ) as o
    cross join lateral (
        select min(a.started_at) filter (where a.state in ('started', 'accepted', 'unknown')) as open_since,
            max(a.started_at) as last_at, bool_or(a.state = 'delivered') as delivered
        from attempt a where a.order_id = o.id
    ) as tried
    where o.id > $1 and o.mode = 'live' and o.provisional is null and not tried.delivered
        and (tried.open_since is not null or o.state = 'review')
        and coalesce(tried.open_since, tried.last_at) <= clock_timestamp() - make_interval(secs => $2)
        and not exists (select from play_money p where p.wallet_id = o.wallet_id)
    order by o.id limit $3
"""

LOCK: Final = """
    with locked as materialized (
        select id, reference, wallet_id, mode, price_minor, currency, state, provisional from orders
        where id = any($1::bigint[]) order by id for no key update
    )
    select locked.*, exists (select from play_money p where p.wallet_id = locked.wallet_id) as holds_play_money from locked order by id
"""

WRITE: Final = """
    insert into provisional_credit (id, our_reference, order_id, wallet_id, amount_minor, position, reason, by_whom)
    select id, our_reference, order_id, wallet_id, amount_minor, position, $2, $3
    from json_to_recordset($1::text::json) as new(id bigint, our_reference text, order_id bigint, wallet_id bigint,
        amount_minor bigint, position bigint)
"""

WRITE_REVERSALS: Final = """
    insert into provisional_reversal (id, our_reference, credit_id, order_id, wallet_id, amount_minor, position)
    select id, our_reference, credit_id, order_id, wallet_id, amount_minor, position
    from json_to_recordset($1::text::json) as new(id bigint, our_reference text, credit_id bigint, order_id bigint,
        wallet_id bigint, amount_minor bigint, position bigint)
"""


class UnknownOrder(msgspec.Struct, frozen=True, gc=False):
    """An order whose outcome is unknown, and for how long by the database's clock."""

    id: int
    wallet_id: int
    currency: Currency
    age_s: float


class CreditRow(msgspec.Struct, frozen=True, gc=False):
    """A credit, as it is written."""

    id: int
    our_reference: str
    order_id: int
    wallet_id: int
    amount_minor: int
    position: int


class ReversalRow(msgspec.Struct, frozen=True, gc=False):
    """A reversal, as it is written."""

    id: int
    our_reference: str
    credit_id: int
    order_id: int
    wallet_id: int
    amount_minor: int
    position: int


async def unknown(tx: Tx, after_id: int, least_s: float, limit: int) -> list[UnknownOrder]:
    """Orders from above number `after_id` whose outcome is unknown for at least `least_s`, by the database's clock."""
    return [
        UnknownOrder(row[0], row[1], currency_of(row[2]), row[3])
        for row in await tx.fetch(UNKNOWN, after_id, least_s, limit)
    ]


async def named(tx: Tx, order_id: int) -> UnknownOrder | None:
    """This order, whatever its outcome; None where there is none."""
    row = await tx.fetchrow("select id, wallet_id, currency from orders where id = $1", order_id)
    return None if row is None else UnknownOrder(row[0], row[1], currency_of(row[2]), 0.0)


async def lock(tx: Tx, order_ids: Collection[int]) -> list[CreditableOrder]:
    """Lock the orders, then read their attempts. The caller holds the locks on their wallets."""
    locked = await tx.fetch(LOCK, list(order_ids))
    attempts: dict[int, list[AttemptState]] = {}
    for row in await tx.fetch(
        "select order_id, state from attempt where order_id = any($1::bigint[]) order by order_id, number",
        [row["id"] for row in locked],
    ):
        attempts.setdefault(row["order_id"], []).append(AttemptState(row["state"]))
    return [
        CreditableOrder(
            row["id"],
            row["reference"],
            row["wallet_id"],
            Mode(row["mode"]),
            Money(row["price_minor"], currency_of(row["currency"])),
            OrderState(row["state"]),
            tuple(attempts.get(row["id"], ())),
            row["provisional"] is not None,
            row["holds_play_money"],
        )
        for row in locked
    ]


async def write(tx: Tx, credits_: Sequence[CreditRow], reason: str, by_whom: str) -> None:
    """Write credits down, and note on their orders that they are open. The caller has locked these."""
    await tx.execute(WRITE, rows(credits_), reason, by_whom)
    await _set_state(tx, CreditState.OPEN, [credit.order_id for credit in credits_])


async def end(
    tx: Tx, reversals: Sequence[ReversalRow], reversed_ids: Sequence[int], written_off_ids: Sequence[int]
) -> None:
    """Write reversals down, and note on these orders how their credits ended. Before the orders end: see the check on `orders`."""
    if reversals:
        await tx.execute(WRITE_REVERSALS, rows(reversals))
        await _set_state(tx, CreditState.REVERSED, reversed_ids)
    if written_off_ids:
        await _set_state(tx, CreditState.WRITTEN_OFF, written_off_ids)


async def _set_state(tx: Tx, state: CreditState, order_ids: Sequence[int]) -> None:
    await tx.execute("update orders set provisional = $1 where id = any($2::bigint[])", state, order_ids)


async def of_orders(tx: Tx, order_ids: Collection[int]) -> dict[int, ProvisionalCredit]:
    """The credits of these orders, by order."""
    found = await tx.fetch(f"{_CREDIT} where c.order_id = any($1::bigint[])", list(order_ids))
    return {row["order_id"]: _credit_of(row) for row in found}


async def listed(
    tx: Tx, states: Sequence[CreditState] | None, before: int | None, limit: int
) -> list[ProvisionalCredit]:
    """Credits, newest first, from below number `before`."""
    found = await tx.fetch(
        f"{_CREDIT} where c.id < $1 and ($2::text[] is null or o.provisional = any($2)) order by c.id desc limit $3",
        before if before is not None else 2**62, None if states is None else list(states), limit,
    )  # fmt: skip
    return [_credit_of(row) for row in found]


async def open_totals(tx: Tx) -> list[OpenCredits]:
    """The open credits, by currency."""
    # By the orders that are not final, which are few; a credit is the price of its order.
    found = await tx.fetch("""
        select currency, count(*) as count, sum(price_minor)::bigint as minor from (
            select currency, price_minor, provisional from orders where due_at is not null
            union all
            select currency, price_minor, provisional from orders where state = 'review'
        ) as o
        where provisional = 'open' group by currency order by currency
    """)
    return [OpenCredits(row["count"], Money(row["minor"], currency_of(row["currency"]))) for row in found]


async def ends_since(tx: Tx, since: datetime, limit: int) -> list[str]:
    """Our references of the orders whose credit was written off since this moment, the last ones first."""
    found = await tx.fetch(
        f"select reference from ({_CREDIT} where o.provisional = 'written_off' and o.updated_at >= $1) as c"
        " order by order_id desc limit $2",
        since, limit,
    )  # fmt: skip
    return [row[0] for row in found]


_REPORT: Final = """
    select l.id, o.reference, o.state, l.attempt, l.provider, l.delivered, l.amount_minor, o.currency, o.mode, l.text, l.created_at
    from late_report l cross join lateral (select * from orders where orders.id = l.order_id limit 1) as o
"""


async def late_reports_of(tx: Tx, order_id: int) -> list[EnteredReport]:
    """The late reports of an order, oldest first."""
    return [_report_of(row) for row in await tx.fetch(f"{_REPORT} where l.order_id = $1 order by l.id", order_id)]


async def late_reports(tx: Tx, before: int | None, limit: int) -> list[EnteredReport]:
    """Late reports, newest first, from below number `before`."""
    found = await tx.fetch(
        f"{_REPORT} where l.id < $1 order by l.id desc limit $2", before if before is not None else 2**62, limit
    )
    return [_report_of(row) for row in found]


async def reported_since(tx: Tx, since: datetime, limit: int) -> list[str]:
    """Our references of live orders with a late report since this moment, the last ones first."""
    found = await tx.fetch(
        f"select reference from ({_REPORT} where l.created_at >= $1 and o.mode = 'live' order by l.id desc limit $2) as l",
        since, limit,
    )  # fmt: skip
    return [row[0] for row in found]


async def count_reports(tx: Tx, within_s: float) -> dict[tuple[str, bool], int]:
    """How many late reports were entered in the last `within_s`, by provider and whether it has delivered."""
    found = await tx.fetch(
        "select provider, delivered, count(*) as count from late_report"
        " where created_at >= now() - make_interval(secs => $1) group by provider, delivered",
        within_s,
    )
    return {(row["provider"], row["delivered"]): row["count"] for row in found}


async def notes_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Any]:
    """The order's reference, reason and by_whom of those of these causes that are provisional credits or their reversals."""
    found = await tx.fetch(
        "select c.id, o.reference, c.reason, c.by_whom from provisional_credit c join orders o on o.id = c.order_id"
        " where c.id = any($1::bigint[])"
        " union all select r.id, o.reference, 'The order has failed.', '' from provisional_reversal r"
        " join orders o on o.id = r.order_id where r.id = any($1::bigint[])",
        ids,
    )
    return {row["id"]: row for row in found}


async def reversal_of(tx: Tx, credit_id: int) -> Any:
    """id, our_reference and created_at of the reversal of a credit, or None."""
    return await tx.fetchrow(
        "select id, our_reference, created_at from provisional_reversal where credit_id = $1", credit_id
    )


def _report_of(row: Any) -> EnteredReport:
    return EnteredReport(
        id=row["id"],
        order=row["reference"],
        order_state=OrderState(row["state"]),
        attempt=row["attempt"],
        provider=row["provider"],
        delivered=row["delivered"],
        amount=Money(row["amount_minor"], currency_of(row["currency"])),
        text=row["text"],
        created_at=row["created_at"],
    )


def _credit_of(row: Any) -> ProvisionalCredit:
    return ProvisionalCredit(
        id=row["id"],
        our_reference=row["our_reference"],
        order_id=row["order_id"],
        order=row["reference"],
        order_state=OrderState(row["order_state"]),
        wallet_id=row["wallet_id"],
        amount=Money(row["amount_minor"], currency_of(row["currency"])),
        position=row["position"],
        reason=row["reason"],
        by_whom=row["by_whom"],
        state=CreditState(row["provisional"]),
        created_at=row["created_at"],
    )
