"""A database that goes back: noticed before anything is sold on it, by every node, until somebody releases it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from telvend.database.connections import Database
from telvend.database.facts import Fact, FactKind, remember
from telvend.errors import Busy, InvalidInput, SalesHalted
from telvend.fulfilment.model import (
    ClaimedOrder,
    Deliver,
    Effect,
    FindProvider,
    FulfilmentPolicy,
    PersonVerdict,
    Presume,
    ProviderReport,
    Requery,
    Reschedule,
    Step,
)
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.rules import next_step, with_choice, with_doubt
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.service import Ledger
from telvend.orders.model import Order, Placement
from telvend.orders.placement import OrderPlacement
from telvend.providers.contract import Delivered, NotSent, Outcome, Reason, Refused
from telvend.sales.continuity import store
from telvend.sales.continuity.service import Continuity
from telvend.sales.gate import SalesGate
from telvend.wallets.journal import WalletJournal
from tests.conftest import Server
from tests.store.purchases import Customer, customer
from tests.store.refills import network
from tests.store.rewound import Past, past_of
from tests.store.test_fulfilment_store import CHOSEN, COST, claim_and
from tests.store.verifications import verification_shop


class Node:
    """One process of a node: it sells, looks, and remembers in `folder`."""

    def __init__(self, database: Database, folder: Path, name: str) -> None:
        self.database = database
        self.gate = SalesGate()
        self.halts: list[bool] = []
        self.continuity = Continuity(self.gate, folder, name, on_halted=self.halts.append)
        self.placement = OrderPlacement(database, self.gate)

    async def look(self) -> str | None:
        async with self.database.connection() as tx:
            await self.continuity.check(tx)
        return self.continuity.halted

    async def place(self, ama: Customer, reference: str) -> Placement | Exception:
        (answer,) = await self.placement.place_all([ama.wants(reference)])
        return answer

    async def sell(self, ama: Customer, reference: str) -> Order:
        answer = await self.place(ama, reference)
        assert isinstance(answer, Placement), answer
        return answer.order

    async def release(self, by: str = "Efua", reason: str = "compared with the providers") -> list[Any]:
        return await self.continuity.release(self.database, by=by, reason=reason)


@asynccontextmanager
async def started(url: str, folder: Path, name: str = "one") -> AsyncIterator[Node]:
    """A process that has just started: it has read its folder and compared it with the book."""
    database = await Database.open(url, pool_size=2)
    node = Node(database, folder, name)
    async with database.connection() as tx:
        await node.continuity.open(tx, take_over=True)
    database.on_commit, database.on_connected = node.continuity.committed, node.continuity.connected
    try:
        yield node
    finally:
        node.continuity.save()
        await node.placement.close()
        await database.close()


@pytest.fixture
async def ama(database: Database) -> Customer:
    return await customer(database, ghs_minor=100_000)


@pytest.fixture
async def past(server: Server, database_url: str, ama: Customer) -> AsyncIterator[Past]:
    """The book before anything is sold; Ama has her money."""
    async with past_of(server, database_url) as found:
        yield found


@pytest.fixture
async def node(database_url: str, tmp_path: Path, past: Past) -> AsyncIterator[Node]:
    with capture_logs():
        async with started(database_url, tmp_path / "one") as made:
            yield made


async def test_a_book_that_has_everything_is_sold_from(node: Node, ama: Customer) -> None:
    for number in range(3):
        await node.sell(ama, f"R{number}")
        assert await node.look() is None
    assert node.gate.reasons == ()
    assert node.halts == []


async def test_an_order_that_was_made_older_by_hand_is_still_there(node: Node, ama: Customer) -> None:
    await node.sell(ama, "R1")
    async with node.database.transaction() as tx:
        await tx.execute("update orders set created_at = created_at - interval '10 minutes'")
    assert await node.look() is None
    await node.sell(ama, "R2")
    assert await node.look() is None


@pytest.mark.parametrize("cut", [False, True], ids=["restored into the live shop", "fail-over"])
async def test_a_book_without_the_last_sale_sells_nothing_until_it_is_released(
    node: Node, ama: Customer, past: Past, cut: bool
) -> None:
    await node.sell(ama, "kept")
    await past.remember()
    lost = await node.sell(ama, "lost")
    await past.go_back(cut=cut)
    if cut:
        # The first sale finds its connection gone; no look has come yet, and the next one is refused all the same.
        assert isinstance(await busy_or_answer(node, ama), Exception)
    else:
        assert await node.look() is not None
    answer = await node.place(ama, "new")
    assert isinstance(answer, SalesHalted)
    assert await ama.orders() == 1
    # A repeat of what is there is answered.
    kept = await node.place(ama, "kept")
    assert isinstance(kept, Placement)
    assert kept.replayed
    sentence = await node.look()
    assert sentence is not None
    assert lost.reference in sentence
    assert "telvend shop release" in sentence
    assert node.gate.reasons == (sentence,)
    assert node.halts == [True]
    (ended,) = await node.release()
    assert lost.reference in ended.why
    await node.sell(ama, "new")
    assert await node.look() is None
    assert node.halts == [True, False]
    (told,) = await node.continuity.history(node.database)
    assert (told.node, told.released_by, told.reason) == ("one", "Efua", "compared with the providers")
    assert lost.reference in told.why
    await ama.check_books()


async def busy_or_answer(node: Node, ama: Customer) -> object:
    try:
        return await node.place(ama, "first after the fail-over")
    except Busy as error:
        return error


async def test_a_sale_on_the_book_that_went_back_does_not_cover_the_lost_one(
    node: Node, ama: Customer, past: Past
) -> None:
    await node.sell(ama, "lost")
    await past.go_back()
    await node.sell(ama, "between the restore and the look")
    sentence = await node.look()
    assert sentence is not None
    assert isinstance(await node.place(ama, "after the look"), SalesHalted)


async def test_a_number_that_is_used_again_is_not_taken_for_the_lost_sale(
    node: Node, ama: Customer, past: Past, database_url: str, tmp_path: Path
) -> None:
    lost = await node.sell(ama, "lost")
    await past.go_back()
    async with started(database_url, tmp_path / "two", "two") as other:
        again = await other.sell(ama, "somebody else's")
        assert (again.id, again.reference) == (lost.id, lost.reference)
        sentence = await node.look()
        assert sentence is not None
        assert lost.reference in sentence
        # Written into the book: the other one, which misses nothing, sees it too, and so does one that starts now.
        assert "(node one)" in (await other.look() or "")
        assert isinstance(await other.place(ama, "more"), SalesHalted)
        async with started(database_url, tmp_path / "three", "three") as third:
            assert third.continuity.halted is not None
        await other.release()
        assert await node.look() is None
        await node.sell(ama, "after the release")


async def test_what_was_sold_is_remembered_over_a_restart(
    ama: Customer, past: Past, database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    with capture_logs() as logs:
        async with started(database_url, folder) as node:
            lost = await node.sell(ama, "lost")
        (file,) = folder.glob("*/*.json")
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700
        file.rename(file.with_name("4194303.json"))  # A process of another number.
        await past.go_back()
        async with started(database_url, folder) as node:
            assert lost.reference in (node.continuity.halted or "")
            assert isinstance(await node.place(ama, "new"), SalesHalted)
            assert [path.name for path in file.parent.iterdir()] != ["4194303.json"]
        async with started(database_url, folder) as node:  # Nor is it forgotten by starting again.
            assert node.continuity.halted is not None
            await node.release()
        async with started(database_url, folder) as node:
            assert node.continuity.halted is None
            await node.sell(ama, "new")
            assert await node.look() is None
    assert any(entry["event"] == "sales_halted" and entry["log_level"] == "critical" for entry in logs)


async def test_a_command_remembers_only_where_there_is_a_data_directory(
    ama: Customer, past: Past, database_url: str, tmp_path: Path
) -> None:
    for folder, written in ((tmp_path / "nowhere" / "book", False), (tmp_path / "book", True)):
        database = await Database.open(database_url, pool_size=1)
        continuity = Continuity(SalesGate(), folder, "one")
        async with database.connection() as tx:
            await continuity.open(tx)
        assert not folder.exists()
        database.on_commit = continuity.committed
        await Credits(database, Ledger(database)).add(ama.reseller_id, Money(1, GHS), Mode.LIVE, str(folder)[-100:])
        assert continuity.save()
        assert folder.exists() is written
        await database.close()


async def test_a_release_holds_for_a_node_that_was_away_and_not_after_the_book_has_lost_it(
    node: Node, ama: Customer, past: Past, database_url: str, tmp_path: Path
) -> None:
    async with started(database_url, tmp_path / "two", "two") as away:
        await away.sell(ama, "lost by two")
    await node.sell(ama, "lost by one")
    await past.go_back()
    assert await node.look() is not None
    assert await node.release()
    async with started(database_url, tmp_path / "two", "two") as back:
        assert back.continuity.halted is None
        await back.sell(ama, "sold after the release")
        await past.go_back()  # To before the release, which is lost as well.
        assert "sold after" not in (await back.look() or "")
        assert back.continuity.halted is not None
        assert await node.look() is not None


async def test_the_book_that_is_there_again_opens_the_shop_by_itself(node: Node, ama: Customer, past: Past) -> None:
    await node.sell(ama, "sold")
    node.continuity.committed([Fact(FactKind.ORDER, 4711, at=datetime.now(UTC))])
    assert await node.look() is not None
    await node.database.close()
    async with AsyncExitStack() as stack:
        database = await Database.open(node.database.url, pool_size=1)
        stack.push_async_callback(database.close)
        async with database.connection() as tx:
            await tx.execute("delete from book_halt")
            node.continuity._missing.clear()
            await node.continuity.check(tx)
    assert node.continuity.halted is None
    node.gate.require_open(Mode.LIVE)


async def test_tables_that_are_gone_halt_whoever_remembers_a_sale(node: Node, ama: Customer, past: Past) -> None:
    await node.sell(ama, "sold")
    async with node.database.connection() as tx:
        await tx.execute("alter table installation rename to elsewhere")
        await node.continuity.check(tx)
        assert "the tables of this shop are gone" in (node.continuity.halted or "")
        await tx.execute("alter table elsewhere rename to installation")
        await node.continuity.check(tx)
    assert node.continuity.halted is None


async def test_two_shops_may_be_run_from_one_data_directory(
    ama: Customer, past: Past, database_url: str, tmp_path: Path
) -> None:
    """As from the default one, with another --database-url each: neither halts the other, and each is remembered."""
    folder = tmp_path / "one"
    first = await _shop_of(database_url)
    with capture_logs() as logs:
        async with started(database_url, folder) as node:
            lost = await node.sell(ama, "of the first shop")
        await _become(database_url, "gen_random_uuid()")
        async with started(database_url, folder) as node:
            assert node.continuity.halted is None
            await node.sell(ama, "of the second shop")
            assert len(list(folder.glob("*/*.json"))) == 2
        await _become(database_url, f"'{first}'")
        async with started(database_url, folder) as node:
            assert node.continuity.halted is None
        await past.go_back()
        async with started(database_url, folder) as node:
            assert lost.reference in (node.continuity.halted or "")
    said = [entry for entry in logs if entry["event"] == "other_shops_remembered"]
    assert said[0]["shops"] == [first]


async def _shop_of(url: str) -> str:
    database = await Database.open(url, pool_size=1)
    async with database.connection() as tx:
        shop = str((await store.standing(tx)).shop)
    await database.close()
    return shop


async def _become(url: str, shop: str) -> None:
    database = await Database.open(url, pool_size=1)
    async with database.connection() as tx:
        await tx.execute(f"update installation set id = {shop}")
    await database.close()


async def test_another_shop_in_the_database_while_this_one_is_served_halts(
    node: Node, ama: Customer, database_url: str, tmp_path: Path
) -> None:
    await node.sell(ama, "sold")
    assert await node.look() is None
    async with node.database.connection() as tx:
        await tx.execute("update installation set id = gen_random_uuid()")
    assert "this node remembers the shop" in (await node.look() or "")
    await node.release()
    assert await node.look() is None


async def test_a_release_of_nothing_says_so_and_needs_a_reason(node: Node, past: Past) -> None:
    assert await node.release() == []
    assert await node.continuity.history(node.database) == []
    for by, reason in (("", "because"), ("Efua", " "), ("Efua\n", "because")):
        with pytest.raises(InvalidInput):
            await node.release(by, reason)


async def test_a_person_may_halt_every_node(node: Node, ama: Customer, database_url: str, tmp_path: Path) -> None:
    async with started(database_url, tmp_path / "two", "two") as other:
        await other.continuity.halt(other.database, by="Kofi", reason="the folder was put back")
        assert "the folder was put back; said by Kofi (node two)" in (await node.look() or "")
        order = await node.place(ama, "R1")
        assert isinstance(order, SalesHalted)
        await node.release()
        assert await other.look() is None


async def test_a_transaction_that_is_rolled_back_is_not_remembered(node: Node, ama: Customer) -> None:
    async def credit_and_fail() -> None:
        async with node.database.transaction() as tx:
            journal = await WalletJournal.begin(tx, [ama.wallets["GHS"]])
            journal.credit(99, ama.wallets["GHS"], ama.in_flight["GHS"], Money(1, GHS))
            await journal.write(tx)
            raise LookupError

    with pytest.raises(LookupError):
        await credit_and_fail()
    async with node.database.transaction() as tx:
        await tx.fetchval("select 1")
    assert node.continuity._pending == []
    async with node.database.transaction() as tx:
        with suppress(LookupError):
            async with tx.transaction():  # A savepoint.
                remember(tx, Fact(FactKind.ORDER, 4711, at=datetime.now(UTC)))
                raise LookupError
    assert node.continuity._pending == []
    assert await node.look() is None


async def test_the_server_is_known_and_a_changed_one_is_logged_and_holds_deliveries(node: Node, past: Past) -> None:
    server = node.continuity._memory.server
    assert server.system is not None
    assert server.timeline == 1
    assert not node.continuity.holds_deliveries
    node.continuity._memory.server = type(server)(server.system, 0)
    with capture_logs() as logs:
        async with node.database.connection() as tx:
            await node.continuity.connected(tx)
    assert [(entry["event"], entry["timeline_before"]) for entry in logs] == [("database_server_changed", 0)]
    assert node.continuity.holds_deliveries
    assert node.continuity.halted is None


async def test_a_primary_that_was_replaced_is_not_used_and_at_the_start_it_halts_until_it_is_released(
    node: Node, ama: Customer, database_url: str, tmp_path: Path, past: Past
) -> None:
    server = node.continuity._memory.server
    await node.sell(ama, "sold")
    later = node.continuity._memory.server = type(server)(server.system, 7)
    # Its connections of before are gone, as a fail-over ends them.
    node.database.drop_connections()
    with capture_logs() as logs:
        assert isinstance(await busy_or_answer(node, ama), Busy)
        with pytest.raises(Busy):
            await node.look()
    assert {entry["event"] for entry in logs} >= {"database_refused"}
    node.continuity._changed = True
    assert node.continuity.save()
    for _ in range(2):  # The second start finds the halt in the book.
        with capture_logs():
            async with started(database_url, tmp_path / "one") as again:
                assert "its timeline is 1, and this node has seen 7" in (again.continuity.halted or "")
                assert isinstance(await again.place(ama, "halted"), SalesHalted)
    with capture_logs():
        async with started(database_url, tmp_path / "one") as again:
            assert again.continuity._memory.server != later
            assert await again.release()
            await again.sell(ama, "released")
        async with started(database_url, tmp_path / "one") as again:
            assert again.continuity.halted is None


# Everything that was acknowledged ----------------------------------------------------------------------------------------


class Remembered:
    """The facts of a database's commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.facts: list[Fact] = []
        database.on_commit = self.facts.extend

    async def missing(self) -> set[str]:
        async with self._database.connection() as tx:
            return {fact.kind + " final" * fact.final for fact in await store.missing(tx, self.facts)}

    def kinds(self) -> set[str]:
        return {fact.kind + " final" * fact.final for fact in self.facts}


