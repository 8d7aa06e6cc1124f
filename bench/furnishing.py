"""A shop with a million orders and ten thousand resellers, made up with SQL in a minute or two. Its books hold.

Two of five orders are the hot reseller's, which pages of the portal show; the others are spread over the rest. They fill the last
four weeks. A few dozen failed, which is the hard case for a list of failures; a few wait for a person, or for a provider.
"""

import time
from collections.abc import Callable
from typing import Final

import httpx

from bench.session import Bench
from bench.testbed import Testbed

ORDERS: Final = 1_000_000
RESELLERS: Final = 10_000
HOT: Final = "hot-0@bench.example"
DAYS: Final = 28
FIRST_ORDER: Final = 1_000_000
"""Order number `FIRST_ORDER + g` is the g-th that is made up."""
_FIRST_CREDIT: Final = 100_000
_CREDIT_MINOR: Final = 10**9
_BULK_LINES: Final = 5000
_INDEXED_WITHIN_S: Final = 1800

_RESELLERS: Final = (
    f"""
    insert into reseller (id, email, name, phone) select gen_random_uuid(), 'bench-r' || g || '@bench.example',
        'Reseller ' || g, '+23320' || lpad(g::text, 7, '0') from generate_series(1, {RESELLERS}) g
    """,
    """
    insert into account (kind, owner, currency, mode)
    select 'wallet', r.id::text, c.currency, m.mode from reseller r
    cross join unnest('{GHS,NGN}'::text[]) c(currency) cross join unnest('{live,test}'::text[]) m(mode)
    where r.email like 'bench-r%' order by r.number
    """,
    "analyze reseller, account",
    """
    insert into wallet (account_id, reseller_id, currency, mode)
    select a.id, r.id, a.currency, a.mode from account a join reseller r on r.id::text = a.owner
    where a.kind = 'wallet' and r.email like 'bench-r%'
    """,
    f"""
    insert into wallet_credit (id, wallet_id, reference, amount_minor, created_at, position)
    select {_FIRST_CREDIT} + row_number() over (order by account_id), account_id, 'bench', {_CREDIT_MINOR},
        now() - interval '{DAYS + 1} days', 1
    from wallet where currency = 'GHS' and mode = 'live' and transactions = 0
    """,
    f"""
    insert into transfer (cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence, wallet_balance_minor, created_at)
    select c.id, 6, a.id, c.wallet_id, c.amount_minor, c.wallet_id, 1, c.amount_minor, c.created_at
    from wallet_credit c, account a where c.id > {_FIRST_CREDIT} and a.kind = 'funding' and a.currency = 'GHS' and a.mode = 'live'
    """,
    f"""
    insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
    select wallet_id, 1, 'c', id, true, created_at from wallet_credit where id > {_FIRST_CREDIT}
    """,
    f"""
    update wallet w set balance_minor = c.amount_minor, sequence = 1, transactions = 1, funded_minor = c.amount_minor,
        last_funded_at = c.created_at
    from wallet_credit c where c.wallet_id = w.account_id and c.id > {_FIRST_CREDIT}
    """,
    "analyze wallet, wallet_credit",
)

# One row for each made-up order, with its place in its wallet: `nth` is its number there, `failed_before` counts failed orders before it.
_MADE_UP: Final = f"""
    create unlogged table made_up as
    with model as (select * from orders order by id limit 1),
    others as (
        select w.account_id, w.reseller_id, row_number() over (order by w.account_id) - 1 as n
        from wallet w join reseller r on r.id = w.reseller_id
        where w.currency = 'GHS' and w.mode = 'live' and r.email like 'bench-r%'
    ),
    bought as (
        select g, case when g % 5 < 2 then model.wallet_id else others.account_id end as wallet_id,
            case when g % 5 < 2 then model.reseller_id else others.reseller_id end as reseller_id,
            (array['MTN', 'MTN', 'TELECEL', 'AT'])[1 + g % 4] as network,
            model.price_minor as price, model.cost_minor as cost,
            case when g % 50000 = 25001 then 'failed' when g % 100000 = 99001 then 'review' when g > {ORDERS} - 20 then 'waiting'
                else 'delivered' end as state,
            now() - make_interval(secs => 180 + ({ORDERS} - g) * {DAYS * 86400 / ORDERS}) as at
        from generate_series(1, {ORDERS}) g cross join model join others on others.n = g::bigint * 7919 % {RESELLERS}
    ),
    counted as (
        select *, row_number() over before as nth,
            count(*) filter (where state = 'failed') over before - (state = 'failed')::integer as failed_before
        from bought window before as (partition by wallet_id order by g)
    )
    select c.*, w.sequence + nth + failed_before as sequence, w.transactions + nth as position,
        w.balance_minor - price * (nth - failed_before) as balance_minor
    from counted c join wallet w on w.account_id = c.wallet_id order by g
"""

