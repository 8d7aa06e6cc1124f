"""kill -9 of everything, at every failpoint and in the middle of a stream of purchases.

Afterwards every acknowledged order is there and final, the provider's own book shows nothing delivered twice and nothing
delivered that was refunded, and the ledger holds. Live orders go to the simulator, whose numbers bring every accident,
or to our own network, as in a fresh shop.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Iterable

import pytest

from telvend.bootstrap import FAILPOINTS
from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop, load, purchase, wait_for
from tests.e2e.wire import Wire

# What is promised on a machine of its own; beside others it takes as much longer as there are more that want to run.
BACK_WITHIN_S = 5.0
PRICE_MINOR = 450
OPENING_MINOR = 100_000_000
AWAY = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)
# Most numbers are served at once; the others are accepted first, refused, time out, answer garbage, cannot be reached.
ENDINGS = (0, 0, 0, 0, 0, 0, 0, 2, 3, 4, 5, 6, 8, 10, 12, 14)
# Lost on the way without being delivered: asked about after 5 s and tried four times, which takes half a minute.
SLOW_ENDINGS = (7, 11, 13)


class Customers:
    """Clients that buy under references of their own and try again, under the same one, until they have an answer."""

    def __init__(self, shop: Shop, key: str) -> None:
        self.shop = shop
        self.key = key
        self.acknowledged: dict[str, str] = {}
        """Client's reference → ours, of every purchase that was answered."""
        self.retries = 0
        self.allowed = 10**9
        """How many purchases may have begun; the others wait for their accident."""
        self.begun = 0

    async def buy(self, bodies: Iterable[dict[str, str]], clients: int, *, patiently: bool = True) -> None:
        """Buy all of it. Without patience a purchase that is not answered is given up."""
        waiting = iter(bodies)

        async def customer() -> None:
            async with Wire(self.shop.port, self.key) as wire:
                for body in waiting:
                    self.begun += 1
                    while self.begun > self.allowed:  # noqa: ASYNC110 - twenty-four wait for a number to rise
                        await asyncio.sleep(0.01)
                    while not await self._try(wire, body) and patiently:
                        self.retries += 1
                        await asyncio.sleep(0.05)

        await asyncio.gather(*(customer() for _ in range(clients)))

    async def _try(self, wire: Wire, body: dict[str, str]) -> bool:
        try:
            reply = await wire.buy(body)
        except AWAY:
            return False
        if reply.status == 503:
            return False
        # 409 with our reference: an earlier try, whose answer was lost, had placed it.
        assert reply.status in (200, 409), reply
        ours = reply.json()["reference"]
        assert self.acknowledged.setdefault(body["reference"], ours) == ours
        return True


def delivered_by_the_simulator(shop: Shop) -> Counter[str]:
    """How often each order was delivered, as the simulator has it in its book."""
    deliveries: Counter[str] = Counter()
    for line in shop.check_books()[1]["lines"]:
        deliveries[line["reference"].rpartition("-")[0]] += line["deliveries"]
    return deliveries


def delivered_by_our_network(shop: Shop) -> Counter[str]:
    """How often each order was delivered, as the subscribers have it: one grant is one bundle."""
    assert shop.sql("select 1 from bucket_posting where kind <> 'grant'") == []
    wrong = "select * from bucket b where balance <> (select sum(change) from bucket_posting where bucket_id = b.id)"
    assert shop.sql(wrong) == []
    grants = shop.sql("select cause, count(*) from bucket_posting group by cause")
    taken = shop.sql("select reference, 1 from network_delivery where state = 'delivered'")
    assert sorted(grants) == sorted(taken)
    deliveries: Counter[str] = Counter()
    for reference, count in grants:
        deliveries[reference.rpartition("-")[0]] += count
    return deliveries


@pytest.fixture(params=["simulator", "own network"])
def shop(request: pytest.FixtureRequest, fresh_shop: Shop) -> Shop:
    """A shop whose live orders go to the simulator, and one as it comes."""
    if request.param == "own network":
        fresh_shop.settings = {}
    return fresh_shop


def check_everything(shop: Shop, customers: Customers, expected: Iterable[str]) -> Counter[str]:
    """What must hold after any accident. Answers how many orders ended in each state."""
    settled_s = shop.wait_until_final(60)
    ledger, _ = shop.check_books()
    orders = {row[0]: row for row in shop.sql("select client_reference, reference, state from orders")}
    assert sorted(orders) == sorted(expected)
    assert ledger["orders"] == len(orders)
    for client_reference, ours in customers.acknowledged.items():
        assert orders[client_reference][1] == ours
    deliveries = delivered_by_the_simulator(shop) if shop.settings else delivered_by_our_network(shop)
    assert set(deliveries) <= {ours for _, ours, _ in orders.values()}
    for _, ours, state in orders.values():
        assert deliveries[ours] == (1 if state == "delivered" else 0), ours
    states = Counter(state for _, _, state in orders.values())
    ((balance,),) = shop.sql("select max(balance_minor) from wallet where mode = 'live'")
    assert balance == OPENING_MINOR - PRICE_MINOR * states["delivered"]
    print(f"{len(orders)} orders {dict(states)}, all final after {settled_s:.1f} s, {customers.retries} retries")
    return states


