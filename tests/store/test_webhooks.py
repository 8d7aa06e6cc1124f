"""Endpoints, events and deliveries in the database: commands, who hears what, and what races of processes write."""

import asyncio
import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from telvend.config import Settings
from telvend.connected import Connected
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Level
from telvend.upkeep.webhooks import webhooks as look_at_webhooks
from telvend.webhooks import store
from telvend.webhooks.destination import Address
from telvend.webhooks.keys import FILE, WebhookKeys
from telvend.webhooks.model import DeliveryState, EndpointState, Event, EventType
from telvend.webhooks.outbox import TRUST_S, Outbox
from telvend.webhooks.service import Webhooks
from telvend.webhooks.signing import secret_text
from tests.clocks import FakeClock
from tests.conftest import Server
from tests.store.purchases import Customer, customer
from tests.store.receivers import hangs, receiving, says
from tests.store.test_cli import EMAIL, Shop

URL = "https://reseller.example/hooks"


async def nowhere(host: str, port: int) -> list[Address]:
    raise OSError(host)


def webhooks(database: Database, folder: Path, **options: Any) -> Webhooks:
    given = {"allow_private": False, "settled_s": 0.0, "resolve": nowhere} | options
    return Webhooks(database, WebhookKeys(database, folder), Outbox(), **given)


@pytest.fixture
async def ama(database: Database) -> Customer:
    return await customer(database, ghs_minor=10_000)


def completed(ama: Customer, number: int = 1, kind: EventType = EventType.ORDER_COMPLETED) -> Event:
    return Event(kind, ama.reseller_id, Mode.LIVE, {"reference": f"NPAPI-{number}-abcdef"})


async def write(database: Database, *events: Event, outbox: Outbox | None = None) -> None:
    async with database.transaction() as tx:
        await (outbox or Outbox()).write(tx, events)


async def counts(database: Database) -> tuple[int, int]:
    async with database.connection() as tx:
        return (
            await tx.fetchval("select count(*) from webhook_event"),
            await tx.fetchval("select count(*) from webhook_delivery"),
        )


# Endpoints ----------------------------------------------------------------------------------------------------------------


async def test_a_secret_is_shown_once_and_stands_sealed_in_the_database(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    made = await webhooks(database, tmp_path).add(ama.reseller_id, URL)
    secret = made.secret.reveal()
    assert secret.startswith("whsec_")
    async with database.connection() as tx:
        row = str(dict((await tx.fetchrow("select * from webhook_endpoint")).items()))
        key_id, sealed = await store.secret_of(tx, made.endpoint.id)
    assert secret.removeprefix("whsec_") not in row
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    keys = WebhookKeys(database, tmp_path)
    assert secret_text(keys.named(key_id).open(made.endpoint.id, sealed)) == made.secret
    assert secret not in repr(made)


async def test_one_url_is_one_endpoint_of_a_reseller_also_when_two_add_it_at_once(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    answers = await asyncio.gather(*(service.add(ama.reseller_id, URL) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 4
    other = await customer(database)
    await service.add(other.reseller_id, URL)
    assert len(await service.list_endpoints(ama.reseller_id)) == 1


async def test_a_reseller_has_a_bounded_number_of_endpoints(database: Database, tmp_path: Path, ama: Customer) -> None:
    service = webhooks(database, tmp_path)
    for number in range(16):
        await service.add(ama.reseller_id, f"{URL}/{number}")
    with pytest.raises(InvalidInput, match="16"):
        await service.add(ama.reseller_id, f"{URL}/more")


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["203.0.114.7", "127.0.0.1"], ["::ffff:192.168.1.1"]])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    database: Database, tmp_path: Path, ama: Customer, addresses: Sequence[str]
) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ipaddress.ip_address(one) for one in addresses]

    with pytest.raises(InvalidInput, match="private"):
        await webhooks(database, tmp_path, resolve=resolve).add(ama.reseller_id, URL)
    await webhooks(database, tmp_path, resolve=resolve, allow_private=True).add(ama.reseller_id, URL)


async def test_a_rotation_keeps_the_old_secret_for_a_day(database: Database, tmp_path: Path, ama: Customer) -> None:
    service = webhooks(database, tmp_path)
    first = await service.add(ama.reseller_id, URL)
    second = await service.rotate(first.endpoint.id)
    assert second.secret != first.secret
    assert second.previous_until is not None
    assert timedelta(hours=23) < second.previous_until - first.endpoint.created_at < timedelta(hours=25)
    with pytest.raises(NotFound):
        await service.rotate(4711)


