"""Providers as the operator sees them: switched in every process, floats that are asked for by one, the last hour."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from telvend.bootstrap import open_shop
from telvend.config import Settings
from telvend.connected import Connected
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.fulfilment.routing import Assignment, BreakerState, NoProvider, ProviderState, Router, RoutingRequest
from telvend.kit.clock import SystemClock
from telvend.kit.money import GHS, NGN, Money
from telvend.provider_tables import ProviderSettings
from telvend.providers.contract import ProviderTraits, Reason, Refused, Unknown
from telvend.providers.upstream import BalanceUnavailable
from telvend.upkeep import upstreams as checks
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Level
from telvend.upstreams import store
from telvend.upstreams.monitor import UpstreamMonitor
from telvend.upstreams.service import Upstreams
from tests.store.test_cli import Shop

NIGERIA = RoutingRequest("NG", "MTN", test=False)


class Vendor:
    """An upstream whose float a test sets."""

    connector = "double"

    def __init__(self, name: str = "vt", says: Any = None) -> None:
        self.name = name
        self.traits = ProviderTraits(timeout_s=2.0, settles_after_s=60.0)
        self.says: Any = says
        self.asked = 0

    async def balance(self) -> Any:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def router_of(*vendors: Vendor) -> Router:
    return Router(vendors, SystemClock())  # type: ignore[arg-type]


def monitor_of(
    database: Database, router: Router, *vendors: Vendor, process: str = "a:1", low: str = ""
) -> UpstreamMonitor:
    low_floats = {vendor.name: low for vendor in vendors}
    return UpstreamMonitor(database, router, vendors, low_floats, process=process)  # type: ignore[arg-type]


async def float_of(database: Database, name: str = "vt") -> Any:
    (found,) = [read for read in await Upstreams(database).floats() if read.provider == name]
    return found


async def pass_time(database: Database, seconds: float) -> None:
    async with database.connection() as tx:
        await tx.execute(
            "update provider_float set asked_at = asked_at - make_interval(secs => $1),"
            " read_at = read_at - make_interval(secs => $1)",
            seconds,
        )


# Switching ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def processes(url: str, folder: Path, count: int) -> AsyncIterator[list[Any]]:
    """Shops on one database, as processes of nodes are; each looks at what others have changed."""
    opened = [open_shop(Settings(data_dir=str(folder / f"node{number}")), url) for number in range(count)]
    shops = []
    for one in opened:
        (folder / f"node{len(shops)}").mkdir(mode=0o700)
        shops.append(await one.__aenter__())
    try:
        yield shops
    finally:
        for one in reversed(opened):
            await one.__aexit__(None, None, None)


async def test_every_process_hears_that_a_provider_was_switched(database: Database, tmp_path: Path) -> None:
    wanted = RoutingRequest("GH", "MTN", test=False)
    async with processes(database.url, tmp_path, 2) as shops:
        names = shops[0].provider_names
        for state, expected in [
            (ProviderState.OFF, NoProvider),
            (ProviderState.ON, Assignment),
            (ProviderState.DRAIN, NoProvider),
        ]:
            await shops[0].upstreams.switch("own_network", state, known=names, reason="maintenance", by_whom="ama")
            for shop in shops:
                await shop.watch.look()
                choice = shop.router.choose(wanted)
                assert isinstance(choice, expected)
                if isinstance(choice, Assignment):
                    shop.router.release(choice)
                assert shop.router.may_resend("own_network") is (state is not ProviderState.OFF)
        standing = (await shops[1].upstreams.standings(names))["own_network"]
        assert (standing.state, standing.switched.reason, standing.switched.by_whom) == ("drain", "maintenance", "ama")


async def test_only_a_provider_of_the_settings_is_switched_or_one_that_was(database: Database) -> None:
    upstreams = Upstreams(database)
    with pytest.raises(NotFound, match="There is no provider vtt; the settings name simulator, vt"):
        await upstreams.switch("vtt", ProviderState.OFF, known=["vt", "simulator"], by_whom="ama")
    await upstreams.switch("vt", ProviderState.OFF, known=["vt"], by_whom="ama")
    await upstreams.switch("vt", ProviderState.ON, known=[], by_whom="ama")


# Floats ---------------------------------------------------------------------------------------------------------------


async def test_one_process_asks_for_a_float_each_minute_and_each_one_when_it_starts(database: Database) -> None:
    vendor = Vendor(says=Money(120_000, NGN))
    router = router_of(vendor)
    first, second = (monitor_of(database, router, vendor, process=name) for name in ("a:1", "b:2"))
    await first.look_at("vt")
    assert (await float_of(database)).amount == Money(120_000, NGN)
    await asyncio.gather(first.look_at("vt"), second.look_at("vt"))
    assert vendor.asked == 1
    await pass_time(database, 6)
    await second.look_at("vt")
    await pass_time(database, 44)
    await asyncio.gather(*(monitor.look_at("vt") for monitor in (first, second, first, second)))
    # The second one has not started just now: its settings are known to it, and the last answer is not a minute old.
    assert vendor.asked == 1
    await pass_time(database, 10)
    vendor.says = Money(90_000, NGN)
    await asyncio.gather(*(monitor.look_at("vt") for monitor in (first, second)))
    assert (vendor.asked, (await float_of(database)).amount) == (2, Money(90_000, NGN))
    await pass_time(database, 120)
    many = [monitor_of(database, router, vendor, process=f"c:{number}") for number in range(8)]
    await asyncio.gather(*(monitor.look_at("vt") for monitor in many))
    assert vendor.asked == 3


@pytest.mark.parametrize(
    ("says", "error", "not_allowed"),
    [
        (BalanceUnavailable("HTTP 500"), "HTTP 500", False),
        (BalanceUnavailable("HTTP 401", not_allowed=True), "HTTP 401", True),
        (BalanceUnavailable("\x00\ud800" + 1000 * "x"), "?" + 499 * "x", False),
        (Money(10**30, NGN), "names an amount that cannot be", False),
        (Money(-(10**30), NGN), "names an amount that cannot be", False),
        (ValueError("a secret"), "the connector raised ValueError", False),
    ],
)
async def test_a_float_that_cannot_be_read_keeps_its_last_amount_and_says_why(
    database: Database, says: Any, error: str, not_allowed: bool
) -> None:
    vendor = Vendor(says=Money(5, NGN))
    await monitor_of(database, router_of(vendor), vendor).look_at("vt")
    await pass_time(database, 120)
    vendor.says = says
    await monitor_of(database, router_of(vendor), vendor).look_at("vt")
    read = await float_of(database)
    assert (read.amount, read.error, read.not_allowed) == (Money(5, NGN), error, not_allowed)
    assert read.age_s == pytest.approx(120, abs=5)


async def test_a_vendor_without_such_a_call_is_asked_once(database: Database) -> None:
    vendor = Vendor(says=None)
    monitor = monitor_of(database, router_of(vendor), vendor)
    for _ in range(3):
        await monitor.look_at("vt")
        await pass_time(database, 120)
    assert vendor.asked == 1


async def test_a_low_float_is_said_once_and_so_is_its_end(database: Database) -> None:
    vendor = Vendor(says=Money(99_999, NGN))
    monitor = monitor_of(database, router_of(vendor), vendor, low="1000")
    with capture_logs() as said:
        for amount in (99_999, 50_000, 100_000, 100_001):
            vendor.says = Money(amount, NGN)
            await pass_time(database, 120)
            await monitor.look_at("vt")
            assert (await float_of(database)).low is (amount < 100_000)
    assert [one["event"] for one in said] == ["float_is_low", "float_is_enough_again"]
    wrong = monitor_of(database, router_of(vendor), vendor, low="1000.001")
    await pass_time(database, 120)
    await wrong.look_at("vt")
    assert "low_float is '1000.001', which is no amount of NGN" in (await float_of(database)).error


async def test_a_float_that_has_grown_ends_the_rest_in_every_process(database: Database) -> None:
    vendor = Vendor(says=Money(0, NGN))
    routers = [router_of(vendor), router_of(vendor)]
    monitors = [monitor_of(database, router, vendor, process=str(n)) for n, router in enumerate(routers)]
    for router, monitor in zip(routers, monitors, strict=True):
        await monitor.look_at("vt")
        choice = router.choose(NIGERIA)
        assert isinstance(choice, Assignment)
        router.record(choice, Refused(Reason.NO_FLOAT, "top up"), 0.1)
    vendor.says = Money(500_000, NGN)
    await pass_time(database, 120)
    for router, monitor in zip(routers, monitors, strict=True):
        assert not isinstance(router.choose(NIGERIA), Assignment)
        await monitor.look_at("vt")
        assert isinstance(router.choose(NIGERIA), Assignment)
    assert vendor.asked == 2


async def test_a_topup_in_another_currency_than_the_float_is_not_recorded(database: Database) -> None:
    upstreams = Upstreams(database)
    vendor = Vendor("vt", Money(500_000, NGN))
    await monitor_of(database, router_of(vendor), vendor).look_at("vt")
    with pytest.raises(InvalidInput, match="the float of vt is in NGN"):
        await upstreams.record_topup("vt", Money(100, GHS), "bank-1", by_whom="ama")
    assert await upstreams.record_topup("vt", Money(100, NGN), "bank-1", by_whom="ama")
    assert (await upstreams.standings(["vt"]))["vt"].topped_up == {NGN: Money(100, NGN)}


async def test_a_topup_is_recorded_once_for_each_reference_and_never_changed(database: Database) -> None:
    upstreams = Upstreams(database)
    answers = await asyncio.gather(
        *(upstreams.record_topup("vt", Money(100, NGN), "bank-1", by_whom="ama") for _ in range(5))
    )
    assert sorted(answers) == [False] * 4 + [True]
    with pytest.raises(ReferenceReused):
        await upstreams.record_topup("vt", Money(101, NGN), "bank-1", by_whom="ama")
    with pytest.raises(ReferenceReused):
        await upstreams.record_topup("vt", Money(100, GHS), "bank-1", by_whom="ama")
    assert await upstreams.record_topup("other", Money(7, NGN), "bank-1", by_whom="ama")
    for amount, reference in ((0, "x"), (-1, "x"), (10**16, "x"), (1, " "), (1, "x" * 65), (1, "a\nb")):
        with pytest.raises(InvalidInput):
            await upstreams.record_topup("vt", Money(amount, NGN), reference, by_whom="ama")
    assert (await upstreams.standings(["vt"]))["vt"].topped_up == {NGN: Money(100, NGN)}
    async with database.connection() as tx:
        with pytest.raises(asyncpg.RaiseError):
            await tx.execute("update provider_topup set amount_minor = 1")


# Health ---------------------------------------------------------------------------------------------------------------


async def test_what_processes_report_is_put_together_and_an_ended_one_is_forgotten(database: Database) -> None:
    vendor = Vendor()
    routers = [router_of(vendor), router_of(vendor)]
    monitors = [monitor_of(database, router, vendor, process=str(n)) for n, router in enumerate(routers)]
    for _ in range(5):
        choice = routers[0].choose(NIGERIA)
        assert isinstance(choice, Assignment)
        routers[0].record(choice, Unknown("no \x00answer\ud800"), 1.0)
    for monitor in (*monitors, *monitors):
        await monitor.report()
    health = (await Upstreams(database).standings(["vt", "nobody"]))["vt"].health
    assert (health.state, health.processes) == (BreakerState.OPEN, 2)
    assert [(group.group, group.state, group.processes) for group in health.resting] == [
        ("NG/MTN data", BreakerState.OPEN, 1)
    ]
    await monitors[0].close()
    health = (await Upstreams(database).standings(["vt"]))["vt"].health
    assert (health.state, health.processes) == (BreakerState.CLOSED, 1)
    async with database.connection() as tx:
        await tx.execute("update provider_report set reported_at = now() - interval '25 s'")
    assert (await Upstreams(database).standings(["vt"]))["vt"].health.state is None
    async with database.connection() as tx:
        await tx.execute("update provider_report set reported_at = now() - interval '2 min'")
    await monitors[0].report()
    async with database.connection() as tx:
        assert await tx.fetchval("select count(*) from provider_report where process = '1'") == 0


# Commands -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(nobodys_settings: None, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    (folder / "telvend.toml").write_text(
        'own_network = false\n[providers.vt]\nconnector = "vtpass"\nlow_float = "1000"\n'
    )
    return Shop(database_url)


def an_hour_of(shop: Shop) -> None:
    """Orders of the last hour: three delivered, one refused, one unknown; and one that is older."""
    _, orders = shop.sell(*(f"r{number}" for number in range(6)))
    states = ["delivered"] * 3 + ["refused", "unknown", "delivered"]
    for number, (order, state) in enumerate(zip(orders, states, strict=True)):
        ago = "2 hours" if number == 5 else "10 minutes"
        shop.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at, finished_at)"
            f" values ({order.id}, 1, 'vt', 'x{number}', '{state}', 400, now() - interval '{ago}',"
            f" now() - interval '{ago}' + interval '{number + 1} s')"
        )


def test_the_list_shows_the_last_hour_the_float_and_how_long_it_lasts(shop: Shop) -> None:
    an_hour_of(shop)
    shop.execute(
        "insert into provider_float (provider, asked_at, minor, currency, read_at, low)"
        " values ('vt', now(), 60000, 'GHS', now() - interval '30 s', true)"
    )
    shop.run("provider", "topup", "vt", "650", "GHS", "--reference", "bank-7")
    found = shop.data("provider", "list")["providers"]
    assert [one["name"] for one in found] == ["vt", "simulator"]
    vt = found[0]
    assert (vt["connector"], vt["live"], vt["state"], vt["float"], vt["currency"]) == ("vtpass", True, "on", 600, "GHS")
    assert 29 <= vt["float_age_s"] <= 60
    assert (vt["low"], vt["low_float"], vt["reckoned_float"]) == (True, "1000", 650)
    # GHS 12.00 in the hour: GHS 600.00 last fifty of them.
    assert vt["hours_left"] == 50
    hour = vt["last_hour"]
    assert (hour["delivered"], hour["refused"], hour["unknown"], hour["success_percent"]) == (3, 1, 1, 60)
    assert (hour["median_s"], hour["costs"]) == (2, {"GHS": 12})
    assert vt["breaker"] == {"state": None, "processes": 0, "in_flight": 0, "groups": []}
    shown = shop.run("provider", "list").stdout
    assert "GHS" in shown
    assert "50.0 h" in shown


def test_more_attempts_than_are_read_count_for_the_time_that_they_cover(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour_of(shop)
    # The five newest orders are those of ten minutes ago and the old one.
    monkeypatch.setattr(store, "MOST_ATTEMPTS", 3)
    shop.execute("update attempt set started_at = now() - interval '6 minutes' where state <> 'delivered'")
    hour = shop.work(lambda database: Upstreams(database).standings(["vt"]))["vt"].last_hour
    assert (hour.refused, hour.unknown) == (1, 1)
    assert hour.covered_s == 3600  # The old one reaches back further than the hour.


def test_switching_by_command(shop: Shop) -> None:
    assert shop.data("provider", "off", "vt", "--reason", "their network is down", "--by", "ama") == {
        "name": "vt",
        "state": "off",
    }
    vt = shop.data("provider", "list")["providers"][0]
    assert (vt["state"], vt["reason"], vt["by"]) == ("off", "their network is down", "ama")
    assert "vt is off: their network is down (ama)" in shop.run("provider", "list").stdout
    shop.run("provider", "drain", "vt")
    assert shop.data("provider", "list")["providers"][0]["state"] == "drain"
    shop.run("provider", "on", "vt")
    assert shop.data("provider", "list")["providers"][0]["reason"] == ""
    assert "There is no provider vtt" in shop.refused("provider", "off", "vtt")
    assert "amount" in shop.refused("provider", "topup", "vt", "1.001", "GHS", "--reference", "x")


async def test_the_doctor_names_low_floats_and_providers_that_are_off(database: Database) -> None:
    tables = {name: ProviderSettings(connector="vtpass") for name in ("a", "b", "c", "d")}
    examined = Examined(Settings(providers=tables), database, Connected(()))
    assert list(await checks.floats(examined)) == list(await checks.switched(examined)) == []
    async with database.connection() as tx:
        await tx.execute(
            "insert into provider_float (provider, asked_at, minor, currency, read_at, error, not_allowed, low) values"
            " ('a', now(), 100, 'NGN', now(), '', false, true), ('b', now(), 100, 'NGN', now(), '', false, false),"
            " ('c', now(), null, null, null, 'HTTP 401', true, false),"
            " ('d', now(), 5, 'NGN', now() - interval '1 hour', '', false, false)"
        )
    assert [(one.level, one.text.split(":")[0]) for one in await checks.floats(examined)] == [
        (Level.WARNING, "The float at a is low"),
        (Level.OK, "The float at b is NGN 1.00."),
        (Level.FAILURE, "c does not accept our credentials"),
        (
            Level.WARNING,
            "The float at d was NGN 0.05 60 minutes ago, and is not read since, as long as nothing of this shop runs.",
        ),
    ]
    upstreams = Upstreams(database)
    await upstreams.switch("a", ProviderState.OFF, known=tables, by_whom="ama")
    assert [one.level for one in await checks.switched(examined)] == [Level.WARNING]
    for name in tables:
        await upstreams.switch(name, ProviderState.DRAIN, known=tables, by_whom="ama")
    assert [one.level for one in await checks.switched(examined)] == [Level.FAILURE]
