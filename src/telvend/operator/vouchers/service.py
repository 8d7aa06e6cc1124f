"""The verbs of vouchers: issue a batch, stop it, mark and reserve single ones, see who is locked out.

Loading one is a refill: `refills/`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from telvend.database.connections import Database, Tx, clock
from telvend.errors import Busy, InvalidInput, InvariantBroken, NotFound
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.log import get
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.periodic import PeriodicTask
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import Secret
from telvend.kit.text import require_text
from telvend.operator.vouchers import store
from telvend.operator.vouchers.guard import store as guard_store
from telvend.operator.vouchers.guard.model import Guard, Guarded
from telvend.operator.vouchers.model import (
    MARKS,
    Batch,
    BatchState,
    Marked,
    NewVoucher,
    PinRefused,
    Voucher,
    VoucherState,
    serial_number,
    serial_text,
)
from telvend.operator.vouchers.pins import PinKey, PinKeys, new_pins
from telvend.operator.vouchers.store import Locked

AT_A_TIME: Final = 10_000
"""How many vouchers are written with one transaction."""

LARGEST_BATCH: Final = 10_000_000
LARGEST_RANGE: Final = 1_000_000
LARGEST_PAGE: Final = 100_000
LONGEST_RESERVATION: Final = timedelta(days=7)
INTERRUPTED: Final = "interrupted before all PINs had been handed over"

_SWEEP_EVERY_S: Final = 5.0
_SWEPT_AT_ONCE: Final = 1000
# With a hundred million vouchers outstanding, one set of AT_A_TIME in ten thousand meets a PIN that is taken.
_TRIES: Final = 5

_log = get(__name__)


class Receiver(Protocol):
    """Where new vouchers go."""

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        """Take some more, in the order of their serials."""

    async def finish(self) -> None:
        """There are no more. Returns when all of them are safe: then they can be loaded."""


class Vouchers:
    """Vouchers of one shop. `start` it inside the event loop of a process that serves: then reservations end by themselves."""

    def __init__(
        self,
        database: Database,
        keys: PinKeys,
        *,
        clock: Clock | None = None,
        pins: Callable[[int], list[str]] = new_pins,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self.keys = keys
        self._clock = clock or SystemClock()
        self._pins = pins
        self._sweeping = PeriodicTask(
            "voucher reservations", self.sweep, self._clock, every_s=_SWEEP_EVERY_S, runtime=runtime
        )

    def start(self) -> None:
        """Begin to end reservations at their deadlines; from inside the event loop."""
        self._sweeping.start()

    async def close(self) -> None:
        await self._sweeping.close()

    # Batches ----------------------------------------------------------------------------------------------------------

    async def issue(
        self,
        amount: Money,
        count: int,
        receiver: Receiver,
        *,
        mode: Mode = Mode.LIVE,
        profile: str = "DB00",
        expires_at: datetime | None = None,
        at_a_time: int = AT_A_TIME,
    ) -> Batch:
        """Make `count` vouchers worth `amount`, and give them away, this once, some thousands at a time.

        Each is durable before it is handed over, and none can be loaded before all are safe with the receiver: then the batch
        becomes available. One that is interrupted leaves a batch that never is.
        Raises InvalidInput, KeyRefused, Busy, and what the receiver raises.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        if not 1 <= count <= LARGEST_BATCH:
            raise InvalidInput("count", f"must be from 1 to {LARGEST_BATCH}")
        if expires_at is not None and expires_at <= self._clock.now():
            raise InvalidInput("expires", "must be in the future")
        key = await self.keys.ready()
        async with self._database.transaction() as tx:
            batch = await store.open_batch(
                tx, mode=mode, amount=amount, profile=profile, count=count, expires_at=expires_at
            )
            if batch is None:
                raise InvalidInput("profile", f"there is no refill profile {profile!r}")
        try:
            async for vouchers in self._write(batch, key, at_a_time):
                await receiver.take(vouchers)
            await receiver.finish()
            return await self._make_available(batch.id)
        except BaseException:
            # Nothing of it was ever available. Where even this cannot be written, the batch says so by its numbers.
            with suppress(Busy):
                async with self._database.transaction() as tx:
                    await store.note_why(tx, batch.id, INTERRUPTED)
            raise

    async def _make_available(self, batch_id: int) -> Batch:
        async with self._database.transaction() as tx:
            found = await store.make_available(tx, batch_id)
        if found is None:
            raise InvalidInput("batch", f"{batch_id} was stopped while it was issued")
        _log.info("voucher_batch_available", batch=batch_id, vouchers=found.count)
        return found

    async def _write(self, batch: Batch, key: PinKey, at_a_time: int) -> AsyncIterator[Sequence[NewVoucher]]:
        serial = int(batch.first_serial)
        left = batch.count
        while left:
            count = min(left, at_a_time)
            for _ in range(_TRIES):
                pins = self._pins(count)
                hashed = [(serial + place, key.hash(pin)) for place, pin in enumerate(pins)]
                try:
                    async with self._database.transaction() as tx:
                        await store.add_vouchers(tx, batch.id, hashed)
                    break
                except store.PinTaken:
                    continue
            else:
                raise InvariantBroken("the generator of PINs repeats itself")
            yield [NewVoucher(serial_text(serial + place), Secret(pin)) for place, pin in enumerate(pins)]
            serial += count
            left -= count

    async def stop(self, batch_id: int, why: str) -> Batch:
        """Let none of a batch be loaded any more, for good. Refills that are under way are waited for. Raises NotFound, Busy."""
        async with self._database.transaction() as tx:
            found = await store.stop_batch(tx, batch_id, why)
        if found is None:
            raise NotFound("Batch")
        _log.info("voucher_batch_stopped", batch=batch_id, why=why)
        return found

    async def batches(
        self, *, mode: Mode | None = None, before: int | None = None, limit: int = 50
    ) -> list[tuple[Batch, int]]:
        """Batches, newest first, and how many vouchers of each were loaded."""
        async with self._database.connection() as tx:
            return await store.batches(tx, mode, before, limit)

    # Single ones ------------------------------------------------------------------------------------------------------

    async def find(self, serial: str) -> Voucher:
        """The voucher with this serial. Raises NotFound."""
        number = serial_number(serial)
        async with self._database.connection() as tx:
            found = None if number is None else await store.by_serial(tx, number)
        if found is None:
            raise NotFound("Voucher")
        return found

    async def listed(self, *, batch_id: int | None = None, after: str | None = None, limit: int = 50) -> list[Voucher]:
        """Vouchers by their serials; `after` is the last one seen."""
        async with self._database.connection() as tx:
            return await store.listed(tx, batch_id, serial_number(after or "0") or 0, min(limit, LARGEST_PAGE))

    async def mark(self, first: str, last: str, state: VoucherState) -> Marked:
        """Say of the vouchers from one serial to another that they are damaged, stolen, or available after all.

        One that was loaded stays so; one that is reserved is not any more. Raises InvalidInput.
        """
        if state not in MARKS:
            raise InvalidInput("state", f"must be one of {', '.join(sorted(MARKS))}")
        begin, end = serial_number(first), serial_number(last)
        if begin is None or end is None:
            raise InvalidInput("serial", "must be digits")
        if not 0 <= end - begin < LARGEST_RANGE:
            raise InvalidInput("serial", f"a range goes upwards and has at most {LARGEST_RANGE:,} serials")
        async with self._database.transaction() as tx:
            changed, used, examples = await store.mark(tx, begin, end, state)
        _log.info("vouchers_marked", first=first, last=last, state=state, vouchers=changed)
        return Marked(changed, used, end - begin + 1 - changed - used, tuple(map(serial_text, examples)))

    async def reserve(self, mode: Mode, pin: Secret, name: str, lasts: timedelta) -> Voucher:
        """Keep a voucher for `name`, who is about to load it: nobody else can until the deadline. Again: a later deadline.

        Raises InvalidInput, and PinRefused where it cannot be loaded or is reserved by somebody else.
        """
        require_text("name", name)
        if not timedelta(seconds=1) <= lasts <= LONGEST_RESERVATION:
            raise InvalidInput("seconds", f"must be from 1 to {int(LONGEST_RESERVATION.total_seconds())}")
        pin_hash = (await self.keys.ready_or_busy()).hash(pin.reveal())
        async with self._database.transaction() as tx:
            locked = await _lock(tx, mode, pin_hash)
            now = await clock(tx)
            state = locked.standing(now)
            if state is not VoucherState.AVAILABLE and not (
                state is VoucherState.RESERVED and locked.reservation == name
            ):
                raise PinRefused(state)
            await store.reserve(tx, locked.serial, name, now + lasts)
        return await self.find(serial_text(locked.serial))

    async def release(self, mode: Mode, pin: Secret, name: str) -> Voucher:
        """Give a reservation up. One that has ended by itself is no error. Raises PinRefused where it is somebody else's."""
        pin_hash = (await self.keys.ready_or_busy()).hash(pin.reveal())
        async with self._database.transaction() as tx:
            locked = await _lock(tx, mode, pin_hash)
            if locked.state == VoucherState.RESERVED:
                if locked.reservation != name:
                    raise PinRefused(VoucherState.RESERVED)
                await store.release(tx, locked.serial)
        return await self.find(serial_text(locked.serial))

    # Who is locked out ------------------------------------------------------------------------------------------------

    async def guards(self, limit: int = 50) -> list[Guard]:
        """For whom wrong PINs are counted, the last one first."""
        async with self._database.connection() as tx:
            return await guard_store.guards(tx, limit)

    async def unlock(self, kind: Guarded, subject: str) -> None:
        """Forget the wrong PINs of somebody; of a partner without a source (`live UUID`), at every source.

        Raises NotFound where none are counted.
        """
        async with self._database.transaction() as tx:
            gone = await guard_store.remove_guard(tx, (kind, subject))
            if kind is Guarded.PARTNER and subject.count(" ") == 1:
                gone |= await guard_store.remove_guards_at_every_source(tx, subject)
            if not gone:
                raise NotFound("Lock")
        _log.info("lock_removed", kind=kind)

    # Later work -------------------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """End reservations whose deadline is over, and forget old wrong PINs. Returns how many of the former. Raises Busy."""
        async with self._database.transaction() as tx:
            ended = await store.release_overdue(tx, _SWEPT_AT_ONCE)
            await guard_store.forget_guards(tx, _SWEPT_AT_ONCE)
        return ended


async def _lock(tx: Tx, mode: Mode, pin_hash: bytes) -> Locked:
    """Lock the voucher of this mode with this hash. Raises PinRefused where there is none."""
    locked = (await store.lock(tx, [pin_hash])).get(pin_hash)
    if locked is None or locked.batch.mode is not mode:
        raise PinRefused("unknown")
    return locked


def standing_of(batch: Batch) -> str:
    """Where a batch stands, in words for a person."""
    if batch.state is not BatchState.UNAVAILABLE:
        return f"{batch.state}: {batch.why}" if batch.why else str(batch.state)
    written = f"{batch.issued:,} of {batch.count:,} written"
    return f"unavailable: {batch.why} ({written})" if batch.why else f"unavailable: being issued, or killed ({written})"
