"""The operator's side: plan reads, refills and vouchers, against the same server and the same yardstick as the sales."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.load import Load, drive
from bench.report import Quantity, Target, at_least
from bench.session import Bench, no_errors, speed_of
from bench.testbed import LIMIT_PER_MINUTE, BooksWrong, Testbed
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money

MANY: Final = 1_000_000
SPREAD: Final = 1000
CONNECTIONS: Final = 256
PARTNERS: Final = 20
_FIRST: Final = 8_030_000_000
_WALLET: Final = Money(10**13, NGN)

# What `telvend subscriber add` and a refill of 100.00 would have written, for a million subscribers in one statement each.
_ADD = """
    insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)
    select 'live', '+234' || n, 'NG', 'NGN', 'PulsePlus', now() + interval '90 days', now() + interval '180 days'
    from generate_series($1::bigint, $2::bigint) n on conflict do nothing
"""
_FILL = """
    with made as (
        insert into bucket (id, subscriber_id, kind, main, name, balance, postings, starts_at)
        select nextval('bucket_number'), s.id, 'money', true, 'Main account', 10000, 1, now() from subscriber s
        where s.mode = 'live' and s.msisdn like '+23480%'
          and not exists (select from bucket b where b.subscriber_id = s.id and b.main)
        returning id
    )
    insert into bucket_posting (bucket_id, number, kind, change, balance_after, cause)
    select id, 1, 'adjust', 10000, 10000, 'bench' from made
"""


async def plans(bench: Bench, name: str, what: str, *, subscribers: int) -> None:
    """Reads of plans: of the only subscriber there is, or of a million in turn."""
    await bench.serve()
    testbed = bench.testbed
    key = await _key(testbed)
    bench.say(f"adding {subscribers:,} subscribers")
    await _subscribers(testbed, subscribers)
    # A step that meets every subscriber, in no order that a cache of pages could guess.
    numbers = (_FIRST + position * 617_369 % subscribers for position in itertools.count())
    load, beside = await _measured(bench, what, _reads(key, numbers))
    speed = speed_of(name, what, load, beside)
    speed.targets = [at_least(speed.ratio, 1.2), no_errors(load)]
    alone = next((one for one in bench.report.speeds if one.part == "plans-1"), None)
    if alone is not None and subscribers > 1:
        share = speed.ratio / alone.ratio
        speed.targets.append(Target(f"{share:.2f} of the figure with one subscriber, ≥ 0.85", share >= 0.85))
    bench.report.speeds.append(speed)


async def refills(bench: Bench, name: str, what: str, *, subscribers: int) -> None:
    """Voucherless refills, each under a transactionId of its own, and whether each was loaded exactly once."""
    await bench.serve()
    testbed = bench.testbed
    keys = [await _key(testbed) for _ in range(min(subscribers, PARTNERS))]
    await _subscribers(testbed, subscribers)
    before = await _refilled(testbed)
    load, beside = await _measured(bench, what, _refills(keys, subscribers))
    bench.say("checking the books")
    written = await _refilled(testbed) - before
    if written != load.succeeded:
        raise BooksWrong(f"{load.succeeded} refills were acknowledged and {written} are in the database.")
    report = await testbed.command("ledger", "check")
    if not report.get("ok"):
        raise BooksWrong(f"telvend ledger check: {report}")
    speed = speed_of(name, what, load, beside)
    speed.targets = [at_least(speed.ratio, 0.7), no_errors(load)]
    bench.report.speeds.append(speed)


async def issue(bench: Bench, name: str, what: str) -> None:
    """A batch of a million vouchers, into a CSV file, with progress."""
    await bench.serve()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vouchers.csv"
        bench.say(f"issuing {MANY:,} vouchers")
        began = time.monotonic()
        await bench.testbed.command(
            "voucher", "issue", "--amount", "100", "--currency", "NGN", "--count", str(MANY), "--csv", str(file)
        )
        elapsed_s = time.monotonic() - began
        with file.open() as lines:
            count = sum(1 for _ in lines) - 1
    if count != MANY:
        raise BooksWrong(f"{MANY} vouchers were issued and {count} are in the file.")
    quantity = Quantity(part=name, what=what, value=elapsed_s, unit="s")
    quantity.notes["a second"] = f"{MANY / elapsed_s:,.0f}"
    bench.report.quantities.append(quantity)


async def _measured(bench: Bench, what: str, next_request: Callable[[], bytes]) -> tuple[Load, tuple[float, float]]:
    extent = bench.extent
    return await bench.beside(
        f"{what}, for {extent.seconds} s",
        lambda: drive(
            bench.testbed.port,
            connections=CONNECTIONS,
            next_request=next_request,
            seconds=extent.seconds,
            warm_up_s=extent.warm_up_s,
        ),
    )


async def _key(testbed: Testbed) -> str:
    """The key of a new partner with plenty of money."""
    async with testbed.shop() as shop:
        services = shop.services
        email = f"partner-{time.time_ns()}@bench.example"
        reseller = await services.resellers.add(email, "Bench", "08031234567")
        await services.credits.add(reseller.id, _WALLET, Mode.LIVE, "bench")
        _, text, _ = await services.resellers.add_key(email, "madapi", Mode.LIVE, LIMIT_PER_MINUTE, LIMIT_PER_MINUTE)
        return text.reveal()


async def _subscribers(testbed: Testbed, count: int) -> None:
    await testbed.rows(_ADD, _FIRST, _FIRST + count - 1)
    await testbed.rows(_FILL)
    await testbed.rows("analyze subscriber, bucket, bucket_posting")


async def _refilled(testbed: Testbed) -> int:
    return int(await testbed.value("select count(*) from refill"))


def _reads(key: str, numbers: Iterator[int]) -> Callable[[], bytes]:
    tail = f"/plans HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\n\r\n".encode()
    return lambda: b"GET /v2/customers/234%d%s" % (next(numbers), tail)


def _refills(keys: Sequence[str], subscribers: int) -> Callable[[], bytes]:
    body = b'{"refillType":"voucherless","refillProfileId":"DB00","transactionAmount":"1"}'
    heads = [
        f"/plans/refill HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\ntransactionid: ".encode()
        for key in keys
    ]
    stamp = b"%x" % (time.time_ns() // 1000 % 16**9)
    numbers = itertools.count()

    def next_request() -> bytes:
        number = next(numbers)
        return b"PATCH /v2/customers/234%d%s%s-%09d\r\n\r\n%s" % (
            _FIRST + number * 7919 % subscribers,
            heads[number % len(heads)],
            stamp,
            number,
            body,
        )

    return next_request
