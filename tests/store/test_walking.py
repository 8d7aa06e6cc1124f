"""One list over several wallets against a naive one in Python, part by part; and that a rare thing costs no more than a stretch."""

import json
import random
from datetime import datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from telvend.database.connections import Database
from telvend.kit.money import GHS, NGN, Currency
from telvend.orders.model import OrderState
from telvend.wallets import store, walking
from telvend.wallets.model import Listed, ListFilter, TransactionKind, TransactionStatus
from telvend.wallets.service import Transactions
from tests.conftest import Server
from tests.store.purchases import Customer, customer
from tests.store.test_plans import nodes
from tests.store.test_transactions import Line, imagine, lagos, write

NUMBER = "+2348031234567"


def wants(line: Line, wanted: ListFilter) -> bool:
    kind = TransactionKind.CREDIT if line.state is None else TransactionKind.ORDER
    return (
        (wanted.kinds is None or kind in wanted.kinds)
        and (wanted.status is None or wanted.status is line.status)
        and (wanted.services is None or (line.state is not None and "data" in wanted.services))
        and (wanted.recipient is None or (line.state is not None and wanted.recipient == NUMBER))
        and (wanted.start is None or line.at >= wanted.start)
        and (wanted.end is None or line.at < wanted.end)
    )


def filters(dice: random.Random) -> list[ListFilter]:
    made = [ListFilter()]
    kinds = [None, frozenset({TransactionKind.ORDER}), frozenset({TransactionKind.CREDIT}), frozenset(TransactionKind)]
    for status in (None, *TransactionStatus):
        made += [ListFilter(kind, status=status) for kind in kinds]
        days: list[datetime | None] = [None, lagos(2), lagos(3), lagos(4)]
        made.append(ListFilter(status=status, services=("data",), start=dice.choice(days)))
        made.append(ListFilter(status=status, recipient=NUMBER, end=dice.choice(days)))
        made.append(ListFilter(status=status, recipient="+2348030000000"))
        made.append(ListFilter(dice.choice(kinds), status=status, start=dice.choice(days), end=dice.choice(days)))
    return made


async def whole(transactions: Transactions, wallets: dict[int, Currency], wanted: ListFilter, limit: int) -> list[int]:
    """Every part, one after the other."""
    found: list[int] = []
    older = None
    for _ in range(400):
        part: Listed = await transactions.listed(wallets, wanted, older=older, limit=limit)
        assert len(part.transactions) <= limit
        # What is not full and goes on says how far it has looked, and every part gets further.
        assert (part.looked_back_to is not None) == (part.older is not None and len(part.transactions) < limit)
        found += [one.id for one in part.transactions]
        if part.older is None:
            return found
        assert part.older != older
        older = part.older
    raise AssertionError("it does not end")


