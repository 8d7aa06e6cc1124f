"""`telvend webhook listen`: shows events as they happen, and sends them on to a developer's program."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from telvend.cli.common import json_text, progress, zone
from telvend.cli.stopping import stopping
from telvend.errors import Busy, InvalidInput
from telvend.webhooks.client import NotAttempted, WebhookClient
from telvend.webhooks.destination import Destination, parse_url
from telvend.webhooks.listening import PUT_OFF_EVERY_S, ListenSession
from telvend.webhooks.model import Reply
from telvend.webhooks.signing import secret_text, signed_headers
from telvend.webhooks.store import ListenerEvent

if TYPE_CHECKING:
    from uuid import UUID

    from telvend.bootstrap import Shop
    from telvend.resellers.model import Reseller

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.25
AT_ONCE: Final = 16
"""How many events are forwarded at once."""

_DATABASE_AGAIN_S: Final = 1.0


async def listen_to(shop: "Shop", reseller: "Reseller | None", forward: str | None, *, as_json: bool) -> None:
    """Show events until Ctrl-C or SIGTERM. Raises InvalidInput, KeyRefused, Busy, OutputLost."""
    to = None if forward is None else _destination(forward)
    secret = await shop.listening.secret()
    client = WebhookClient(allow_private=True)
    with stopping("telvend: ending.") as stop:
        try:
            async with shop.listening.session(None if reseller is None else reseller.id) as session:
                whose = "everybody" if reseller is None else reseller.email
                progress(f"Listening to the events of {whose}; Ctrl-C ends it.")
                if to is not None:
                    progress(f"Sent on to {forward}, signed with {secret_text(secret).reveal()}")
                await _Listener(shop, session, client, to, secret, stop, as_json=as_json).run()
        finally:
            await client.close()


def _destination(forward: str) -> Destination:
    try:
        return parse_url(forward, allow_private=True)
    except InvalidInput as error:
        raise InvalidInput("forward", error.problem) from None


class _Listener:
    """One run of the command, until `stop` is set."""

    def __init__(
        self,
        shop: "Shop",
        session: ListenSession,
        client: WebhookClient,
        to: Destination | None,
        secret: bytes,
        stop: asyncio.Event,
        *,
        as_json: bool,
    ) -> None:
        self._shop = shop
        self._session = session
        self._client = client
        self._to = to
        self._secret = secret
        self._stop = stop
        self._as_json = as_json
        self._emails: dict[UUID, str] = {}
        self._missed = 0

    async def run(self) -> None:
        """Show events as they come; prolong the session meanwhile, also while a forward takes long. Raises OutputLost."""
        lasting = asyncio.create_task(self._last())
        try:
            while not self._stop.is_set():
                try:
                    events = await self._session.waiting(AT_ONCE)
                    if events:
                        await self._show(events)
                        await self._session.shown(events)
                except Busy:
                    progress("telvend: the database does not answer; trying again.")
                    await self._pause(_DATABASE_AGAIN_S)
                    continue
                if len(events) < AT_ONCE:
                    await self._pause(LOOK_EVERY_S)
        finally:
            lasting.cancel()
            with suppress(asyncio.CancelledError):
                await lasting

    async def _last(self) -> None:
        while True:
            await asyncio.sleep(PUT_OFF_EVERY_S)
            try:
                if not await self._session.put_off():
                    progress("telvend: the session had ended, as after a sleep; what happened meanwhile is not shown.")
            except (Busy, InvalidInput) as error:
                progress(f"telvend: {error}")
            if self._session.missed > self._missed:
                progress(
                    f"telvend: {self._session.missed - self._missed} events were left off; they come faster than they go on."
                )
                self._missed = self._session.missed

    async def _show(self, events: Sequence[ListenerEvent]) -> None:
        unknown = {event.reseller_id for event in events} - self._emails.keys()
        if unknown:
            self._emails |= await self._shop.resellers.emails(unknown)
        replies = await self._unless_stopped(asyncio.gather(*(self._send_on(event) for event in events)))
        # Forwards cancelled by Ctrl-C are not shown as sent.
        for event, reply in zip(events, replies or (), strict=False):
            self._print(event, reply)

    async def _send_on(self, event: ListenerEvent) -> Reply | None:
        if self._to is None:
            return None
        body = event.body.encode()
        headers = signed_headers(event.message, int(datetime.now(UTC).timestamp()), body, [self._secret])
        try:
            return await self._client.post(self._to, headers, body)
        except NotAttempted as ours:
            return Reply(None, f"not sent: {ours}", "", 0)

    def _print(self, event: ListenerEvent, reply: Reply | None) -> None:
        whose = self._emails.get(event.reseller_id, str(event.reseller_id))
        if self._as_json:
            data: dict[str, Any] = {
                "webhook_id": event.message,
                "event": event.type,
                "reseller": whose,
                "body": msgspec.Raw(event.body.encode()),
            }
            if reply is not None:
                data |= {"status": reply.status, "error": reply.error or None, "duration_ms": reply.duration_ms}
            sys.stdout.write(json_text(data) + "\n")
        else:
            at = f"{event.created_at.astimezone(zone()):%H:%M:%S}"
            answered = "" if reply is None else f"  {reply.status or reply.error} after {reply.duration_ms} ms"
            sys.stdout.write(f"{at}  {event.type}  {whose}  {event.message}{answered}\n  {event.body}\n")
        sys.stdout.flush()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _unless_stopped(self, work: "asyncio.Future[T]") -> T | None:
        """Return the result of `work`; if the command is stopped first, cancel it and return None."""
        stopped = asyncio.ensure_future(self._stop.wait())
        both: list[asyncio.Future[Any]] = [work, stopped]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            return None
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
