"""Pauses of networks on a real database: several nodes, sales on trial, a person beside the judge, what stays as it was."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from telvend.catalog.model import Network
from telvend.catalog.pauses.model import BY_ITSELF, DELIVERED_AGAIN, PausePolicy, StepKind, Streak
from telvend.catalog.pauses.service import NetworkPauses
from telvend.catalog.service import Catalogue, install_builtin
from telvend.database.connections import Database
from telvend.errors import InsufficientBalance, InvalidInput, NotFound, ProductUnavailable
from telvend.kit.mode import Mode
from telvend.ledger.service import Ledger
from telvend.orders.model import Placement
from telvend.orders.service import Orders
from telvend.resellers.model import Caller
from tests.store.purchases import customer

POLICY = PausePolicy(after_s=60, attempts=3, retry_s=120, retry_sales=2)
FAILING = Streak(3, 0.0, 60.0, "did not reach the provider at vt")
BY_ESI: dict[str, str] = {"reason": "MTN called", "by_whom": "Esi"}


class Node:
    """What one process has: its own memory of the catalogue, its own lane."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.catalogue = Catalogue(database)
        self.pauses = NetworkPauses(database, POLICY)
        self.orders = Orders(database, Ledger(database), self.catalogue, pauses=self.pauses)

    async def look(self) -> None:
        """Do what the watch does four times a second."""
        async with self._database.connection() as tx:
            await self.catalogue.refresh(tx)

    def mtn(self, country: str = "GH") -> Network:
        network = self.catalogue.snapshot.network(country, "MTN")
        assert network is not None
        return network

    async def buy(self, buyer: Caller, reference: str | None = None) -> Placement:
        return await self.orders.buy_bundle(
            buyer, network=self.mtn(), size="1GB", subscriber="+233241234567", client_reference=reference, prefix="NPAPI"
        )  # fmt: skip


@dataclass
class Shop:
    """Two nodes and a reseller with GHS 100, who has test keys too."""

    database: Database
    nodes: tuple[Node, Node]
    live: Caller
    test: Caller

    async def fail(self, node: Node | None = None, streak: Streak = FAILING, country: str = "GH") -> None:
        """Report failures that have lasted until now."""
        node = node or self.nodes[0]
        await node.pauses.record({node.mtn(country).id: streak}, at=streak.last)

    async def pause(self) -> None:
        await self.fail()
        assert [step.kind for step in await self.nodes[0].pauses.judge()] == [StepKind.PAUSED]
        await self.look()

    async def put_on_trial(self) -> None:
        await self.pause()
        await self.pass_time()
        assert [step.kind for step in await self.nodes[1].pauses.judge()] == [StepKind.TRIAL]
        await self.look()

    async def pass_time(self) -> None:
        """Until the next trial is due."""
        async with self.database.connection() as tx:
            await tx.execute("update network_pause set retry_at = now() where retry_at is not null")

    async def deliver(self, node: Node | None = None) -> None:
        node = node or self.nodes[0]
        await node.pauses.record({node.mtn().id: Streak(delivered=0.0)}, at=0.0)

    async def look(self) -> None:
        for node in self.nodes:
            await node.look()

    async def trial_left(self) -> int:
        async with self.database.connection() as tx:
            return int(await tx.fetchval("select trial_left from network_pause where ended_at is null"))


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    async with database.transaction() as tx:
        await install_builtin(tx)
    found = await customer(database, ghs_minor=10_000)
    nodes = (Node(database), Node(database))
    reseller = found.reseller_id
    async with database.connection() as tx:
        play = await tx.fetchval(
            "select w.account_id from wallet w join account a on a.id = w.account_id"
            " where w.reseller_id = $1 and a.mode = 'test' and a.currency = 'GHS'",
            reseller,
        )
    key: Any = found.reseller_id
    live = Caller(reseller, 1, key, b"", "netpluse", Mode.LIVE, 60, 30, found.wallets)
    test = Caller(reseller, 1, key, b"", "netpluse", Mode.TEST, 60, 30, {"GHS": play})
    made = Shop(database, nodes, live, test)
    await made.look()
    for node in nodes:
        node.orders.start()
    yield made
    for node in nodes:
        await node.orders.close()