async def test_orders_attempts_and_outcomes_are_remembered_and_missed(
    database: Database, server: Server, database_url: str
) -> None:
    ama = await customer(database, ghs_minor=100_000)
    async with past_of(server, database_url) as past:
        remembered = Remembered(database)
        jobs = PostgresFulfilmentStore(database, ama.ledger, FulfilmentPolicy())
        placement = OrderPlacement(database)
        (placed,) = await placement.place_all([ama.wants("R1")])
        assert isinstance(placed, Placement)
        assert remembered.kinds() == {"order", "transfer"}
        assert await remembered.missing() == set()

        def begin(claims: Any) -> list[Step]:
            return [Deliver(CHOSEN, 1, f"{claim.reference}-1", COST) for claim in claims]

        await past.remember()
        await claim_and(jobs, 10, 5.0, begin)
        assert remembered.kinds() == {"order", "transfer", "attempt"}
        assert await remembered.missing() == set()
        await past.go_back()
        assert await remembered.missing() == {"attempt"}

        await claim_and(jobs, 10, 5.0, begin)
        await past.remember()
        (effect,) = await jobs.settle([said(placed.order.id, Delivered())])
        assert effect is Effect.DELIVERED
        assert "order final" in remembered.kinds()
        assert await remembered.missing() == {"attempt"}  # The one that was lost above.
        await past.go_back()
        assert await remembered.missing() == {"attempt", "order final", "transfer"}
        await placement.close()
        await jobs.close()


