"""The ledger on a real database: money that comes in once, statements, balances, and a check that finds all damage."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from telvend.audit.service import audit_books, findings_of
from telvend.database.connections import Database, revisions
from telvend.errors import Busy, InvalidInput, NotFound, ReferenceReused
from telvend.funding import invariants as funding_invariants
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, UGX, Money
from telvend.kit.runtime import Runtime
from telvend.ledger import invariants as ledger_invariants
from telvend.ledger.model import AccountKind, TransferKind
from telvend.ledger.service import Ledger
from telvend.orders import invariants as orders_invariants
from telvend.orders.model import Placement
from telvend.orders.placement import OrderPlacement
from telvend.sales import invariants as sales_invariants
from telvend.wallets import invariants as wallets_invariants
from telvend.wallets.journal import WalletJournal
from telvend.wallets.service import Transactions, Wallets
from tests.conftest import Server
from tests.store.damage import damaged_books
from tests.store.purchases import Customer, customer


@pytest.fixture
async def ama(database: Database) -> Customer:
    """A reseller without money."""
    return await customer(database)


async def credit(ama: Customer, minor: int, reference: str, mode: Mode = Mode.LIVE) -> int:
    return (await Credits(ama.database, ama.ledger).add(ama.reseller_id, Money(minor, GHS), mode, reference)).minor


# Money that comes in -------------------------------------------------------------------------------------------------


async def test_the_same_credit_again_credits_nothing_and_shows_the_balance(ama: Customer) -> None:
    assert await credit(ama, 1000, "r1") == 1000
    assert await credit(ama, 500, "r2") == 1500
    assert await credit(ama, 1000, "r1") == 1500
    assert await ama.value("select count(*) from transfer") == 2
    await ama.check_books()


async def test_another_amount_under_a_known_reference_is_refused(ama: Customer) -> None:
    await credit(ama, 1000, "r1")
    with pytest.raises(ReferenceReused):
        await credit(ama, 1001, "r1")
    assert await ama.balance() == 1000


async def test_references_belong_to_one_wallet(database: Database, ama: Customer) -> None:
    kofi = await customer(database)
    assert await credit(ama, 1000, "r1") == await credit(kofi, 1000, "r1") == 1000
    assert await credit(ama, 1000, "r1", Mode.TEST) == 1000
    ngn = await Credits(ama.database, ama.ledger).add(ama.reseller_id, Money(7, NGN), Mode.LIVE, "r1")
    assert ngn == Money(7, NGN)
    assert await ama.balance() == 1000


async def test_of_many_equal_credits_at_once_one_counts(database: Database, ama: Customer) -> None:
    ledgers = [Ledger(database) for _ in range(3)]
    found = await asyncio.gather(
        *(Credits(database, ledger).add(ama.reseller_id, Money(1000, GHS), Mode.LIVE, "r1") for ledger in ledgers * 4)
    )
    assert {money.minor for money in found} == {1000}
    assert await ama.balance() == 1000
    await ama.check_books()


async def test_different_credits_at_once_all_count_in_one_gap_free_line(database: Database, ama: Customer) -> None:
    ledgers = [Ledger(database) for _ in range(3)]
    await asyncio.gather(
        *(
            Credits(database, ledgers[number % 3]).add(ama.reseller_id, Money(number, GHS), Mode.LIVE, f"r{number}")
            for number in range(1, 21)
        )
    )
    assert await ama.balance() == sum(range(1, 21))
    assert [line.sequence for line in await Wallets(ama.database).statement(ama.reseller_id, GHS, Mode.LIVE)] == list(
        range(20, 0, -1)
    )
    await ama.check_books()


async def test_a_new_currency_opens_a_wallet_and_tells_every_process_once(database: Database, ama: Customer) -> None:
    async with database.connection() as tx:
        before = (await revisions(tx))["keys"]
    await asyncio.gather(
        *(
            Credits(database, Ledger(database)).add(ama.reseller_id, Money(1500, UGX), Mode.LIVE, f"r{n}")
            for n in range(4)
        )
    )
    async with database.connection() as tx:
        assert (await revisions(tx))["keys"] == before + 1
    opened = [w for w in await Wallets(ama.database).of_reseller(ama.reseller_id) if w.balance.currency == UGX]
    assert [(wallet.mode, str(wallet.balance), wallet.sequence) for wallet in opened] == [(Mode.LIVE, "UGX 6,000", 4)]


async def test_what_cannot_be_a_credit_is_refused_and_opens_nothing(database: Database) -> None:
    nobody, ledger = UUID(int=1), Ledger(database)
    for minor, reference, field in (
        (0, "r", "amount"), (-5, "r", "amount"), (5, "", "reference"), (5, "x" * 129, "reference"),
        (5, "a\nb", "reference"), (5, "\x00", "reference"), (5, "\ud800", "reference"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            await Credits(database, ledger).add(nobody, Money(minor, GHS), Mode.LIVE, reference)
        assert refused.value.field == field
    assert await Wallets(database).of_reseller(nobody) == []


async def test_money_for_nobody_is_refused_by_the_database(database: Database) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await Credits(database, Ledger(database)).add(UUID(int=1), Money(5, GHS), Mode.LIVE, "r")
    async with database.connection() as tx:
        assert await tx.fetchval("select count(*) from transfer") == 0


async def test_an_account_of_the_house_is_made_once_by_however_many(database: Database) -> None:
    ledgers = [Ledger(database) for _ in range(3)]
    found = await asyncio.gather(*(ledger.house(AccountKind.MARGIN, GHS, Mode.LIVE) for ledger in ledgers * 5))
    assert len(set(found)) == 1
    assert ledgers[0].known_house(AccountKind.MARGIN, GHS, Mode.LIVE) == found[0]
    others = {
        await ledgers[0].house(AccountKind.PROVIDER, GHS, Mode.LIVE, "one"),
        await ledgers[0].house(AccountKind.PROVIDER, GHS, Mode.LIVE, "two"),
        await ledgers[0].house(AccountKind.MARGIN, NGN, Mode.LIVE),
        await ledgers[0].house(AccountKind.MARGIN, GHS, Mode.TEST),
    }
    assert len(others | set(found)) == 5
    assert ledgers[1].known_house(AccountKind.PROVIDER, GHS, Mode.LIVE, "one") is None


# Looking ------------------------------------------------------------------------------------------------------------------


async def test_a_statement_comes_in_pages_that_follow_from_each_other(ama: Customer) -> None:
    for number in range(1, 8):
        await credit(ama, number, f"r{number}")
    pages, before = [], None
    while page := await Wallets(ama.database).statement(ama.reseller_id, GHS, Mode.LIVE, before=before, limit=3):
        pages.append(page)
        before = page[-1].sequence
        # What is added meanwhile moves no page.
        await credit(ama, 100, f"later{before}")
    assert [[line.sequence for line in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
    lines = list(itertools.chain(*pages))
    for line, earlier in itertools.pairwise(lines):
        assert line.balance.minor == earlier.balance.minor + line.change.minor
    assert {line.kind for line in lines} == {TransferKind.CREDIT}
    references = await Transactions(ama.database).references([line.cause for line in lines] + [0])
    assert sorted(references.values()) == [f"r{number}" for number in range(1, 8)]


async def test_a_wallet_that_does_not_exist_has_no_statement(ama: Customer) -> None:
    assert await Wallets(ama.database).statement(ama.reseller_id, NGN, Mode.TEST) == []
    for reseller_id, currency in ((ama.reseller_id, UGX), (UUID(int=1), GHS)):
        with pytest.raises(NotFound):
            await Wallets(ama.database).statement(reseller_id, currency, Mode.LIVE)


async def test_balances_that_are_asked_for_together_are_read_together_and_never_stale(database: Database) -> None:
    sizes: list[int] = []
    ama = await customer(database, ghs_minor=700, ngn_minor=30)
    wallets = Wallets(database, runtime=Runtime(batch=lambda _, size, __: sizes.append(size)))
    wallets.start()
    try:
        wanted = [ama.wallets["GHS"], ama.wallets["NGN"], ama.wallets["GHS"]]
        assert await asyncio.gather(*map(wallets.balance, wanted)) == [700, 30, 700]
        assert sizes == [3]
        for _ in range(3):
            await credit(ama, 100, f"r{_}")
            assert await wallets.balance(wanted[0]) == await ama.balance()
        found = await asyncio.gather(wallets.balance(wanted[0]), wallets.balance(10**9), return_exceptions=True)
        assert found[0] == 1000
        assert isinstance(found[1], NotFound)
    finally:
        await wallets.close()


async def test_reading_a_balance_is_busy_while_the_connection_is_lost_and_works_again(
    server: Server, database: Database
) -> None:
    ama = await customer(database, ghs_minor=700)
    wallets = Wallets(database)
    wallets.start()
    try:
        assert await wallets.balance(ama.wallets["GHS"]) == 700
        pid = await (await wallets._reading.get()).fetchval("select pg_backend_pid()")
        await server.command(f"select pg_terminate_backend({pid}, 5000)")
        answers = [
            (await asyncio.gather(wallets.balance(ama.wallets["GHS"]), return_exceptions=True))[0] for _ in range(3)
        ]
        assert answers[-1] == 700
        assert all(answer == 700 or isinstance(answer, Busy) for answer in answers)
    finally:
        await wallets.close()


async def test_a_balance_that_is_known_stands_in_while_the_database_is_busy(database: Database) -> None:
    ama = await customer(database, ghs_minor=700)
    wallets = Wallets(database)
    wallets.start()
    try:
        assert await wallets.balance_or(ama.wallets["GHS"], 1) == 700
        with pytest.raises(NotFound):
            await wallets.balance_or(10**9, 1)
    finally:
        await wallets.close()
    with pytest.raises(Busy):
        await wallets.balance(ama.wallets["GHS"])
    assert await wallets.balance_or(ama.wallets["GHS"], 1) == 1


async def test_the_database_refuses_to_change_or_remove_a_transfer(database: Database) -> None:
    ama = await customer(database, ghs_minor=700)
    for statement in (
        "update transfer set amount_minor = amount_minor", "delete from transfer", "delete from transfer where false",
        "truncate transfer",
    ):  # fmt: skip
        with pytest.raises(asyncpg.RaiseError, match="never changed or removed"):
            await ama.value(statement)
    await ama.check_books()


# The check -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def books(server: Server) -> AsyncIterator[tuple[Database, dict[str, int]]]:
    """A shop with a sale of every kind, and the numbers that the damages below speak of."""
    async with server.database("books") as url:
        database = await Database.open(url, pool_size=2)
        try:
            yield database, await furnished(database)
        finally:
            await database.close()


async def furnished(database: Database) -> dict[str, int]:
    ama = await customer(database, ghs_minor=10_000, ngn_minor=10_000)
    kofi = await customer(database, ghs_minor=500)
    placement = OrderPlacement(database)
    try:
        placed = await placement.place_all([ama.wants(word) for word in ("open", "delivered", "below cost", "failed")])
    finally:
        await placement.close()
    orders = [answer.order for answer in placed if isinstance(answer, Placement)]
    assert len(orders) == 4
    house = {
        kind: await ama.ledger.house(kind, GHS, Mode.LIVE) for kind in AccountKind if kind is not AccountKind.WALLET
    }
    wallet_id, in_flight, price = ama.wallets["GHS"], house[AccountKind.IN_FLIGHT], orders[0].price
    async with database.transaction() as tx:
        journal = await WalletJournal.begin(tx, [wallet_id])
        for order, cost in ((orders[1], 390), (orders[2], 500)):
            journal.post(
                order.id,
                in_flight,
                house[AccountKind.PROVIDER],
                house[AccountKind.MARGIN],
                house[AccountKind.LOSS],
                price,
                Money(cost, GHS),
            )
        journal.release(orders[3].id, wallet_id, in_flight, price)
        journal.fail(wallet_id, orders[3].position, credit=False)
        await journal.write(tx)
        for order, state in ((orders[1], "delivered"), (orders[2], "delivered"), (orders[3], "failed")):
            await tx.execute("update orders set state = $2, due_at = null where id = $1", order.id, state)
        await tx.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
            " select id, 1, 'simulator', reference || '-1', 'accepted', cost_minor, now() from orders where id = $1",
            orders[0].id,
        )
    assert (await audit_books(database)).findings == ()
    return {
        "open": orders[0].id,
        "delivered": orders[1].id,
        "failed": orders[3].id,
        "wallet": wallet_id,
        "other_wallet": kofi.wallets["GHS"],
        "in_flight": in_flight,
        "margin": house[AccountKind.MARGIN],
        "foreign": await ama.ledger.house(AccountKind.MARGIN, NGN, Mode.LIVE),
    }


BALANCE = "wallet balances equal their transfers"
SEQUENCE = "wallet sequences have no gaps"
CHAIN = "balances after each transfer follow from the one before"
NEGATIVE = "no wallet is negative"
ACCOUNTS = "every transfer stands between two known accounts of one currency and mode"
CREDITS = "every credit stands in the ledger, and no other"
HOLDS = "every order holds its price exactly once"
STRAY = "every hold belongs to a sale"
SETTLED = "every final order is settled exactly once and in full, an open one not at all"
IN_FLIGHT = "what is in flight equals the sales that are not final"
COUNTS = "a wallet counts its transactions and what came in"
BLOCKS = "the counts of a wallet's blocks are those of its list"
LISTED = "every order stands in its wallet's list, as failed when it has failed"
ATTEMPTS = "a final order has no open attempt, and no order has two"

_ATTEMPT = (
    "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
    " values ({%s}, 2, 'simulator', 'x', '%s', 1, now())"
)
BOOKS = (
    *ledger_invariants.INVARIANTS,
    *wallets_invariants.INVARIANTS,
    *funding_invariants.CREDITS,
    *sales_invariants.INVARIANTS,
    *orders_invariants.INVARIANTS,
)
DAMAGES = {
    "a wallet has more than came in": ("update wallet set balance_minor = balance_minor + 1 where account_id = {wallet}",
        {BALANCE}),
    "a wallet has less than its transfers": ("update wallet set balance_minor = 0 where account_id = {other_wallet}",
        {BALANCE}),
    "a wallet is below zero": ("alter table wallet drop constraint wallet_balance_minor_check;"
        "update wallet set balance_minor = -1 where account_id = {wallet}", {BALANCE, NEGATIVE}),
    "a wallet has forgotten its last transfer": ("update wallet set sequence = sequence - 1 where account_id = {wallet}",
        {SEQUENCE}),
    "a statement begins in the middle": ("update transfer set wallet_sequence = wallet_sequence + 1"
        " where wallet_id = {other_wallet}; update wallet set sequence = 2 where account_id = {other_wallet}", {SEQUENCE}),
    "a wallet has forgotten a transaction": ("update wallet set transactions = transactions - 1"
        " where account_id = {wallet}", {COUNTS}),
    "a failure was not counted": ("update wallet_block set failed = failed - 1 where failed > 0", {BLOCKS}),
    "a credit was counted twice": ("update wallet_block set credits = credits + 1 where wallet_id = {wallet}", {BLOCKS}),
    "a failure is gone, and its count is not": ("delete from wallet_failed", {BLOCKS, LISTED}),
    "an order is listed for another": ("update orders set position = 2 where id = {failed}", {LISTED}),
    "a delivered order is listed as failed": ("insert into wallet_failed select wallet_id, position, false from orders"
        " where id = {delivered}", {BLOCKS, LISTED}),
    "a wallet's row is gone": ("delete from wallet where account_id = {other_wallet}", {ACCOUNTS}),
    "a balance in a statement was changed": ("update transfer set wallet_balance_minor = wallet_balance_minor + 1"
        " where cause = {delivered} and kind = 1", {CHAIN}),
    "the amount of a hold was changed": ("update transfer set amount_minor = amount_minor - 1"
        " where cause = {open} and kind = 1", {BALANCE, CHAIN, HOLDS, IN_FLIGHT}),
    "a hold goes the other way": ("update transfer set debit = credit, credit = debit where cause = {open} and kind = 1",
        {CHAIN, IN_FLIGHT}),
    "a hold is gone": ("delete from transfer where cause = {open} and kind = 1", {BALANCE, SEQUENCE, HOLDS, IN_FLIGHT}),
    "money goes to an account that nobody knows": ("update transfer set credit = 999999"
        " where cause = {delivered} and kind = 4", {ACCOUNTS}),
    "money changes its currency on the way": ("update transfer set credit = {foreign}"
        " where cause = {delivered} and kind = 4", {ACCOUNTS}),
    "play money becomes real": ("update account set mode = 'test' where id = {margin}", {ACCOUNTS}),
    "a wallet is paid beside its statement": ("insert into transfer (cause, kind, debit, credit, amount_minor)"
        " values (nextval('cause'), 3, {in_flight}, {wallet}, 5)", {ACCOUNTS, IN_FLIGHT}),
    "a credit's transfer is gone": ("delete from transfer where kind = 6 and wallet_id = {other_wallet}",
        {BALANCE, SEQUENCE, CREDITS}),
    "a credit's record is gone": ("delete from wallet_credit where wallet_id = {other_wallet}", {CREDITS}),
    "a credit's record says another amount": ("update wallet_credit set amount_minor = amount_minor + 1"
        " where wallet_id = {other_wallet}", {CREDITS}),
    "a credit belongs to another wallet": ("update wallet_credit set wallet_id = {wallet}, reference = 'x'"
        " where wallet_id = {other_wallet}", {CREDITS}),
    "an order's price was changed": ("update orders set price_minor = price_minor + 1 where id = {open}",
        {HOLDS, IN_FLIGHT}),
    "an order names another wallet": ("update orders set wallet_id = {other_wallet} where id = {delivered}", {HOLDS}),
    "an open order is gone": ("delete from orders where id = {open}", {STRAY, IN_FLIGHT}),
    "a settled order is gone": ("delete from orders where id = {delivered}", {STRAY}),
    "an order is delivered and was never posted": ("update orders set state = 'delivered', due_at = null"
        " where id = {open}", {SETTLED, IN_FLIGHT, ATTEMPTS}),
    "an order has failed and its money stays": ("update orders set state = 'failed', due_at = null where id = {open}",
        {SETTLED, IN_FLIGHT}),
    "an order is open again after its refund": ("update orders set state = 'waiting', due_at = now()"
        " where id = {failed}", {SETTLED, IN_FLIGHT}),
    "a delivered order gave its money back too": ("insert into transfer (cause, kind, debit, credit, amount_minor,"
        " wallet_id, wallet_sequence, wallet_balance_minor)"
        " select {delivered}, 2, {in_flight}, {wallet}, 450, {wallet}, sequence + 1, balance_minor + 450 from wallet"
        " where account_id = {wallet}; update wallet set balance_minor = balance_minor + 450, sequence = sequence + 1"
        " where account_id = {wallet}", {SETTLED, IN_FLIGHT}),
    "the provider's part was not posted": ("delete from transfer where cause = {delivered} and kind = 3",
        {SETTLED, IN_FLIGHT}),
    "money leaves what is in flight for nobody's order": ("insert into transfer (cause, kind, debit, credit,"
        " amount_minor) values (nextval('cause'), 4, {in_flight}, {margin}, 5)", {IN_FLIGHT}),
    "a delivered order is still being delivered": (_ATTEMPT % ("delivered", "started"), {ATTEMPTS}),
    "two providers are at one order": (_ATTEMPT % ("open", "unknown"), {ATTEMPTS}),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_check_finds(books: tuple[Database, dict[str, int]], damage: str) -> None:
    database, numbers = books
    statement, expected = DAMAGES[damage]
    async with damaged_books(database, statement.format_map(numbers)) as tx:
        findings = await findings_of(tx, BOOKS)
    assert expected <= {finding.rule for finding in findings}
    for finding in findings:
        assert any(character.isdigit() for character in finding.text)


def test_every_rule_is_broken_by_some_damage_here() -> None:
    broken = set().union(*(rules for _, rules in DAMAGES.values()))
    assert broken == {invariant.rule for invariant in BOOKS}


async def test_after_all_that_the_books_still_hold(books: tuple[Database, dict[str, int]]) -> None:
    report = await audit_books(books[0])
    assert report.ok
    assert (report.orders, report.transfers) == (4, 3 + 4 + 2 + 2 + 1)


async def test_the_check_sees_one_moment_while_the_shop_goes_on(database: Database) -> None:
    ama = await customer(database, ghs_minor=450 * 600)
    placement = OrderPlacement(database)
    done = asyncio.Event()

    async def sell() -> None:
        try:
            for _ in range(60):
                await placement.place_all([ama.wants() for _ in range(10)])
        finally:
            done.set()
            await placement.close()

    async def look() -> int:
        count = 0
        while not done.is_set():
            await ama.check_books()
            count += 1
        return count

    looks, _ = await asyncio.gather(look(), sell())
    assert looks > 1
    assert await ama.balance() == 0
    await ama.check_books()
