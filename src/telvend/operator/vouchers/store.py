"""All SQL of batches and vouchers.

Whoever locks several things locks them in this order, so that two transactions never wait for each other: vouchers by their
serials, then batches by their ids, then guards by kind and subject (guard/).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from telvend.database.connections import Tx, rows
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.operator.vouchers.model import (
    FIRST_SERIAL,
    Batch,
    BatchState,
    Voucher,
    VoucherState,
    serial_text,
    state_of,
)

# Any number that nobody else uses: whoever makes the key or takes serials has it for the time being.
_ISSUING: Final = 7_370_533

_BATCH: Final = (
    "id, mode, currency, amount_minor, profile, first_serial, count, issued, state, why, expires_at, created_at"
)

_VOUCHER: Final = """
    select v.serial, v.batch_id, v.state, v.reservation, v.reserved_until, v.changed_at, b.mode, b.currency, b.amount_minor,
        b.profile, b.state as batch_state, b.expires_at, s.msisdn, r.reference as refill, now() as now
    from voucher v join voucher_batch b on b.id = v.batch_id
    left join subscriber s on s.id = v.subscriber_id
    left join refill r on r.id = v.refill_id
"""


class PinTaken(Exception):
    """One of these PINs belongs to a voucher that there is already; the transaction is lost."""


# The key ------------------------------------------------------------------------------------------------------------------


async def hold_issuing_off(tx: Tx) -> None:
    """Until this transaction ends nobody else makes a key or takes serials."""
    await tx.execute("select pg_advisory_xact_lock($1)", _ISSUING)


async def recorded_key(tx: Tx) -> str | None:
    found = await tx.fetchval("select id from voucher_key")
    return None if found is None else str(found)


async def record_key(tx: Tx, key_id: str) -> None:
    await tx.execute("insert into voucher_key (id) values ($1)", key_id)


# Issuing ------------------------------------------------------------------------------------------------------------------


async def open_batch(
    tx: Tx, *, mode: Mode, amount: Money, profile: str, count: int, expires_at: datetime | None
) -> Batch | None:
    """A new batch with serials of its own, none written yet. None where there is no such refill profile."""
    await hold_issuing_off(tx)
    try:
        row = await tx.fetchrow(
            f"""
            insert into voucher_batch (mode, currency, amount_minor, profile, first_serial, count, expires_at)
            select $1, $2, $3, $4, coalesce(max(first_serial + count), {FIRST_SERIAL}), $5, $6 from voucher_batch
            returning {_BATCH}
            """,
            mode, amount.currency.code, amount.minor, profile, count, expires_at,
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError:
        return None
    return batch_of(row)


async def add_vouchers(tx: Tx, batch_id: int, vouchers: Sequence[tuple[int, bytes]]) -> None:
    """Write vouchers of a batch: serials, and hashes of PINs. Raises PinTaken."""
    try:
        await tx.copy_records_to_table(
            "voucher",
            records=[(serial, batch_id, pin_hash) for serial, pin_hash in vouchers],
            columns=["serial", "batch_id", "pin_hash"],
        )
    except asyncpg.UniqueViolationError as error:
        raise PinTaken from error
    await tx.execute(
        "update voucher_batch set issued = issued + $2, changed_at = now() where id = $1", batch_id, len(vouchers)
    )


async def make_available(tx: Tx, batch_id: int) -> Batch | None:
    """Let a batch be loaded, if all of it was written and nobody has stopped it; else None."""
    row = await tx.fetchrow(
        "update voucher_batch set state = 'available', changed_at = now()"
        f" where id = $1 and state = 'unavailable' and issued = count returning {_BATCH}",
        batch_id,
    )
    return None if row is None else batch_of(row)


async def note_why(tx: Tx, batch_id: int, why: str) -> None:
    """Say of a batch that is not available why that is so."""
    await tx.execute(
        "update voucher_batch set why = $2, changed_at = now() where id = $1 and state = 'unavailable'", batch_id, why
    )


async def stop_batch(tx: Tx, batch_id: int, why: str) -> Batch | None:
    """Let none of a batch be loaded any more; whoever is loading one at this moment is waited for. None: no such batch."""
    row = await tx.fetchrow(
        f"update voucher_batch set state = 'stopped', why = $2, changed_at = now() where id = $1 returning {_BATCH}",
        batch_id, why,
    )  # fmt: skip
    return None if row is None else batch_of(row)


async def batches(tx: Tx, mode: Mode | None, before: int | None, limit: int) -> list[tuple[Batch, int]]:
    """Batches, newest first, and how many vouchers of each were loaded."""
    found = await tx.fetch(
        f"""
        select {_BATCH}, (select count(*) from refill r where r.serial >= b.first_serial
                          and r.serial < b.first_serial + b.count) as used
        from voucher_batch b where ($1::text is null or mode = $1) and ($2::bigint is null or id < $2)
        order by id desc limit $3
        """,
        mode, before, limit,
    )  # fmt: skip
    return [(batch_of(row), row["used"]) for row in found]


async def batch(tx: Tx, batch_id: int) -> Batch | None:
    row = await tx.fetchrow(f"select {_BATCH} from voucher_batch where id = $1", batch_id)
    return None if row is None else batch_of(row)


# Looking ------------------------------------------------------------------------------------------------------------------


async def by_serial(tx: Tx, serial: int) -> Voucher | None:
    row = await tx.fetchrow(f"{_VOUCHER} where v.serial = $1", serial)
    return None if row is None else voucher_of(row)


async def serial_of(tx: Tx, pin_hash: bytes) -> str | None:
    """The serial of the voucher with this hash. Locks nothing."""
    found = await tx.fetchval("select serial from voucher where pin_hash = $1", pin_hash)
    return None if found is None else serial_text(found)


async def listed(tx: Tx, batch_id: int | None, after: int, limit: int) -> list[Voucher]:
    """Vouchers by their serials, from above `after`; of one batch or of all."""
    if batch_id is None:
        found = await tx.fetch(f"{_VOUCHER} where v.serial > $1 order by v.serial limit $2", after, limit)
    else:
        # A batch is a range of serials: no index of its own is needed to find its vouchers.
        found = await tx.fetch(
            f"""{_VOUCHER} where v.serial > $1 and v.batch_id = $2
                and v.serial >= (select first_serial from voucher_batch where id = $2)
                and v.serial < (select first_serial + count from voucher_batch where id = $2)
            order by v.serial limit $3""",
            after, batch_id, limit,
        )  # fmt: skip
    return [voucher_of(row) for row in found]


# Marking and reserving ----------------------------------------------------------------------------------------------------


async def mark(tx: Tx, first: int, last: int, state: str) -> tuple[int, int, list[int]]:
    """Say of the vouchers between two serials what they are.

    Answers how many that were, how many had been loaded and stay so, and the first few of those.
    """
    row = await tx.fetchrow(
        """
        with locked as materialized (
            select serial, state from voucher where serial between $1 and $2 order by serial for update
        ), marked as (
            update voucher v set state = $3, reservation = null, reserved_until = null, changed_at = now()
            from locked where v.serial = locked.serial and locked.state <> 'used' returning v.serial
        )
        select (select count(*) from marked) as marked, count(*) as used, (array_agg(serial order by serial))[1:20] as first
        from locked where state = 'used'
        """,
        first, last, state,
    )  # fmt: skip
    return row["marked"], row["used"], row["first"] or []


async def reserve(tx: Tx, serial: int, name: str, until: datetime) -> None:
    await tx.execute(
        "update voucher set state = 'reserved', reservation = $2, reserved_until = $3, changed_at = now() where serial = $1",
        serial, name, until,
    )  # fmt: skip


async def release(tx: Tx, serial: int) -> None:
    await tx.execute(
        "update voucher set state = 'available', reservation = null, reserved_until = null, changed_at = now()"
        " where serial = $1 and state = 'reserved'",
        serial,
    )


async def release_overdue(tx: Tx, limit: int) -> int:
    """Clear reservations away whose deadline is over. Returns how many there were."""
    found = await tx.fetch(
        """
        with overdue as materialized (
            select serial from voucher where state = 'reserved' and reserved_until <= now()
            order by serial limit $1 for update skip locked
        )
        update voucher v set state = 'available', reservation = null, reserved_until = null, changed_at = now()
        from overdue where v.serial = overdue.serial returning v.serial
        """,
        limit,
    )
    return len(found)


# Loading ------------------------------------------------------------------------------------------------------------------

LOCK_VOUCHERS: Final = """
    select serial, batch_id, pin_hash, state, reservation, reserved_until, refill_id
    from voucher where pin_hash = any($1::bytea[]) order by serial for no key update