def said(order_id: int, outcome: Outcome, *, asked: bool = False) -> ProviderReport:
    return ProviderReport(order_id, 0, 1, outcome, asked, 1000.0 if asked else 0.0, 0.0, True)


@pytest.mark.parametrize("created_at", ["now()", "created_at + interval '1 day'", "created_at - interval '90 days'"])
async def test_an_order_whose_time_somebody_changes_is_the_same_order(
    node: Node, ama: Customer, past: Past, created_at: str
) -> None:
    """Support, and tests of what depends on an order's age, write it by SQL. The ledger's own times cannot be changed."""
    for reference in ("one", "two"):
        await node.sell(ama, reference)
    assert await node.look() is None
    async with node.database.connection() as tx:
        await tx.execute(f"update orders set created_at = {created_at}")
    assert await node.look() is None
    await node.sell(ama, "three")
    await past.go_back()
    assert await node.look() is not None


async def test_credits_are_remembered_and_a_credit_that_is_entered_again_is_the_same(
    database: Database, server: Server, database_url: str
) -> None:
    ama = await customer(database, ghs_minor=100)
    async with past_of(server, database_url) as past:
        remembered = Remembered(database)

        async def credit() -> None:
            await Credits(ama.database, ama.ledger).add(ama.reseller_id, Money(50, GHS), Mode.LIVE, "second")

        await credit()
        assert remembered.kinds() == {"transfer"}
        await past.go_back()
        assert await remembered.missing() == {"transfer"}
        await credit()
        assert await remembered.missing() == set()


async def test_identity_checks_and_their_outcomes_are_remembered_and_missed(
    database: Database, server: Server, database_url: str, tmp_path: Path
) -> None:
    shop = await verification_shop(database, tmp_path, ngn_minor=100_000)
    async with past_of(server, database_url) as past:
        remembered = Remembered(database)
        await shop.check()
        assert {"verification", "verification final"} <= remembered.kinds()
        assert await remembered.missing() == set()
        await past.go_back()
        assert {"verification", "verification final"} <= await remembered.missing()
    await shop.close()


async def test_refills_are_remembered_and_missed_without_money_too(
    database: Database, server: Server, database_url: str, tmp_path: Path
) -> None:
    net = await network(database, tmp_path)
    async with past_of(server, database_url) as past:
        remembered = Remembered(database)
        _, (pin,) = await net.issue()
        remembered.facts.clear()
        await net.load(pin)
        assert remembered.kinds() == {"refill"}
        await net.pay(5)
        assert remembered.kinds() == {"refill", "transfer"}
        assert await remembered.missing() == set()
        await past.go_back()
        assert await remembered.missing() == {"refill", "transfer"}
    await net.close()


# What is delivered -------------------------------------------------------------------------------------------------------


async def test_an_order_whose_attempt_is_lost_is_asked_about_and_never_bought_again(
    node: Node, ama: Customer, past: Past, database_url: str
) -> None:
    """The attempt was written and delivered; the book that is left has the order, and no attempt."""
    jobs = PostgresFulfilmentStore(node.database, ama.ledger, FulfilmentPolicy(), doubts=node.continuity.doubts)
    order = await node.sell(ama, "R1")
    await past.remember()
    made: list[str] = []

    def decide(claims: Sequence[ClaimedOrder]) -> list[Step]:
        steps: list[Step] = []
        for claim in claims:
            step = chosen_step(claim)
            step = with_doubt(claim, step, held=node.continuity.holds_deliveries)
            steps.append(step)
            if isinstance(step, Deliver):
                made.append(step.reference)
        return steps

    await claim_and(jobs, 10, 5.0, decide)
    assert made == [f"{order.reference}-1"]
    await past.go_back()
    assert await node.look() is not None
    ((_, parked),) = await claim_and(jobs, 10, 5.0, decide)
    assert isinstance(parked, Reschedule)
    await node.release()
    await due(node)
    ((_, presumed),) = await claim_and(jobs, 10, 5.0, decide)
    assert isinstance(presumed, Presume)
    assert presumed.reference == made[0]
    ((_, asked),) = await claim_and(jobs, 10, 5.0, decide)
    assert isinstance(asked, Requery)
    assert asked.attempt.reference == made[0]
    assert len(made) == 1
    (effect,) = await jobs.settle([said(order.id, Delivered(), asked=True)])
    assert effect is Effect.DELIVERED
    await ama.check_books()
    # Whoever buys after the release is served as ever.
    later = await node.sell(ama, "R2")
    ((_, step),) = await claim_and(jobs, 10, 5.0, decide)
    assert isinstance(step, Deliver)
    assert step.reference == f"{later.reference}-1"
    await jobs.close()


