"""The list of a wallet's transactions against a naive one in Python, over random histories; and what a page costs.

The histories are written straight into the tables, in every state that they can have; that the ledger writes them so is
held by the tests at the end, which buy, credit and fail for real.
"""

import asyncio
import itertools
import json
import random
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import asyncpg
import psycopg
import pytest

from telvend.database.connections import Database
from telvend.errors import NotFound
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.ledger.model import AccountKind
from telvend.orders.model import OrderState
from telvend.orders.placement import OrderPlacement
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import Filter, TransactionKind, TransactionStatus
from telvend.wallets.service import Transactions
from tests.conftest import Server
from tests.store.purchases import Customer, customer

LAGOS = ZoneInfo("Africa/Lagos")
STATUS = {OrderState.DELIVERED: TransactionStatus.COMPLETED, OrderState.FAILED: TransactionStatus.FAILED}


# A naive list ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One transaction of a made-up history. `state` is None for a credit."""

    id: int
    position: int
    state: OrderState | None
    amount: int
    before: int
    after: int
    at: datetime

    @property
    def status(self) -> TransactionStatus:
        return TransactionStatus.COMPLETED if self.state is None else STATUS.get(self.state, TransactionStatus.PENDING)


def listed(history: list[Line], wanted: Filter) -> list[Line]:
    """Newest first."""
    return [
        line
        for line in reversed(history)
        if (wanted.credit is None or wanted.credit == (line.state is None))
        and (wanted.status is None or wanted.status is line.status)
        and (wanted.start is None or line.at >= wanted.start)
        and (wanted.end is None or line.at < wanted.end)
    ]


def lagos(day: int, **more: int) -> datetime:
    return datetime(2025, 5, day, tzinfo=LAGOS) + timedelta(**more)


def imagine(dice: random.Random, count: int, first_id: int) -> list[Line]:
    """A history over a few days; many at one moment, some exactly at midnight in Lagos and a microsecond before."""
    edges = [lagos(day, microseconds=off) for day in (2, 3, 4) for off in (-1, 0, 1)]
    moments = sorted(
        dice.choice(edges) if dice.random() < 0.3 else lagos(1, seconds=dice.randrange(4 * 86400)) for _ in range(count)
    )
    common = dice.choice([0.2, 0.6, 0.95])  # How much of it is plain sales.
    balance, history = 10**9, []
    for number, at in enumerate(moments, 1):
        state = OrderState.DELIVERED if dice.random() < common else dice.choice([None, None, *OrderState])
        amount, before = dice.randrange(1, 100_000), balance
        balance += amount if state is None else -amount
        history.append(
            Line(
                first_id + number, number, state, amount, before, before if state is OrderState.FAILED else balance, at
            )
        )
        if state is OrderState.FAILED:
            balance = before
    return history


async def write(who: Customer, history: list[Line]) -> int:
    """Write a history into the tables. Answers the wallet."""
    wallet = who.wallets["NGN"]
    async with who.database.transaction() as tx:
        for line in history:
            kind = TransactionKind.CREDIT if line.state is None else TransactionKind.ORDER
            await tx.execute(
                "insert into wallet_transaction values ($1, $2, $3, $4, $5, $6)",
                wallet, line.position, kind.encode(), line.id, line.state is None, line.at,
            )  # fmt: skip
            if line.state is None:
                await tx.execute(
                    "insert into wallet_credit (id, wallet_id, reference, amount_minor, position)"
                    " values ($1, $2, $3, $4, $5)",
                    line.id, wallet, f"credit {line.id}", line.amount, line.position,
                )  # fmt: skip
            else:
                await tx.execute(
                    ORDERS, who.reseller_id, wallet, [line.id], [line.position], [line.state], [line.amount], [line.at]
                )
            if line.state is OrderState.FAILED:
                await tx.execute("insert into wallet_failed values ($1, $2, false)", wallet, line.position)
            own = who.in_flight["NGN"]
            moved = [(6, own, wallet, 1)] if line.state is None else [(1, wallet, own, -1)]
            if line.state is OrderState.FAILED:
                moved.append((2, own, wallet, 0))
            for kind_, debit, credit, sign in moved:
                await tx.execute(
                    "insert into transfer values ($1, $2, $3, $4, $5, $6, $7, $8)",
                    line.id, kind_, debit, credit, line.amount, wallet, 2 * line.position + (kind_ == 2),
                    line.before + sign * line.amount,
                )  # fmt: skip
        await tx.execute("update wallet set transactions = $2 where account_id = $1", wallet, len(history))
    return wallet


