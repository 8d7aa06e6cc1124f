"""All SQL of fundings, of their notes, and of what gateways sent."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx
from telvend.database.due import claim_sql, correct_jumped_clock_sql
from telvend.funding.model import FIRST_ASK, Funding, FundingState
from telvend.gateways.contract import Method, Notice, Paid
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of

_NAMES: Final = (
    "id", "reference", "reseller_id", "wallet_id", "mode", "gateway", "method", "amount_minor", "currency", "redirect_url",
    "state", "attention", "payment_url", "gateway_reference", "channel", "bank", "position", "balance_before_minor",
    "balance_after_minor", "asked", "asked_at", "notices", "created_at", "expires_at", "updated_at", "completed_at",
)  # fmt: skip
_COLUMNS: Final = ", ".join(_NAMES)

CLAIM: Final = claim_sql(
    "funding",
    ", ".join(f"claimed.{name}" for name in _NAMES),
    "asked = before.asked + 1, asked_at = clock_timestamp()",
)

CORRECT_JUMPED_CLOCK: Final = correct_jumped_clock_sql("funding", written=("updated_at", "asked_at"))

PAID_ONCE: Final = "funding_paid_once"
"""The index that lets one payment at a gateway fill one wallet only."""


async def insert(
    tx: Tx,
    *,
    id: int,  # noqa: A002
    reference: str,
    reseller_id: UUID,
    wallet_id: int,
    mode: Mode,
    gateway: str,
    method: Method,
    amount: Money,
    redirect_url: str | None,
    position: int,
    balance: Money,
    expires_after_s: int,
) -> Funding:
    row = await tx.fetchrow(
        "insert into funding (id, reference, reseller_id, wallet_id, mode, gateway, method, amount_minor, currency,"
        " redirect_url, position, balance_before_minor, balance_after_minor, state, created_at, updated_at, expires_at,"
        " due_at) select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 'pending', clock.now, clock.now,"
        " clock.now + make_interval(secs => $13), clock.now + $14::interval from (select clock_timestamp() as now) as clock"
        f" returning {_COLUMNS}",
        id, reference, reseller_id, wallet_id, mode, gateway, method, amount.minor, amount.currency.code, redirect_url,
        position, balance.minor, float(expires_after_s), min(FIRST_ASK, timedelta(seconds=expires_after_s)),
    )  # fmt: skip
    return funding_in(row)


async def find(tx: Tx, funding_id: int) -> Funding | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from funding where id = $1", funding_id)
    return funding_in(row) if row else None


async def paid_by(tx: Tx, gateway: str, gateway_reference: str) -> Funding | None:
    """The funding that was credited for what the gateway calls so."""
    row = await tx.fetchrow(
        f"select {_COLUMNS} from funding where gateway = $1 and gateway_reference = $2 and state = 'completed'",
        gateway,
        gateway_reference,
    )
    return funding_in(row) if row else None


async def listed(
    tx: Tx,
    *,
    reseller_id: UUID | None,
    state: FundingState | None,
    attention: bool,
    before: int | None,
    limit: int,
) -> list[Funding]:
    """Fundings, newest first; `attention`: only those that a person has to look at."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from funding where ($1::uuid is null or reseller_id = $1) and ($2::text is null or state = $2)"
        " and (not $3 or attention) and ($4::bigint is null or id < $4) order by id desc limit $5",
        reseller_id, state, attention, before, limit,
    )  # fmt: skip
    return [funding_in(row) for row in rows]


async def pending_positions(tx: Tx, wallet_id: int) -> list[int]:
    """Where the wallet's pending fundings stand among its transactions, in order."""
    rows = await tx.fetch(
        "select position from funding where wallet_id = $1 and state = 'pending' order by position", wallet_id
    )
    return [row["position"] for row in rows]


async def claim(tx: Tx, limit: int, lease_s: float) -> list[Funding]:
    """Take up to `limit` due fundings in hand for `lease_s` seconds, oldest first."""
    return [funding_in(row) for row in await tx.fetch(CLAIM, limit, lease_s)]


async def correct_jumped_clock(tx: Tx) -> None:
    """Correct the due times of open fundings that were set by a clock that has jumped."""
    await tx.execute(CORRECT_JUMPED_CLOCK)


async def verification(tx: Tx, funding_id: int, lease_s: float, spacing_s: float = 0.0) -> Funding | None:
    """Take this one in hand, due or not; None where it was asked about less than `spacing_s` ago."""
    row = await tx.fetchrow(
        "update funding set asked = asked + 1, asked_at = clock_timestamp(), due_at ="
        " case when due_at is null then null else greatest(due_at, clock_timestamp() + make_interval(secs => $2)) end"
        " where id = $1 and (asked_at is null or asked_at <= clock_timestamp() - make_interval(secs => $3))"
        f" returning {_COLUMNS}",
        funding_id, lease_s, spacing_s,
    )  # fmt: skip
    return funding_in(row) if row else None


async def started(tx: Tx, funding_id: int, payment_url: str, gateway_reference: str | None) -> Funding | None:
    """Note the address where it can be paid. A funding that was credited in between keeps what its payment is called."""
    row = await tx.fetchrow(
        "update funding set payment_url = $2, gateway_reference = case when state = 'completed' then gateway_reference"
        f" else $3 end, updated_at = clock_timestamp() where id = $1 returning {_COLUMNS}",
        funding_id, payment_url, gateway_reference,
    )  # fmt: skip
    return funding_in(row) if row else None