_OF_AN_ORDER: Final = {
    "id": f"{FIRST_ORDER} + m.g",
    "reference": f"'BENCH-' || ({FIRST_ORDER} + m.g) || '-abcdef'",
    "client_reference": "'C-' || m.g",
    "reseller_id": "m.reseller_id",
    "wallet_id": "m.wallet_id",
    "network": "m.network",
    "state": "m.state",
    "due_at": "case m.state when 'waiting' then now() + interval '1 hour' end",
    "attempts": "1",
    "balance_after_minor": "m.balance_minor",
    "subscriber": "'+23324' || lpad((m.g::bigint * 7919 % 10000000)::text, 7, '0')",
    "position": "m.position",
    "created_at": "m.at",
    "updated_at": "m.at + interval '5 seconds'",
}

_ORDERS: Final = (
    f"""
    insert into attempt (order_id, number, provider, reference, state, text, cost_minor, started_at, finished_at, provider_reference)
    select {FIRST_ORDER} + g, 1, 'own_network', 'BENCH-' || ({FIRST_ORDER} + g) || '-abcdef-1',
        case state when 'failed' then 'refused' when 'delivered' then 'delivered' else 'unknown' end, '', cost, at,
        at + interval '5 seconds', 'SIM' || g
    from made_up order by g
    """,
    f"""
    insert into transfer (cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence, wallet_balance_minor, created_at)
    select {FIRST_ORDER} + m.g, t.kind, t.debit, t.credit, t.minor, t.wallet_id, m.sequence + t.further, t.balance_minor, t.at
    from made_up m cross join (
        select max(id) filter (where kind = 'in_flight') as in_flight, max(id) filter (where kind = 'provider') as provider,
            max(id) filter (where kind = 'margin') as margin
        from account where currency = 'GHS' and mode = 'live'
    ) a cross join lateral (values
        (1, m.wallet_id, a.in_flight, m.price, m.wallet_id, 0, m.balance_minor, m.at, true),
        (2, a.in_flight, m.wallet_id, m.price, m.wallet_id, 1, m.balance_minor + m.price, m.at + interval '5 seconds',
            m.state = 'failed'),
        (3, a.in_flight, a.provider, m.cost, null, null, null, m.at + interval '5 seconds', m.state = 'delivered'),
        (4, a.in_flight, a.margin, m.price - m.cost, null, null, null, m.at + interval '5 seconds', m.state = 'delivered')
    ) as t(kind, debit, credit, minor, wallet_id, further, balance_minor, at, moved)
    where t.moved order by m.g, t.kind
    """,
    f"""
    insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
    select wallet_id, position, 'o', {FIRST_ORDER} + g, false, at from made_up order by g
    """,
    "insert into wallet_failed (wallet_id, position, credit) select wallet_id, position, false from made_up where state = 'failed'",
    """
    update wallet w set sequence = w.sequence + m.orders + m.failed, transactions = w.transactions + m.orders,
        balance_minor = w.balance_minor - m.minor
    from (
        select wallet_id, count(*) as orders, count(*) filter (where state = 'failed') as failed,
            sum(price) filter (where state <> 'failed') as minor
        from made_up group by wallet_id
    ) m where m.wallet_id = w.account_id
    """,
    f"""
    with made as (
        insert into bulk_list (code, reseller_id, mode, name, by_whom, state, lines, started_at, ended_at)
        select 'benchbenchbenchbench', reseller_id, 'live', 'list.csv', 'bench', 'done', {_BULK_LINES}, now(), now()
        from orders order by id limit 1 returning id
    )
    insert into bulk_line (list_id, line, product, amount, recipient, note, reference, wallet_id, price_minor, currency, state, order_id)
    select made.id, row_number() over (order by o.id), o.product, '', o.subscriber, '', o.client_reference, o.wallet_id,
        o.price_minor, o.currency, 'bought', o.id
    from made, (
        select * from orders where id > {FIRST_ORDER} and wallet_id = (select wallet_id from orders order by id limit 1)
        order by id limit {_BULK_LINES}
    ) o
    """,
    f"select setval('cause', {FIRST_ORDER} + {ORDERS} + 1000000)",
    "drop table made_up",
)