async def test_a_removed_endpoint_keeps_its_log_and_no_secret(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    made = await service.add(ama.reseller_id, URL)
    await write(database, completed(ama))
    await service.remove(made.endpoint.id)
    await write(database, completed(ama))
    (delivery,) = await service.deliveries(ama.reseller_id)
    assert (delivery.state, delivery.due_at) == (DeliveryState.FAILED, None)
    async with database.connection() as tx:
        assert await tx.fetchval("select secret from webhook_endpoint") == b""
    assert await service.list_endpoints(ama.reseller_id) == []
    with pytest.raises(InvalidInput, match="removed"):
        await service.replay(delivery.id)
    with pytest.raises(NotFound):
        await service.remove(made.endpoint.id)


async def test_a_gone_endpoint_is_resumed_and_hears_again(database: Database, tmp_path: Path, ama: Customer) -> None:
    service = webhooks(database, tmp_path)
    made = await service.add(ama.reseller_id, URL)
    async with database.transaction() as tx:
        await store.mark_gone(tx, [made.endpoint.id])
    await write(database, completed(ama))
    assert await counts(database) == (0, 0)
    assert (await service.resume(made.endpoint.id)).state is EndpointState.ACTIVE
    await write(database, completed(ama))
    assert await counts(database) == (1, 1)


# Who hears what -----------------------------------------------------------------------------------------------------------


async def test_an_event_is_written_for_each_endpoint_that_wants_it_and_not_at_all_where_nobody_does(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    kofi = await customer(database)
    await write(database, completed(ama))
    assert await counts(database) == (0, 0)
    await service.add(ama.reseller_id, URL)
    await service.add(ama.reseller_id, f"{URL}/failures", ["order.failed", "order.failed"])
    await service.add(kofi.reseller_id, URL)
    await write(database, completed(ama, 1), completed(ama, 2, EventType.ORDER_FAILED))
    assert await counts(database) == (2, 3)
    found = await service.deliveries(ama.reseller_id)
    assert len({one.message for one in found}) == 2
    assert [(one.type, one.url) for one in found if one.url.endswith("failures")] == [
        ("order.failed", f"{URL}/failures")
    ]
    assert await service.deliveries(kofi.reseller_id) == []
    with pytest.raises(InvalidInput, match="completed"):
        await service.add(ama.reseller_id, f"{URL}/x", ["order.complete"])


async def test_an_event_goes_with_its_transaction(database: Database, tmp_path: Path, ama: Customer) -> None:
    await webhooks(database, tmp_path).add(ama.reseller_id, URL)

    async def undone() -> None:
        async with database.transaction() as tx:
            await Outbox().write(tx, [completed(ama)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await undone()
    assert await counts(database) == (0, 0)


async def test_what_is_remembered_counts_for_two_seconds_and_then_the_statement_looks(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    clock = FakeClock()
    outbox = Outbox(clock)
    wallet = ama.wallets["GHS"]

    async def look() -> None:
        async with database.connection() as tx:
            at = clock.monotonic()
            await outbox.load(tx)
            outbox.looked(at)

    assert outbox.hears(wallet), "nothing is remembered yet"
    await look()
    assert not outbox.hears(wallet)
    await webhooks(database, tmp_path).add(ama.reseller_id, URL)
    assert not outbox.hears(wallet), "not seen yet, for which `add` waits"
    clock.pass_time(TRUST_S + 0.1)
    assert outbox.hears(wallet), "too old to be believed"
    await look()
    kofi = await customer(database)
    assert outbox.hears(wallet)
    assert outbox.hears(kofi.wallets["GHS"]), "newer than what is remembered"
    async with database.connection() as tx:
        await outbox.check(tx)
    assert not outbox.hears(kofi.wallets["GHS"])


# Deliveries ---------------------------------------------------------------------------------------------------------------


async def test_deliveries_are_listed_in_pages_that_leave_nothing_out(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    for number in range(3):
        await service.add(ama.reseller_id, f"{URL}/{number}")
    await write(database, *(completed(ama, number) for number in range(5)))
    seen: list[str] = []
    while page := await service.deliveries(ama.reseller_id, before=seen[-1] if seen else None, limit=4):
        seen += [one.id for one in page]
    assert len(seen) == len(set(seen)) == 15
    one = await service.deliveries(ama.reseller_id, endpoint_id=2, state=DeliveryState.PENDING)
    assert [delivery.endpoint_id for delivery in one] == [2] * 5
    for wrong in ("x", "1-", "-1", "1-99999999999999999999"):
        with pytest.raises(NotFound):
            await service.delivery(wrong)
        with pytest.raises(InvalidInput):
            await service.deliveries(ama.reseller_id, before=wrong)


async def test_two_processes_never_hold_the_lease_of_one_endpoint(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    for number in range(3):
        await service.add(ama.reseller_id, f"{URL}/{number}")
    await write(database, completed(ama))
    holders = [uuid4(), uuid4()]

    async def take(holder: Any) -> None:
        async with database.transaction() as tx:
            await store.take_leases(tx, holder, 10.0)

    for _ in range(5):
        await asyncio.gather(*map(take, holders))
    async with database.connection() as tx:
        held = [{one.id for one in await store.leased(tx, holder)} for holder in holders]
        assert sorted(held[0] | held[1]) == [1, 2, 3]
        assert not held[0] & held[1]
        await tx.execute("update webhook_lease set until = now() - interval '1 second'")
        await store.take_leases(tx, holders[1], 10.0)
        assert {one.id for one in await store.leased(tx, holders[1])} == {1, 2, 3}
        await store.give_leases_back(tx, holders[1], None)
        assert await tx.fetchval("select count(*) from webhook_lease") == 0


async def test_an_attempt_that_comes_too_late_is_written_down_and_changes_nothing(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    await service.add(ama.reseller_id, URL)
    await write(database, completed(ama))
    (delivery,) = await service.deliveries(ama.reseller_id)

    async def attempt(state: DeliveryState, due_in_s: float | None, status: int) -> None:
        async with database.transaction() as tx:
            row = store.AttemptRow(
                delivery.endpoint_id,
                delivery.event_id,
                1,
                state,
                due_in_s,
                delivery.created_at,
                12,
                status,
                "",
                "ok\x01",
            )
            await store.record(tx, [row])

    await attempt(DeliveryState.DELIVERED, None, 200)
    await attempt(DeliveryState.PENDING, 5.0, 500)
    found, attempts = await service.delivery(delivery.id)
    assert (found.state, found.due_at, found.attempts) == (DeliveryState.DELIVERED, None, 2)
    assert [(one.number, one.status) for one in attempts] == [(1, 200), (2, 500)]
    again = await service.replay(delivery.id)
    assert (again.state, again.message, again.body) == (DeliveryState.PENDING, delivery.message, delivery.body)


# Test messages ------------------------------------------------------------------------------------------------------------


async def test_a_test_message_is_sent_once_verified_by_the_library_and_stands_in_the_log(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path, allow_private=True)
    async with receiving(says("202 Accepted", b"thanks")) as receiver:
        made = await service.add(ama.reseller_id, receiver.url)
        rotated = await service.rotate(made.endpoint.id)
        sent, attempt = await service.send_test(made.endpoint.id)
    (request,) = receiver.requests
    for secret in (made.secret, rotated.secret):
        Webhook(secret.reveal()).verify(request.body, request.headers)
    assert request.id.startswith("msg_test_")
    assert (request.event["type"], request.event["data"]["mode"], request.event["data"]["example"]) == (
        "order.completed", "test", True,
    )  # fmt: skip
    assert (attempt.status, attempt.answer, attempt.error) == (202, "thanks", "")
    (listed,) = await service.deliveries(ama.reseller_id)
    assert (listed.id, listed.state, listed.attempts, listed.due_at, listed.is_test) == (
        sent.id, DeliveryState.DELIVERED, 1, None, True,
    )  # fmt: skip
    assert listed.body.encode() == request.body
    assert (await service.delivery(sent.id))[1] == [attempt]


@pytest.mark.parametrize("state", [EndpointState.PAUSED, EndpointState.GONE])
async def test_a_test_message_that_is_not_taken_changes_nothing_of_the_endpoint(
    database: Database, tmp_path: Path, ama: Customer, state: EndpointState
) -> None:
    service = webhooks(database, tmp_path, allow_private=True)
    async with receiving(says("410 Gone", b"moved")) as receiver:
        made = await service.add(ama.reseller_id, receiver.url, ["wallet.low", "funding.failed"])
        async with database.transaction() as tx:
            before = await store.set_state(tx, made.endpoint.id, state)
        sent, attempt = await service.send_test(made.endpoint.id)
        assert (sent.type, sent.state, attempt.status) == ("wallet.low", DeliveryState.FAILED, 410)
        assert (await service.send_test(made.endpoint.id, EventType.FUNDING_FAILED))[0].type == "funding.failed"
        with pytest.raises(InvalidInput, match=r"wallet\.low"):
            await service.send_test(made.endpoint.id, EventType.ORDER_REVIEW)
    assert len(receiver.requests) == 2
    sent, attempt = await service.send_test(made.endpoint.id)
    assert (sent.state, attempt.status, attempt.error) == (DeliveryState.FAILED, None, "refused the connection")
    ((listed),) = await service.list_endpoints(ama.reseller_id)
    assert (listed.endpoint, listed.waiting) == (before, 0)
    await service.remove(made.endpoint.id)
    with pytest.raises(NotFound):
        await service.send_test(made.endpoint.id)


async def test_a_test_message_whose_sender_is_killed_waits_for_nothing(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path, allow_private=True)
    async with receiving(hangs) as receiver:
        made = await service.add(ama.reseller_id, receiver.url)
        sending = asyncio.create_task(service.send_test(made.endpoint.id))
        await receiver.wait_for(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    (listed,) = await service.deliveries(ama.reseller_id)
    assert (listed.state, listed.attempts, listed.due_at) == (DeliveryState.FAILED, 0, None)


async def test_an_endpoint_of_a_private_address_is_sent_no_test_where_that_is_not_allowed(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    made = await webhooks(database, tmp_path, allow_private=True).add(ama.reseller_id, "http://127.0.0.1:1/hooks")
    service = webhooks(database, tmp_path)
    with pytest.raises(InvalidInput):
        await service.send_test(made.endpoint.id)
    assert await service.deliveries(ama.reseller_id) == []


# Thresholds ---------------------------------------------------------------------------------------------------------------


async def test_a_wallet_that_is_below_its_threshold_already_is_told_of_at_once(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    await service.add(ama.reseller_id, URL)
    await service.set_threshold(ama.wallets["GHS"], Money(10_000, GHS))
    assert await service.deliveries(ama.reseller_id) == []
    await service.set_threshold(ama.wallets["GHS"], Money(10_001, GHS))
    (delivery,) = await service.deliveries(ama.reseller_id)
    assert delivery.type == "wallet.low"
    assert '"balance":"100.00","threshold":"100.01"' in delivery.body
    (threshold,) = await service.thresholds(ama.reseller_id)
    assert threshold.told_at is not None
    kofi = await customer(database, ghs_minor=100)
    await service.set_threshold(kofi.wallets["GHS"], Money(10_000, GHS))
    assert [one.told_at for one in await service.thresholds(kofi.reseller_id)] == [None], "nobody is there to be told"
    assert await service.remove_threshold(ama.wallets["GHS"])
    assert not await service.remove_threshold(ama.wallets["GHS"])


# Doctor -------------------------------------------------------------------------------------------------------------------


async def test_the_doctor_names_endpoints_that_fail_and_that_are_paused(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    examined = Examined(Settings(), database, Connected.of([], [], []))
    shop = webhooks(database, tmp_path)
    for number in range(3):
        await shop.add(ama.reseller_id, f"{URL}/{number}")
    (well,) = await look_at_webhooks(examined)
    assert well.level is Level.OK
    async with database.transaction() as tx:
        await store.note_failures(tx, [(1, "answered 500"), (2, "refused the connection")])
        await tx.execute("update webhook_endpoint set failing_since = now() - interval '4 days' where id = 2")
        assert [one.id for one in await store.pause_failing(tx, [1, 2])] == [2]
    paused, failing = await look_at_webhooks(examined)
    assert (paused.level, failing.level) == (Level.WARNING, Level.WARNING)
    assert "paused" in paused.text
    assert paused.advice.endswith("telvend webhook resume 2")
    assert "answered 500" in failing.text


# Commands -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(server: Server, data_dir: Path, database_url: str) -> Shop:
    return Shop(database_url)


def test_the_commands_of_endpoints(shop: Shop) -> None:
    shop.add_reseller()
    made = shop.data("webhook", "add", EMAIL, URL, "--event", "order.completed")
    assert made["secret"].startswith("whsec_")
    listed = shop.data("webhook", "list", EMAIL)
    assert made["secret"] not in str(listed)
    assert [(one["id"], one["events"], one["waiting"]) for one in listed["webhooks"]] == [
        (made["id"], ["order.completed"], 0)
    ]
    assert shop.data("webhook", "rotate", str(made["id"]))["secret"] != made["secret"]
    assert shop.data("webhook", "pause", str(made["id"]))["state"] == "paused"
    assert shop.data("webhook", "resume", str(made["id"]))["state"] == "active"
    assert shop.data("webhook", "deliveries", EMAIL)["deliveries"] == []
    assert "private" in shop.refused("webhook", "add", EMAIL, "https://127.0.0.1/hooks")
    assert "https" in shop.refused("webhook", "add", EMAIL, "http://reseller.example/hooks")
    # The name leads nowhere.
    shown = shop.run("webhook", "send-test", str(made["id"]), code=1).stdout
    assert "order.completed for https://reseller.example/hooks: no answer" in shown
    sent = shop.data("webhook", "send-test", str(made["id"]), "--event", "order.completed", code=1)
    assert (sent["status"], sent["test"], sent["log"][0]["status"]) == ("failed", True, None)
    assert "order.completed (test)" in shop.run("webhook", "deliveries", EMAIL).stdout
    assert "order.completed" in shop.refused("webhook", "send-test", str(made["id"]), "--event", "wallet.low")
    shop.run("webhook", "send-test", str(made["id"]), "--event", "nonsense", code=2)
    shop.run("webhook", "remove", str(made["id"]))
    assert "not" in shop.refused("webhook", "remove", str(made["id"]))


def test_the_commands_of_thresholds(shop: Shop) -> None:
    shop.add_reseller()
    shop.run("wallet", "credit", EMAIL, "5", "GHS", "--reference", "r1")
    shop.data("webhook", "add", EMAIL, URL)
    assert shop.data("wallet", "alert", EMAIL, "GHS", "10")["below"] == 10
    (delivery,) = shop.data("webhook", "deliveries", EMAIL)["deliveries"]
    assert (delivery["event"], delivery["status"], delivery["url"]) == ("wallet.low", "pending", URL)
    shown = shop.data("webhook", "show", delivery["id"])
    assert '"type":"wallet.low"' in shown["body"]
    assert [one["below"] for one in shop.data("wallet", "alerts", EMAIL)["alerts"]] == [10]
    shop.data("wallet", "alert", EMAIL, "GHS", "0")
    assert shop.data("wallet", "alerts", EMAIL)["alerts"] == []
    assert "wallet" in shop.refused("wallet", "alert", EMAIL, "ZAR", "10")


# What an owner does by himself ----------------------------------------------------------------------------------------


async def test_somebody_elses_endpoint_and_its_deliveries_are_not_found(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    made = await service.add(ama.reseller_id, URL)
    await write(database, completed(ama))
    (sent,) = await service.deliveries(ama.reseller_id)
    kofi = (await customer(database)).reseller_id
    number = made.endpoint.id
    for act in (
        service.endpoint(number, owner=kofi),
        service.rotate(number, owner=kofi),
        service.pause(number, owner=kofi),
        service.resume(number, owner=kofi),
        service.remove(number, owner=kofi),
        service.send_test(number, owner=kofi),
        service.delivery(sent.id, owner=kofi),
        service.replay(sent.id, owner=kofi),
    ):
        with pytest.raises(NotFound):
            await act
    assert await service.endpoint(number, owner=ama.reseller_id) == made.endpoint
    assert (await service.delivery(sent.id, owner=ama.reseller_id))[0] == sent


async def test_events_wait_for_an_endpoint_that_its_owner_has_paused(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    made = await service.add(ama.reseller_id, URL)
    for _ in range(2):
        assert (await service.pause(made.endpoint.id, owner=ama.reseller_id)).state is EndpointState.PAUSED
    await write(database, completed(ama))
    (listed,) = await service.list_endpoints(ama.reseller_id)
    assert (listed.endpoint.state, listed.waiting) == (EndpointState.PAUSED, 1)
    assert (await service.resume(made.endpoint.id, owner=ama.reseller_id)).state is EndpointState.ACTIVE
    await service.remove(made.endpoint.id, owner=ama.reseller_id)
    with pytest.raises(NotFound):
        await service.pause(made.endpoint.id, owner=ama.reseller_id)


async def test_two_rotations_from_one_page_make_one_new_secret(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    service = webhooks(database, tmp_path)
    seen = (await service.add(ama.reseller_id, URL)).endpoint
    answers = await asyncio.gather(
        *(service.rotate(seen.id, owner=ama.reseller_id, as_of=seen.changed_at) for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 2