@pytest.mark.parametrize("seed", range(4))
async def test_all_parts_together_are_what_a_naive_list_says(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    # Short stretches, so that looking is given up often.
    for name in ("STRETCH", "STRETCH_OF_RARE", "STRETCH_OF_ENTRIES"):
        monkeypatch.setattr(walking, name, dice.choice([3, 10, 1000]))
    wallets: dict[int, Currency] = {}
    histories: list[list[Line]] = []
    for count, first_id in ((60, 1000), (35, 5000), (0, 9000)):
        who = await customer(database)
        history = imagine(dice, count, first_id)
        histories.append(history)
        wallets[await write(who, history)] = NGN
    other = await customer(database)
    await write(other, imagine(dice, 10, 7000))
    transactions = Transactions(database)
    for wanted in filters(dice):
        expected = {line.id: line for history in histories for line in history if wants(line, wanted)}
        limit = dice.choice([1, 7, 50])
        found = await whole(transactions, wallets, wanted, limit)
        assert sorted(found) == sorted(expected), wanted
        assert all(expected[a].at >= expected[b].at for a, b in pairwise(found)), wanted


async def test_the_last_recipients_are_each_named_once_newest_first(database: Database) -> None:
    who = await customer(database)
    history = [Line(n, n, OrderState.DELIVERED, 1, 10**6, 10**6, lagos(1, seconds=n)) for n in range(1, 31)]
    wallet = await write(who, history)
    async with database.connection() as tx:
        await tx.execute("update orders set subscriber = '+23480' || (id % 13)")
        await tx.execute("update orders set kind = 'electricity', subscriber = '12345678901' where id = 29")
    found = await Transactions(database).recent_recipients({wallet: NGN, who.wallets["GHS"]: GHS}, among=20)
    numbers = [one.number for one in found]
    assert numbers == [f"+23480{n % 13}" for n in (30, 28, 27, 26, 25, 24, 23, 22, 21, 20)]
    assert found[0].at == lagos(1, seconds=30)


async def test_a_reference_is_found_in_whichever_wallet_it_is_and_in_no_other(database: Database) -> None:
    ama, kofi = await customer(database), await customer(database)
    await write(ama, [Line(7, 1, OrderState.DELIVERED, 1, 10, 9, lagos(1))])
    transactions = Transactions(database)
    mine = {ama.wallets["GHS"]: GHS, ama.wallets["NGN"]: NGN}
    assert getattr(await transactions.find_among(mine, "DATA-7-abcdef"), "id", None) == 7
    assert await transactions.find_among({kofi.wallets["NGN"]: NGN}, "DATA-7-abcdef") is None
    assert await transactions.find_among(mine, "x" * 200) is None


# What a part costs ---------------------------------------------------------------------------------------------------------

FILL = """
    insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
        select {wallet}, n, case when n % 1000 = 0 then 'f' else 'o' end::"char", n + 100, n % 1000 = 0,
            now() - make_interval(secs => 300000 - n)
        from generate_series(2, 60000) n;
    insert into orders select (json_populate_record(o, json_build_object('id', n + 100, 'reference', 'W-' || n, 'position', n,
            'client_reference', 'r' || n, 'state', 'delivered', 'due_at', null, 'subscriber', '+233' || n))).*
        from orders o, generate_series(2, 60000) n where n % 1000 <> 0;
    insert into wallet_failed select {wallet}, n, false from generate_series(2, 60000, 50) n where n % 1000 <> 0;
    update wallet set transactions = 60000 where account_id = {wallet};
"""
SHAPES = [
    ListFilter(),
    ListFilter(status=TransactionStatus.FAILED),
    ListFilter(status=TransactionStatus.COMPLETED),
    ListFilter(frozenset({TransactionKind.FUNDING})),
    ListFilter(frozenset({TransactionKind.VERIFICATION})),
    ListFilter(frozenset({TransactionKind.ORDER}), ("airtime",)),
    ListFilter(frozenset({TransactionKind.ORDER}), recipient="+23359999"),
    ListFilter(frozenset({TransactionKind.FUNDING}), status=TransactionStatus.PENDING),
]


async def filled(server: Server, url: str) -> Customer:
    database = await Database.open(url, pool_size=2)
    try:
        who = await customer(database)
        await write(who, [Line(1, 1, OrderState.DELIVERED, 450, 450, 0, lagos(1))])
        async with database.connection() as tx:
            await tx.execute(FILL.format(wallet=who.wallets["NGN"]))
        return who
    finally:
        await database.close()


async def test_no_part_reads_a_table_from_end_to_end_before_statistics_or_after(server: Server) -> None:
    async with server.database("walking") as url:
        who = await filled(server, url)
        wallet = who.wallets["NGN"]
        async with await psycopg.AsyncConnection.connect(url.replace("postgresql+asyncpg", "postgresql")) as connection:
            for wanted, analysed in [(one, analysed) for analysed in (False, True) for one in SHAPES]:
                if analysed and wanted is SHAPES[0]:
                    await connection.execute("analyze")
                stretch = walking._stretch(wanted)
                low = 1 if stretch is None else 60_001 - stretch
                statement, values = store.walk_statement(wallet, wanted, low, 60_000, 51, [5, 7])
                plan = await explained(connection, statement, values)
                scans = [
                    one["Relation Name"]
                    for one in nodes(plan)
                    if one["Node Type"] == "Seq Scan"
                    and one["Relation Name"] in ("orders", "wallet_transaction", "wallet_failed")
                ]
                assert scans == [], (wanted, json.dumps(plan)[:3000])


async def explained(connection: Any, statement: str, values: list[Any]) -> dict[str, Any]:
    """The plan of a statement with these values."""
    literals = []
    for value in values:
        if isinstance(value, list):
            inner = ",".join(item.decode() if isinstance(item, bytes) else str(item) for item in value)
            literals.append(f"'{{{inner}}}'")
        else:
            literals.append(f"'{value}'" if isinstance(value, str) else str(value))
    for number in range(len(values), 0, -1):
        statement = statement.replace(f"${number}", literals[number - 1])
    row = await (await connection.execute(f"explain (format json) {statement}")).fetchone()
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan
