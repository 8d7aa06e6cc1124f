"""Sessions of developers who look on: what is written for them, and what is left when one ends, is killed, or falls behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput
from telvend.kit.money import GHS, Money
from telvend.orders.placement import OrderPlacement
from telvend.webhooks import listening as listening_of
from telvend.webhooks import store
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.listening import LASTS_S, MOST_SESSIONS, Listening, ListenSession
from telvend.webhooks.outbox import Outbox
from telvend.webhooks.retention import WebhookRetention
from tests.clocks import FakeClock
from tests.store.purchases import KINDS, Customer, customer
from tests.store.test_webhooks import URL, completed, counts, webhooks, write


@pytest.fixture
async def ama(database: Database) -> Customer:
    return await customer(database, ghs_minor=10_000)


def listening(database: Database, folder: Path) -> Listening:
    return Listening(database, WebhookKeys(database, folder), settled_s=0.0)


async def left(database: Database) -> tuple[int, int]:
    """How many sessions there are, and how many events wait for any."""
    async with database.connection() as tx:
        return (
            await tx.fetchval("select count(*) from webhook_listener"),
            await tx.fetchval("select count(*) from webhook_listener_event"),
        )


async def types(session: ListenSession) -> list[str]:
    return [event.type for event in await session.waiting(100)]


async def end_all(database: Database) -> None:
    """As if no session had been put off in time."""
    async with database.connection() as tx:
        await tx.execute("update webhook_listener set until = now() - interval '1 second'")


async def write_and_fail(database: Database, ama: Customer) -> None:
    async with database.transaction() as tx:
        await Outbox().write(tx, [completed(ama)])
        raise ZeroDivisionError


async def test_a_session_is_shown_its_resellers_events_or_everybodys_and_leaves_nothing(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    kofi = await customer(database)
    opened = listening(database, tmp_path)
    async with opened.session(ama.reseller_id) as amas, opened.session(None) as all_of_them:
        await write(database, completed(ama, 1), completed(kofi, 2))
        (shown,) = await amas.waiting(100)
        assert (shown.reseller_id, shown.type) == (ama.reseller_id, "order.completed")
        both = await all_of_them.waiting(100)
        assert [event.reseller_id for event in both] == [ama.reseller_id, kofi.reseller_id]
        assert both[0].message == shown.message
        await amas.shown([shown])
        assert await amas.waiting(100) == []
        assert len(await all_of_them.waiting(1)) == 1
    assert await left(database) == (0, 0)
    # Nothing was written for endpoints, which there are none of.
    assert await counts(database) == (0, 0)
    await write(database, completed(ama))
    assert await left(database) == (0, 0)


async def test_an_endpoint_is_sent_the_same_message_and_keeps_it(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    await service.add(ama.reseller_id, URL)
    async with listening(database, tmp_path).session(ama.reseller_id) as session:
        await write(database, completed(ama))
        (shown,) = await session.waiting(100)
    (delivery,) = await service.deliveries(ama.reseller_id)
    assert (delivery.message, delivery.body) == (shown.message, shown.body)


async def test_an_event_of_a_transaction_that_fails_is_shown_to_nobody(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with listening(database, tmp_path).session(None) as session:
        with pytest.raises(ZeroDivisionError):
            await write_and_fail(database, ama)
        assert await session.waiting(100) == []


async def test_sales_go_on_while_sessions_come_and_go(database: Database, tmp_path: Path, ama: Customer) -> None:
    """A session that ends between a look and a row fails no sale; what is written too late is removed later."""
    opened = listening(database, tmp_path)
    async with database.transaction() as tx, opened.session(None):
        await Outbox().write(tx, [completed(ama)])
    assert await left(database) == (0, 1)
    retention = WebhookRetention(database, FakeClock())
    await retention.look()
    assert await left(database) == (0, 0)


async def test_a_session_that_was_killed_is_written_for_no_more_and_removed(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    killed = ListenSession(database, ama.reseller_id)
    await killed.open()
    await write(database, completed(ama))
    async with database.connection() as tx:
        lasts = await tx.fetchval("select extract(epoch from until - now()) from webhook_listener")
    assert LASTS_S - 10 < lasts <= LASTS_S
    await end_all(database)
    await write(database, completed(ama))
    assert await left(database) == (1, 1)
    async with database.connection() as tx:
        before = await tx.fetchval("select number from revision where topic = 'webhooks'")
    await WebhookRetention(database, FakeClock()).look()
    assert await left(database) == (0, 0)
    async with database.connection() as tx:
        assert await tx.fetchval("select number from revision where topic = 'webhooks'") == before + 1
    # Another session removes it too, where nobody serves.
    await ListenSession(database, None).open()
    await end_all(database)
    async with listening(database, tmp_path).session(None):
        assert (await left(database))[0] == 1


async def test_a_session_that_has_slept_too_long_says_so_and_begins_anew(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with listening(database, tmp_path).session(ama.reseller_id) as session:
        assert await session.put_off()
        await end_all(database)
        assert not await session.put_off()
        await write(database, completed(ama))
        assert await types(session) == ["order.completed"]
    assert await left(database) == (0, 0)


async def test_a_session_that_is_behind_keeps_the_newest_and_counts_the_rest(
    database: Database, tmp_path: Path, ama: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening_of, "MOST_WAITING", 3)
    async with listening(database, tmp_path).session(None) as session:
        await write(database, *(completed(ama, number) for number in range(3)))
        await session.put_off()
        assert session.missed == 0
        await write(database, *(completed(ama, number) for number in range(3, 8)))
        await session.put_off()
        assert session.missed == 5
        assert [f"NPAPI-{number}-" in event.body for number, event in enumerate(await session.waiting(9), 5)] == [
            True
        ] * 3


async def test_there_are_so_many_sessions_and_no_more_also_when_they_begin_at_once(database: Database) -> None:
    sessions = [ListenSession(database, None) for _ in range(MOST_SESSIONS + 4)]
    answers = await asyncio.gather(*(session.open() for session in sessions), return_exceptions=True)
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 4
    assert (await left(database))[0] == MOST_SESSIONS


async def test_a_process_that_remembers_nobody_writes_for_a_session_once_it_has_looked(
    database: Database, tmp_path: Path, ama: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    outbox = Outbox(clock)
    kofi = await customer(database)

    async def look() -> None:
        async with database.connection() as tx:
            await outbox.load(tx)
        outbox.looked(clock.monotonic())

    executed: list[Any] = []
    really = store.write_for_listeners

    async def noted(*given: Any) -> None:
        executed.append(given)
        await really(*given)

    monkeypatch.setattr(store, "write_for_listeners", noted)
    await look()
    assert outbox.silent
    await write(database, completed(ama), outbox=outbox)
    assert executed == [], "without a session not one statement more"
    async with listening(database, tmp_path).session(ama.reseller_id) as session:
        await look()
        assert not outbox.silent
        assert (outbox.hears(ama.wallets["GHS"]), outbox.hears(kofi.wallets["GHS"])) == (True, False)
        await write(database, completed(ama), outbox=outbox)
        assert len(await session.waiting(9)) == 1
        async with listening(database, tmp_path).session(None):
            await look()
            assert outbox.hears(kofi.wallets["GHS"])
    await look()
    assert outbox.silent
    assert not outbox.hears(ama.wallets["GHS"])


async def test_a_low_balance_is_shown_though_there_is_no_endpoint(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    async with listening(database, tmp_path).session(ama.reseller_id) as session:
        await service.set_threshold(ama.wallets["GHS"], Money(9_900, GHS))
        placement = OrderPlacement(database, kinds=KINDS)
        await placement.place_all([ama.wants()])
        await placement.close()
        assert await types(session) == ["wallet.low"]


async def test_the_secret_is_the_same_at_every_run(database: Database, tmp_path: Path) -> None:
    first = await listening(database, tmp_path).secret()
    assert first == await listening(database, tmp_path).secret()
    assert len(first) == 32