"""

# Shared: any number may load of a batch at once, and whoever stops it waits for them.
LOCK_BATCHES: Final = f"select {_BATCH} from voucher_batch where id = any($1::bigint[]) order by id for share"

USE_VOUCHERS: Final = """
    update voucher set state = 'used', reservation = null, reserved_until = null, subscriber_id = new.subscriber_id,
        refill_id = new.refill_id, changed_at = $2
    from json_to_recordset($1::text::json) as new(serial bigint, subscriber_id bigint, refill_id bigint)
    where voucher.serial = new.serial and voucher.serial = any($3::bigint[])
"""


class Locked(msgspec.Struct):
    """A voucher whose row this transaction has locked, with its batch. `state` is its own word."""

    serial: int
    batch: Batch
    state: str
    reservation: str | None
    reserved_until: datetime | None

    def standing(self, now: datetime) -> VoucherState:
        """Where it stands, batch and dates considered."""
        return state_of(self.state, self.batch.state, self.batch.expires_at, self.reserved_until, now)


class VoucherUse(msgspec.Struct, frozen=True, gc=False):
    """A voucher that is loaded: by which refill, for whom."""

    serial: int
    subscriber_id: int
    refill_id: int


async def lock(tx: Tx, hashes: Collection[bytes]) -> dict[bytes, Locked]:
    """Lock the vouchers with these hashes, in the order of their serials, and keep their batches as they are."""
    found = await tx.fetch(LOCK_VOUCHERS, list(hashes))
    if not found:
        return {}
    of = await tx.fetch(LOCK_BATCHES, list({row["batch_id"] for row in found}))
    by_id = {row["id"]: batch_of(row) for row in of}
    return {
        row["pin_hash"]: Locked(
            row["serial"], by_id[row["batch_id"]], row["state"], row["reservation"], row["reserved_until"]
        )
        for row in found
    }


async def use(tx: Tx, uses: Sequence[VoucherUse], now: datetime) -> None:
    """Write down who loaded which voucher."""
    await tx.execute(USE_VOUCHERS, rows(uses), now, [used.serial for used in uses])


# Rows ---------------------------------------------------------------------------------------------------------------------


def batch_of(row: Any) -> Batch:
    """The batch in a row of `_BATCH`."""
    return Batch(
        row["id"],
        Mode(row["mode"]),
        Money(row["amount_minor"], CURRENCIES[row["currency"]]),
        row["profile"],
        serial_text(row["first_serial"]),
        row["count"],
        row["issued"],
        BatchState(row["state"]),
        row["why"],
        row["expires_at"],
        row["created_at"],
    )


def voucher_of(row: Any) -> Voucher:
    """The voucher in a row of `_VOUCHER`."""
    return Voucher(
        serial_text(row["serial"]),
        row["batch_id"],
        Mode(row["mode"]),
        Money(row["amount_minor"], CURRENCIES[row["currency"]]),
        row["profile"],
        state_of(row["state"], BatchState(row["batch_state"]), row["expires_at"], row["reserved_until"], row["now"]),
        row["expires_at"],
        row["reservation"],
        row["reserved_until"],
        row["msisdn"],
        row["refill"],
        row["changed_at"],
    )
