"""All SQL of the fulfilment. The transactions that it stands in: postgres.py claims, settlement.py settles.

Each statement serves a batch, as a whole set, never one order. Locks are taken in one order everywhere: wallets by id, then
orders by id, then what belongs to them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.due import claim_sql, correct_jumped_clock_sql, renew_sql
from telvend.database.facts import Fact, FactKind, remember
from telvend.errors import InvariantBroken
from telvend.fulfilment.model import (
    AttemptSnapshot,
    ClaimedOrder,
    Deliver,
    Escalate,
    LockedOrder,
    Presume,
    Reschedule,
    Step,
)
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.orders.model import AttemptState, OrderState

# Almost every claimed order gets its first attempt, so that is counted here; the others are put right afterwards.
CLAIM: Final = claim_sql(
    "orders",
    returning="""claimed.id, claimed.reference, claimed.mode, claimed.wallet_id, claimed.kind, claimed.country,
        claimed.network, claimed.product_id, claimed.product, claimed.size, claimed.validity_days, claimed.subscriber,
        claimed.currency, claimed.face_minor, claimed.price_minor, claimed.cost_minor, before.state, before.attempts,
        claimed.created_at, now(), before.due_at""",
    assignments="state = 'delivering', attempts = greatest(before.attempts, 1), updated_at = now()",
)

RENEW: Final = renew_sql("orders")

# Fresh and claimed orders are due within a lease. A renewed lease does not touch updated_at.
CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql(
    "orders", also="state in ('accepted', 'delivering') and due_at > now() + make_interval(secs => $1)"
)

READ_ATTEMPTS: Final = """
    select a.order_id, a.number, a.provider, a.reference, a.state, a.asked, a.elsewhere, a.cost_minor, a.started_at, a.text,
        a.provider_reference, a.provider_code, a.type, a.resent, a.again
    from unnest($1::bigint[]) as wanted(id)
    cross join lateral (select * from attempt where attempt.order_id = wanted.id order by attempt.number) as a
"""

# $2: when they begin, which is what their providers are told.
WRITE_ATTEMPTS: Final = """
    insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at, provider_code, type)
    select order_id, number, provider, reference, 'started', cost_minor, $2, provider_code, type
    from json_to_recordset($1::text::json)
        as new(order_id bigint, number smallint, provider text, reference text, cost_minor bigint, provider_code text,
            type text)
"""

# Statements that update from a set of rows name the numbers a second time, as an array: while a table is young the planner
# would else rather read all of it through its index and join by hash, and keep that plan when the table has grown.

# `leased` keeps the due time that the claim has set; else it is counted from now, and null means never.
CORRECT_CLAIMED: Final = """
    update orders set state = new.state, attempts = new.attempts,
        due_at = case when new.leased then orders.due_at else now() + make_interval(secs => new.due_in_s) end
    from json_to_recordset($1::text::json)
        as new(id bigint, state text, attempts smallint, leased boolean, due_in_s float8)
    where orders.id = new.id and orders.id = any($2::bigint[])
"""

LOCK_ORDERS: Final = """
    select id, reference, wallet_id, mode, price_minor, currency, state, position, created_at, kind, provisional from orders
    where id = any($1::bigint[]) order by id for no key update
"""

CHANGE_ORDERS: Final = """
    update orders set state = new.state, due_at = now() + make_interval(secs => new.due_in_s),
        balance_after_minor = coalesce(new.balance_after_minor, orders.balance_after_minor), updated_at = now()
    from json_to_recordset($1::text::json)
        as new(id bigint, state text, due_in_s float8, balance_after_minor bigint)
    where orders.id = new.id and orders.id = any($2::bigint[]) and orders.state not in ('delivered', 'failed')
"""

CHANGE_ATTEMPTS: Final = """
    update attempt set state = new.state, asked = new.asked, elsewhere = new.elsewhere, again = new.again, cost_minor = new.cost_minor,
        text = new.text, provider_reference = new.provider_reference,
        finished_at = case when new.state in ('started', 'accepted', 'unknown') then null else now() end
    from json_to_recordset($1::text::json) as new(order_id bigint, number smallint, state text, asked smallint,
        elsewhere boolean, again boolean, cost_minor bigint, text text, provider_reference text)
    where attempt.order_id = new.order_id and attempt.number = new.number and attempt.order_id = any($2::bigint[])
"""

# Of orders that were not read: each is as its worker left it, or is not changed. `attempts` counts the order's attempts.
DELIVER_ORDERS: Final = """
    update orders set state = 'delivered', due_at = null, updated_at = now()
    where id = any($1::bigint[]) and state = 'delivering' and attempts = 1 and provisional is distinct from 'open'
"""

DELIVER_FIRST_ATTEMPTS: Final = """
    update attempt set state = 'delivered', text = $2, finished_at = now()
    where order_id = any($1::bigint[]) and number = 1 and state = 'started' and asked = 0 and resent = 0