def network_states(node: Node) -> dict[str, bool]:
    return {f"{n.country} {n.code}": n.on_sale for n in node.catalogue.snapshot.everywhere}


async def test_a_network_that_delivers_nothing_is_off_sale_on_every_node_and_its_namesake_is_not(shop: Shop) -> None:
    first, second = shop.nodes
    sold = await first.buy(shop.live, "before")
    await shop.pause()
    for node in (first, second):
        states = network_states(node)
        assert states.pop("GH MTN") is False
        assert all(states.values())
        with pytest.raises(ProductUnavailable):
            await node.buy(shop.live, "new")
        with pytest.raises(ProductUnavailable):
            await node.buy(shop.test)
    again = await second.buy(shop.live, "before")
    assert (again.replayed, again.order.id) == (True, sold.order.id)


async def test_what_several_processes_have_seen_counts_together_and_is_judged_once(shop: Shop) -> None:
    first, second = shop.nodes
    await shop.fail(first, Streak(1, 0.0, 0.0, "failed"))
    await shop.fail(second, Streak(1, 0.0, 0.0, "failed"))
    assert await first.pauses.judge() == []
    async with shop.database.connection() as tx:
        await tx.execute(
            "update network_streak set failing_since = failing_since - interval '60 s', last_failed_at = last_failed_at"
        )
    await shop.fail(second, Streak(1, 0.0, 0.0, "failed"))
    judged = await asyncio.gather(*(node.pauses.judge() for node in shop.nodes * 4))
    assert [step.kind for steps in judged for step in steps] == [StepKind.PAUSED]
    (pause,) = await first.pauses.history()
    assert (pause.network, pause.country, pause.automatic, pause.by_whom) == ("MTN", "GH", True, BY_ITSELF)
    assert pause.reason == "nothing delivered for 1 minute: 3 attempts failed, the last one failed"


async def test_reports_at_the_same_moment_lose_nothing(shop: Shop) -> None:
    await asyncio.gather(*(shop.fail(node, Streak(1, 0.0, 0.0, "failed")) for node in shop.nodes * 8))
    async with shop.database.connection() as tx:
        assert await tx.fetchval("select failures from network_streak") == 16


async def test_a_delivery_that_any_process_has_seen_prevents_the_pause(shop: Shop) -> None:
    await shop.fail(shop.nodes[0])
    await shop.deliver(shop.nodes[1])
    assert await shop.nodes[0].pauses.judge() == []
    # Failures that are reported late, from before the delivery.
    await shop.fail(shop.nodes[0])
    assert await shop.nodes[0].pauses.judge() == []


async def test_a_paused_network_is_tried_with_so_many_sales_over_all_nodes_and_rests_again(shop: Shop) -> None:
    await shop.put_on_trial()
    assert network_states(shop.nodes[0])["GH MTN"]
    tried = await asyncio.gather(*(node.buy(shop.live) for node in shop.nodes * 5), return_exceptions=True)
    assert sum(isinstance(answer, Placement) for answer in tried) == POLICY.retry_sales
    assert sum(isinstance(answer, ProductUnavailable) for answer in tried) == 10 - POLICY.retry_sales
    await shop.look()
    assert [network_states(node)["GH MTN"] for node in shop.nodes] == [False, False]
    # They fail.
    await shop.fail(streak=Streak(2, 0.0, 0.0, "failed"))
    assert [step.kind for step in await shop.nodes[0].pauses.judge()] == [StepKind.TRIAL_OVER]
    assert await shop.nodes[0].pauses.judge() == []
    await shop.pass_time()
    assert [step.kind for step in await shop.nodes[0].pauses.judge()] == [StepKind.TRIAL]


async def test_the_network_sells_again_when_something_was_delivered(shop: Shop) -> None:
    await shop.put_on_trial()
    await shop.nodes[1].buy(shop.live)
    await shop.deliver()
    judged = await asyncio.gather(*(node.pauses.judge() for node in shop.nodes))
    assert [step.kind for steps in judged for step in steps] == [StepKind.RESUMED]
    await shop.look()
    for node in shop.nodes:
        assert network_states(node)["GH MTN"]
        for _ in range(3):
            await node.buy(shop.live)
    (past,) = await shop.nodes[0].pauses.history()
    assert (past.ended_by, past.end_reason, past.trial) == (BY_ITSELF, DELIVERED_AGAIN, 1)
    assert past.ended_at is not None


async def test_an_order_from_before_the_pause_that_is_delivered_ends_it_too(shop: Shop) -> None:
    await shop.pause()
    await shop.deliver(shop.nodes[1])
    assert [step.kind for step in await shop.nodes[0].pauses.judge()] == [StepKind.RESUMED]


async def test_a_sale_that_was_not_made_takes_nothing_from_the_trial(shop: Shop) -> None:
    node = shop.nodes[0]
    sold = await node.buy(shop.live, "known")
    await shop.put_on_trial()
    assert (await node.buy(shop.live, "known")).order.id == sold.order.id
    async with shop.database.connection() as tx:
        await tx.execute("update wallet set balance_minor = 0")
    for _ in range(5):
        with pytest.raises(InsufficientBalance):
            await node.buy(shop.live)
    assert await shop.trial_left() == POLICY.retry_sales


async def test_the_last_sale_of_a_trial_that_was_not_made_is_offered_again(shop: Shop) -> None:
    await shop.put_on_trial()
    pauses = shop.nodes[0].pauses
    mtn = shop.nodes[0].mtn().id
    tickets = [await pauses.take(mtn) for _ in range(3)]
    assert tickets[2] is None
    await shop.look()
    assert not network_states(shop.nodes[1])["GH MTN"]
    assert tickets[1] is not None
    await pauses.give_back(tickets[1])
    await shop.look()
    assert network_states(shop.nodes[1])["GH MTN"]
    assert await shop.trial_left() == 1


async def test_a_ticket_of_a_trial_that_is_over_gives_nothing_to_the_next(shop: Shop) -> None:
    await shop.put_on_trial()
    pauses = shop.nodes[0].pauses
    tickets = [await pauses.take(shop.nodes[0].mtn().id) for _ in range(2)]
    assert [step.kind for step in await pauses.judge()] == [StepKind.TRIAL_OVER]
    assert tickets[0] is not None
    await pauses.give_back(tickets[0])
    await shop.pass_time()
    await pauses.judge()
    await pauses.give_back(tickets[0])
    assert await shop.trial_left() == POLICY.retry_sales


async def test_test_keys_take_nothing_from_a_trial(shop: Shop) -> None:
    await shop.put_on_trial()
    with pytest.raises(InsufficientBalance):  # The test wallet is empty: it was offered to it.
        await shop.nodes[0].buy(shop.test)
    assert await shop.trial_left() == POLICY.retry_sales


async def test_a_persons_pause_is_lifted_by_a_person_alone(shop: Shop) -> None:
    node = shop.nodes[0]
    paused = await node.pauses.pause("mtn", country="gh", **BY_ESI)
    assert paused.pause is not None
    assert (paused.on_sale, paused.active) == (False, True)
    await shop.fail()
    await shop.deliver()
    async with shop.database.connection() as tx:
        await tx.execute("update network_pause set paused_at = paused_at - interval '1 year'")
    assert await node.pauses.judge() == []
    resumed, before = await node.pauses.resume("MTN", country="GH", reason="MTN is back", by_whom="Kofi")
    assert resumed.on_sale
    assert before is not None
    assert before.reason == "MTN called"
    (past,) = await node.pauses.history("MTN")
    assert (past.by_whom, past.ended_by, past.end_reason) == ("Esi", "Kofi", "MTN is back")