async def complete(tx: Tx, funding: Funding, paid: Paid, before: Money, after: Money, *, pretended: bool) -> bool:
    """Say that it was credited, and whether its gateway pretended; False where it was before. The only way to COMPLETED."""
    return bool(
        await tx.fetchval(
            "update funding set state = 'completed', attention = false, gateway_reference = $2, channel = $3, bank = $4,"
            " balance_before_minor = $5, balance_after_minor = $6, due_at = null, updated_at = clock_timestamp(),"
            " completed_at = clock_timestamp(), pretended = $7 where id = $1 and state <> 'completed' returning true",
            funding.id, paid.gateway_reference, paid.channel, paid.bank, before.minor, after.minor,
            pretended,
        )
    )  # fmt: skip


async def end(tx: Tx, funding_id: int, state: FundingState) -> bool:
    """Say that nobody expects the money any more; False where it was not pending."""
    return bool(
        await tx.fetchval(
            "update funding set state = $2, attention = false, updated_at = clock_timestamp()"
            " where id = $1 and state = 'pending' returning true",
            funding_id, state,
        )
    )  # fmt: skip


async def postpone(tx: Tx, funding: Funding, due_at: datetime | None) -> None:
    """Say when to ask again. A notice that came while it was being asked makes it due at once."""
    await tx.execute(
        "update funding set due_at = case when notices <> $2 then clock_timestamp() else $3 end"
        " where id = $1 and state <> 'completed'",
        funding.id, funding.notices, due_at,
    )  # fmt: skip


async def suspect(tx: Tx, funding_id: int, text: str) -> bool:
    """Note what does not fit, and put it before a person; False where the same was noted before."""
    new = await note(tx, funding_id, text)
    if new:
        await tx.execute(
            "update funding set attention = true, updated_at = clock_timestamp() where id = $1", funding_id
        )
    return new


async def note(tx: Tx, funding_id: int, text: str) -> bool:
    """Write a note; False where it stands there already. What gateways say may be long, and hold what no text may."""
    return bool(
        await tx.fetchval(
            "insert into funding_note (funding_id, text) values ($1, $2) on conflict (funding_id, text) do nothing"
            " returning true",
            funding_id, text.replace("\x00", "")[:500],
        )
    )  # fmt: skip


async def notes_of(tx: Tx, funding_id: int) -> list[tuple[datetime, str]]:
    """What was noted about a funding, oldest first."""
    rows = await tx.fetch("select created_at, text from funding_note where funding_id = $1 order by id", funding_id)
    return [(row["created_at"], row["text"]) for row in rows]


async def calmed(tx: Tx, funding_id: int) -> None:
    """A person has looked."""
    await tx.execute(
        "update funding set attention = false, updated_at = clock_timestamp() where id = $1 and attention", funding_id
    )


# What gateways sent -----------------------------------------------------------------------------------------------------------


async def write_notice(tx: Tx, gateway: str, digest: bytes, notice: Notice, funding_id: int | None) -> bool:
    """Keep a notice; False where it is a copy of one that is kept, which then only counts."""
    return bool(
        await tx.fetchval(
            "insert into gateway_notice as known (gateway, digest, event, funding_id, concern, kept)"
            " values ($1, $2, $3, $4, $5, $6) on conflict (gateway, digest) do update"
            " set times = known.times + 1, last_at = now() returning times = 1",
            gateway, digest, notice.event[:100].replace("\x00", ""), funding_id, notice.concern,
            msgspec.json.encode(notice.kept).decode(),
        )
    )  # fmt: skip


async def wake(tx: Tx, funding_id: int) -> bool:
    """Have the gateway asked at once, because it sent something; False where the wallet has the money already."""
    return bool(
        await tx.fetchval(
            "update funding set notices = notices + 1, due_at = clock_timestamp() where id = $1 and state <> 'completed'"
            " returning true",
            funding_id,
        )
    )  # fmt: skip


async def notices_of(tx: Tx, funding_id: int) -> list[Mapping[str, Any]]:
    """What its gateway sent about a funding, oldest first: event, concern, kept, times, received_at, last_at."""
    rows = await tx.fetch(
        "select event, concern, kept, times, received_at, last_at from gateway_notice where funding_id = $1 order by id",
        funding_id,
    )
    return [dict(row) for row in rows]


async def stray_notices(tx: Tx, limit: int) -> list[Mapping[str, Any]]:
    """What gateways sent about nothing of ours, newest first: gateway, event, concern, kept, times, received_at, last_at."""
    rows = await tx.fetch(
        "select gateway, event, concern, kept, times, received_at, last_at from gateway_notice"
        " where funding_id is null and concern is not null order by id desc limit $1",
        limit,
    )
    return [dict(row) for row in rows]


def funding_in(row: Any) -> Funding:
    currency = currency_of(row["currency"])
    return Funding(
        id=row["id"],
        reference=row["reference"],
        reseller_id=UUID(bytes=row["reseller_id"].bytes),
        wallet_id=row["wallet_id"],
        mode=Mode(row["mode"]),
        gateway=row["gateway"],
        method=Method(row["method"]),
        amount=Money(row["amount_minor"], currency),
        redirect_url=row["redirect_url"],
        state=FundingState(row["state"]),
        attention=row["attention"],
        payment_url=row["payment_url"],
        gateway_reference=row["gateway_reference"],
        channel=row["channel"],
        bank=row["bank"],
        position=row["position"],
        balance_before=Money(row["balance_before_minor"], currency),
        balance_after=Money(row["balance_after_minor"], currency),
        asked=row["asked"],
        asked_at=row["asked_at"],
        notices=row["notices"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )
