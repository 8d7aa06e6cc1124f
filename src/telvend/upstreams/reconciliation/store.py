"""All SQL of reconciliations."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx
from telvend.kit.money import Currency, Money, currency_of, foreign_currency
from telvend.orders.model import AttemptState
from telvend.providers.upstream import LineStatus
from telvend.upstreams.reconciliation.leftovers import LeftoverLine, NextStep, line_of
from telvend.upstreams.reconciliation.model import Aspect, Comparison, Costs, Day, KnownAttempt, Reconciled, Side

_ATTEMPT: Final = """
    select order_id, order_reference, order_state, reseller_id, number, reference, provider_reference, state, started_at, kind,
        country, network, product, size, validity_days, type, provider_code, subscriber, currency, face_minor, cost_minor,
        unbooked, decided,
        extract(epoch from now() - started_at)::float8 as age_s
    from reconciled_attempt where provider = $1
"""

_RECORDED: Final = """
    select id, provider, day, zone, source, statement_digest, lines, attempts, matched, only_here, only_there, different, costs,
        by_whom, made_at
    from reconciliation
"""

_LINE: Final = (
    "number", "side", "aspects", "at", "reference", "provider_reference", "order_reference", "reseller_id", "here", "there",
    "there_says", "times", "subscriber", "there_subscriber", "product", "amount_minor", "amount_currency", "cost_minor",
    "cost_currency", "charged_minor", "charged_currency", "next_step",
)  # fmt: skip
_WRITE_LINE: Final = (
    f"insert into reconciliation_line (reconciliation_id, {', '.join(_LINE)})"
    f" values ({', '.join(f'${number}' for number in range(1, len(_LINE) + 2))})"
)
_LINES_AT_ONCE: Final = 5_000
_LONGEST_TEXT: Final = 500


async def attempts(tx: Tx, provider: str, begins_at: datetime, ends_at: datetime, day: Day) -> list[KnownAttempt]:
    """Every attempt and trial at a provider that began between these moments."""
    found = await tx.fetch(
        f"{_ATTEMPT} and started_at >= $2 and started_at < $3 order by started_at", provider, begins_at, ends_at
    )
    return [_attempt(row, day) for row in found]


async def kept_since(tx: Tx) -> datetime | None:
    """From when on all attempts are there; None where none was ever removed."""
    found: datetime | None = await tx.fetchval("select since from attempts_kept")
    return found


async def attempts_named(tx: Tx, provider: str, references: Sequence[str], day: Day) -> list[KnownAttempt]:
    """Every attempt and trial at a provider, of any time, with one of these references, ours or theirs. Reads all attempts."""
    found = await tx.fetch(
        f"{_ATTEMPT} and (reference = any($2::text[]) or provider_reference = any($2::text[]))", provider, references
    )
    return [_attempt(row, day) for row in found]


async def currencies(tx: Tx, provider: str) -> list[Currency]:
    """The currencies of what was sent to a provider. Reads all attempts."""
    return [
        currency_of(row["currency"])
        for row in await tx.fetch("select distinct currency from reconciled_attempt where provider = $1", provider)
    ]


async def used_since(tx: Tx, provider: str, since: datetime, until: datetime) -> bool:
    """Whether anything was sent to a provider between these moments."""
    return bool(
        await tx.fetchval(
            "select exists (select from reconciled_attempt where provider = $1 and started_at >= $2 and started_at < $3)",
            provider,
            since,
            until,
        )
    )


def _attempt(row: Any, day: Day) -> KnownAttempt:
    started_at = row["started_at"]
    return KnownAttempt(
        order_id=row["order_id"],
        order_reference=row["order_reference"],
        order_state=row["order_state"],
        reseller_id=row["reseller_id"],
        number=row["number"],
        reference=row["reference"],
        provider_reference=row["provider_reference"],
        state=AttemptState(row["state"]),
        started_at=started_at,
        kind=row["kind"],
        country=row["country"],
        network=row["network"],
        product=row["product"],
        size=row["size"],
        validity_days=row["validity_days"],
        type=row["type"],
        provider_code=row["provider_code"],
        subscriber=row["subscriber"],
        currency=currency_of(row["currency"]),
        face_minor=row["face_minor"],
        cost_minor=row["cost_minor"],
        age_s=row["age_s"],
        on_day=day.has(started_at),
        unbooked=row["unbooked"],
        decided=row["decided"],
    )


class _Cost(msgspec.Struct):
    ledger: int
    charged: int
    unsaid: int = 0


async def write(
    tx: Tx, provider: str, day: Day, source: str, digest: str, report: Comparison, by_whom: str
) -> Reconciled:
    """Record what was found, with each line that is left over."""
    costs = {unit.code: _Cost(one.ledger_minor, one.charged_minor, one.unsaid) for unit, one in report.costs.items()}
    number = await tx.fetchval(
        "insert into reconciliation (provider, day, zone, source, statement_digest, lines, attempts, matched, only_here,"
        " only_there, different, costs, by_whom) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id",
        provider, day.calendar_date, day.zone, source, digest, report.lines, report.attempts, report.matched,
        len(report.of(Side.ONLY_HERE)), len(report.of(Side.ONLY_THERE)), len(report.of(Side.DIFFERENT)),
        msgspec.json.encode(costs).decode(), by_whom,
    )  # fmt: skip
    await _write_lines(tx, number, [line_of(one) for one in report.leftovers])
    return _recorded(await tx.fetchrow(f"{_RECORDED} where id = $1", number))


async def _write_lines(tx: Tx, reconciliation_id: int, lines: Sequence[LeftoverLine]) -> None:
    for start in range(0, len(lines), _LINES_AT_ONCE):
        rows = [
            [reconciliation_id, number, *_texts(one)]
            for number, one in enumerate(lines[start : start + _LINES_AT_ONCE], start + 1)
        ]
        await tx.executemany(_WRITE_LINE, rows)


def _texts(one: LeftoverLine) -> list[Any]:
    def pair(money: Money | None) -> list[Any]:
        return [None, None] if money is None else [money.minor, money.currency.code]

    def text(given: str) -> str:
        return given.replace("\0", "")[:_LONGEST_TEXT]

    return [
        one.side, [*one.aspects], one.at, text(one.reference), text(one.provider_reference), one.order, one.reseller_id,
        one.here or "", one.there or "", text(one.there_says), one.times, text(one.subscriber), text(one.there_subscriber),
        text(one.product), *pair(one.amount), *pair(one.cost), *pair(one.charged), one.step,
    ]  # fmt: skip


async def find(tx: Tx, reconciliation_id: int) -> Reconciled | None:
    row = await tx.fetchrow(f"{_RECORDED} where id = $1", reconciliation_id)
    return None if row is None else _recorded(row)


async def lines(tx: Tx, reconciliation_id: int, side: Side | None, after: int, limit: int) -> list[LeftoverLine]:
    """What a reconciliation has left over, after the line with this number, what may be lost first."""
    found = await tx.fetch(
        f"select {', '.join(_LINE)} from reconciliation_line where reconciliation_id = $1 and number > $2"
        " and ($3::text is null or side = $3) order by number limit $4",
        reconciliation_id, after, side, limit,
    )  # fmt: skip
    return [_line(row) for row in found]


def _line(row: Any) -> LeftoverLine:
    def money(name: str) -> Money | None:
        minor = row[f"{name}_minor"]
        return None if minor is None else Money(minor, foreign_currency(row[f"{name}_currency"]))

    return LeftoverLine(
        Side(row["side"]), tuple(map(Aspect, row["aspects"])), row["at"], row["reference"], row["provider_reference"],
        row["order_reference"], row["reseller_id"], AttemptState(row["here"]) if row["here"] else None,
        LineStatus(row["there"]) if row["there"] else None, row["there_says"], row["times"], row["subscriber"],
        row["there_subscriber"], row["product"], money("amount"), money("cost"), money("charged"), NextStep(row["next_step"]),
        row["number"],
    )  # fmt: skip


async def page(tx: Tx, provider: str | None, before: int | None, limit: int) -> list[Reconciled]:
    """What was recorded, newest first."""
    found = await tx.fetch(
        f"{_RECORDED} where ($1::text is null or provider = $1) and ($2::bigint is null or id < $2) order by id desc limit $3",
        provider,
        before,
        limit,
    )
    return [_recorded(row) for row in found]


async def last(tx: Tx, provider: str) -> Reconciled | None:
    """What was found last about the latest day that was reconciled with a provider."""
    row = await tx.fetchrow(f"{_RECORDED} where provider = $1 order by day desc, id desc limit 1", provider)
    return None if row is None else _recorded(row)


async def leftovers_since(tx: Tx, since: datetime) -> dict[tuple[str, date], int]:
    """The days that were reconciled since, by provider and day: how much the last reconciliation of each has left over."""
    found = await tx.fetch(
        "select distinct on (provider, day) provider, day, only_here + only_there + different as left_over from reconciliation"
        " where made_at >= $1 order by provider, day, id desc",
        since,
    )
    return {(row["provider"], row["day"]): row["left_over"] for row in found}


async def providers_since(tx: Tx, since: datetime) -> set[str]:
    """The providers that were sent anything since. Reads all attempts."""
    found = await tx.fetch("select distinct provider from reconciled_attempt where started_at >= $1", since)
    return {row["provider"] for row in found}


def _recorded(row: Any) -> Reconciled:
    day: date = row["day"]
    costs = {
        foreign_currency(code): Costs(cost.ledger, cost.charged, cost.unsaid)
        for code, cost in msgspec.json.decode(row["costs"], type=dict[str, _Cost]).items()
    }
    return Reconciled(
        row["id"], row["provider"], day, row["zone"], row["source"], row["statement_digest"], row["lines"], row["attempts"],
        row["matched"], row["only_here"], row["only_there"], row["different"], costs, row["by_whom"], row["made_at"],
    )  # fmt: skip
