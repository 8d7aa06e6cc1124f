"""The SQL of placing orders and of reading them. What the fulfilment needs stands in fulfilment/store.py."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, get_args
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.together import Statement, execute_together
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.orders.model import Order, OrderFilter, OrderState
from telvend.sales.model import SaleKey
from telvend.sales.store import unique_reference, wanted_rows


class _Row(msgspec.Struct, gc=False):
    """What is stored of a new order, by column. A new field of an order needs a line here, in `_row_of` and in `order_of`; the
    statements follow from this class."""

    id: int
    reference: str
    reseller_id: UUID
    dialect: str
    mode: str
    client_reference: str | None
    fingerprint: str
    wallet_id: int
    position: int
    kind: str
    country: str
    network: str
    product_id: int
    product: str
    size: str
    validity_days: int | None
    subscriber: str
    face_minor: int
    price_minor: int
    cost_minor: int
    currency: str
    balance_after_minor: int


def _row_of(order: Order) -> _Row:
    # In the order of the fields: a keyword for each would cost as much as all else of it.
    return _Row(
        order.id,
        order.reference,
        order.reseller_id,
        order.dialect,
        order.mode,
        order.client_reference,
        order.fingerprint,
        order.wallet_id,
        order.position,
        order.kind,
        order.country,
        order.network,
        order.product_id,
        order.product,
        order.size,
        order.validity_days,
        order.subscriber,
        order.face.minor,
        order.price.minor,
        order.cost.minor,
        order.price.currency.code,
        order.balance_after.minor,
    )


def order_of(row: Any) -> Order:
    """The order in a row of `_COLUMNS`."""
    currency = CURRENCIES[row["currency"]]
    return Order(
        id=row["id"],
        reference=row["reference"],
        reseller_id=row["reseller_id"],
        dialect=row["dialect"],
        mode=Mode(row["mode"]),
        client_reference=row["client_reference"],
        fingerprint=row["fingerprint"],
        wallet_id=row["wallet_id"],
        position=row["position"],
        kind=row["kind"],
        country=row["country"],
        network=row["network"],
        product_id=row["product_id"],
        product=row["product"],
        size=row["size"],
        validity_days=row["validity_days"],
        subscriber=row["subscriber"],
        face=Money(row["face_minor"], currency),
        price=Money(row["price_minor"], currency),
        cost=Money(row["cost_minor"], currency),
        state=OrderState(row["state"]),
        balance_after=Money(row["balance_after_minor"], currency),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


_CHANGING: Final = ("state", "created_at", "updated_at")
"""Columns that an insert writes the same into every row of a batch."""

_STORED: Final = _Row.__struct_fields__
_COLUMNS: Final = ", ".join(f"o.{column}" for column in (*_STORED, *_CHANGING))
_TYPES: Final = {int: "bigint", str: "text", UUID: "uuid"}

# A plain join here is planned as a scan of the whole table while its statistics are young; the lateral look-up of one
# row each cannot be. tests/store/test_plans.py holds it to that.
FIND_BY_CLIENT_REFERENCE: Final = f"""
    select wanted.place, {_COLUMNS}
    from json_to_recordset($1::text::json)
        as wanted(place integer, reseller_id uuid, dialect text, mode text, client_reference text)
    cross join lateral (
        select * from orders where orders.reseller_id = wanted.reseller_id and orders.dialect = wanted.dialect
            and orders.mode = wanted.mode and orders.client_reference = wanted.client_reference
        limit 1
    ) as o
"""

FIND_BY_ID: Final = f"""
    select {_COLUMNS} from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from orders where orders.id = wanted.id limit 1) as o
"""

FIND_FINAL: Final = f"{FIND_BY_ID} where o.state in ('delivered', 'failed')"

# $3: state; $4: due_at; $5: attempts.
INSERT: Final = f"""
    insert into orders ({", ".join(_STORED)}, state, due_at, attempts, created_at, updated_at)
    select {", ".join(_STORED)}, $3, $4, $5, $2, $2
    from json_to_recordset($1::text::json)
        as new({", ".join(f"{name} {_TYPES[(get_args(kind) or (kind,))[0]]}" for name, kind in _Row.__annotations__.items())})
