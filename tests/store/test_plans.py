"""No statement of a hot path reads a table from end to end, whether the tables are new, or full and never analysed.

The plans are those that a lane's connection makes: generic ones, made once and kept.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from telvend.database.connections import Database
from telvend.database.session import LANE_SETTINGS
from telvend.database.together import joined
from telvend.fulfilment import store as jobs
from telvend.ledger import store as ledger_store
from telvend.operator.plans import store as reading
from telvend.operator.premiums import store as premiums
from telvend.operator.provisioning import store as delivering
from telvend.operator.refills import store as refills
from telvend.operator.subscribers import store as subscribers
from telvend.operator.subscribers.balances import store as balances
from telvend.operator.subscribers.momo import store as momo
from telvend.operator.usage import store as using
from telvend.operator.vouchers import store as vouchers
from telvend.operator.vouchers.guard import store as guards
from telvend.orders import store
from telvend.orders.placement import OrderPlacement
from telvend.reports.ranking import store as ranking
from telvend.sales import store as sales_store
from telvend.sales.model import SaleKind
from telvend.wallets import store as wallet_store
from tests.conftest import Server
from tests.store.purchases import customer

STATEMENTS = {
    "placement: lock wallets": ledger_store.LOCK_WALLETS,
    "placement: find by client reference": store.FIND_BY_CLIENT_REFERENCE,
    "placement: find what else was sold under a reference": sales_store.FIND_TAKEN % SaleKind.ORDER,
    "identity: find what else was sold under a reference": sales_store.FIND_TAKEN % SaleKind.VERIFICATION,
    "refilling: find what else was sold under a reference": sales_store.FIND_TAKEN % SaleKind.REFILL,
    "wallets: what stands on a page": wallet_store.ENTRIES,
    "wallets: an entry by its number": wallet_store.ENTRY_OF,
    "wallets: a credit by its reference": wallet_store.ENTRY_OF_CREDIT,
    "placement: insert orders": store.INSERT,
    "placement: write transfers": ledger_store.WRITE_TRANSFERS,
    "placement: write wallets": ledger_store.WRITE_WALLETS,
    "placement: write all of it": joined(
        (
            (store.INSERT, 5),
            (ledger_store.WRITE_TRANSFERS, 1),
            (ledger_store.WRITE_WALLETS, 2),
            (wallet_store.WRITE_LINES, 2),
        )
    ),
    "reading: find by id": store.FIND_BY_ID,
    "claiming: claim": jobs.CLAIM,
    "claiming: read attempts": jobs.READ_ATTEMPTS,
    "claiming: write attempts": jobs.WRITE_ATTEMPTS,
    "claiming: correct claimed": jobs.CORRECT_CLAIMED,
    "settling: lock orders": jobs.LOCK_ORDERS,
    "settling: change orders": jobs.CHANGE_ORDERS,
    "settling: change attempts": jobs.CHANGE_ATTEMPTS,
    "settling: wallets of orders": jobs.WALLETS_OF,
    "leases: renew": jobs.RENEW,
    "leases: hand back": jobs.HAND_BACK,
    "refilling: find subscribers": subscribers.FIND_CURRENCIES,
    "refilling: find by transaction": refills.FIND_BY_TRANSACTION,
    "refilling: insert refills": refills.INSERT,
    "refilling: lock vouchers": vouchers.LOCK_VOUCHERS,
    "refilling: lock batches": vouchers.LOCK_BATCHES,
    "refilling: use vouchers": vouchers.USE_VOUCHERS,
    "refilling: add guards": guards.ADD_GUARDS,
    "refilling: lock guards": guards.LOCK_GUARDS,
    "refilling: write guards": guards.WRITE_GUARDS,
    "refilling: remove guards": guards.REMOVE_GUARDS,
    "delivering: create subscribers": subscribers.CREATE_SUBSCRIBERS,
    "delivering: lock by number": subscribers.LOCK_BY_NUMBER,
    "delivering: claim references": delivering.CLAIM_REFERENCES,
    "delivering: known references": delivering.KNOWN_REFERENCES,
    "delivering: refuse references": delivering.REFUSE_REFERENCES,
    "delivering: forget references": delivering.FORGET_REFERENCES,
    "accounts: lock": subscribers.LOCK,
    "accounts: lock who is free": subscribers.LOCK_WHO_IS_FREE,
    "accounts: main accounts": balances.MAIN_ACCOUNTS,
    "accounts: buckets by id": balances.BUCKETS_BY_ID,
    "accounts: buckets to use": balances.BUCKETS_TO_USE,
    "accounts: insert buckets": balances.INSERT_BUCKETS,
    "accounts: update buckets": balances.UPDATE_BUCKETS,
    "accounts: insert postings": balances.INSERT_POSTINGS,
    "accounts: update subscribers": subscribers.UPDATE_SUBSCRIBERS,
    "using: find consumptions": using.FIND_CONSUMPTIONS,
    "using: insert consumptions": using.INSERT_CONSUMPTIONS,
    "using: find reservations": using.FIND_RESERVATIONS,
    "using: overdue reservations": using.OVERDUE_RESERVATIONS,
    "using: reservation parts": using.RESERVATION_PARTS,
    "using: insert reservations": using.INSERT_RESERVATIONS,
    "using: insert parts": using.INSERT_PARTS,
    "using: update reservations": using.UPDATE_RESERVATIONS,
    "using: blocked mobile money": momo.BLOCKED,
    "sweeping: due reservations": using.DUE_RESERVATIONS,
    "sweeping: buckets that are over": using.OVER_BUCKETS,
    "plans: subscribers": reading.READ_SUBSCRIBERS,
    "plans: buckets": reading.READ_BUCKETS,
    "plans: first buckets": reading.READ_FIRST_BUCKETS,
    "plans: totals": reading.READ_TOTALS,
    "plans: mobile money": momo.READ_MOMO,
    "premiums: lock quotes": premiums.LOCK_QUOTES,
    "premiums: find": premiums.FIND,
    "premiums: parties": momo.PARTIES,
    "premiums: insert": premiums.INSERT,
    "premiums: mark used": premiums.MARK_USED,
    "reports: sales of the resellers of a page": ranking.SALES_OF,
    "reports: what moved the wallets of a page": ranking.MOVED_OF,
}

# 20,000 sold orders with their transfers and attempts, a few of them due, in a shop of 2,000 wallets.
FILL = """
    insert into account (kind, owner, currency, mode) select 'wallet', n::text, 'GHS', 'live' from generate_series(1, 2000) n;
    insert into reseller (id, email, name, phone) select gen_random_uuid(), n || '@example.com', 'N', '+233241234567'
        from generate_series(1, 2000) n;
    insert into wallet (account_id, reseller_id, currency, mode, balance_minor)
        select a.id, r.id, 'GHS', 'live', 1000000
        from (select id, row_number() over () as n from account where kind = 'wallet' and owner ~ '^[0-9]+$') a
        join (select id, row_number() over () as n from reseller where email ~ '^[0-9]') r on r.n = a.n;
    insert into orders
        select (json_populate_record(o, json_build_object(
            'id', o.id + n, 'reference', 'NPAPI-' || n, 'client_reference', 'filler ' || n,
            'state', case when n % 500 = 0 then 'accepted' else 'delivered' end,
            'due_at', case when n % 500 = 0 then now() end))).*
        from orders o, generate_series(1, 20000) n;
    insert into transfer (cause, kind, debit, credit, amount_minor) select id, 3, 1, 2, 5 from orders where id > 1;
    insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)
        select id, 1, 'simulator', 'x', 'delivered', 1, now() from orders;
    insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)
        select 'live', '+23324' || n, 'GH', 'GHS', 'Prepaid', now(), now() from generate_series(1000000, 1003000) n;
    insert into bucket (id, subscriber_id, kind, name, balance, postings, starts_at, expires_at, open, main)
        select n, s.id, 'data', 'x', n % 2, 1, now(), now() + interval '30 days', n % 2 = 1, n % 10 = 1
        from subscriber s, generate_series(s.id * 10, s.id * 10 + 9) n;
    insert into bucket_posting select id, 1, 'grant', 1, 1, 'x' from bucket;
    insert into network_delivery (reference, state) select 'r' || n, 'delivered' from generate_series(1, 20000) n;
    insert into consumption (subscriber_id, reference, kind, amount) select id, 'c', 'data', 1 from subscriber;
    insert into reservation (subscriber_id, reference, kind, amount, state, due_at)
        select id, 's', 'data', 1, case when id % 500 = 0 then 'held' else 'released' end,
               case when id % 500 = 0 then now() end from subscriber;
    insert into reservation_part select id, 1, id, 1 from reservation;
    insert into subscriber_line select 'live', '+23330' || id, id from subscriber;
    insert into momo_account (subscriber_id, authorization_digest) select id, '' from subscriber;
    insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)
        select 'live', '+23480' || n, 'NG', 'NGN', 'x', now(), now() from generate_series(1, 20000) n;
    insert into voucher_batch (mode, currency, amount_minor, profile, first_serial, count)
        select 'live', 'NGN', 100, 'DB00', n * 100, 100 from generate_series(1, 2000) n;
    insert into voucher (serial, batch_id, pin_hash) select n, 1, sha256(n::text::bytea) from generate_series(1, 20000) n;
    insert into pin_guard (kind, subject) select 'subscriber', n::text from generate_series(1, 20000) n;
    insert into refill (id, reference, reseller_id, dialect, mode, transaction_id, fingerprint, kind, subscriber_id, msisdn,
            profile, amount_minor, currency, capped, serial, created_at)
        select n, 'x', gen_random_uuid(), 'madapi', 'live', n::text, 'x', 'voucher', n, 'x', 'DB00', 1, 'NGN', false, n, now()
        from generate_series(1, 20000) n;
    insert into premium_quote
        select n, 'x', gen_random_uuid(), 'live', n::text, 'x', 'x', 'x', 'x', 'x', 1, 'NGN', 1, 0, 0, '', now(), now(), null
        from generate_series(1, 20000) n;