ORDERS = """
    insert into orders (id, reference, reseller_id, dialect, mode, fingerprint, wallet_id, country, network, product_id,
        product, size, subscriber, price_minor, cost_minor, currency, state, balance_after_minor, due_at, created_at,
        updated_at, position, kind, face_minor)
    select id, 'DATA-' || id || '-abcdef', $1, 'networkdatasub', 'live', '', $2, 'NG', 'mtn', 1, 'P', '1GB',
        '+2348031234567', amount, 1, 'NGN', state, 0, case when state in ('review', 'delivered', 'failed') then null else at end,
        at, at, position, 'data', amount
    from unnest($3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[]) as l(id, position, state, amount, at)
"""


def filters(dice: random.Random) -> Iterator[Filter]:
    """Every status with every direction, each in several windows of time."""
    days = [None, *(lagos(day) for day in (1, 2, 3, 4, 5)), lagos(9), datetime.min.replace(tzinfo=LAGOS)]
    for status, credit in itertools.product([None, *TransactionStatus], [None, True, False]):
        yield Filter(credit, status)
        for _ in range(3):
            yield Filter(credit, status, dice.choice(days), dice.choice(days))


def pages(dice: random.Random, total: int) -> Iterator[tuple[int, int]]:
    """Limit and offset: the first page, one in the middle, the last, the one past it, and one far beyond."""
    limit = dice.choice([1, 2, 7, 15, 50])
    last = max(0, total - 1) // limit
    for page in {0, dice.randint(0, last), last, last + 1, 2**40}:
        yield limit, page * limit


@pytest.mark.parametrize("seed", range(6))
async def test_every_page_of_every_filter_is_what_a_naive_list_says(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    transactions = Transactions(database)
    # The second one is there to be left out.
    for count, first_id in ((dice.choice([0, 1, 30, 80]) if seed < 4 else 120, 1000), (20, 5000)):
        who = await customer(database)
        history = imagine(dice, count, first_id)
        wallet = await write(who, history)
        for wanted in filters(dice):
            expected = listed(history, wanted)
            for limit, offset in pages(dice, len(expected)):
                page = await transactions.page(wallet, NGN, wanted, limit=limit, offset=offset)
                said = f"{wanted} {limit} after {offset}"
                assert page.total == len(expected), said
                assert [line.id for line in page.transactions] == [
                    line.id for line in expected[offset : offset + limit]
                ], said
        page = await transactions.page(wallet, NGN, Filter(), limit=200, offset=0)
        for found, line in zip(page.transactions, reversed(history), strict=True):
            assert (found.status, found.credit, found.amount.minor, found.created_at) == (
                line.status, line.state is None, line.amount, line.at,
            )  # fmt: skip
            assert (found.before.minor, found.after.minor) == (line.before, line.after)
            assert await transactions.find(wallet, NGN, found.reference) == found


async def test_a_day_begins_and_ends_at_midnight_in_lagos(database: Database) -> None:
    who = await customer(database)
    moments = [lagos(2, microseconds=-1), lagos(2), lagos(3, microseconds=-1), lagos(3)]
    assert moments[1].astimezone(UTC) == datetime(2025, 5, 1, 23, tzinfo=UTC)
    history = [Line(n, n, OrderState.DELIVERED, 1, 10**6, 10**6 - 1, at) for n, at in enumerate(moments, 1)]
    wallet = await write(who, history)
    page = await Transactions(database).page(wallet, NGN, Filter(start=lagos(2), end=lagos(3)), limit=9, offset=0)
    assert ([line.id for line in page.transactions], page.total) == ([3, 2], 2)


async def test_an_empty_wallet_and_no_wallet_at_all_have_empty_pages(database: Database) -> None:
    who = await customer(database)
    transactions = Transactions(database)
    for wallet in (who.wallets["NGN"], 10**9):
        for wanted in (Filter(), Filter(credit=True), Filter(status=TransactionStatus.PENDING), Filter(start=lagos(1))):
            page = await transactions.page(wallet, NGN, wanted, limit=5, offset=0)
            assert (page.transactions, page.total) == ([], 0)
    with pytest.raises(NotFound):
        await transactions.summary(10**9, NGN)


async def test_a_reference_finds_only_what_is_on_the_same_wallet(database: Database) -> None:
    ama, kofi = await customer(database), await customer(database)
    history = imagine(random.Random(1), 20, 100)
    await write(ama, history)
    transactions = Transactions(database)
    for line in history:
        reference = f"credit {line.id}" if line.state is None else f"DATA-{line.id}-abcdef"
        assert (await transactions.find(ama.wallets["NGN"], NGN, reference)).id == line.id
        for wallet, other in (
            (kofi.wallets["NGN"], reference),
            (ama.wallets["GHS"], reference),
            (ama.wallets["NGN"], reference + "x"),
            (ama.wallets["NGN"], f"DATA-{line.id}-abcdeg"),
        ):
            with pytest.raises(NotFound):
                await transactions.find(wallet, NGN, other)


@pytest.mark.parametrize("reference", ["", "x" * 129, "a\x00b", "DATA-0-abcdef", "DATA-999999999999999999-abcdef", "%"])
async def test_what_cannot_be_a_reference_is_not_found(database: Database, reference: str) -> None:
    who = await customer(database, ngn_minor=1)
    with pytest.raises(NotFound):
        await Transactions(database).find(who.wallets["NGN"], NGN, reference)


async def test_a_credit_by_hand_is_found_though_it_is_called_like_an_order(database: Database) -> None:
    who = await customer(database, ngn_minor=450)
    placement = OrderPlacement(database)
    (placed,) = await placement.place_all([who.wants(currency=NGN)])
    await placement.close()
    order = cast(Any, placed).order
    taken = f"FND-{order.id}-abcdef"
    await Credits(who.database, who.ledger).add(who.reseller_id, Money(5, NGN), Mode.LIVE, taken)
    transactions = Transactions(database)
    assert (await transactions.find(who.wallets["NGN"], NGN, taken)).amount == Money(5, NGN)
    assert (await transactions.find(who.wallets["NGN"], NGN, order.reference)).id == order.id


# What the ledger writes ----------------------------------------------------------------------------------------------------


async def release(who: Customer, order: Any) -> None:
    """What settling does to an order that has definitely failed."""
    async with who.database.transaction() as tx:
        journal = await WalletJournal.begin(tx, [order.wallet_id])
        journal.release(order.id, order.wallet_id, who.in_flight["NGN"], order.price)
        journal.fail(order.wallet_id, order.position, credit=False)
        await journal.write(tx)
        await tx.execute("update orders set state = 'failed', due_at = null where id = $1", order.id)


async def test_positions_have_no_gaps_whoever_races_and_the_summary_is_exact(database: Database) -> None:
    """Four lanes buy, some purchases are refused, credits come in between, some orders fail."""
    who = await customer(database, ngn_minor=450 * 120)
    wallet = who.wallets["NGN"]
    placements = [OrderPlacement(database) for _ in range(4)]

    async def buy(placement: OrderPlacement) -> list[Any]:
        made = []
        for number in range(12):
            found = await placement.place_all([who.wants(currency=NGN) for _ in range(1 + number % 5)])
            made += [item.order for item in found if not isinstance(item, Exception)]
        return made

    async def credit() -> None:
        for number in range(15):
            await Credits(who.database, who.ledger).add(
                who.reseller_id, Money(100 + number, NGN), Mode.LIVE, f"c{number}"
            )

    bought, *_ = await asyncio.gather(asyncio.gather(*(buy(placement) for placement in placements)), credit(), credit())
    orders = [order for part in bought for order in part]
    await asyncio.gather(*(release(who, order) for order in orders[::7]))
    for placement in placements:
        await placement.close()
    assert 100 < len(orders) < 136  # Some could not be paid.

    async with database.connection() as tx:
        rows = await tx.fetch(
            "select position, created_at, id from wallet_transaction where wallet_id = $1 order by position", wallet
        )
    count = 16 + len(orders)
    assert [row["position"] for row in rows] == list(range(1, count + 1))
    assert [row["created_at"] for row in rows] == sorted(row["created_at"] for row in rows)
    at = {row["id"]: row["created_at"] for row in rows}
    assert all(at[order.id] == order.created_at for order in orders)

    transactions = Transactions(database)
    failed = len(orders[::7])
    came_in = 450 * 120 + sum(range(100, 115))
    went_out = 450 * (len(orders) - failed)
    summary = await transactions.summary(wallet, NGN)
    assert (summary.inflow.minor, summary.outflow.minor, summary.count) == (came_in, went_out, count)
    assert summary.balance.minor == came_in - went_out == await who.balance(NGN)
    assert summary.last_at == rows[-1]["created_at"]
    for status, expected in (
        (TransactionStatus.FAILED, failed),
        (TransactionStatus.PENDING, len(orders) - failed),
        (TransactionStatus.COMPLETED, 16),
    ):
        page = await transactions.page(wallet, NGN, Filter(status=status), limit=50, offset=0)
        assert page.total == expected
        assert {line.status for line in page.transactions} == {status}
    # A failed one has changed nothing.
    page = await transactions.page(wallet, NGN, Filter(status=TransactionStatus.FAILED), limit=50, offset=0)
    assert all(line.before == line.after for line in page.transactions)
    await who.check_books()


async def test_a_page_is_of_one_moment(database: Database) -> None:
    """What is bought while pages are read never makes total and rows disagree."""
    who = await customer(database, ngn_minor=450 * 400)
    transactions, placement = Transactions(database), OrderPlacement(database)

    async def buy() -> None:
        for _ in range(80):
            await placement.place_all([who.wants(currency=NGN) for _ in range(5)])

    buying = asyncio.create_task(buy())
    seen = set()
    while not buying.done():
        page = await transactions.page(who.wallets["NGN"], NGN, Filter(credit=False), limit=1000, offset=0)
        assert len(page.transactions) == page.total
        seen.add(page.total)
    await buying
    await placement.close()
    assert len(seen) > 1


# What it costs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """What a made-up wallet is full of: the last two digits of the positions of each kind; all others are sales of data.

    Of the last thousand, thirty are open: one of a hundred of the sales, of the fundings and of the checks each.
    """

    credits: frozenset[int]
    fundings: frozenset[int]
    checks: frozenset[int]
    failed: frozenset[int]
    open: frozenset[int] = frozenset({40, 50, 60})

    def share(self, *, credit: bool | None = None, failed: bool | None = None) -> int:
        """How many of a hundred are such."""
        came_in = self.credits | self.fundings
        return sum(
            credit in (None, digits in came_in) and failed in (None, digits in self.failed) for digits in range(100)
        )


# As wallets are: almost everything is a sale that was delivered.
ORDINARY = Mixture(
    credits=frozenset({1}),
    fundings=frozenset({51, 60, 77}),
    checks=frozenset({20, 22, 40}),
    failed=frozenset({7, 33, 34, 22, 77}),
)
# The worst that can be imagined: the few are as many as the many.
MIXED = Mixture(
    credits=frozenset(range(0, 100, 10)) - {40, 50, 60},
    fundings=frozenset({*range(1, 100, 5), 60}),
    checks=frozenset({*range(2, 100, 5), 40}) - {50},
    failed=frozenset(range(3, 100, 4)) - {40, 50, 60},
)

# A few seconds apart. $1: the wallet, $2: the first number, $3: how many there are, $4: the account that credits come from; $5 to $9:
# the mixture's credits, fundings, checks, failed and open ones.
FILL = (
    """
    insert into wallet_transaction
    select $1, n, case when n % 100 = any($5::int[]) then 'c' when n % 100 = any($6::int[]) then 'f'
        when n % 100 = any($7::int[]) then 'v' else 'o' end::"char", $2 + n,
        n % 100 = any($5::int[]) or n % 100 = any($6::int[]), timestamptz '2025-01-01' + n * interval '3 seconds'
    from generate_series(1, $3::bigint) n
    """,
    """
    insert into orders (id, reference, reseller_id, dialect, mode, fingerprint, wallet_id, country, network, product_id,
        product, size, subscriber, price_minor, cost_minor, currency, state, balance_after_minor, due_at, created_at,
        updated_at, position, kind, face_minor)
    select t.id, 'DATA-' || t.id || '-abcdef', w.reseller_id, 'networkdatasub', 'live', '', $1, 'NG', 'mtn', 1, 'P', '1GB',
        '+2348031234567', 30000, 28500, 'NGN', f.state, 0, case when f.state = 'waiting' then t.created_at end,
        t.created_at, t.created_at, t.position, 'data', 30000
    from wallet_transaction t join wallet w on w.account_id = $1
    cross join lateral (
        select case when t.position % 100 = any($8::int[]) then 'failed'
            when t.position > $3::bigint - 1000 and t.position % 100 = any($9::int[]) then 'waiting' else 'delivered' end as state
    ) f
    where t.wallet_id = $1 and t.kind = 'o'
    """,
    """
    insert into funding (id, reference, reseller_id, wallet_id, mode, gateway, method, amount_minor, currency, state, position,
        balance_before_minor, balance_after_minor, gateway_reference, due_at, created_at, expires_at, updated_at, completed_at)
    select t.id, 'FND-' || t.id || '-abcdef', w.reseller_id, $1, 'live', 'sandbox', 'card', 100, 'NGN', f.state, t.position,
        0, case when f.state = 'completed' then 100 else 0 end, 'SBX-' || t.id, case when f.state = 'pending' then t.created_at end,
        t.created_at, t.created_at, t.created_at, case when f.state = 'completed' then t.created_at end
    from wallet_transaction t join wallet w on w.account_id = $1
    cross join lateral (
        select case when t.position % 100 = any($8::int[]) then 'expired'
            when t.position > $3::bigint - 1000 and t.position % 100 = any($9::int[]) then 'pending' else 'completed' end as state
    ) f
    where t.wallet_id = $1 and t.kind = 'f'
    """,
    """
    insert into verification (id, reference, reseller_id, key_id, dialect, mode, wallet_id, position, kind, card_type, force_new,
        use_real_api, source, number_hash, currency, price_minor, state, balance_before_minor, balance_after_minor, due_at,
        expires_at, created_at, updated_at)
    select t.id, 'NIN-' || t.id || '-abcdef', w.reseller_id, w.reseller_id, 'networkdatasub', 'live', $1, t.position, 'nin',
        'standard', false, false, 'personas', ''::bytea, 'NGN', 10000, f.state, 10000,
        case when f.state = 'not_on_record' then 10000 else 0 end, case when f.state = 'asking' then t.created_at end,
        case when f.state = 'verified' then t.created_at end, t.created_at, t.created_at
    from wallet_transaction t join wallet w on w.account_id = $1
    cross join lateral (
        select case when t.position % 100 = any($8::int[]) then 'not_on_record'
            when t.position > $3::bigint - 1000 and t.position % 100 = any($9::int[]) then 'asking' else 'verified' end as state
    ) f
    where t.wallet_id = $1 and t.kind = 'v'
    """,
    """
    insert into wallet_failed select wallet_id, position, credit from wallet_transaction
    where wallet_id = $1 and position % 100 = any($8::int[])
    """,
    """
    insert into wallet_credit (id, wallet_id, reference, amount_minor, position)
    select id, $1, 'credit ' || position, 100, position from wallet_transaction where wallet_id = $1 and kind = 'c'
    """,
    """
    insert into transfer select id, case when credit then 6 else 1 end, case when credit then $4::bigint else $1 end,
        case when credit then $1 else $4 end, 100, $1, position, 1000000 from wallet_transaction where wallet_id = $1
    """,
)


FILLED = {"wallet_transaction", "wallet_failed", "wallet_credit", "orders", "funding", "verification", "transfer"}


def _numbered_anew(statement: str, given: Sequence[Any]) -> tuple[Any, ...]:
    """A statement with those parameters alone that it mentions: the database insists on that."""
    used = sorted({int(number) for number in re.findall(r"\$([0-9]+)", statement)})
    return re.sub(r"\$([0-9]+)", lambda found: f"${used.index(int(found[1])) + 1}", statement), *(
        given[number - 1] for number in used
    )


@dataclass(frozen=True)
class Full:
    """A wallet with very many transactions."""

    database: Database
    wallet: int
    count: int
    mixture: Mixture


@asynccontextmanager
async def full_wallet(server: Server, name: str, count: int, mixture: Mixture = ORDINARY) -> AsyncIterator[Full]:
    async with server.database(name) as url:
        database = await Database.open(url, pool_size=4)
        try:
            who = await customer(database)
            wallet = who.wallets["NGN"]
            funding = await who.ledger.house(AccountKind.FUNDING, NGN, Mode.LIVE)
            connection = await asyncpg.connect(url)
            given = (
                wallet, 10**6, count, funding, mixture.credits, mixture.fundings, mixture.checks, mixture.failed,
                mixture.open,
            )  # fmt: skip
            for statement in FILL:
                await connection.execute(*_numbered_anew(statement, given))
            await connection.execute("update wallet set transactions = $2 where account_id = $1", wallet, count)
            await connection.execute(f"vacuum (analyze) {', '.join(sorted(FILLED))}")
            await connection.close()
            yield Full(database, wallet, count, mixture)
        finally:
            await database.close()


@pytest.fixture(scope="module")
async def full(server: Server) -> AsyncIterator[Full]:
    async with full_wallet(server, "transactions_full", 300_000) as made:
        yield made


@pytest.fixture(scope="module")
async def mixed(server: Server) -> AsyncIterator[Full]:
    async with full_wallet(server, "transactions_mixed", 30_000, MIXED) as made:
        yield made


class Spy:
    """A connection that keeps what it is asked."""

    def __init__(self, connection: Any, asked: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._connection, self._asked = connection, asked

    def __getattr__(self, name: str) -> Any:
        async def ask(sql: str, *values: Any) -> Any:
            self._asked.append((sql, values))
            return await getattr(self._connection, name)(sql, *values)

        return ask


class Spied:
    """A database whose snapshots are spied on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        async with self._database.snapshot() as tx:
            yield Spy(tx, self.asked)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.mark.parametrize("page", ["first", "thousandth", "last", "by date"])
async def test_an_unfiltered_page_reads_its_own_rows_and_no_others(full: Full, page: str) -> None:
    spied = Spied(full.database)
    offset = {"first": 0, "thousandth": 999 * 15, "last": full.count - 15, "by date": 40}[page]
    day = datetime(2025, 1, 4, tzinfo=LAGOS)
    wanted = Filter(start=day, end=day + timedelta(days=1)) if page == "by date" else Filter()
    found = await Transactions(cast(Any, spied)).page(full.wallet, NGN, wanted, limit=15, offset=offset)
    assert (len(found.transactions), found.total) == (15, 28_800 if page == "by date" else full.count)
    read = 0
    async with full.database.connection() as tx:
        for sql, values in spied.asked:
            plan = json.loads(await tx.fetchval(f"explain (analyze, format json) {sql}", *values))[0]["Plan"]
            for node in nodes(plan):
                if "Relation Name" in node:
                    assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in FILLED, sql
                    read += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    # A statement that is asked often gets a plan for any values.
    with psycopg.connect(full.database.url) as connection:
        for sql in {sql for sql, _ in spied.asked}:
            (text,) = connection.execute(f"explain (generic_plan, format json) {sql}").fetchone() or ("",)
            scanned = {node["Relation Name"] for node in nodes(text[0]["Plan"]) if node["Node Type"] == "Seq Scan"}
            assert not scanned & FILLED, sql
    assert read < (100 if page != "by date" else 150)
    assert len(spied.asked) < (10 if page != "by date" else 60)


UNFILTERED_S, FILTERED_S = 0.05, 1.0
FILTERS = {
    f"{status or 'any'} {kind}{' of a week' if start else ''}": Filter(credit, status, start, end)
    for status in (None, *TransactionStatus)
    for credit, kind in ((None, "transaction"), (True, "credit"), (False, "debit"))
    for start, end in ((None, None), (datetime(2025, 1, 2, tzinfo=LAGOS), datetime(2025, 1, 9, tzinfo=LAGOS)))
}


async def best_of_three_s(full: Full, wanted: Filter, offset: int) -> float:
    """The others share the machine with us."""
    took = []
    for _ in range(3):
        started = time.perf_counter()
        await Transactions(full.database).page(full.wallet, NGN, wanted, limit=15, offset=offset)
        took.append(time.perf_counter() - started)
    return min(took)


async def slow_pages(full: Full) -> list[str]:
    """What takes longer than it may: first, thousandth and last pages of everything, and of every filter."""
    slow = []
    for name, wanted in FILTERS.items():
        total = (await Transactions(full.database).page(full.wallet, NGN, wanted, limit=1, offset=0)).total
        allowed_s = UNFILTERED_S if wanted == Filter() else FILTERED_S
        for offset in sorted({0, min(999 * 15, max(0, total - 15)), max(0, total - 15)}):
            took_s = await best_of_three_s(full, wanted, offset)
            if took_s > allowed_s:
                slow.append(f"{name} after {offset} of {total}: {took_s:.3f} s")
    return slow


async def test_totals_of_every_filter_are_exact(full: Full, mixed: Full) -> None:
    await totals_are_exact(full)
    await totals_are_exact(mixed)


@pytest.mark.parametrize("seed", range(3))
async def test_pages_of_many_blocks_are_what_a_naive_list_says(mixed: Full, seed: int) -> None:
    """Windows of time that begin and end within a block, at its edge, or take in many; pages that reach over an edge."""
    dice, mixture, count = random.Random(seed), mixed.mixture, mixed.count
    epoch, edges = datetime(2025, 1, 1, tzinfo=UTC), [1023, 1024, 1025, 2047, 2048, 5120, count - 1, count, count + 1]

    def at(position: int) -> datetime:
        return epoch + timedelta(seconds=3 * position)

    for status, credit in itertools.product([None, *TransactionStatus], [None, True, False]):
        for _ in range(4):
            first, end = sorted(dice.choice([1, *edges, dice.randrange(count)]) for _ in range(2))
            expected = [
                position
                for position in range(min(end - 1, count), first - 1, -1)
                if credit in (None, position % 100 in mixture.credits | mixture.fundings)
                and status in (None, status_in(mixture, position, count))
            ]
            for limit, offset in pages(dice, len(expected)):
                wanted = Filter(credit, status, at(first), at(end))
                page = await Transactions(mixed.database).page(mixed.wallet, NGN, wanted, limit=limit, offset=offset)
                said = f"{wanted} {limit} after {offset}"
                assert page.total == len(expected), said
                assert [line.id - 10**6 for line in page.transactions] == expected[offset : offset + limit], said


def status_in(mixture: Mixture, position: int, count: int) -> TransactionStatus:
    if position % 100 in mixture.failed:
        return TransactionStatus.FAILED
    return (
        TransactionStatus.PENDING
        if position > count - 1000 and position % 100 in mixture.open
        else TransactionStatus.COMPLETED
    )


async def totals_are_exact(full: Full) -> None:
    """Of every filter without dates; those with dates are held by the naive list above."""
    count, mixture = full.count, full.mixture
    opened, opened_credits = 30, 10

    def all_of(**which: bool) -> int:
        return count // 100 * mixture.share(**which)

    expected = {
        "any transaction": count,
        "any credit": all_of(credit=True),
        "any debit": all_of(credit=False),
        "failed transaction": all_of(failed=True),
        "failed credit": all_of(failed=True, credit=True),
        "failed debit": all_of(failed=True, credit=False),
        "pending transaction": opened,
        "pending credit": opened_credits,
        "pending debit": opened - opened_credits,
        "completed transaction": all_of(failed=False) - opened,
        "completed credit": all_of(failed=False, credit=True) - opened_credits,
        "completed debit": all_of(failed=False, credit=False) - (opened - opened_credits),
    }
    for name, total in expected.items():
        page = await Transactions(full.database).page(full.wallet, NGN, FILTERS[name], limit=1, offset=0)
        assert page.total == total, name


async def test_pages_of_three_hundred_thousand_are_quick(full: Full) -> None:
    assert await slow_pages(full) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mixture", [ORDINARY, MIXED], ids=["ordinary", "mixed"])
async def test_pages_of_ten_million_are_quick(server: Server, mixture: Mixture) -> None:
    async with full_wallet(server, "transactions_ten_million", 10_000_000, mixture) as full:
        assert await slow_pages(full) == []
        started = time.perf_counter()
        await Transactions(full.database).summary(full.wallet, NGN)
        assert time.perf_counter() - started < UNFILTERED_S
        await totals_are_exact(full)