@pytest.mark.parametrize("outcome", [NotSent(), Refused(Reason.REFUSED), Refused(Reason.NO_FLOAT)], ids=repr)
async def test_an_order_of_the_book_that_went_back_is_left_to_a_person_unless_it_was_delivered(
    node: Node, ama: Customer, past: Past, outcome: Outcome
) -> None:
    jobs = PostgresFulfilmentStore(node.database, ama.ledger, FulfilmentPolicy(), doubts=node.continuity.doubts)
    order = await node.sell(ama, "R1")
    await past.remember()
    await node.sell(ama, "lost")
    await past.go_back()
    assert await node.look() is not None
    await node.release()

    def decide(claims: Sequence[ClaimedOrder]) -> list[Step]:
        return [with_doubt(claim, chosen_step(claim), held=False) for claim in claims]

    await claim_and(jobs, 10, 5.0, decide)
    await claim_and(jobs, 10, 5.0, decide)
    await jobs.settle([said(order.id, outcome, asked=True)])
    await due(node)
    await claim_and(jobs, 10, 5.0, decide)
    assert await ama.value("select state from orders") == "review"
    assert "has gone back" in await ama.value("select string_agg(text, ' ') from order_note")
    assert await ama.value("select count(*) from attempt") == 1
    assert await ama.balance() == 100_000 - 450
    (effect,) = await jobs.settle([PersonVerdict(order.id, None, True, "the provider has it")])
    assert effect is Effect.DELIVERED
    await ama.check_books()
    await jobs.close()