"""

COUNT_RIVALS: Final = """
    with mine as (
        select attempt.provider, attempt.started_at, sale.subscriber, sale.kind
        from attempt join orders as sale on sale.id = attempt.order_id
        where attempt.order_id = $1 and attempt.number = $2
    )
    select (
        select count(*)
        from mine
        join orders as other on other.subscriber = mine.subscriber and other.kind = mine.kind
            and other.created_at between mine.started_at - interval '7 days' and mine.started_at + interval '1 day'
        join attempt as rival on rival.order_id = other.id and rival.provider = mine.provider
            and rival.started_at between mine.started_at - interval '1 day' and mine.started_at + interval '1 day'
            and rival.state <> 'not_sent'
        where (rival.order_id, rival.number) <> ($1, $2)
    ) + (
        select count(*)
        from mine
        join provider_trial as trial on trial.provider = mine.provider and trial.subscriber = mine.subscriber
            and trial.kind = mine.kind and trial.state <> 'not_sent'
            and trial.started_at between mine.started_at - interval '1 day' and mine.started_at + interval '1 day'
    )
"""

COUNT_RESEND: Final = """
    update attempt set resent = resent + 1
    where order_id = $1 and number = $2 and state in ('started', 'unknown') returning resent
"""

WRITE_NOTES: Final = """
    insert into order_note (order_id, text)
    select order_id, text from json_to_recordset($1::text::json) as new(order_id bigint, text text)
"""

NOTE_BY_HAND: Final = """
    update attempt set by_hand = true
    from json_to_recordset($1::text::json) as new(order_id bigint, number smallint)
    where attempt.order_id = new.order_id and attempt.number = new.number and attempt.order_id = any($2::bigint[])
"""

BY_HAND: Final = """
    select a.order_id, a.number, a.by_hand, l.id is not null as reported
    from attempt a left join late_report l on l.order_id = a.order_id and l.attempt = a.number
    where a.order_id = any($1::bigint[]) and (a.by_hand or l.id is not null)
"""

WRITE_LATE_REPORTS: Final = """
    insert into late_report (id, order_id, attempt, provider, delivered, amount_minor, text)
    select id, order_id, attempt, provider, delivered, amount_minor, text
    from json_to_recordset($1::text::json) as new(id bigint, order_id bigint, attempt smallint, provider text, delivered boolean,
        amount_minor bigint, text text)
"""

WALLETS_OF: Final = "select distinct wallet_id from orders where id = any($1::bigint[])"

HAND_BACK: Final = """
    update orders set due_at = now() where id = any($1::bigint[]) and state = 'delivering' and due_at > now()