async def furnished(bench: Bench) -> Testbed:
    """The large shop of this run, served; made when it is first asked for. It has a data directory of its own."""
    if bench.large is None:
        folder = bench.testbed.data_dir.parent / "large"
        folder.mkdir(exist_ok=True)
        bench.large = Testbed(folder)
    testbed = bench.large
    await testbed.serve("--workers", "1")
    await furnish(testbed, bench.say)
    return testbed


async def furnish(testbed: Testbed, say: Callable[[str], None]) -> None:
    """Make the orders and resellers up, where they are not there yet, and wait until all of them can be searched."""
    if not await testbed.value("select exists (select from orders where id > $1)", FIRST_ORDER):
        key, *_ = await testbed.hot()
        await _buy_one(testbed, key)
        say(f"making {ORDERS:,} orders and {RESELLERS:,} resellers up")
        await _fill(testbed)
        # Caches of the process know nothing of what came in behind it.
        await testbed.close()
        await testbed.serve("--workers", "1")
    say("indexing the orders and counting the days")
    until = time.monotonic() + _INDEXED_WITHIN_S
    async with testbed.shop() as shop:
        # As the server does every few seconds, for half a second.
        while not await testbed.value(_CAUGHT_UP):
            if time.monotonic() > until:
                raise TimeoutError("the search index of orders, or the days of reports, never caught up")
            await shop.order_search.work()
            await shop.day_summaries.work()
    async with testbed.connection() as connection:
        await connection.execute("vacuum analyze report_day_wallet")  # As it is vacuumed by itself within minutes.


# A shop at rest does not write how far its index follows: the newest order decides.
_CAUGHT_UP: Final = """
    select placed_until > newest.created_at and counted_until > newest.updated_at
    from order_search_progress, report_progress, (select * from orders order by id desc limit 1) as newest
"""


async def _buy_one(testbed: Testbed, key: str) -> None:
    """The order that the others are made like; wait until it is delivered."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{testbed.port}") as client:
        form = {"network": "MTN", "phoneNumber": "0241234567", "capacity": "1GB"}
        (await client.post("/api/v1/purchase", json=form, headers={"x-api-key": key})).raise_for_status()
    for _ in range(300):
        if await testbed.value("select exists (select from orders where state = 'delivered')"):
            return
        time.sleep(0.1)  # noqa: ASYNC251 - nothing else is to run
    raise TimeoutError("the first order was never delivered")


async def _fill(testbed: Testbed) -> None:
    found = await testbed.rows(
        "select column_name from information_schema.columns where table_name = 'orders' and is_generated = 'NEVER'"
    )
    columns = [row[0] for row in found]
    values = ", ".join(_OF_AN_ORDER.get(column, f"o.{column}") for column in columns)
    orders = f"""
        insert into orders ({", ".join(columns)}) select {values}
        from (select * from orders order by id limit 1) o, made_up m order by m.g
    """
    async with testbed.connection() as connection:
        async with connection.transaction():
            await connection.execute("set local work_mem = '256MB'")
            for statement in (*_RESELLERS, _MADE_UP, orders, *_ORDERS):
                await connection.execute(statement)
            # Indexed and counted anew, from the first one on.
            await connection.execute("update order_search_progress set placed_until = null")
            await connection.execute("update report_progress set counted_until = null")
        for table in ("orders", "attempt", "transfer", "reseller", "wallet", "wallet_transaction", "account"):
            await connection.execute(f"vacuum analyze {table}")
