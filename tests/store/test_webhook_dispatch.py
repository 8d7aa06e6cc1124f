"""Sending, over real connections to receivers that behave and that do not; what is recorded, retried, paused, and given up."""

import asyncio
import errno
import ipaddress
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from telvend.database.connections import Database
from telvend.kit.clock import SystemClock
from telvend.webhooks import dispatch as dispatch_module
from telvend.webhooks import store
from telvend.webhooks.client import BODY_LIMIT_BYTES, Resolver, WebhookClient
from telvend.webhooks.destination import Address, parse_url
from telvend.webhooks.dispatch import WebhookDispatch
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.model import Delivery, DeliveryState, Endpoint, EndpointState, EventType
from telvend.webhooks.outbox import Outbox
from telvend.webhooks.retention import WebhookRetention
from telvend.webhooks.service import Webhooks
from tests.clocks import FakeClock
from tests.store.purchases import Customer, customer
from tests.store.receivers import Behaviour, hangs, receiving, resets, says, sends
from tests.store.test_webhooks import completed, webhooks, write

PATIENCE_S = 20.0


@pytest.fixture
async def ama(database: Database) -> Customer:
    return await customer(database)


class Sending:
    """A dispatch of one process, and the shop's side of it."""

    def __init__(self, database: Database, folder: Path, **options: Any) -> None:
        self.database = database
        self.outbox = Outbox()
        self.shop: Webhooks = webhooks(database, folder, allow_private=True)
        client = options.pop("client", None) or WebhookClient(
            allow_private=True, timeout_s=options.pop("timeout_s", 1.0)
        )
        given = {"allow_private": True} | options
        self.dispatch = WebhookDispatch(
            database, WebhookKeys(database, folder), self.outbox, client, SystemClock(), **given
        )

    async def settled(self, ama: Customer, done: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """The deliveries, once they are as `done` says."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.shop.deliveries(ama.reseller_id, limit=1000)
                if found and done(found):
                    return found
                await asyncio.sleep(0.02)

    async def attempted(self, ama: Customer, times: int = 1) -> list[Delivery]:
        return await self.settled(ama, lambda found: all(one.attempts >= times for one in found))


@asynccontextmanager
async def sending(database: Database, folder: Path, **options: Any) -> AsyncIterator[Sending]:
    made = Sending(database, folder, **options)
    made.dispatch.start()
    try:
        yield made
    finally:
        await made.dispatch.drain(2.0)


async def execute(database: Database, statement: str, *values: Any) -> None:
    async with database.connection() as tx:
        await tx.execute(statement, *values)


async def test_a_message_is_taken_by_an_endpoint_that_answers(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says("204 No Content", b"")) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, *(completed(ama, number) for number in range(50)), outbox=shop.outbox)
        found = await shop.attempted(ama)
        assert {one.state for one in found} == {DeliveryState.DELIVERED}
        assert len(receiver.requests) == 50
        assert sorted(receiver.ids) == sorted(one.message for one in found)
        first = receiver.requests[0]
        assert first.line == "POST /hooks HTTP/1.1"
        assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert first.headers["content-type"] == "application/json"
        assert first.event["data"]["mode"] == "live"
        assert receiver.connections < 50, "connections are used again"


@pytest.mark.parametrize(
    ("behaviour", "status", "why"),
    [
        (says("500 Internal Server Error", b"oh no"), 500, "answered 500"),
        (says("302 Found", b"", "Location: http://127.0.0.1:1/else"), 302, "redirects are not followed"),
        (resets, None, "reset the connection|without an answer"),
        (hangs, None, "no answer within 1 s"),
        (sends(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), None, "not HTTP"),
        (sends(b"HTTP/1.1 200"), None, "no answer within"),
        (sends(b"HTTP/1.1 100 Continue\r\n\r\n"), None, "no answer within"),
        (sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000), None, "do not end"),
        (sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), None, "101|within"),
        (sends(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000), None, "do not end|not HTTP"),
        (sends(b"HTTP/1.1 200", then_close=True), None, "within its answer"),
    ],
)
async def test_what_is_not_taken_is_tried_again(
    database: Database, tmp_path: Path, ama: Customer, behaviour: Behaviour, status: int | None, why: str
) -> None:
    async with receiving(behaviour) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        (found,) = await shop.attempted(ama)
        assert (found.state, found.status) == (DeliveryState.PENDING, status)
        assert re.search(why, found.error or ""), found.error
        assert found.due_at is not None
        assert found.attempted_at is not None
        assert 4.5 < (found.due_at - found.attempted_at).total_seconds() < 8
        (endpoint,) = await shop.shop.list_endpoints(ama.reseller_id)
        assert endpoint.endpoint.failing_since is not None
        assert endpoint.waiting == 1
        # And again under the same id, where the time has come.
        receiver.behaviour = says()
        await execute(database, "update webhook_delivery set due_at = now()")
        (found,) = await shop.settled(ama, lambda all_: all_[0].state is DeliveryState.DELIVERED)
        assert len(set(receiver.ids)) == 1
        (endpoint,) = await shop.shop.list_endpoints(ama.reseller_id)
        assert endpoint.endpoint.failing_since is None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * (2 * BODY_LIMIT_BYTES),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno more comes",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz not a chunk",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_status_of_success_counts_whatever_its_body_is(
    database: Database, tmp_path: Path, ama: Customer, raw: bytes
) -> None:
    async with receiving(sends(raw)) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        (found,) = await shop.attempted(ama)
        assert (found.state, found.status) == (DeliveryState.DELIVERED, 200)
        _, (attempt,) = await shop.shop.delivery(found.id)
        assert len(attempt.answer) <= 1024


async def test_an_answer_is_kept_as_text_that_a_database_and_a_terminal_take(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    body = b"\x00\x1b[31m\xff\xfe" + b"a" * 5000
    async with receiving(says("200 OK", body)) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        (found,) = await shop.attempted(ama)
        _, (attempt,) = await shop.shop.delivery(found.id)
        assert attempt.answer.startswith("��[31m��aaa")
        assert len(attempt.answer) == 1024


async def test_410_ends_it(database: Database, tmp_path: Path, ama: Customer) -> None:
    async with receiving(says("410 Gone")) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama, 1))
        await shop.settled(ama, lambda found: found[0].state is DeliveryState.FAILED)
        await write(database, completed(ama, 2))
        await asyncio.sleep(0.3)
        (found,) = await shop.shop.deliveries(ama.reseller_id)
        assert (found.attempts, found.status, found.due_at) == (1, 410, None)
        (endpoint,) = await shop.shop.list_endpoints(ama.reseller_id)
        assert endpoint.endpoint.state is EndpointState.GONE


async def test_an_endpoint_that_fails_for_three_days_is_paused_and_what_waits_is_sent_when_it_is_resumed(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says("503 Busy")) as receiver, sending(database, tmp_path) as shop:
        made = await shop.shop.add(ama.reseller_id, receiver.url)
        await execute(database, "update webhook_endpoint set failing_since = now() - interval '71 hours 59 minutes'")
        await write(database, completed(ama, 1))
        await shop.attempted(ama)
        assert (await shop.shop.list_endpoints(ama.reseller_id))[0].endpoint.state is EndpointState.ACTIVE
        await execute(database, "update webhook_endpoint set failing_since = now() - interval '73 hours'")
        await execute(database, "update webhook_delivery set due_at = now()")
        await shop.attempted(ama, 2)
        (listed,) = await shop.shop.list_endpoints(ama.reseller_id)
        assert listed.endpoint.state is EndpointState.PAUSED
        await write(database, completed(ama, 2))
        await execute(database, "update webhook_delivery set due_at = now() where due_at is not null")
        await asyncio.sleep(0.5)
        assert len(receiver.requests) == 2
        receiver.behaviour = says()
        await shop.shop.resume(made.endpoint.id)
        found = await shop.settled(ama, lambda all_: all(one.state is DeliveryState.DELIVERED for one in all_))
        assert len(found) == 2


async def test_who_tells_owners_is_told_of_a_stopped_endpoint_in_the_transaction_that_stops_it(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    told: list[tuple[str, EndpointState]] = []

    async def on_stopped(tx: Any, endpoints: Sequence[Endpoint]) -> None:
        # Inside it the endpoint is gone; for everybody else it is not yet.
        inside = await tx.fetchval("select state from webhook_endpoint")
        async with database.connection() as other:
            outside = await other.fetchval("select state from webhook_endpoint")
        told.extend((f"{outside} then {inside}", one.state) for one in endpoints)

    async with receiving(says("410 Gone")) as receiver, sending(database, tmp_path, on_stopped=on_stopped) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama, 1), outbox=shop.outbox)
        await shop.attempted(ama)
        assert told == [("active then gone", EndpointState.GONE)]


async def test_the_last_attempt_of_the_schedule_shows_a_delivery_as_failed(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says("500 No")) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        for times in range(1, 9):
            await shop.attempted(ama, times)
            await execute(database, "update webhook_delivery set due_at = now() where due_at is not null")
        (found,) = await shop.shop.deliveries(ama.reseller_id)
        assert (found.state, found.attempts, found.due_at) == (DeliveryState.FAILED, 8, None)
        # Replayed, it has its whole schedule again.
        receiver.behaviour = says()
        await shop.shop.replay(found.id)
        await shop.settled(ama, lambda all_: all_[0].state is DeliveryState.DELIVERED)
        assert len(set(receiver.ids)) == 1
        assert receiver.requests[0].body == receiver.requests[-1].body
        _, attempts = await shop.shop.delivery(found.id)
        assert [one.number for one in attempts] == list(range(1, 10))


async def test_a_dead_endpoint_with_thousands_waiting_costs_a_live_one_nothing(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with (
        receiving(hangs) as dead,
        receiving(says()) as live,
        sending(database, tmp_path, timeout_s=15.0) as shop,
    ):
        await shop.shop.add(ama.reseller_id, dead.url, ["order.failed"])
        await write(database, *(completed(ama, number, EventType.ORDER_FAILED) for number in range(3000)))
        await dead.wait_for(5)
        await shop.shop.add(ama.reseller_id, live.url, ["order.completed"])
        began = asyncio.get_running_loop().time()
        await write(database, *(completed(ama, number) for number in range(20)), outbox=shop.outbox)
        await live.wait_for(20, 3.0)
        assert asyncio.get_running_loop().time() - began < 1.0
        assert len(dead.requests) <= dispatch_module.AT_ONCE


async def test_an_endpoint_that_keeps_failing_is_asked_slowly_until_it_takes_one(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says("500 No")) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, *(completed(ama, number) for number in range(200)))
        await receiver.wait_for(33)
        before = len(receiver.requests)
        await asyncio.sleep(1.0)
        assert len(receiver.requests) - before <= 2 * dispatch_module.FAILING_PER_S
        receiver.behaviour = says()
        began = asyncio.get_running_loop().time()
        await receiver.wait_for(200)
        assert asyncio.get_running_loop().time() - began < 4.0


async def test_two_processes_send_each_message_once(database: Database, tmp_path: Path, ama: Customer) -> None:
    async with (
        receiving(says()) as receiver,
        sending(database, tmp_path) as one,
        sending(database, tmp_path),
    ):
        for number in range(3):
            await one.shop.add(ama.reseller_id, f"{receiver.url}/{number}")
        for number in range(20):
            await write(database, completed(ama, number), outbox=one.outbox)
            await asyncio.sleep(0.02)
        await one.settled(ama, lambda all_: all(each.state is DeliveryState.DELIVERED for each in all_))
        assert len(receiver.requests) == 60


async def test_what_a_killed_process_had_in_hand_is_sent_by_the_next_one(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(hangs) as receiver:
        killed = Sending(database, tmp_path, timeout_s=15.0, lease_s=1.0)
        await killed.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        await killed.dispatch.look()
        await receiver.wait_for(1)
        receiver.behaviour = says()
        async with sending(database, tmp_path) as heir:
            (found,) = await heir.attempted(ama)
        assert found.state is DeliveryState.DELIVERED
        assert len(receiver.requests) == 2
        assert len(set(receiver.ids)) == 1
        await killed.dispatch.drain(0.1)


async def test_closing_waits_for_answers_and_gives_the_leases_back(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async def slow(_: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with receiving(slow) as receiver:
        async with sending(database, tmp_path, timeout_s=5.0) as shop:
            await shop.shop.add(ama.reseller_id, receiver.url)
            await write(database, completed(ama))
            await receiver.wait_for(1)
        (found,) = await shop.shop.deliveries(ama.reseller_id)
        assert found.state is DeliveryState.DELIVERED
        async with database.connection() as tx:
            assert await tx.fetchval("select count(*) from webhook_lease") == 0


async def test_a_machine_without_files_left_is_no_failure_of_an_endpoint(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    class Full(Resolver):
        async def addresses(self, host: str) -> list[Address]:
            raise OSError(errno.EMFILE, f"no file left for {host}")

    client = WebhookClient(allow_private=True, timeout_s=1.0)
    async with receiving(says()) as receiver, sending(database, tmp_path, client=client) as shop:
        usual, client._resolver = client._resolver, Full()
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        await asyncio.sleep(0.7)
        (found,) = await shop.shop.deliveries(ama.reseller_id)
        assert (found.attempts, found.state) == (0, DeliveryState.PENDING)
        assert (await shop.shop.list_endpoints(ama.reseller_id))[0].endpoint.failing_since is None
        client._resolver = usual
        (found,) = await shop.attempted(ama)
        assert found.state is DeliveryState.DELIVERED


# Addresses ----------------------------------------------------------------------------------------------------------------


class Rebinding(Resolver):
    """Leads to another address at each look."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)

    async def addresses(self, host: str) -> list[Address]:
        assert host == "reseller.example"
        return [ipaddress.ip_address(self.answers.pop(0))]


async def test_a_name_that_is_bound_to_a_private_address_later_is_not_connected_to() -> None:
    async with receiving(says()) as receiver:
        resolver = Rebinding("127.0.0.1", "127.0.0.1")
        client = WebhookClient(allow_private=False, timeout_s=2.0, resolver=resolver)
        to = parse_url(f"https://reseller.example:{receiver.port}/hooks", allow_private=False)
        reply = await client.post(to, {}, b"{}")
        assert (reply.status, reply.error) == (None, "127.0.0.1 is a private or local address")
        assert receiver.connections == 0
        assert len(resolver.answers) == 1, "one look for one connection"
        allowed = WebhookClient(allow_private=True, timeout_s=2.0, resolver=resolver)
        plain = parse_url(f"http://reseller.example:{receiver.port}/hooks", allow_private=True)
        assert (await allowed.post(plain, {}, b"{}")).status == 200
        assert receiver.requests[0].headers["host"] == f"reseller.example:{receiver.port}"
        # The connection is kept: the address that was looked at stays the one that is talked to.
        assert (await allowed.post(plain, {}, b"{}")).status == 200
        assert (receiver.connections, resolver.answers) == (1, [])
        await client.close()
        await allowed.close()


@pytest.mark.parametrize("host", ["169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "100.64.0.1"])
async def test_an_address_is_looked_at_also_when_no_name_leads_to_it(host: str) -> None:
    client = WebhookClient(allow_private=False, timeout_s=2.0)
    reply = await client.post(parse_url(f"http://{host}/", allow_private=True), {}, b"{}")
    assert reply.status is None
    assert "private or local address" in reply.error
    await client.close()


async def test_an_idle_connection_that_the_endpoint_has_closed_is_made_anew(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says()) as receiver:
        client = WebhookClient(allow_private=True, timeout_s=2.0)
        to = parse_url(receiver.url, allow_private=True)
        assert (await client.post(to, {}, b"{}")).taken
        # The next request finds the connection closed in the moment in which it is sent.
        receiver.behaviour = resets
        once = says()

        async def reset_the_first(received: Any, writer: asyncio.StreamWriter) -> None:
            receiver.behaviour = once
            writer.transport.abort()

        receiver.behaviour = reset_the_first
        assert (await client.post(to, {}, b"{}")).taken
        assert receiver.connections == 2
        await client.close()


async def test_a_port_that_nobody_listens_on_and_a_name_that_nobody_knows() -> None:
    client = WebhookClient(allow_private=True, timeout_s=5.0)
    async with receiving(says()) as receiver:
        to = parse_url(receiver.url, allow_private=True)
    assert (await client.post(to, {}, b"{}")).error == "refused the connection"
    unknown = parse_url("http://no-such-name.invalid/", allow_private=True)
    assert "not known" in (await client.post(unknown, {}, b"{}")).error
    await client.close()


async def test_an_endpoint_that_was_added_while_private_addresses_were_allowed_fails_with_the_reason(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says()) as receiver:
        await webhooks(database, tmp_path, allow_private=True).add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        async with sending(database, tmp_path, allow_private=False) as shop:
            (found,) = await shop.attempted(ama)
        assert "https" in (found.error or "")
        assert receiver.connections == 0


# Secrets and time ---------------------------------------------------------------------------------------------------------


async def test_after_a_rotation_both_secrets_sign_until_the_day_is_over(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says()) as receiver, sending(database, tmp_path) as shop:
        made = await shop.shop.add(ama.reseller_id, receiver.url)

        async def signatures(number: int) -> int:
            await write(database, completed(ama, number))
            await receiver.wait_for(number)
            return len(receiver.requests[number - 1].headers["webhook-signature"].split())

        assert await signatures(1) == 1
        await shop.shop.rotate(made.endpoint.id)
        assert await signatures(2) == 2
        await execute(database, "update webhook_endpoint set previous_until = now() - interval '1 second'")
        assert await signatures(3) == 1


async def test_without_its_key_nothing_is_sent_and_nothing_is_lost(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says()) as receiver:
        await webhooks(database, tmp_path, allow_private=True).add(ama.reseller_id, receiver.url)
        await write(database, completed(ama))
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        shop = Sending(database, elsewhere)
        await shop.dispatch.look()
        (found,) = await shop.shop.deliveries(ama.reseller_id)
        assert (found.attempts, found.state, receiver.connections) == (0, DeliveryState.PENDING, 0)
        await shop.dispatch.drain(0.1)


async def test_what_is_older_than_thirty_days_is_removed_unless_it_was_replayed_lately(
    database: Database, tmp_path: Path, ama: Customer
) -> None:
    async with receiving(says()) as receiver, sending(database, tmp_path) as shop:
        await shop.shop.add(ama.reseller_id, receiver.url)
        await write(database, *(completed(ama, number) for number in range(6)))
        await shop.settled(ama, lambda found: all(one.attempts for one in found))
    await execute(database, "update webhook_event set created_at = now() - interval '31 days' where id <= 4")
    await execute(database, "update webhook_attempt set started_at = now() - interval '31 days' where event_id <= 3")
    clock = FakeClock()
    assert await WebhookRetention(database, clock).look() == 3
    found = await shop.shop.deliveries(ama.reseller_id)
    assert sorted(one.event_id for one in found) == [4, 5, 6]
    async with database.connection() as tx:
        for table in ("webhook_event", "webhook_delivery", "webhook_attempt"):
            assert await tx.fetchval(f"select count(*) from {table}") == 3, table


@pytest.mark.parametrize("statement", [store.TAKE_LEASES, store.LEASED])
async def test_looking_for_what_is_due_reads_no_table_of_deliveries_from_end_to_end(
    database: Database, tmp_path: Path, ama: Customer, statement: str
) -> None:
    shop = webhooks(database, tmp_path)
    for number in range(3):
        await shop.add(ama.reseller_id, f"https://reseller.example/{number}")
    await write(database, *(completed(ama, number) for number in range(2000)))
    await execute(database, "analyze webhook_delivery")
    values: Sequence[Any] = (uuid4(), 6.0) if "$2" in statement else (uuid4(),)
    async with database.connection() as tx:
        plan = "\n".join(row[0] for row in await tx.fetch(f"explain {statement}", *values))
    assert "Seq Scan on webhook_delivery" not in plan, plan
