"""Sends what is due: in every serving process, each endpoint by one of them at a time.

| what | how |
|---|---|
| who sends to an endpoint | the process that has its lease (a row); another one takes over when it has run out, after `LEASE_S` |
| what is sent | what is due for the endpoints of this process, oldest first, up to `AT_HAND` of each |
| how many at once | up to `AT_ONCE` connections an endpoint, fewer where there are many endpoints, one where it keeps failing |
| what is written | attempts and their deliveries in batches, some hundredths of a second after the answers |
| kill -9 between an answer and its row | the message is sent again, with the same webhook-id |

An endpoint that keeps failing is sent one message after the other, at most `FAILING_PER_S` a second, until one is taken: ten
thousand messages that wait for it cost another endpoint nothing. While purchases come in crowds (`pressure`), messages are sent at
`CALM_PER_S`: the sale goes first, and what is left waits.
"""

import asyncio
import resource
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import Busy, InvalidInput
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.kit.keyfile import KeyRefused
from telvend.kit.log import LogLimit, get
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.sealing import SealBroken
from telvend.webhooks import metrics, store
from telvend.webhooks.client import NotAttempted, WebhookClient
from telvend.webhooks.destination import Destination, parse_url
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.model import Endpoint, Reply, next_step
from telvend.webhooks.outbox import Outbox
from telvend.webhooks.signing import signed_headers
from telvend.webhooks.store import AttemptRow, DueDelivery, LeasedEndpoint, Message

LEASE_S: Final = 6.0
AT_HAND: Final = 256
AT_ONCE: Final = 32
CONNECTIONS: Final = 1024
FILES_EACH: Final = 8
"""A process has at most `CONNECTIONS`, and one for so many files that it may open; endpoints share them evenly."""

FAILING_AFTER: Final = 5
"""After so many attempts in a row without success an endpoint is sent one message at a time."""
FAILING_PER_S: Final = 10.0
CALM_PER_S: Final = 500.0
CROWD: Final = 64
"""From so many purchases in a batch on, messages are sent at `CALM_PER_S`."""

ACTIVE_EVERY_S: Final = 0.05
IDLE_EVERY_S: Final = 0.25
CROWDED_EVERY_S: Final = 0.2
_ACTIVE_FOR_S: Final = 2.0
_RECORD_AFTER_S: Final = 0.02
_RECORD_CROWDED_AFTER_S: Final = 0.2
_RECORD_AT_ONCE: Final = 256
_RETRY_S: Final = 0.5
_KEY_AGAIN_S: Final = 5.0
_CLOSE_IDLE_EVERY_S: Final = 5.0

_log = get(__name__)


OnStopped = Callable[[Tx, Sequence[Endpoint]], Awaitable[None]]
"""Called in the transaction that has stopped endpoints, for whoever tells their owners."""