@pytest.mark.timeout(300)  # A dozen starts of a server, each of them seconds where others want to run too.
async def test_a_server_killed_at_any_failpoint_loses_nothing_and_delivers_nothing_twice(
    shop: Shop, keys: Keys
) -> None:
    """One process, killed at each failpoint in turn, started again each time on what the last one left."""
    customers = Customers(shop, keys.ama)
    bodies: list[dict[str, str]] = []
    # Who delivers makes no difference to the lane.
    places = ("lane.", "attempt.", "settle.") if shop.settings else ("attempt.", "settle.", "subscribers.")
    for name in (name for name in FAILPOINTS if name.startswith(places)):
        count = 1 if name.startswith("settle") else 3
        shop.start(failpoints=f"{name}=kill@{count}", may_end=True)
        mine = [purchase(ending, f"{name} {number}") for number, ending in enumerate((0, 0, 0, 2, 6, 8, 12, 0) * 3)]
        bodies += mine
        await customers.buy(mine, clients=6, patiently=False)
        wait_for(shop.has_ended, 15, f"killed at {name}")
        print(f"killed at {name}: {len(customers.acknowledged)} of {len(bodies)} acknowledged so far")
    unanswered = len(bodies) - len(customers.acknowledged)
    assert unanswered > 0
    ready_s = shop.start()
    assert ready_s < patience_s()
    # Those that were never answered try again under the same references; half of the answered ones ask twice.
    await customers.buy(bodies[::2], clients=6)
    await customers.buy(bodies, clients=6)
    print(f"ready after {ready_s:.1f} s; {unanswered} unanswered were tried again")
    states = check_everything(shop, customers, [body["reference"] for body in bodies])
    assert states == {"delivered": len(bodies)}


async def accidents_in_a_stream(
    shop: Shop, keys: Keys, seed: int, purchases: int, endings: tuple[int, ...] = ENDINGS
) -> None:
    dice = random.Random(seed)
    print(f"seed {seed}")
    shop.start("--workers", "2")
    customers = Customers(shop, keys.ama)
    bodies = [purchase(dice.choice(endings), f"stream {number}") for number in range(purchases)]
    stream = asyncio.create_task(customers.buy(bodies, clients=24))

    async def until(acknowledged: float, allowed: float) -> None:
        """Until such a part has been acknowledged, and a little longer; no more than `allowed` may begin before then."""
        customers.allowed = int(allowed * purchases)
        while len(customers.acknowledged) < acknowledged * purchases and not stream.done():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await asyncio.sleep(dice.uniform(0, 0.1))
        assert not stream.done(), "all was bought before the accident"

    try:
        await until(0.15, 0.4)
        await timed("a worker", kill_worker(shop, dice))
        await until(0.4, 0.7)
        await timed("PostgreSQL", kill_postgres(shop))
        await until(0.7, 1)
        shop.kill()
        orphans_s = await asyncio.to_thread(wait_for, lambda: not shop.left_running(), 10, "nothing is orphaned")
        print(f"killed the server: the last of its processes had ended after {orphans_s:.1f} s")
        # From this thread, since the kernel ties the server's life to the thread that started it.
        await timed("the server", start_again(shop))
        await stream
    finally:
        stream.cancel()
    check_everything(shop, customers, [body["reference"] for body in bodies])


async def timed(what: str, back: Awaitable[None]) -> None:
    started = time.monotonic()
    await back
    took_s = time.monotonic() - started
    print(f"{what} was back after {took_s:.1f} s")
    assert took_s < patience_s()


def patience_s() -> float:
    return BACK_WITHIN_S * load()


async def start_again(shop: Shop) -> None:
    shop.start("--workers", "2")


async def kill_worker(shop: Shop, dice: random.Random) -> None:
    before = set(shop.worker_pids())
    victim = dice.choice(sorted(before))
    os.kill(victim, signal.SIGKILL)

    def back() -> bool:
        # The one that was not killed may be asked instead, so the new one is recognised by what it says of itself.
        new = set(shop.worker_pids()) - before
        return any(f"[{pid}]" in shop.log() for pid in new)

    await asyncio.to_thread(wait_for, back, 15, "a new worker")


async def kill_postgres(shop: Shop) -> None:
    before = shop.postgres_pid()
    os.kill(before, signal.SIGKILL)
    await asyncio.to_thread(wait_for, lambda: shop.postgres_pids() not in ([], [before]), 15, "a new PostgreSQL")
    await asyncio.to_thread(wait_for, shop.is_ready, 15, "ready")


async def test_a_thousand_purchases_survive_the_death_of_worker_database_and_server(shop: Shop, keys: Keys) -> None:
    await accidents_in_a_stream(shop, keys, seed=random.SystemRandom().randrange(10**6), purchases=1000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
async def test_many_streams_survive_accidents_at_other_moments(shop: Shop, keys: Keys, seed: int) -> None:
    await accidents_in_a_stream(shop, keys, seed=seed, purchases=3000, endings=(*ENDINGS, *SLOW_ENDINGS))


def test_a_server_that_is_told_to_stop_finishes_what_it_has_begun(fresh_shop: Shop, keys: Keys) -> None:
    fresh_shop.start()
    with fresh_shop.client(keys.ama) as client:
        for number in range(10):
            assert client.post("purchase", json=purchase(1, f"drained {number}")).status_code == 200
    assert fresh_shop.stop() == 0
    assert fresh_shop.left_running() == set()
    # The commands start the database for themselves now.
    assert fresh_shop.check_books()[1]["deliveries"] == 10