"""


async def find_by_client_reference(tx: Tx, wanted: Sequence[SaleKey]) -> dict[SaleKey, Order]:
    """The orders that stand under these references."""
    found = await tx.fetch(FIND_BY_CLIENT_REFERENCE, wanted_rows(wanted))
    return {wanted[row["place"]]: order_of(row) for row in found}


async def find_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Order]:
    """The orders with these numbers."""
    return {row["id"]: order_of(row) for row in await tx.fetch(FIND_BY_ID, ids)}


async def find_final(tx: Tx, ids: Sequence[int]) -> list[Order]:
    """Those of these orders that are final."""
    return [order_of(row) for row in await tx.fetch(FIND_FINAL, ids)]


async def insert(
    tx: Tx,
    orders: Sequence[Order],
    now: datetime,
    beside: Sequence[Statement] = (),
    *,
    leased_until: datetime | None = None,
) -> None:
    """Write new orders, due at once, and with the same statement what belongs to them. Raises ReferenceTaken.

    Where they are taken with their first attempts (taking.py) they are leased.
    """
    state = OrderState.ACCEPTED if leased_until is None else OrderState.DELIVERING
    attempts = 0 if leased_until is None else 1
    written = (rows([_row_of(order) for order in orders]), now, state, leased_until or now, attempts)
    with unique_reference("orders_client_reference"):
        await execute_together(tx, [Statement(INSERT, written), *beside])


class RepeatKey(msgspec.Struct, frozen=True, gc=False):
    """What makes a purchase the same as another one, its place among others, and the reference under which it is the same sale."""

    place: int
    reseller_id: UUID
    product: str
    subscriber: str
    face_minor: int
    client_reference: str


# The index by time narrows it to the orders since then, which are read once, however many purchases are wanted.
SOLD_SINCE: Final = """
    select wanted.place, min(o.reference) as reference
    from json_to_recordset($1::text::json)
        as wanted(place integer, reseller_id uuid, product text, subscriber text, face_minor bigint, client_reference text)
    join orders o on o.reseller_id = wanted.reseller_id and o.product = wanted.product
        and o.subscriber = wanted.subscriber and o.face_minor = wanted.face_minor
        and o.client_reference <> wanted.client_reference
    where o.created_at >= $2 and o.dialect = $3 and o.mode = $4 and o.state <> 'failed'
    group by wanted.place
"""


async def sold_since(tx: Tx, dialect: str, mode: str, wanted: Sequence[RepeatKey], since: datetime) -> dict[int, str]:
    """The purchases that an order of this API since then is the same as, one that failed aside: place to its reference."""
    found = await tx.fetch(SOLD_SINCE, rows(wanted), since, dialect, mode)
    return {row["place"]: row["reference"] for row in found}


# The partial index of open orders serves a list of their states, where the statement says so in its words.
_HAS_WORK: Final = frozenset({OrderState.ACCEPTED, OrderState.DELIVERING, OrderState.WAITING})
_OPEN: Final = _HAS_WORK | {OrderState.REVIEW}


def list_statement(
    wanted: OrderFilter, ids: Sequence[int] | None, before: int | None, among: str = "orders"
) -> tuple[str, list[Any]]:
    """The statement of `listed` and its values, without the limit. Only what is asked for stands in it, so that an index serves it.

    `among`: where orders are taken from; $1 is the number that they are below.
    """
    values: list[Any] = [before if before is not None else 2**62]
    conditions, values = _conditions(wanted, ids, ["o.id < $1"], values)
    return f"select {_COLUMNS} from {among} o where {' and '.join(conditions)} order by o.id desc", values


def _conditions(
    wanted: OrderFilter, ids: Sequence[int] | None, conditions: list[str], values: list[Any]
) -> tuple[list[str], list[Any]]:
    """Add what a filter asks for to conditions and their values."""
    for condition, value in (
        ("o.id = any({}::bigint[])", None if ids is None else list(ids)),
        ("o.reseller_id = {}", wanted.reseller_id),
        ("o.mode = {}", wanted.mode),
        ("o.subscriber = {}", wanted.subscriber),
        ("o.created_at >= {}", wanted.since),
        ("o.created_at < {}", wanted.until),
        ("o.network = any({}::text[])", None if wanted.networks is None else list(wanted.networks)),
        ("o.product = {}", wanted.product),
        ("o.dialect = {}", wanted.dialect),
    ):
        if value is not None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
    if wanted.states is not None:
        conditions.append("o.state in (" + ", ".join(f"'{OrderState(state)}'" for state in wanted.states) + ")")
        if _HAS_WORK.issuperset(wanted.states):
            conditions.append("o.due_at is not null")
        elif _OPEN.issuperset(wanted.states):
            conditions.append("(o.due_at is not null or o.state = 'review')")
    return conditions, values


async def listed(
    tx: Tx, wanted: OrderFilter, *, ids: Sequence[int] | None, before: int | None, limit: int
) -> list[Order]:
    """Orders, newest first, from below number `before`; of these numbers only, where `ids` are given."""
    statement, values = list_statement(wanted, ids, before)
    return [order_of(row) for row in await tx.fetch(f"{statement} limit {int(limit)}", *values)]


# What a page of every order reads (browsing.py) --------------------------------------------------------------------------------


def among_statement(wanted: OrderFilter, before: int | None, among: int, *, failed: bool) -> tuple[str, list[Any]]:
    """The statement of `listed_among` and its values, without the limit."""
    only = " and state = 'failed'" if failed else ""
    newest = f"(select * from orders where id < $1{only} order by id desc limit {int(among)})"
    return list_statement(wanted, None, before, newest)


async def listed_among(
    tx: Tx, wanted: OrderFilter, *, before: int | None, limit: int, among: int, failed: bool
) -> list[Order]:
    """Orders, newest first, among the `among` newest from below number `before`; with `failed` among those that failed."""
    statement, values = among_statement(wanted, before, among, failed=failed)
    return [order_of(row) for row in await tx.fetch(f"{statement} limit {int(limit)}", *values)]


async def after_so_many(tx: Tx, *, before: int | None, count: int, failed: bool) -> tuple[int, datetime] | None:
    """The number and the time of the last of the `count` newest orders from below a number; None where there are no more."""
    only = " and state = 'failed'" if failed else ""
    found = await tx.fetch(
        f"select id, created_at from orders where id < $1{only} order by id desc offset {int(count) - 1} limit 2",
        before if before is not None else 2**62,
    )
    return (found[0]["id"], found[0]["created_at"]) if len(found) == 2 else None


async def placed_between(tx: Tx, since: datetime, until: datetime, most: int) -> int:
    """How many orders were placed between two moments; counts no further than one more than `most`."""
    found = await tx.fetchval(
        "select count(*) from (select from orders where created_at >= $1 and created_at < $2 limit $3 + 1) as o",
        since, until, most,
    )  # fmt: skip
    return int(found)


async def listed_between(
    tx: Tx,
    wanted: OrderFilter,
    since: datetime,
    until: datetime,
    *,
    key: tuple[datetime, int] | None,
    limit: int,
    oldest: bool = False,
) -> list[Order]:
    """Orders that were placed between two moments and before `key`, a time and a number: by time and number, the last first."""
    conditions = ["o.created_at >= $1", "o.created_at < $2"]
    values: list[Any] = [since, until]
    if key is not None:
        conditions.append("(o.created_at, o.id) < ($3, $4)")
        values += key
    conditions, values = _conditions(replace(wanted, since=None, until=None), None, conditions, values)
    direction = "" if oldest else " desc"
    found = await tx.fetch(
        f"select {_COLUMNS} from orders o where {' and '.join(conditions)}"
        f" order by o.created_at{direction}, o.id{direction} limit {int(limit)}",
        *values,
    )
    return [order_of(row) for row in found]


async def beginning(tx: Tx) -> datetime:
    """A moment before which no order was placed. Numbers are nearly in the order of time: among the first thousand is the first."""
    found: datetime = await tx.fetchval(
        "select coalesce(min(created_at), clock_timestamp()) - interval '1 day'"
        " from (select created_at from orders order by id limit 1000) as first"
    )
    return found


# One look-up for each reseller, API and mode, in an index that every sale has anyway.
FIND_UNDER_REFERENCE: Final = """
    select found.id from reseller r cross join unnest($2::text[]) as d(dialect) cross join unnest($3::text[]) as m(mode)
    cross join lateral (
        select orders.id from orders where orders.reseller_id = r.id and orders.dialect = d.dialect
            and orders.mode = m.mode and orders.client_reference = $1
        limit 1
    ) as found
    where $4::uuid is null or r.id = $4
    order by found.id
"""


async def ids_under(tx: Tx, reference: str, apis: Sequence[str], reseller_id: UUID | None) -> list[int]:
    """The orders that callers of these APIs have placed under this reference of their own, of one reseller or of all."""
    rows = await tx.fetch(FIND_UNDER_REFERENCE, reference, apis, list(Mode), reseller_id)
    return [row[0] for row in rows]


async def attempts_of(tx: Tx, order_id: int) -> list[Any]:
    """The attempts of an order, oldest first."""
    found: list[Any] = await tx.fetch("select * from attempt where order_id = $1 order by number", order_id)
    return found


async def notes_of(tx: Tx, order_id: int) -> list[Any]:
    """What was noted about an order: text, created_at."""
    found: list[Any] = await tx.fetch(
        "select text, created_at from order_note where order_id = $1 order by id", order_id
    )
    return found


async def due_at(tx: Tx, order_id: int) -> datetime | None:
    """When a worker looks at an order next; None where it has not to."""
    found: datetime | None = await tx.fetchval("select due_at from orders where id = $1", order_id)
    return found


async def open_orders(tx: Tx) -> list[Any]:
    """The orders that are not final, by state, currency and mode: count, minor, oldest (age in seconds)."""
    found: list[Any] = await tx.fetch("""
        select state, currency, mode, count(*) as count, sum(price_minor)::bigint as minor,
               extract(epoch from now() - min(created_at))::float8 as oldest_s
        from (select * from orders where due_at is not null union all select * from orders where state = 'review') as o
        group by state, currency, mode
    """)
    return found


async def newest_placed_at(tx: Tx) -> datetime | None:
    """Return when the newest orders were placed, the latest of them; None where there is none."""
    found: datetime | None = await tx.fetchval(
        "select max(created_at) from (select created_at from orders order by id desc limit 10) o"
    )
    return found


async def share_of_last_day(tx: Tx) -> float | None:
    """Return which share of all orders was placed within a day, by the planner's count of all; None where there is none."""
    row = await tx.fetchrow(
        "select (select count(*) from orders where created_at > now() - interval '1 day')::float8 as lately,"
        " (select reltuples from pg_class where oid = 'orders'::regclass)::float8 as counted"
    )
    lately, counted = row["lately"], row["counted"]
    return lately / max(lately, counted) if lately else 0.0 if counted > 0 else None
