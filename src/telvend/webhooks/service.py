"""The verbs of webhooks: endpoints, their secrets, their deliveries, and thresholds of wallets."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import InvalidInput, NotFound
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.webhooks import store
from telvend.webhooks.client import NotAttempted, WebhookClient
from telvend.webhooks.destination import Address, parse_url, require_public
from telvend.webhooks.examples import example_event
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.model import (
    MOST_ENDPOINTS,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Endpoint,
    EndpointState,
    EventType,
    NewSecret,
    Reply,
    body_of,
    new_message_id,
    parse_delivery_id,
    parse_events,
)
from telvend.webhooks.outbox import SETTLED_S, Outbox, low_balance
from telvend.webhooks.signing import new_secret, secret_text, signed_headers
from telvend.webhooks.store import AttemptRow

_RESOLVES_WITHIN_S: Final = 5.0

AlsoEndpoint = Callable[[Tx, Endpoint], Awaitable[None]]
"""What else is written with a change of an endpoint: who made it."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""The addresses that a name leads to. Raises OSError where it leads to none."""


@dataclass(frozen=True, slots=True)
class ListedEndpoint:
    """An endpoint, and how many deliveries wait for it (a thousand stands for more)."""

    endpoint: Endpoint
    waiting: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """The balance below which a wallet's owner is told. `told_at`: when that was done last."""

    mode: Mode
    threshold: Money
    balance: Money
    told_at: datetime | None


