"""From the order to the subscriber: what was sold arrives, whatever the catalogue says by then."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.audit.service import audit_books
from telvend.bootstrap import Shop, open_shop
from telvend.config import Settings, SettingsRefused, SimulatorSettings
from telvend.database.connections import increment_revision
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.orders.model import OrderState, Placement
from telvend.resellers.model import Caller
from telvend.upkeep.preparation import prepare_database

ADA = "+2348031234567"


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A fresh shop in this process. It sells; nobody delivers yet."""
    async with open_shop(Settings(data_dir=str(tmp_path)), database_url) as opened:
        await prepare_database(opened.database, lambda _: None)
        await opened.watch.look()
        opened.services.orders.start()
        opened.provisioning.start()
        yield opened
        await opened.fulfilment.drain(5)
        await opened.services.orders.close()


async def caller_of(shop: Shop) -> Caller:
    """Somebody with NGN 1,000 who pays 2.5 % less for airtime of MTN."""
    services = shop.services
    ada = await services.resellers.add("ada@example.com", "Ada", "08031234567")
    await services.credits.add(ada.id, Money(100_000, NGN), Mode.LIVE, "opening")
    await services.catalogue.set_discount(ada.id, "NG", "mtn", "2.5")
    _, key, _ = await services.resellers.add_key(ada.email, "networkdatasub", Mode.LIVE)
    await shop.watch.look()
    return await services.resellers.authenticate("networkdatasub", key.reveal())


async def until_final(shop: Shop, *placed: Placement) -> list[OrderState]:
    shop.fulfilment.start()
    found = [await shop.services.orders.settled(placement.order, 10) for placement in placed]
    return [order.state for order in found]


async def test_a_subscriber_gets_what_was_sold_whatever_the_catalogue_says_by_then(shop: Shop) -> None:
    services, caller = shop.services, await caller_of(shop)
    network = services.catalogue.snapshot.network("NG", "mtn")
    assert network is not None
    plan = next(plan for plan in services.catalogue.snapshot.plans("NG", "mtn") if plan.size == "1GB")
    assert plan.validity_days == 30
    bundle, airtime = await asyncio.gather(
        services.orders.buy_plan(
            caller, network=network, plan=plan, subscriber=ADA, client_reference="data", prefix="DATA"
        ),
        services.orders.buy_airtime(
            caller, network=network, amount=Money(10_000, NGN), subscriber=ADA, client_reference="air", prefix="AIR"
        ),
    )
    assert (bundle.order.validity_days, airtime.order.validity_days) == (30, None)
    assert (airtime.order.face, airtime.order.price) == (Money(10_000, NGN), Money(9_750, NGN))
    async with shop.database.transaction() as tx:
        await increment_revision(tx, "catalogue")
        await tx.execute("update product set validity_days = 7, size = '2GB' where id = $1", plan.id)
    await shop.watch.look()
    assert await until_final(shop, bundle, airtime) == [OrderState.DELIVERED, OrderState.DELIVERED]
    async with shop.database.connection() as tx:
        rows = await tx.fetch(
            "select b.kind, b.balance, b.validity_days, p.cause from bucket b join bucket_posting p on p.bucket_id = b.id"
            " join subscriber s on s.id = b.subscriber_id where s.msisdn = $1 order by b.kind",
            ADA,
        )
    assert [tuple(row) for row in rows] == [
        ("data", 1024**3, 30, f"{bundle.order.reference}-1"),
        ("money", 10_000, None, f"{airtime.order.reference}-1"),
    ]
    report = await audit_books(shop.database)
    assert report.ok, report.findings


async def test_a_simulator_of_the_same_name_is_refused_in_a_sentence(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), simulators={"own_network": SimulatorSettings()})
    with pytest.raises(SettingsRefused, match="two providers are called own_network"):
        async with open_shop(settings, database_url):
            pass


@pytest.mark.parametrize(
    ("own_network", "live", "takes"),
    [(True, False, True), (False, True, True), (True, True, True), (False, False, False)],
)
async def test_the_sandbox_takes_live_fundings_while_nothing_real_is_delivered(
    database_url: str, tmp_path: Path, own_network: bool, live: bool, takes: bool
) -> None:
    settings = Settings(
        data_dir=str(tmp_path), own_network=own_network, simulators={"simulator": SimulatorSettings(live=live)}
    )
    async with open_shop(settings, database_url) as shop:
        assert shop.sandbox is not None
        assert shop.sandbox.traits.live_mode is takes
