"""Issuing on a real database: nothing is loaded before all was handed over, and the key is remembered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput, InvariantBroken, NotFound
from telvend.kit.keyfile import KeyRefused, key_text, new_key
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.operator.vouchers.model import Batch, BatchState, NewVoucher, PinRefused, VoucherState
from telvend.operator.vouchers.pins import FILE, PinKeys, new_pins
from telvend.operator.vouchers.service import INTERRUPTED, LARGEST_BATCH, Vouchers, standing_of
from tests.store.refills import HUNDRED, WRONG, Kept, Network, network


@pytest.fixture
async def net(database: Database, tmp_path: Path) -> AsyncIterator[Network]:
    opened = await network(database, tmp_path)
    yield opened
    await opened.close()


async def the_batch(net: Network) -> Batch:
    ((batch, _),) = await net.vouchers.batches()
    return batch


# Issuing ------------------------------------------------------------------------------------------------------------------


async def test_a_batch_is_handed_over_piece_by_piece_and_then_available(net: Network) -> None:
    kept = Kept()
    batch = await net.vouchers.issue(HUNDRED, 25, kept, at_a_time=10)
    assert (batch.state, batch.count, batch.issued) == (BatchState.AVAILABLE, 25, 25)
    assert kept.finished
    assert [int(voucher.serial) for voucher in kept.vouchers] == list(
        range(int(batch.first_serial), int(batch.first_serial) + 25)
    )
    assert len(set(kept.pins)) == 25
    next_batch, _ = await net.issue(3)
    assert int(next_batch.first_serial) == int(batch.first_serial) + 25
    found = await net.vouchers.listed(batch_id=batch.id, limit=10)
    assert [voucher.serial for voucher in found] == [voucher.serial for voucher in kept.vouchers[:10]]
    found = await net.vouchers.listed(batch_id=batch.id, after=found[-1].serial)
    assert len(found) == 15
    assert len(await net.vouchers.listed(after=batch.first_serial)) == 27
    await net.check_books()


async def test_no_pin_stands_in_the_database(net: Network) -> None:
    _, pins = await net.issue(5)
    await net.load(pins[0], "T-000001")
    for table in ("voucher", "voucher_batch", "refill", "pin_guard", "bucket_posting"):
        text = str(await net.value(f"select coalesce(json_agg(t)::text, '') from {table} t"))
        assert not any(pin in text for pin in pins), table


async def test_nothing_can_be_loaded_before_everything_was_handed_over(net: Network) -> None:
    class Slow(Kept):
        async def finish(self) -> None:
            for pin in self.pins:
                with pytest.raises(PinRefused) as refused:
                    await net.refills.refill(net.ada.by_voucher(pin, source=pin))
                assert refused.value.reason == "unavailable"
            await Kept.finish(self)

    kept = Slow()
    await net.vouchers.issue(HUNDRED, 4, kept, at_a_time=2)
    await net.load(kept.pins[0])
    await net.check_books()


class Breaks(Kept):
    """Takes ten, and no more."""

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        if len(self.vouchers) >= 10:
            raise OSError("disk full")
        await Kept.take(self, vouchers)


async def test_an_interrupted_batch_is_never_available_and_says_so(net: Network) -> None:
    kept = Breaks()
    with pytest.raises(OSError, match="disk full"):
        await net.vouchers.issue(HUNDRED, 30, kept, at_a_time=10)
    batch = await the_batch(net)
    assert (batch.state, batch.issued, batch.why) == (BatchState.UNAVAILABLE, 20, INTERRUPTED)
    assert standing_of(batch) == f"unavailable: {INTERRUPTED} (20 of 30 written)"
    with pytest.raises(PinRefused):
        await net.load(kept.pins[0])
    assert (await net.vouchers.find(batch.first_serial)).state is VoucherState.UNAVAILABLE
    await net.check_books()


async def test_a_cancelled_batch_is_interrupted_too(net: Network) -> None:
    finishing = asyncio.Event()

    class Waits(Kept):
        async def finish(self) -> None:
            finishing.set()
            await asyncio.sleep(60)

    issuing = asyncio.create_task(net.vouchers.issue(HUNDRED, 3, Waits()))
    await finishing.wait()
    issuing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await issuing
    assert (await the_batch(net)).why == INTERRUPTED


async def test_one_that_was_stopped_meanwhile_does_not_become_available(net: Network) -> None:
    class Stops(Kept):
        async def finish(self) -> None:
            await net.vouchers.stop((await the_batch(net)).id, "misprinted")

    with pytest.raises(InvalidInput, match="stopped"):
        await net.vouchers.issue(HUNDRED, 3, Stops())
    assert (await the_batch(net)).state is BatchState.STOPPED


async def test_a_pin_that_is_taken_is_made_again(net: Network) -> None:
    _, taken = await net.issue(3)
    given = iter([[taken[0], WRONG], [WRONG, "1" * 16]])
    vouchers = Vouchers(net.database, net.vouchers.keys, pins=lambda _: next(given))
    kept = Kept()
    batch = await vouchers.issue(HUNDRED, 2, kept)
    assert kept.pins == [WRONG, "1" * 16]
    assert batch.issued == 2
    await net.check_books()


async def test_a_generator_that_repeats_itself_is_noticed(net: Network) -> None:
    _, taken = await net.issue(3)
    vouchers = Vouchers(net.database, net.vouchers.keys, pins=lambda count: taken[:count])
    with pytest.raises(InvariantBroken):
        await vouchers.issue(HUNDRED, 2, Kept())


async def test_two_that_issue_at_once_have_serials_of_their_own(net: Network) -> None:
    issued = await asyncio.gather(*(net.issue(50, at_a_time=7) for _ in range(4)))
    starts = sorted(int(batch.first_serial) for batch, _ in issued)
    assert starts == [starts[0] + 50 * number for number in range(4)]
    assert len({pin for _, pins in issued for pin in pins}) == 200
    await net.check_books()


@pytest.mark.parametrize(
    ("amount", "count", "more"),
    [
        (Money(0, NGN), 1, {}),
        (HUNDRED, 0, {}),
        (HUNDRED, LARGEST_BATCH + 1, {}),
        (HUNDRED, 1, {"profile": "NONE"}),
        (HUNDRED, 1, {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}),
    ],
)
async def test_what_cannot_be_issued(net: Network, amount: Money, count: int, more: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        await net.vouchers.issue(amount, count, Kept(), **more)  # type: ignore[arg-type]
    assert await net.count("voucher_batch") == 0


# The key ------------------------------------------------------------------------------------------------------------------


async def test_another_key_is_refused_with_a_sentence(net: Network, tmp_path: Path) -> None:
    _, (pin,) = await net.issue()
    (tmp_path / "elsewhere").mkdir()
    others = [
        PinKeys(net.database, tmp_path / "elsewhere"),
        PinKeys(net.database, tmp_path, Secret(key_text(new_key()))),
    ]
    for keys in others:
        with pytest.raises(
            KeyRefused, match=r"hashed with voucher key [0-9a-f]{16}, which is not in .*; bring it back"
        ):
            await keys.ready()
    assert not (tmp_path / "elsewhere" / "secret").exists(), "no key is made where one is missing"
    # With an older key behind a newer one, or the right one in the settings, everything goes on.
    right = (net.data_dir / FILE).read_text().strip()
    keys = PinKeys(net.database, tmp_path / "elsewhere", Secret(f"{key_text(new_key())} {right}"))
    assert (await keys.ready()).hash(pin) == (await net.vouchers.keys.ready()).hash(pin)


async def test_several_who_make_the_first_key_make_one(database: Database, tmp_path: Path) -> None:
    found = await asyncio.gather(*(PinKeys(database, tmp_path).ready() for _ in range(4)))
    assert len({key.id for key in found}) == 1


async def test_without_any_voucher_a_request_makes_no_key(net: Network) -> None:
    with pytest.raises(PinRefused):
        await net.load(WRONG)
    assert not (net.data_dir / FILE).exists()
    assert await net.count("voucher_key") == 0


# Marking ------------------------------------------------------------------------------------------------------------------


async def test_vouchers_are_marked_by_serial_or_range_and_what_was_loaded_stays(net: Network) -> None:
    batch, pins = await net.issue(5)
    first = int(batch.first_serial)
    await net.load(pins[1])
    await net.vouchers.reserve(Mode.LIVE, Secret(pins[2]), "till", timedelta(minutes=5))
    done = await net.vouchers.mark(str(first), str(first + 6), VoucherState.STOLEN)
    assert (done.changed, done.used, done.unknown, done.examples) == (4, 1, 2, (str(first + 1).zfill(12),))
    states = [voucher.state for voucher in await net.vouchers.listed()]
    assert states == [VoucherState.STOLEN, VoucherState.USED, *[VoucherState.STOLEN] * 3]
    await net.vouchers.mark(str(first), str(first), VoucherState.AVAILABLE)
    await net.load(pins[0])
    await net.check_books()


@pytest.mark.parametrize(
    ("first", "last", "state"),
    [("2", "1", "stolen"), ("x", "1", "stolen"), ("1", "5000000", "stolen"), ("1", "1", "used"), ("1", "1", "expired")],
)
async def test_what_cannot_be_marked(net: Network, first: str, last: str, state: str) -> None:
    with pytest.raises(InvalidInput):
        await net.vouchers.mark(first, last, VoucherState(state))


async def test_what_is_not_there_is_not_found(net: Network) -> None:
    for serial in ("1", "x", "9" * 30):
        with pytest.raises(NotFound):
            await net.vouchers.find(serial)
    with pytest.raises(NotFound):
        await net.vouchers.stop(77, "")


async def test_the_generator_of_the_shop_is_the_systems(net: Network) -> None:
    assert net.vouchers._pins is new_pins
