"""A shop closes what it has opened, in the reverse order, however far opening and starting have come."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from telvend.bootstrap import open_shop, running, serve, work
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.fulfilment.provisional.model import UnknownAges
from telvend.kit.lifecycle import Lifecycle, Starts
from telvend.upkeep.preparation import prepare_database
from telvend.web.server import HttpServer
from tests.store.test_provisional import Desk


class Story:
    """What was registered for closing and what was closed, by the names of their verbs; what was started."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.closed: list[str] = []
        self.started: list[type] = []


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    told = Story()

    class Told(Lifecycle):
        def push_async_callback(self, callback: Callable[..., Awaitable[Any]], /, *given: Any, **named: Any) -> Any:
            name = callback.__qualname__
            told.registered.append(name)

            async def close() -> None:
                told.closed.append(name)
                await callback(*given, **named)

            return super().push_async_callback(close)

        def starts(self, component: Any) -> Any:
            told.started.append(type(component))
            return super().starts(component)

    monkeypatch.setattr(running, "Lifecycle", Told)
    return told


@pytest.fixture
async def settings(database: Database, tmp_path: Path) -> Settings:
    await prepare_database(database, lambda _: None)
    return Settings(data_dir=str(tmp_path))


@pytest.mark.parametrize("hours", [0, 1])
async def test_provisional_credits_are_given_where_the_setting_asks_for_it(
    settings: Settings, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    # Believed at the first look: a process watches an order for ten minutes.
    monkeypatch.setattr(UnknownAges, "note", lambda _ages, _order_id, age_s: age_s)
    async with Desk.open(database) as route:
        order = await route.unknown(2 * 3600.0, "review")
        changed = msgspec.structs.replace(settings, provisional_credit_after_hours=hours)
        async with work(changed, database_url) as shop:
            for _ in range(100 if hours else 5):
                if (credit := await shop.provisional.of_order(order.id)) is not None:
                    break
                await asyncio.sleep(0.05)
        assert (credit is not None) == (hours > 0)


class Leaks:
    """The tasks and the connections that are left of what was opened since."""

    def __init__(self, watching: Any) -> None:
        self._watching = watching
        self._tasks = asyncio.all_tasks()
        self._connections: set[int] = set()

    @classmethod
    async def since_now(cls, watching: Any) -> "Leaks":
        leaks = cls(watching)
        leaks._connections = await leaks._open()
        return leaks

    async def none(self) -> None:
        assert asyncio.all_tasks() - self._tasks <= {asyncio.current_task()}
        for _ in range(200):  # A server takes a moment to end a session that was closed.
            if not (left := await self._open() - self._connections):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"sessions {left} are left")

    async def _open(self) -> set[int]:
        found = await self._watching.fetch("select pid from pg_stat_activity where datname = current_database()")
        return {row[0] for row in found}


@pytest.fixture
async def leaks(database_url: str) -> Any:
    watching = await asyncpg.connect(database_url)
    yield await Leaks.since_now(watching)
    await watching.close()


def raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("not now")


async def test_what_asks_is_closed_before_what_answers(story: Story, settings: Settings, database_url: str) -> None:
    async with work(settings, database_url):
        pass
    assert story.closed == [
        "Fulfilment.drain",
        "PeriodicTask.close",  # Lists that are bought.
        "PeriodicTask.close",  # What is reported of providers.
        "UpstreamMonitor.close",
        "PeriodicTask.close",  # What is said of networks.
        "PeriodicTask.close",  # Late news that is asked for.
        "PeriodicTask.close",  # Payloads that are asked for.
        "PeriodicTask.close",  # Audits of the console.
        "PeriodicTask.close",  # Months that it closes.
        "PeriodicTask.close",  # Figures of months.
        "PeriodicTask.close",  # Days that are counted.
        "PeriodicTask.close",  # The index of orders.
        "PeriodicTask.close",  # When keys were used last.
        "Resellers.write_last_uses",
        "PeriodicTask.close",  # Ended sessions that are removed.
        "PeriodicTask.close",  # Old e-mails that are removed.
        "PeriodicTask.close",  # Wallets that are low.
        "PeriodicTask.close",  # E-mails that are sent.
        "WebhookDispatch.drain",
        "PeriodicTask.close",  # Old webhooks that are removed.
        "PostgresFulfilmentStore.close",
        "FundingWorker.drain",
        "Identity.close",
        "Orders.close",
        "Watch.close",
        "RealProcess.close",
        "Sandbox.close",
        "Personas.close",
        "OwnNetwork.close",
        "Simulator.close",
        "PostgresBook.close",
        "Premiums.close",
        "Refills.close",
        "Vouchers.close",
        "Usage.close",
        "PlanReader.close",
        "Provisioning.close",
        "People.close",
        "Wallets.close",
        "Continuity.close",
        "Database.close",
    ]


async def test_a_start_that_fails_closes_everything_that_was_opened(
    story: Story, settings: Settings, database_url: str, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with work(settings, database_url):
        pass
    components: list[type[Starts]] = story.started.copy()
    assert len(components) > 10
    for component in components:
        story.registered, story.closed = [], []
        with monkeypatch.context() as patch:
            patch.setattr(component, "start", raises)
            with pytest.raises(RuntimeError, match="not now"):
                async with work(settings, database_url):
                    raise AssertionError(f"{component} was started")
        assert story.closed == story.registered[::-1]
        assert "Fulfilment.drain" in story.closed
        await leaks.none()


@pytest.mark.parametrize(
    "name",
    [
        "sales.continuity.service.Continuity",
        "ledger.service.Ledger",
        "operator.refills.service.Refills",
        "providers.simulator.store.PostgresBook",
        "bootstrap.vendors.providers_of",
        "bootstrap.vendors.connected_of",
        "gateways.sandbox.client.Sandbox",
        "database.watch.Watch",
        "services.Services",
    ],
)
async def test_an_opening_that_fails_closes_what_was_opened_before(
    story: Story, settings: Settings, database_url: str, leaks: Leaks, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    broken = type("Sandbox", (), {"open": raises}) if name.endswith("Sandbox") else raises
    monkeypatch.setattr(f"telvend.{name}", broken)
    with pytest.raises(RuntimeError, match="not now"):
        async with open_shop(settings, database_url):
            raise AssertionError("the shop was opened")
    assert story.closed == story.registered[::-1]
    assert story.closed[-1] == "Database.close"
    await leaks.none()


@pytest.mark.parametrize("broken", ["listen", "start"])
async def test_a_server_that_cannot_begin_to_answer_drains_its_shop(
    story: Story,
    settings: Settings,
    database_url: str,
    leaks: Leaks,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    if broken == "start":
        monkeypatch.setattr(HttpServer, "start", raises)
    with pytest.raises(RuntimeError, match="not now"):
        async with serve(settings, database_url, raises if broken == "listen" else list):
            raise AssertionError("it serves")
    assert story.closed == story.registered[::-1]
    # Before it, at most what listens and what pages have read ahead.
    before = story.closed[: story.closed.index("Fulfilment.drain")]
    assert set(before) <= {"HttpServer.close", "Stale.close", "Attention.close", "OrdersOverview.close"}
    await leaks.none()