async def resolved(host: str, port: int) -> list[Address]:
    """The addresses of a name, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


class Webhooks:
    """The endpoints of one shop. `settled_s`: how long a change of endpoints is waited for to be known everywhere."""

    def __init__(
        self,
        database: Database,
        keys: WebhookKeys,
        outbox: Outbox,
        *,
        allow_private: bool,
        clock: Clock | None = None,
        settled_s: float = SETTLED_S,
        resolve: Resolve = resolved,
        client: Callable[[], WebhookClient] | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._outbox = outbox
        self._allow_private = allow_private
        self._clock = clock or SystemClock()
        self._settled_s = settled_s
        self._resolve = resolve
        self._client = client or (lambda: WebhookClient(allow_private=allow_private))

    # Endpoints ------------------------------------------------------------------------------------------------------------

    async def add(
        self, reseller_id: UUID, url: str, events: Sequence[str] = (), *, also: AlsoEndpoint | None = None
    ) -> NewSecret:
        """Add an endpoint; whatever is committed once this returns is told to it.

        A name that leads nowhere at the moment is taken: what counts is the address at the time of sending. `also` is called in
        the transaction. Raises InvalidInput, KeyRefused, Busy.
        """
        wanted = parse_events(tuple(events))
        await self._require_reachable(url)
        key = await self._keys.ready()
        secret = new_secret()
        async with self._database.transaction() as tx:
            await store.lock_reseller(tx, reseller_id)
            others = await store.endpoints_of(tx, reseller_id)
            if any(endpoint.url == url for endpoint in others):
                raise InvalidInput("url", "is an endpoint of this reseller already; `webhook list` shows it")
            if len(others) >= MOST_ENDPOINTS:
                raise InvalidInput("url", f"would be one more than the {MOST_ENDPOINTS} endpoints of a reseller")
            number = await store.next_endpoint_id(tx)
            endpoint = await store.insert_endpoint(
                tx, number, reseller_id, url, wanted, key.id, key.seal(number, secret)
            )
            await _also(tx, also, endpoint)
            await increment_revision(tx, store.TOPIC)
        await self._clock.sleep(self._settled_s)
        return NewSecret(endpoint, secret_text(secret))

    async def _require_reachable(self, url: str) -> None:
        destination = parse_url(url, allow_private=self._allow_private)
        try:
            async with asyncio.timeout(_RESOLVES_WITHIN_S):
                addresses = await self._resolve(destination.host, destination.port)
        except (OSError, UnicodeError, TimeoutError):
            return
        require_public(addresses, allow_private=self._allow_private)

    async def list_endpoints(self, reseller_id: UUID) -> list[ListedEndpoint]:
        """The endpoints of a reseller, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            endpoints = await store.endpoints_of(tx, reseller_id)
            waiting = await store.waiting(tx, [endpoint.id for endpoint in endpoints])
        return [ListedEndpoint(endpoint, waiting.get(endpoint.id, 0)) for endpoint in endpoints]

    async def count_waiting(self) -> dict[EndpointState, int]:
        """How many deliveries wait for active and for paused endpoints; each endpoint counts for a thousand at most. Raises Busy."""
        async with self._database.connection() as tx:
            found = await store.count_waiting(tx)
        return {state: found.get(state, 0) for state in (EndpointState.ACTIVE, EndpointState.PAUSED)}

    async def count_failing(self) -> dict[EndpointState, int]:
        """How many endpoints take nothing at present, active and paused. Raises Busy."""
        async with self._database.connection() as tx:
            found = await store.count_failing(tx)
        return {state: found.get(state, 0) for state in (EndpointState.ACTIVE, EndpointState.PAUSED)}

    async def endpoint(self, endpoint_id: int, *, owner: UUID) -> Endpoint:
        """One endpoint of a reseller. Raises NotFound, also for somebody else's; Busy."""
        async with self._database.transaction() as tx:
            return await self._locked(tx, endpoint_id, owner)

    async def rotate(
        self,
        endpoint_id: int,
        *,
        owner: UUID | None = None,
        as_of: datetime | None = None,
        also: AlsoEndpoint | None = None,
    ) -> NewSecret:
        """Give an endpoint a new secret; for a day messages are signed with the one before too.

        A second rotation within that day takes the first secret out of use. `as_of`: only where it has not changed since then.
        Raises NotFound, InvalidInput (it has), KeyRefused, SealBroken, Busy.
        """
        key = await self._keys.ready()
        secret = new_secret()
        async with self._database.transaction() as tx:
            before = await self._locked(tx, endpoint_id, owner)
            if as_of is not None and before.changed_at != as_of:
                raise InvalidInput("webhook", "has changed since this page was opened; look at it again")
            key_id, sealed = await store.secret_of(tx, endpoint_id)
            previous = sealed
            if key_id != key.id:
                previous = key.seal(endpoint_id, self._keys.named(key_id).open(endpoint_id, sealed))
            endpoint = await store.rotate(tx, endpoint_id, key.id, key.seal(endpoint_id, secret), previous)
            await _also(tx, also, endpoint)
        return NewSecret(endpoint, secret_text(secret), endpoint.previous_until)

    async def pause(self, endpoint_id: int, *, owner: UUID | None = None, also: AlsoEndpoint | None = None) -> Endpoint:
        """Send nothing to an active endpoint until it is resumed; events wait for it. Raises NotFound, InvalidInput, Busy."""
        async with self._database.transaction() as tx:
            endpoint = await self._locked(tx, endpoint_id, owner)
            if endpoint.state is EndpointState.PAUSED:
                return endpoint
            if endpoint.state is not EndpointState.ACTIVE:
                raise InvalidInput("webhook", f"is {endpoint.state}")
            endpoint = await store.set_state(tx, endpoint_id, EndpointState.PAUSED)
            await _also(tx, also, endpoint)
            await increment_revision(tx, store.TOPIC)
        return endpoint

    async def resume(
        self, endpoint_id: int, *, owner: UUID | None = None, also: AlsoEndpoint | None = None
    ) -> Endpoint:
        """Send to a paused or gone endpoint again, what waits for it at once. Raises NotFound, Busy."""
        async with self._database.transaction() as tx:
            endpoint = await self._locked(tx, endpoint_id, owner)
            if endpoint.state is EndpointState.ACTIVE:
                return endpoint
            endpoint = await store.set_state(tx, endpoint_id, EndpointState.ACTIVE)
            await _also(tx, also, endpoint)
            await store.hasten(tx, endpoint_id)
            await increment_revision(tx, store.TOPIC)
        await self._clock.sleep(self._settled_s)
        return endpoint

    async def remove(
        self, endpoint_id: int, *, owner: UUID | None = None, also: AlsoEndpoint | None = None
    ) -> Endpoint:
        """Send nothing to an endpoint any more. Its deliveries stay in the log for their time. Raises NotFound, Busy."""
        async with self._database.transaction() as tx:
            await self._locked(tx, endpoint_id, owner)
            endpoint = await store.set_state(tx, endpoint_id, EndpointState.REMOVED)
            await _also(tx, also, endpoint)
            await store.fail_waiting(tx, endpoint_id)
            await increment_revision(tx, store.TOPIC)
        return endpoint

    async def _locked(self, tx: Tx, endpoint_id: int, owner: UUID | None = None) -> Endpoint:
        endpoint = await store.lock_endpoint(tx, endpoint_id) if 0 < endpoint_id < 2**63 else None
        if endpoint is None or (owner is not None and endpoint.reseller_id != owner):
            raise NotFound("Webhook")
        return endpoint

    # Deliveries -----------------------------------------------------------------------------------------------------------

    async def deliveries(
        self,
        reseller_id: UUID,
        *,
        endpoint_id: int | None = None,
        state: DeliveryState | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Deliveries to a reseller's endpoints, newest first, removed endpoints included.

        `before` is the id of the last one seen. Raises InvalidInput, Busy.
        """
        last = None if before is None else parse_delivery_id(before)
        if before is not None and last is None:
            raise InvalidInput("before", "must be the id of a delivery, such as 3-1024")
        async with self._database.connection() as tx:
            return await store.deliveries(
                tx, reseller_id, endpoint_id=endpoint_id, state=state, before=last, limit=limit
            )

    async def delivery(self, delivery_id: str, *, owner: UUID | None = None) -> tuple[Delivery, list[DeliveryAttempt]]:
        """A delivery and its attempts, oldest first. Raises NotFound, also for another's than `owner`'s; Busy."""
        numbers = parse_delivery_id(delivery_id)
        async with self._database.connection() as tx:
            found = await store.delivery(tx, *numbers, owner) if numbers else None
            if found is None:
                raise NotFound("Delivery")
            return found, await store.attempts_of(tx, found.endpoint_id, found.event_id)

    async def replay(self, delivery_id: str, *, owner: UUID | None = None) -> Delivery:
        """Send a delivery again, at once, under the same webhook-id, and again by the schedule where that fails.

        Raises NotFound, InvalidInput (nothing is sent to its endpoint), Busy.
        """
        numbers = parse_delivery_id(delivery_id)
        async with self._database.transaction() as tx:
            found = await store.delivery(tx, *numbers, owner) if numbers else None
            if found is None:
                raise NotFound("Delivery")
            endpoint = await store.lock_endpoint(tx, found.endpoint_id)
            if endpoint is None:
                raise InvalidInput("delivery", "is of an endpoint that was removed; nothing is sent to it")
            if endpoint.state is not EndpointState.ACTIVE:
                raise InvalidInput(
                    "delivery",
                    f"is of an endpoint that is {endpoint.state}; first: telvend webhook resume {endpoint.id}",
                )
            await store.replay(tx, found.endpoint_id, found.event_id)
            again = await store.delivery(tx, found.endpoint_id, found.event_id)
        if again is None:
            raise NotFound("Delivery")
        return again

    async def send_test(
        self, endpoint_id: int, kind: EventType | None = None, *, owner: UUID | None = None
    ) -> tuple[Delivery, DeliveryAttempt]:
        """Send one example to an endpoint, once, whatever its state, and write it into the log with its answer.

        Without `kind` it is `order.completed`, or the first event that the endpoint is sent. How it ends changes nothing of the
        endpoint. Raises NotFound, InvalidInput (the endpoint is not sent such events, or its address is allowed no more),
        KeyRefused, SealBroken, Busy.
        """
        async with self._database.transaction() as tx:
            endpoint = await self._locked(tx, endpoint_id, owner)
            kind = _kind_of_test(endpoint, kind)
            to = parse_url(endpoint.url, allow_private=self._allow_private)
            key_id, sealed = await store.signing_secrets(tx, endpoint_id)
            key = self._keys.named(key_id)
            signing = [key.open(endpoint_id, one) for one in sealed]
            started_at = datetime.now(UTC)
            message, body = new_message_id(test=True), body_of(example_event(kind, endpoint.reseller_id), started_at)
            event_id = await store.insert_test(tx, endpoint_id, message, endpoint.reseller_id, kind, body)
        headers = signed_headers(message, int(started_at.timestamp()), body.encode(), signing)
        client = self._client()
        try:
            reply = await client.post(to, headers, body.encode())
        except NotAttempted as ours:
            reply = Reply(None, f"not sent, this machine has no more connections: {ours}", "", 0)
        finally:
            await client.close()
        state = DeliveryState.DELIVERED if reply.taken else DeliveryState.FAILED
        attempt = AttemptRow(
            endpoint_id, event_id, 1, state, None, started_at, reply.duration_ms, reply.status, reply.why, reply.text
        )  # fmt: skip
        async with self._database.transaction() as tx:
            await store.record(tx, [attempt])
            if reply.taken:
                await store.mark_delivered(tx, endpoint_id, event_id)
            sent = await store.delivery(tx, endpoint_id, event_id)
        if sent is None:
            raise NotFound("Delivery")
        return sent, DeliveryAttempt(
            sent.attempts, started_at, reply.duration_ms, reply.status, reply.why, reply.text
        )  # fmt: skip

    # Thresholds -----------------------------------------------------------------------------------------------------------

    async def set_threshold(self, wallet_id: int, threshold: Money) -> None:
        """Tell a wallet's owner when it falls below `threshold`; at once where it is below already. Raises InvalidInput, Busy."""
        if threshold.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        async with self._database.transaction() as tx:
            await store.set_threshold(tx, wallet_id, threshold.minor)
            await increment_revision(tx, store.TOPIC)
        # What has crossed it before every process knew of it is seen afterwards.
        await self._clock.sleep(self._settled_s)
        async with self._database.transaction() as tx:
            await self._outbox.write(tx, [low_balance(dip) for dip in await store.mark_low_now(tx, wallet_id)])

    async def remove_threshold(self, wallet_id: int) -> bool:
        """Tell a wallet's owner of its balance no more. False where there was no threshold. Raises Busy."""
        async with self._database.transaction() as tx:
            removed = await store.remove_threshold(tx, wallet_id)
            await increment_revision(tx, store.TOPIC)
        return removed

    async def thresholds(self, reseller_id: UUID) -> list[Threshold]:
        """The thresholds of a reseller's wallets. Raises Busy."""
        async with self._database.connection() as tx:
            return [Threshold(*found) for found in await store.thresholds_of(tx, reseller_id)]


async def _also(tx: Tx, also: AlsoEndpoint | None, endpoint: Endpoint) -> None:
    if also is not None:
        await also(tx, endpoint)


def _kind_of_test(endpoint: Endpoint, kind: EventType | None) -> EventType:
    sent = [EventType(one) for one in endpoint.events or EventType]
    if kind is None:
        return EventType.ORDER_COMPLETED if EventType.ORDER_COMPLETED in sent else sent[0]
    if kind not in sent:
        raise InvalidInput("event", f"is none that this endpoint is sent; it is sent {', '.join(sent)}")
    return kind