"""


async def claim_due(tx: Tx, limit: int, lease_s: float, doubts: Callable[[datetime], bool]) -> list[ClaimedOrder]:
    """Claim up to `limit` due orders, oldest first, with their attempts. `doubts`: whether one of this moment is doubtful."""
    due = await tx.fetch(CLAIM, limit, lease_s)
    tried = await attempts_of(tx, [row["id"] for row in due if row["attempts"]])
    return [_claim_of(row, tried.get(row["id"], []), doubts(row["created_at"])) for row in due]


async def lock_orders(tx: Tx, order_ids: Collection[int], doubts: Callable[[datetime], bool]) -> dict[int, LockedOrder]:
    """Lock the orders, then read their attempts, so that these are as the last one to hold the lock left them."""
    locked = await tx.fetch(LOCK_ORDERS, list(order_ids))
    attempts = await attempts_of(tx, [row["id"] for row in locked])
    return {row["id"]: _locked_order(row, attempts.get(row["id"], []), doubts(row["created_at"])) for row in locked}


async def attempts_of(tx: Tx, order_ids: Sequence[int]) -> dict[int, list[AttemptSnapshot]]:
    """The attempts of these orders, oldest first."""
    found: dict[int, list[AttemptSnapshot]] = {}
    if order_ids:
        for row in await tx.fetch(READ_ATTEMPTS, order_ids):
            found.setdefault(row["order_id"], []).append(_attempt_snapshot(row))
    return found


async def wallets_of(tx: Tx, order_ids: Sequence[int]) -> set[int]:
    """The wallets that these orders were paid from."""
    return {row[0] for row in await tx.fetch(WALLETS_OF, order_ids)}


async def count_rivals(tx: Tx, order_id: int, number: int) -> int:
    """Count the other attempts and trials at the provider, a day before or after, that may stand in its list."""
    return int(await tx.fetchval(COUNT_RIVALS, order_id, number))


async def count_resend(tx: Tx, order_id: int, number: int) -> int | None:
    """Count one more resend of an attempt that is open. Returns how many that are now."""
    count: int | None = await tx.fetchval(COUNT_RESEND, order_id, number)
    return count


async def renew(tx: Tx, order_ids: Collection[int], lease_s: float) -> set[int]:
    """Keep the leases of these orders for `lease_s` more. Returns those that were still held."""
    return {row[0] for row in await tx.fetch(RENEW, list(order_ids), lease_s)}


async def correct_jumped_clock(tx: Tx, longest_lease_s: float) -> int:
    """Make due what a jumped clock has put off. Returns how many orders that were."""
    return int((await tx.execute(CORRECT_JUMPED_CLOCK, longest_lease_s)).removeprefix("UPDATE "))


async def hand_back(tx: Tx, order_ids: Collection[int]) -> None:
    """Make these orders due now, where they are still leased."""
    await tx.execute(HAND_BACK, list(order_ids))


class _NewAttempt(msgspec.Struct, gc=False):
    order_id: int
    number: int
    provider: str
    reference: str
    cost_minor: int
    provider_code: str
    type: str


class _Correction(msgspec.Struct, gc=False):
    id: int
    state: OrderState
    attempts: int
    leased: bool
    due_in_s: float | None


class _OrderChange(msgspec.Struct, gc=False):
    id: int
    state: OrderState
    due_in_s: float | None
    balance_after_minor: int | None


class _AttemptChange(msgspec.Struct, gc=False):
    order_id: int
    number: int
    state: AttemptState
    asked: int
    elsewhere: bool
    again: bool
    cost_minor: int
    text: str
    provider_reference: str | None


class _Note(msgspec.Struct, gc=False):
    order_id: int
    text: str


class _ByHand(msgspec.Struct, gc=False):
    order_id: int
    number: int


class LateReportRow(msgspec.Struct, gc=False):
    """A late report, as it is written."""

    id: int
    order_id: int
    attempt: int
    provider: str
    delivered: bool
    amount_minor: int
    text: str


async def write_steps(tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Step]) -> None:
    new: list[_NewAttempt] = []
    corrections: list[_Correction] = []
    notes: list[_Note] = []
    for claim, step in zip(claims, steps, strict=True):
        count = len(claim.attempts)
        match step:
            case Deliver():
                new.append(_new_attempt(claim.id, step.chosen.provider.name, step))
                if count:
                    corrections.append(_Correction(claim.id, OrderState.DELIVERING, step.number, True, None))
            case Presume():
                new.append(_new_attempt(claim.id, step.provider, step))
                corrections.append(_Correction(claim.id, OrderState.WAITING, step.number, False, 0.0))
                notes.append(_Note(claim.id, step.why))
            case Reschedule():
                corrections.append(_Correction(claim.id, step.state, count, False, step.after_s))
            case Escalate():
                corrections.append(_Correction(claim.id, OrderState.REVIEW, count, False, None))
                notes.append(_Note(claim.id, step.why))
            case _ if not count:
                corrections.append(_Correction(claim.id, OrderState.DELIVERING, 0, True, None))
            case _:
                pass
    if new:
        await _write_attempts(tx, new, claims[0].now)
    if corrections:
        await tx.execute(CORRECT_CLAIMED, rows(corrections), [correction.id for correction in corrections])
    if notes:
        await tx.execute(WRITE_NOTES, rows(notes))


async def write_first_attempts(tx: Tx, claims: Sequence[ClaimedOrder], steps: Sequence[Deliver]) -> None:
    """Write the first attempts of orders that this transaction places (orders/taking.py)."""
    new = [_new_attempt(claim.id, step.chosen.provider.name, step) for claim, step in zip(claims, steps, strict=True)]
    await _write_attempts(tx, new, claims[0].now)


async def _write_attempts(tx: Tx, new: Sequence[_NewAttempt], now: datetime) -> None:
    await tx.execute(WRITE_ATTEMPTS, rows(new), now)
    last = new[-1]
    remember(tx, Fact(FactKind.ATTEMPT, last.order_id, part=last.number, at=now, reference=last.reference))


def _new_attempt(order_id: int, provider: str, step: Deliver | Presume) -> _NewAttempt:
    return _NewAttempt(order_id, step.number, provider, step.reference, step.cost.minor, step.provider_code, step.type)


async def read_by_hand(tx: Tx, locked_orders: Iterable[LockedOrder]) -> None:
    """Set `by_hand` and `reported` of the attempts of these orders."""
    attempts = {(locked.id, attempt.number): attempt for locked in locked_orders for attempt in locked.attempts}
    for row in await tx.fetch(BY_HAND, list({order_id for order_id, _ in attempts})):
        attempt = attempts[row["order_id"], row["number"]]
        attempt.by_hand, attempt.reported = row["by_hand"], row["reported"]


async def write_late_reports(tx: Tx, reports: Sequence[LateReportRow]) -> None:
    await tx.execute(WRITE_LATE_REPORTS, rows(reports))


class Superseded(Exception):
    """An order that was not read is not as its worker left it: it has to be read."""


async def write_delivered(tx: Tx, assumed: Sequence[LockedOrder]) -> None:
    """Write what has become of orders that were not read: each is delivered by its first attempt. Raises Superseded."""
    by_text: dict[str, list[int]] = {}
    for locked in sorted(assumed, key=lambda locked: locked.id):
        if not locked.plainly_delivered:
            raise Superseded
        by_text.setdefault(locked.attempts[0].text, []).append(locked.id)
    for text, numbers in by_text.items():
        for statement, values in ((DELIVER_ORDERS, (numbers,)), (DELIVER_FIRST_ATTEMPTS, (numbers, text))):
            if await tx.execute(statement, *values) != f"UPDATE {len(numbers)}":
                raise Superseded
    _remember_final(tx, assumed[-1])


def _remember_final(tx: Tx, locked: LockedOrder) -> None:
    now = datetime.now(UTC)
    # Now, as well as one may know it here: somebody may have changed the order's own time.
    at = max(locked.created_at or now, now)
    remember(tx, Fact(FactKind.ORDER, locked.id, at=at, final=True, reference=locked.reference))


async def write_orders(tx: Tx, locked_orders: Iterable[LockedOrder], balances: dict[int, int]) -> None:
    changes: list[_OrderChange] = []
    attempts: list[_AttemptChange] = []
    notes: list[_Note] = []
    by_hand: list[_ByHand] = []
    for locked in locked_orders:
        if locked.changed:
            changes.append(_OrderChange(locked.id, locked.state, locked.due_in_s, balances.get(locked.id)))
            if locked.state.final:
                _remember_final(tx, locked)
            if locked.decided_by_hand:
                by_hand += [_ByHand(locked.id, attempt.number) for attempt in locked.attempts if attempt.by_hand]
        notes += [_Note(locked.id, text) for text in locked.notes]
        attempts += [
            _AttemptChange(
                locked.id,
                attempt.number,
                attempt.state,
                attempt.asked,
                attempt.elsewhere,
                attempt.again,
                attempt.cost_minor,
                attempt.text,
                attempt.provider_reference,
            )
            for attempt in locked.attempts
            if attempt.changed
        ]
    if changes:
        written = await tx.execute(CHANGE_ORDERS, rows(changes), [change.id for change in changes])
        if written != f"UPDATE {len(changes)}":
            raise InvariantBroken(f"{len(changes)} locked orders were to change: {written}")
    if attempts:
        await tx.execute(CHANGE_ATTEMPTS, rows(attempts), [attempt.order_id for attempt in attempts])
    if by_hand:
        await tx.execute(NOTE_BY_HAND, rows(by_hand), [attempt.order_id for attempt in by_hand])
    if notes:
        await tx.execute(WRITE_NOTES, rows(notes))


# Rows are taken apart in the order of their columns and put together in that of the fields: a keyword for each would cost as much
# as all else of it.


def _claim_of(row: Any, attempts: list[AttemptSnapshot], doubtful: bool) -> ClaimedOrder:
    (
        order_id, reference, mode, wallet_id, kind, country, network, product_id, product, size, validity_days, subscriber,
        currency_code, face_minor, price_minor, cost_minor, state, _, _, now, due_at,
    ) = row  # fmt: skip
    currency = CURRENCIES[currency_code]
    return ClaimedOrder(
        order_id, reference, Mode(mode), wallet_id, kind, country, network, product_id, product, size, validity_days, subscriber,
        Money(face_minor, currency), Money(price_minor, currency), Money(cost_minor, currency), OrderState(state), now,
        attempts, doubtful, (now - due_at).total_seconds(),
    )  # fmt: skip


def _attempt_snapshot(row: Any) -> AttemptSnapshot:
    (
        _, number, provider, reference, state, asked, elsewhere, cost_minor, started_at, text, provider_reference,
        provider_code, type_, resent, again,
    ) = row  # fmt: skip
    return AttemptSnapshot(
        number,
        provider,
        reference,
        AttemptState(state),
        asked,
        elsewhere,
        cost_minor,
        started_at,
        text,
        provider_reference,
        provider_code=provider_code,
        type=type_,
        resent=resent,
        again=again,
    )


def _locked_order(row: Any, attempts: list[AttemptSnapshot], doubtful: bool) -> LockedOrder:
    order_id, reference, wallet_id, mode, price_minor, currency_code, state, position, created_at, kind, provisional = (
        row
    )
    price = Money(price_minor, CURRENCIES[currency_code])
    return LockedOrder(
        order_id,
        reference,
        wallet_id,
        Mode(mode),
        price,
        OrderState(state),
        attempts,
        position,
        doubtful=doubtful,
        created_at=created_at,
        kind=kind,
        credited=provisional == "open",
    )
