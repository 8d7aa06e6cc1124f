"""All SQL of lists that are bought in the background."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.due import claim_sql, correct_jumped_clock_sql
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.orders.bulk.model import BulkLine, BulkList, LineState, ListState, Progress
from telvend.orders.model import OrderState

_LIST: Final = (
    "id", "code", "reseller_id", "mode", "name", "by_whom", "state", "reason", "lines", "claims", "created_at", "started_at",
    "ended_at",
)  # fmt: skip
_COLUMNS: Final = ", ".join(_LIST)

CLAIM: Final = claim_sql(
    "bulk_list",
    ", ".join(f"claimed.{name}" for name in _LIST),
    "claims = before.claims + 1, updated_at = now()",
)
CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql("bulk_list")

# The order of each line is looked up by its number: a join would be planned as a scan of every order while statistics are young.
_ORDER: Final = "left join lateral (select reference, state from orders where orders.id = l.order_id limit 1) o on true"

PROGRESS: Final = f"""
    select count(*) filter (where l.state = 'waiting') as waiting, count(*) filter (where l.state = 'refused') as refused,
        count(*) filter (where o.state = 'delivered') as delivered, count(*) filter (where o.state = 'failed') as failed,
        count(*) filter (where l.state = 'bought' and o.state not in ('delivered', 'failed')) as on_their_way
    from bulk_line l {_ORDER} where l.list_id = $1
"""

LINES: Final = f"""
    select l.*, o.reference as order_reference, o.state as order_state from bulk_line l {_ORDER}
    where l.list_id = $1 and l.line > $2 order by l.line limit $3