async def test_a_person_takes_an_automatic_pause_over(shop: Shop) -> None:
    await shop.pause()
    paused = await shop.nodes[0].pauses.pause("MTN", country="GH", **BY_ESI)
    assert paused.pause is not None
    assert not paused.pause.automatic
    await shop.deliver()
    assert await shop.nodes[0].pauses.judge() == []
    assert [item.by_whom for item in await shop.nodes[0].pauses.history()] == ["Esi", BY_ITSELF]
    # The same once more changes nothing; another reason is kept.
    assert await shop.nodes[0].pauses.pause("MTN", country="GH", **BY_ESI) == paused
    again = await shop.nodes[0].pauses.pause("MTN", country="GH", reason="still down", by_whom="Esi")
    assert again.pause is not None
    assert again.pause.reason == "still down"


async def test_after_a_person_has_resumed_a_network_its_old_failures_do_not_pause_it(shop: Shop) -> None:
    await shop.pause()
    await shop.nodes[0].pauses.resume("MTN", country="GH", reason="try", by_whom="Esi")
    assert await shop.nodes[0].pauses.judge() == []
    _, before = await shop.nodes[0].pauses.resume("MTN", country="GH", reason="try", by_whom="Esi")
    assert before is None


async def test_persons_and_the_judge_at_once_leave_one_pause_at_most(shop: Shop) -> None:
    await shop.fail()
    first, second = shop.nodes
    await asyncio.gather(
        *(first.pauses.pause("MTN", country="GH", reason=f"call {number}", by_whom="Esi") for number in range(4)),
        *(second.pauses.judge() for _ in range(4)),
        *(second.pauses.resume("MTN", country="GH", reason="back", by_whom="Kofi") for _ in range(2)),
        *(shop.fail(second) for _ in range(4)),
    )
    async with shop.database.connection() as tx:
        assert await tx.fetchval("select count(*) from network_pause where ended_at is null") <= 1


async def test_switching_off_and_pausing_are_two_things(shop: Shop) -> None:
    node = shop.nodes[0]
    await node.pauses.pause("MTN", country="GH", **BY_ESI)
    on = await node.catalogue.switch_network("MTN", active=True, country="GH")
    assert on.active
    assert not on.on_sale
    await node.catalogue.switch_network("MTN", active=False, country="GH")
    resumed, _ = await node.pauses.resume("MTN", country="GH", reason="back", by_whom="Esi")
    assert not resumed.on_sale
    # A network that is off is not paused: nobody sells it.
    await shop.fail()
    assert await node.pauses.judge() == []


async def test_what_cannot_be_paused_is_refused(shop: Shop) -> None:
    pauses = shop.nodes[0].pauses
    with pytest.raises(NotFound):
        await pauses.pause("Foo", **BY_ESI)
    with pytest.raises(NotFound):
        await pauses.history("Foo")
    with pytest.raises(InvalidInput, match="country"):
        await pauses.pause("MTN", **BY_ESI)
    for reason in ("", "  ", "a\nb", "x" * 501):
        with pytest.raises(InvalidInput, match="reason"):
            await pauses.pause("MTN", country="GH", reason=reason, by_whom="Esi")
    assert await pauses.history() == []


async def test_a_failure_of_one_country_pauses_the_network_of_that_country(shop: Shop) -> None:
    await shop.fail(country="NG")
    (step,) = await shop.nodes[0].pauses.judge()
    assert (step.network.country, step.network.code) == ("NG", "mtn")
    await shop.look()
    assert network_states(shop.nodes[1])["GH MTN"]
    assert not network_states(shop.nodes[1])["NG mtn"]


async def test_pauses_are_listed_newest_first_and_go_on_from_a_number(shop: Shop) -> None:
    pauses = shop.nodes[0].pauses
    for number in range(5):
        await pauses.pause("Telecel", reason=f"call {number}", by_whom="Esi")
    listed = await pauses.history(limit=2)
    assert [item.reason for item in listed] == ["call 4", "call 3"]
    assert [item.reason for item in await pauses.history("telecel", before=listed[-1].id)] == [
        "call 2",
        "call 1",
        "call 0",
    ]
    assert await pauses.history(country="ng") == []
