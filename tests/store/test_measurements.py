"""What `/metrics` reads from the database, under its name and the one of before."""

from pathlib import Path

from telvend import __version__
from telvend.audit import invariants
from telvend.audit import store as audit_store
from telvend.audit.service import Audit
from telvend.bootstrap import open_shop
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.orders.model import Placement
from telvend.orders.placement import OrderPlacement
from telvend.upkeep.preparation import prepare_database
from telvend.web.measurements import measured
from telvend.webhooks import store
from tests.store.purchases import customer


async def test_an_open_order_and_its_money_are_shown_with_the_build(database_url: str, tmp_path: Path) -> None:
    async with open_shop(Settings(data_dir=str(tmp_path)), database_url) as shop:
        await prepare_database(shop.database, lambda _: None)
        await shop.watch.look()
        services = shop.services
        services.orders.start()
        ada = await services.resellers.add("ada@example.com", "Ada", "08031234567")
        await services.credits.add(ada.id, Money(100_000, NGN), Mode.LIVE, "opening")
        _, key, _ = await services.resellers.add_key(ada.email, "networkdatasub", Mode.LIVE)
        caller = await services.resellers.authenticate("networkdatasub", key.reveal())
        network = services.catalogue.snapshot.network("NG", "mtn")
        assert network is not None
        await services.orders.buy_airtime(
            caller,
            network=network,
            amount=Money(10_050, NGN),
            subscriber="+2348031234567",
            client_reference="air",
            prefix="AIR",
        )
        text = (await measured(services, shop.database, tmp_path)).decode()
        await services.orders.close()
    lines = text.splitlines()
    assert any(line.startswith('telvend_build_info{python_version="3.') for line in lines)
    assert any(f'version="{__version__}"' in line and line.endswith("} 1.0") for line in lines)
    assert 'telvend_orders_open{currency="NGN",mode="live",state="accepted"} 1.0' in lines
    for held in ("telvend_orders_held_currency_units", "telvend_held_amount"):
        assert f'{held}{{currency="NGN",mode="live"}} 100.5' in lines
    for oldest in ("telvend_orders_oldest_age_seconds", "telvend_orders_oldest_seconds"):
        assert sum(line.startswith(f'{oldest}{{currency="NGN"') for line in lines) == 1
    assert 'telvend_database_connections{pool="shop"}' in text
    assert 'telvend_pool_size{pool="shop"}' in text
    assert 'telvend_webhook_deliveries_waiting{state="active"} 0.0' in lines
    assert 'telvend_webhook_endpoints_failing{state="paused"} 0.0' in lines
    assert 'telvend_ledger_hold_difference_currency_units{currency="NGN",mode="live"} 0.0' in lines
    assert "telvend_audit_last_run_timestamp_seconds 0.0" in lines
    assert "telvend_backup_last_success_timestamp_seconds 0.0" in lines
    assert {"telvend_data_filesystem_free_bytes", "telvend_database_size_bytes"} <= {
        line.split(" ")[0] for line in lines
    }


async def test_an_audit_is_noted_with_what_it_has_found(database: Database, tmp_path: Path) -> None:
    await customer(database, ghs_minor=1000)
    report = await Audit(database, tmp_path).run()
    async with database.connection() as tx:
        first = await audit_store.last_run(tx)
    assert report.ok
    assert first is not None
    assert (first.findings, first.whole, first.transfers) == (0, True, report.transfers)
    again = await Audit(database, tmp_path).run()
    async with database.connection() as tx:
        second = await audit_store.last_run(tx)
        await tx.execute("update wallet set balance_minor = balance_minor + 1 where balance_minor = 1000")
    assert second is not None
    # An audit may always turn to the whole again, so that it is compared with what this one did.
    assert (second.whole, second.findings) == (again.since is None, 0)
    wrong = await Audit(database, tmp_path).run()
    async with database.connection() as tx:
        third = await audit_store.last_run(tx)
    assert third is not None
    assert third.findings == len(wrong.findings) > 0
    assert first.ended_at < second.ended_at < third.ended_at


async def test_a_hold_unlike_its_order_is_a_difference_until_it_is_put_right(database: Database) -> None:
    ama = await customer(database, ghs_minor=10_000)
    placement = OrderPlacement(database)
    (one,) = await placement.place_all([ama.wants("a")])
    await placement.close()
    assert isinstance(one, Placement)
    async with database.connection() as tx:
        assert await invariants.hold_differences(tx) == [("live", "GHS", 0)]
        await tx.execute("update orders set price_minor = price_minor + 7 where id = $1", one.order.id)
        assert await invariants.hold_differences(tx) == [("live", "GHS", 7)]
        await tx.execute("set session_replication_role = replica")
        await tx.execute("update orders set price_minor = price_minor - 7 where id = $1", one.order.id)
        await tx.execute("delete from transfer where cause = $1", one.order.id)
        assert await invariants.hold_differences(tx) == [("live", "GHS", one.order.price.minor)]


async def test_messages_that_wait_are_counted_by_the_state_of_their_endpoint(database: Database) -> None:
    ama = await customer(database)
    async with database.transaction() as tx:
        for number, (state, waiting) in enumerate((("active", 1200), ("active", 2), ("paused", 3), ("gone", 4)), 1):
            await tx.execute(
                "insert into webhook_endpoint (id, reseller_id, url, state, key_id, secret) overriding system value"
                " values ($1, $2, 'https://reseller.example', $3, 'k', '')",
                number, ama.reseller_id, state,
            )  # fmt: skip
            await tx.execute(
                "insert into webhook_delivery (endpoint_id, event_id, due_at) select $1, n, now() from generate_series(1, $2) n",
                number, waiting,
            )  # fmt: skip
            await tx.execute(
                "insert into webhook_delivery (endpoint_id, event_id, state) values ($1, 9999, 'delivered')", number
            )
        found = await store.count_waiting(tx)
    assert found == {"active": 1002, "paused": 3}