"""


@pytest.fixture
async def one_sale_url(server: Server) -> AsyncIterator[str]:
    """A database of its own, whose statistics nobody has touched, in which one bundle has been sold."""
    async with server.database("plans") as url:
        database = await Database.open(url, pool_size=2)
        placement = OrderPlacement(database)
        try:
            ama = await customer(database, ghs_minor=450)
            await placement.place_all([ama.wants("r")])
        finally:
            await placement.close()
            await database.close()
        yield url


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def scans(connection: "psycopg.Connection[Any]") -> dict[str, list[str]]:
    """For each statement the tables that its plan reads from end to end."""
    for name, value in LANE_SETTINGS.items():
        connection.execute("select set_config(%s, %s, false)", [name, value])
    found = {}
    for name, statement in STATEMENTS.items():
        (text,) = connection.execute(f"explain (generic_plan, format json) {statement}").fetchone() or ("",)
        plan = (json.loads(text) if isinstance(text, str) else text)[0]["Plan"]
        found[name] = [node["Relation Name"] for node in nodes(plan) if reads_everything(node)]
    return found


def reads_everything(node: dict[str, Any]) -> bool:
    """A scan of the table, or one of a whole index, which is what a planner that may not scan takes instead."""
    kind = node["Node Type"]
    return kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node)


async def test_no_statement_scans_a_table_when_everything_is_new(one_sale_url: str) -> None:
    with psycopg.connect(one_sale_url, autocommit=True) as connection:
        assert scans(connection) == {name: [] for name in STATEMENTS}


@pytest.mark.parametrize("analysed", [False, True])
async def test_no_statement_scans_a_table_that_has_filled_up(one_sale_url: str, analysed: bool) -> None:
    with psycopg.connect(one_sale_url, autocommit=True) as connection:
        connection.execute(FILL)
        if analysed:
            connection.execute("analyze")
        assert scans(connection) == {name: [] for name in STATEMENTS}


async def test_a_scan_would_be_seen(one_sale_url: str) -> None:
    with psycopg.connect(one_sale_url, autocommit=True) as connection:
        (text,) = connection.execute("explain (format json) select * from orders where size = 'x'").fetchone() or ()
        assert [node["Node Type"] for node in nodes(text[0]["Plan"])] == ["Seq Scan"]