"""


class NewLine(msgspec.Struct, frozen=True, gc=False):
    """A line that was checked, as it is written."""

    line: int
    product: str
    amount: str
    recipient: str
    note: str
    reference: str
    wallet_id: int
    price_minor: int
    currency: str


class DecidedLine(msgspec.Struct, frozen=True, gc=False):
    """What has become of a line."""

    line: int
    state: str
    order_id: int | None
    error: str


def _list_in(row: Any) -> BulkList:
    return BulkList(
        id=row["id"],
        code=row["code"],
        reseller_id=UUID(bytes=row["reseller_id"].bytes),
        mode=Mode(row["mode"]),
        name=row["name"],
        by_whom=row["by_whom"],
        state=ListState(row["state"]),
        reason=row["reason"],
        lines=row["lines"],
        claims=row["claims"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def _line_in(row: Any, order: str | None = None, order_state: str | None = None) -> BulkLine:
    return BulkLine(
        line=row["line"],
        product=row["product"],
        amount=row["amount"],
        recipient=row["recipient"],
        note=row["note"],
        reference=row["reference"],
        price=Money(row["price_minor"], currency_of(row["currency"])),
        state=LineState(row["state"]),
        error=row["error"],
        order=order,
        order_state=None if order_state is None else OrderState(order_state),
    )


# What its owner does ---------------------------------------------------------------------------------------------------------


async def insert(
    tx: Tx, code: str, reseller_id: UUID, mode: Mode, name: str, by_whom: str, lines: Sequence[NewLine], most: int
) -> BulkList:
    """Keep a checked list; of those that were only checked, the `most` newest of a reseller are kept."""
    row = await tx.fetchrow(
        "insert into bulk_list (code, reseller_id, mode, name, by_whom, lines) values ($1, $2, $3, $4, $5, $6)"
        f" returning {_COLUMNS}",
        code, reseller_id, mode, name, by_whom, len(lines),
    )  # fmt: skip
    await tx.execute(
        "insert into bulk_line (list_id, line, product, amount, recipient, note, reference, wallet_id, price_minor, currency)"
        " select $1, line, product, amount, recipient, note, reference, wallet_id, price_minor, currency"
        " from json_to_recordset($2::text::json) as new(line integer, product text, amount text, recipient text, note text,"
        " reference text, wallet_id bigint, price_minor bigint, currency text)",
        row["id"], rows(lines),
    )  # fmt: skip
    await tx.execute(
        "delete from bulk_list where state = 'checked' and reseller_id = $1 and mode = $2 and id <= (select id from bulk_list"
        " where state = 'checked' and reseller_id = $1 and mode = $2 order by id desc offset $3 limit 1)",
        reseller_id, mode, most,
    )  # fmt: skip
    return _list_in(row)


async def find(tx: Tx, reseller_id: UUID, code: str) -> BulkList | None:
    """The list of this reseller with this code."""
    row = await tx.fetchrow(f"select {_COLUMNS} from bulk_list where code = $1 and reseller_id = $2", code, reseller_id)
    return None if row is None else _list_in(row)


async def listed(tx: Tx, reseller_id: UUID, mode: Mode, before: int | None, limit: int) -> list[BulkList]:
    """The lists of a reseller, newest first, from below the number `before`."""
    found = await tx.fetch(
        f"select {_COLUMNS} from bulk_list where reseller_id = $1 and mode = $2 and id < $3 order by id desc limit $4",
        reseller_id, mode, 2**62 if before is None else before, limit,
    )  # fmt: skip
    return [_list_in(row) for row in found]


async def start(tx: Tx, list_id: int) -> bool:
    """Make a list due, and its refused lines waiting again; False where it is being bought already or is done."""
    started = await tx.fetchval(
        "update bulk_list set state = 'buying', reason = '', due_at = now(), updated_at = now(),"
        " started_at = coalesce(started_at, now()), ended_at = null where id = $1 and state in ('checked', 'stopped')"
        " returning true",
        list_id,
    )
    if started:
        await tx.execute(
            "update bulk_line set state = 'waiting', error = '' where list_id = $1 and state = 'refused'", list_id
        )
    return bool(started)


async def stop(tx: Tx, list_id: int, reason: str, claims: int | None = None) -> bool:
    """Stop a list that is being bought; of a worker only while it holds the list. False where nothing was to be stopped."""
    return bool(
        await tx.fetchval(
            "update bulk_list set state = 'stopped', reason = $2, due_at = null, updated_at = now(), ended_at = now()"
            " where id = $1 and state = 'buying' and ($3::bigint is null or claims = $3) returning true",
            list_id, reason, claims,
        )
    )  # fmt: skip


async def discard(tx: Tx, list_id: int) -> bool:
    """Remove a list of which nothing was bought or tried; False for any other."""
    return bool(await tx.fetchval("delete from bulk_list where id = $1 and state = 'checked' returning true", list_id))


async def progress(tx: Tx, list_id: int) -> Progress:
    """How many lines of a list stand how. Once all have ended that never changes: it is written down, and not counted again."""
    kept = await tx.fetchrow("select state, lines, delivered, failed from bulk_list where id = $1", list_id)
    if kept is not None and kept["delivered"] is not None:
        delivered, failed = kept["delivered"], kept["failed"]
        return Progress(0, kept["lines"] - delivered - failed, delivered, failed, 0)
    row = await tx.fetchrow(PROGRESS, list_id)
    found = Progress(row["waiting"], row["refused"], row["delivered"], row["failed"], row["on_their_way"])
    if kept is not None and kept["state"] == ListState.DONE and not found.waiting and not found.on_their_way:
        await tx.execute(
            "update bulk_list set delivered = $2, failed = $3 where id = $1 and state = 'done'",
            list_id, found.delivered, found.failed,
        )  # fmt: skip
    return found


async def lines(tx: Tx, list_id: int, after: int, limit: int) -> list[BulkLine]:
    """Lines of a list with their orders, from after line `after`."""
    return [
        _line_in(row, row["order_reference"], row["order_state"])
        for row in await tx.fetch(LINES, list_id, after, limit)
    ]


async def waiting_totals(tx: Tx, list_id: int) -> list[Any]:
    """What the waiting lines of a list cost each wallet: wallet_id, currency, count, minor."""
    found: list[Any] = await tx.fetch(
        "select wallet_id, currency, count(*) as count, sum(price_minor)::bigint as minor from bulk_line"
        " where list_id = $1 and state = 'waiting' group by wallet_id, currency order by currency",
        list_id,
    )
    return found


# What a worker does ------------------------------------------------------------------------------------------------------------


async def claim(tx: Tx, limit: int, lease_s: float) -> list[BulkList]:
    """Take up to `limit` due lists in hand for `lease_s` seconds, the one that has waited longest first."""
    return [_list_in(row) for row in await tx.fetch(CLAIM, limit, lease_s)]


async def correct_jumped_clock(tx: Tx) -> None:
    """Correct the due times of lists that were set by a clock that has jumped."""
    await tx.execute(CORRECT_JUMPED_CLOCK)


async def next_lines(tx: Tx, list_id: int, limit: int) -> list[BulkLine]:
    """The next lines that wait, in their order."""
    found = await tx.fetch(
        "select * from bulk_line where list_id = $1 and state = 'waiting' order by line limit $2", list_id, limit
    )
    return [_line_in(row) for row in found]


async def refused_lines(tx: Tx, list_id: int, after: int, limit: int) -> list[BulkLine]:
    """Lines that were refused, from after line `after`."""
    found = await tx.fetch(
        "select * from bulk_line where list_id = $1 and state = 'refused' and line > $2 order by line limit $3",
        list_id, after, limit,
    )  # fmt: skip
    return [_line_in(row) for row in found]


async def decide(tx: Tx, list_id: int, decided: Sequence[DecidedLine]) -> None:
    """Write what has become of lines. A line that is bought stays so: another worker may have been told it was refused."""
    await tx.execute(
        "update bulk_line set state = new.state, order_id = new.order_id, error = new.error"
        " from json_to_recordset($2::text::json) as new(line integer, state text, order_id bigint, error text)"
        " where bulk_line.list_id = $1 and bulk_line.line = new.line and bulk_line.state <> 'bought'",
        list_id, rows(decided),
    )  # fmt: skip


async def put_off(tx: Tx, list_id: int, claims: int, delay_s: float) -> None:
    """Make a list due again after `delay_s`, where the worker holds it still."""
    await tx.execute(
        "update bulk_list set due_at = now() + make_interval(secs => $3), updated_at = now()"
        " where id = $1 and claims = $2 and state = 'buying'",
        list_id, claims, delay_s,
    )  # fmt: skip


async def finish(tx: Tx, list_id: int, claims: int) -> None:
    """Say that a list is done, where the worker holds it still and no line waits."""
    await tx.execute(
        "update bulk_list set state = 'done', due_at = null, updated_at = now(), ended_at = now() where id = $1 and claims = $2"
        " and state = 'buying' and not exists (select from bulk_line where list_id = $1 and state = 'waiting')",
        list_id, claims,
    )  # fmt: skip