async def test_a_word_on_an_attempt_that_the_book_has_lost_is_kept_for_a_person(
    node: Node, ama: Customer, past: Past
) -> None:
    """The provider was being called while the book went back."""
    jobs = PostgresFulfilmentStore(node.database, ama.ledger, FulfilmentPolicy(), doubts=node.continuity.doubts)
    order = await node.sell(ama, "R1")
    await past.remember()
    await claim_and(
        jobs, 10, 5.0, lambda claims: [Deliver(CHOSEN, 1, f"{claim.reference}-1", COST) for claim in claims]
    )
    await past.go_back(cut=True)
    with suppress(Busy):
        await jobs.settle([said(order.id, Delivered(text="done"))])
    await jobs.settle([said(order.id, Delivered(text="done"))])
    assert await ama.value("select state from orders") == "review"
    assert "Delivered: done" in await ama.value("select min(text) from order_note")
    assert await ama.value("select count(*) from attempt") == 0
    await jobs.close()


async def due(node: Node) -> None:
    async with node.database.connection() as tx:
        await tx.execute("update orders set due_at = now() where due_at is not null")


def chosen_step(claim: ClaimedOrder) -> Step:
    """The next step where the router always has a place."""
    step = next_step(claim, FulfilmentPolicy())
    return with_choice(claim, step, CHOSEN, {}) if isinstance(step, FindProvider) else step