class WebhookDispatch:
    """See the head of this file. `pressure`: how many purchases come at once; `held`: whether nothing is sent at the moment."""

    def __init__(
        self,
        database: Database,
        keys: WebhookKeys,
        outbox: Outbox,
        client: WebhookClient,
        clock: Clock,
        *,
        allow_private: bool,
        pressure: Callable[[], int] = lambda: 0,
        lease_s: float = LEASE_S,
        runtime: Runtime = NO_RUNTIME,
        on_stopped: OnStopped | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._allow_private = allow_private
        self._pressure = pressure
        self._lease_s = lease_s
        self._runtime = runtime
        self._on_stopped = on_stopped
        self._holder = uuid4()
        self._lines: dict[int, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: deque[_Result] = deque()
        self._keyless: dict[int, float] = {}
        self._answered = asyncio.Event()
        self._wake = asyncio.Event()
        self._active_until = 0.0
        self._close_idle_at = 0.0
        self._closing = False
        self._running: list[asyncio.Task[None]] = []
        self._limit = LogLimit()

    def start(self) -> None:
        """Begin to send; from inside the event loop."""
        self._outbox.on_written = self.wake
        loop = asyncio.get_running_loop()
        self._running = [
            loop.create_task(self._look_for_due(), name="webhooks due"),
            loop.create_task(self._write_results(), name="webhook attempts"),
        ]
        for task in self._running:
            task.add_done_callback(self._ended)

    def wake(self) -> None:
        """Look for what is due soon: an event is about to be committed."""
        self._active_until = self._clock.monotonic() + _ACTIVE_FOR_S
        self._wake.set()

    async def drain(self, patience_s: float) -> None:
        """Begin nothing more, wait for the answers that are under way, write them down, and give the leases back."""
        self._closing = True
        self._wake.set()
        self._outbox.on_written = None
        for line in self._lines.values():
            line.forget_waiting()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for running in self._running:
            running.cancel()
        if self._running:
            await asyncio.wait(self._running)
        try:
            while self._results:
                await self._write_some()
            if self._lines:
                async with self._database.connection() as tx:
                    await store.give_leases_back(tx, self._holder, None)
        except Busy:
            _log.warning("webhook_attempts_not_written", attempts=len(self._results))
        await self._client.close()

    # Looking ----------------------------------------------------------------------------------------------------------

    async def _look_for_due(self) -> None:
        while not self._closing:
            try:
                await self.look()
            except Busy:
                self._limit.write(_log.warning, "webhooks_have_no_database", source="look")
            except Exception:
                # Whatever it is, no sale stops for it.
                self._limit.write(_log.exception, "webhooks_not_looked_for", source="look failed")
            active = self._tasks or self._clock.monotonic() < self._active_until
            self._wake.clear()
            if self._crowded:
                await asyncio.sleep(CROWDED_EVERY_S)
                continue
            try:
                async with asyncio.timeout(ACTIVE_EVERY_S if active else IDLE_EVERY_S):
                    await self._wake.wait()
                # What has woken us is about to commit.
                await asyncio.sleep(ACTIVE_EVERY_S)
            except TimeoutError:
                pass

    @property
    def _crowded(self) -> bool:
        return self._pressure() >= CROWD

    async def look(self) -> None:
        """Take in hand what is due, once. Raises Busy."""
        now = self._clock.monotonic()
        if now >= self._close_idle_at:
            self._close_idle_at = now + _CLOSE_IDLE_EVERY_S
            self._client.close_idle()
        if self._outbox.silent and not self._lines:
            return
        async with self._database.transaction() as tx:
            await store.take_leases(tx, self._holder, self._lease_s)
            leased = await store.leased(tx, self._holder)
        self._keep(leased)
        if wanted := self._wanted():
            async with self._database.connection() as tx:
                due = [one for one in await store.due(tx, wanted) if self._lines[one.endpoint_id].is_new(one)]
                messages = await store.messages(tx, {one.event_id for one in due}) if due else {}
            for one in due:
                if one.event_id in messages:
                    self._lines[one.endpoint_id].take(one, messages[one.event_id])
        # Also where nothing was fetched: an endpoint that fails takes its turn.
        for line in list(self._lines.values()):
            self._send_from(line)

    def _keep(self, leased: Sequence[LeasedEndpoint]) -> None:
        """Go on with the endpoints that are ours, in their newest form; what waits here for others is theirs."""
        ours = {one.id for one in leased}
        for number in [number for number in self._lines if number not in ours]:
            self._lines.pop(number).forget_waiting()
        for one in leased:
            line = self._lines.get(one.id)
            if line is not None and line.endpoint == one:
                continue
            secrets = self._secrets(one)
            if secrets is None:
                if line is not None:
                    self._lines.pop(one.id).forget_waiting()
            elif line is None:
                self._lines[one.id] = _Line(one, self._destination(one), secrets)
            else:
                line.endpoint, line.to, line.secrets = one, self._destination(one), secrets
        most = _most_connections()
        for line in self._lines.values():
            line.most_at_once = max(1, min(AT_ONCE, most // len(self._lines)))

    def _secrets(self, one: LeasedEndpoint) -> list[bytes] | None:
        """What messages of an endpoint are signed with; None where the key is not here. They wait until it is."""
        now = self._clock.monotonic()
        if now < self._keyless.get(one.id, 0.0):
            return None
        try:
            key = self._keys.named(one.key_id)
            return [key.open(one.id, sealed) for sealed in (one.secret, one.previous) if sealed is not None]
        except (KeyRefused, SealBroken) as error:
            self._keyless[one.id] = now + _KEY_AGAIN_S
            self._limit.write(_log.critical, "webhook_secret_not_opened", source="key", endpoint=one.id, why=str(error))
            return None

    def _destination(self, one: LeasedEndpoint) -> Destination | str:
        """Where an endpoint is; or why nothing is sent there, such as one that was added while private ones were allowed."""
        try:
            return parse_url(one.url, allow_private=self._allow_private)
        except InvalidInput as error:
            return f"its address {error.problem}"

    def _wanted(self) -> list[tuple[int, int]]:
        """How many deliveries to fetch for each endpoint, those at hand included, which come first again."""
        room = AT_HAND
        if self._crowded:
            room = max(1, round(CALM_PER_S * CROWDED_EVERY_S / max(1, len(self._lines))))
        wanted = []
        for line in self._lines.values():
            more = min(room, line.room) - len(line.waiting)
            if more > 0:
                wanted.append((line.endpoint.id, len(line.at_hand) + more))
        return wanted

    # Sending ----------------------------------------------------------------------------------------------------------

    def _send_from(self, line: "_Line") -> None:
        """Begin as many attempts as may be under way to one endpoint."""
        now = self._clock.monotonic()
        while not self._closing and line.waiting and line.may_begin(now):
            delivery, message = line.waiting.popleft()
            line.sending += 1
            task = asyncio.get_running_loop().create_task(self._send(line, delivery, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, line: "_Line", delivery: DueDelivery, message: Message) -> None:
        started_at = datetime.now(UTC)
        try:
            await hit_async("webhook.before_send")
            body = message.body.encode()
            headers = signed_headers(message.message, int(started_at.timestamp()), body, line.secrets)
            if delivery.tries == 0:
                metrics.FIRST_SEND.observe(max(0.0, (started_at - message.created_at).total_seconds()))
            if isinstance(line.to, str):
                reply = Reply(None, line.to, "", 0)
            else:
                reply = await self._client.post(line.to, headers, body)
        except NotAttempted as ours:
            self._limit.write(_log.error, "webhook_not_attempted", source="machine", why=str(ours))
            line.at_hand.discard(delivery.event_id)
            return
        except asyncio.CancelledError:
            line.at_hand.discard(delivery.event_id)
            raise
        finally:
            line.sending -= 1
        metrics.ATTEMPTS.count("taken" if reply.taken else "refused" if reply.status is not None else "unanswered")
        line.failures = 0 if reply.taken else line.failures + 1
        self._results.append((line, delivery, started_at, reply))
        self._answered.set()
        self._send_from(line)

    # Writing ----------------------------------------------------------------------------------------------------------

    async def _write_results(self) -> None:
        while True:
            await self._answered.wait()
            if len(self._results) < _RECORD_AT_ONCE:
                await asyncio.sleep(_RECORD_CROWDED_AFTER_S if self._crowded else _RECORD_AFTER_S)
            self._answered.clear()
            try:
                while self._results:
                    await self._write_some()
            except Busy:
                self._limit.write(_log.warning, "webhooks_have_no_database", source="record")
                await asyncio.sleep(_RETRY_S)
                self._answered.set()

    async def _write_some(self) -> None:
        """Write the oldest results down. Raises Busy, and then they are still to be written."""
        batch = self._oldest(_RECORD_AT_ONCE)
        try:
            await self._write_batch(batch)
        except Busy:
            raise
        except Exception:
            self._limit.write(_log.exception, "webhook_attempts_not_written", source="record failed")
            for one in batch:
                try:
                    await self._write_batch([one])
                except Busy:
                    raise
                except Exception:
                    # It stays at hand, so that this process does not send it again and again.
                    self._results.popleft()

    def _oldest(self, most: int) -> "list[_Result]":
        """The oldest results, one of each delivery: two of one are there where the lease was lost and had again."""
        batch: list[_Result] = []
        seen: set[tuple[int, int]] = set()
        for result in self._results:
            key = (result[1].endpoint_id, result[1].event_id)
            if key in seen or len(batch) == most:
                break
            seen.add(key)
            batch.append(result)
        return batch

    async def _write_batch(self, batch: "Sequence[_Result]") -> None:
        attempts = [_attempt(delivery, started_at, reply) for _, delivery, started_at, reply in batch]
        await hit_async("webhook.before_record")
        async with self._database.transaction() as tx:
            # Endpoints before their deliveries, as commands lock them.
            stopped = await self._note_health(tx, batch)
            await store.record(tx, attempts)
        for line, delivery, _, reply in batch:
            self._results.popleft()
            line.at_hand.discard(delivery.event_id)
            if reply.taken and not line.failures:
                line.failed_lately = False
        await hit_async("webhook.after_record")
        for endpoint in stopped:
            metrics.PAUSED.count(endpoint.state)
            _log.error(
                f"webhook_endpoint_{endpoint.state}",
                endpoint=endpoint.id,
                reseller=str(endpoint.reseller_id),
                why=endpoint.failure,
            )

    async def _note_health(self, tx: Tx, batch: "Sequence[_Result]") -> list[Endpoint]:
        """Note which endpoints work, fail, or want nothing more. Return those that were stopped."""
        taken = {line.endpoint.id for line, _, _, reply in batch if reply.taken}
        gone = {line.endpoint.id for line, _, _, reply in batch if reply.gone}
        failed = {
            line.endpoint.id: reply.why
            for line, _, _, reply in batch
            if not reply.taken and line.endpoint.id not in taken
        }
        well = sorted(number for number in taken if self._was_failing(number))
        if well:
            await store.note_success(tx, well)
        stopped: list[Endpoint] = []
        if failed:
            await store.note_failures(tx, sorted(failed.items()))
            stopped += await store.pause_failing(tx, sorted(failed))
        if gone:
            stopped += await store.mark_gone(tx, sorted(gone))
            for number in sorted(gone):
                await store.fail_waiting(tx, number)
        if stopped:
            await increment_revision(tx, store.TOPIC)
            if self._on_stopped is not None:
                await self._on_stopped(tx, stopped)
        return stopped

    def _was_failing(self, endpoint_id: int) -> bool:
        line = self._lines.get(endpoint_id)
        return line is None or line.endpoint.failing or line.failed_lately

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("webhooks_died", exc_info=error)
            self._runtime.died(error)


class _Line:
    """What waits for one endpoint in this process. `at_hand`: its events that wait, are being sent, or are to be recorded."""

    def __init__(self, endpoint: LeasedEndpoint, to: Destination | str, secrets: list[bytes]) -> None:
        self.endpoint = endpoint
        self.to = to
        self.secrets = secrets
        self.waiting: deque[tuple[DueDelivery, Message]] = deque()
        self.at_hand: set[int] = set()
        self.sending = 0
        self.most_at_once = AT_ONCE
        # What has failed before is asked whether it works with one message, not with thirty.
        self._failures = FAILING_AFTER if endpoint.failing else 0
        self.failed_lately = False
        self._next_at = 0.0

    @property
    def failures(self) -> int:
        """How many attempts in a row were not taken."""
        return self._failures

    @failures.setter
    def failures(self, count: int) -> None:
        self._failures = count
        self.failed_lately |= count > 0

    @property
    def room(self) -> int:
        """How many deliveries may wait here."""
        return 2 if self._failures >= FAILING_AFTER else AT_HAND

    def may_begin(self, now: float) -> bool:
        """Whether another attempt may begin; one of an endpoint that keeps failing takes its turn."""
        if self._failures < FAILING_AFTER:
            return self.sending < self.most_at_once
        if self.sending or now < self._next_at:
            return False
        self._next_at = now + 1 / FAILING_PER_S
        return True

    def is_new(self, delivery: DueDelivery) -> bool:
        """Whether this one is not at hand yet."""
        return delivery.event_id not in self.at_hand

    def take(self, delivery: DueDelivery, message: Message) -> None:
        """Take a delivery in hand."""
        self.at_hand.add(delivery.event_id)
        self.waiting.append((delivery, message))

    def forget_waiting(self) -> None:
        """Leave what was not begun to whoever has the lease next."""
        while self.waiting:
            delivery, _ = self.waiting.popleft()
            self.at_hand.discard(delivery.event_id)


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(CONNECTIONS, files // FILES_EACH)


_Result = tuple[_Line, DueDelivery, datetime, Reply]
"""An attempt that has ended: of which delivery, when it began, and how."""


def _attempt(delivery: DueDelivery, started_at: datetime, reply: Reply) -> AttemptRow:
    tries = delivery.tries + 1
    step = next_step(tries, reply)
    return AttemptRow(
        delivery.endpoint_id,
        delivery.event_id,
        tries,
        step.state,
        step.due_in_s,
        started_at,
        reply.duration_ms,
        reply.status,
        reply.why,
        reply.text,
    )
