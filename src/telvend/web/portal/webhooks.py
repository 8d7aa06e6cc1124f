"""`/webhooks`: endpoints, what was sent to them, and balances below which a wallet's owner is told.

A secret is on the page that answers the POST, which nobody keeps. What endpoints answer is shown as text.
"""

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput, NotFound
from telvend.kit.allowance import Allowance
from telvend.kit.money import Money
from telvend.people.service import People
from telvend.wallets.model import WalletBalance
from telvend.wallets.service import Wallets
from telvend.web.portal.acting import endpoint_act, require_pace
from telvend.web.portal.apis import sentence_of
from telvend.web.shell import Form, Shell, Visitor, read_form, signed_in
from telvend.web.shell.paths import number_in_path
from telvend.webhooks.examples import SUMMARIES
from telvend.webhooks.model import DeliveryState, EndpointState, EventType, NewSecret, parse_delivery_id
from telvend.webhooks.service import Webhooks

PAGE_SIZE: Final = 20
ADDED_A_MINUTE: Final = 30
SENT_A_MINUTE: Final = 60
"""So many endpoints may be added, and so many messages sent by hand: each goes to an address of somebody's."""
_LONGEST_URL: Final = 2048
_STATES: Final = (("", "All"), *((str(state), str(state).capitalize()) for state in DeliveryState))
_SENT_WORDS: Final = {
    EndpointState.ACTIVE: "Messages are sent to it again.",
    EndpointState.PAUSED: "Nothing is sent to it now; messages wait.",
    EndpointState.REMOVED: "Nothing is sent to it any more.",
}


def routes(shell: Shell, webhooks: Webhooks, wallets: Wallets, people: People, allowance: Allowance) -> list[Route]:
    """The pages of webhooks."""
    pages = _Webhooks(shell, webhooks, wallets, people, allowance)
    return [
        shell.page("/webhooks", get=signed_in(pages.show), post=signed_in(pages.add), waits_outside=True),
        shell.page("/webhooks/thresholds/{wallet}", post=signed_in(pages.set_threshold), waits_outside=True),
        shell.page("/webhooks/deliveries/{delivery}", get=signed_in(pages.delivery)),
        shell.page("/webhooks/deliveries/{delivery}/again", post=signed_in(pages.again)),
        shell.page("/webhooks/{endpoint}/pause", post=signed_in(pages.pause)),
        shell.page("/webhooks/{endpoint}/resume", post=signed_in(pages.resume), waits_outside=True),
        shell.page("/webhooks/{endpoint}/test", post=signed_in(pages.send_test), waits_outside=True),
        shell.page("/webhooks/{endpoint}/rotate", get=signed_in(pages.ask_rotate), post=signed_in(pages.rotate)),
        shell.page("/webhooks/{endpoint}/remove", get=signed_in(pages.ask_remove), post=signed_in(pages.remove)),
    ]


class _Webhooks:
    def __init__(
        self, shell: Shell, webhooks: Webhooks, wallets: Wallets, people: People, allowance: Allowance
    ) -> None:
        self._shell = shell
        self._webhooks = webhooks
        self._wallets = wallets
        self._people = people
        self._allowance = allowance

    # Endpoints ------------------------------------------------------------------------------------------------------------

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, Form())

    async def add(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        url = form.text("url", longest=_LONGEST_URL)
        events = [event for event in form.every("event") if event in tuple(EventType)]
        if not url:
            form.error("url", "Enter the address that messages are sent to.")
        if form.errors:
            return await self._page(request, visitor, form, status=422)
        await require_pace(self._allowance, visitor, "add webhook", ADDED_A_MINUTE)
        try:
            made = await self._webhooks.add(
                visitor.reseller_id,
                url,
                [] if len(events) == len(EventType) else events,
                also=endpoint_act(self._people, request, visitor, "webhook.added"),
            )
        except InvalidInput as error:
            form.error("url" if error.field != "event" else "event", _url_sentence(error))
            return await self._page(request, visitor, form, status=422)
        return await self._page(request, visitor, Form(), made=made)

    async def pause(self, request: Request, visitor: Visitor) -> Response:
        return await self._change(request, visitor, self._webhooks.pause, "webhook.paused")

    async def resume(self, request: Request, visitor: Visitor) -> Response:
        return await self._change(request, visitor, self._webhooks.resume, "webhook.resumed")

    async def remove(self, request: Request, visitor: Visitor) -> Response:
        return await self._change(request, visitor, self._webhooks.remove, "webhook.removed")

    async def _change(self, request: Request, visitor: Visitor, verb: Any, what: str) -> Response:
        try:
            endpoint = await verb(
                _endpoint_id(request),
                owner=visitor.reseller_id,
                also=endpoint_act(self._people, request, visitor, what),
            )
        except InvalidInput as error:
            return self._shell.go(request, "/webhooks", sentence_of(error), "bad")
        return self._shell.go(request, "/webhooks", f"{_short(endpoint.url)}: {_SENT_WORDS[endpoint.state]}")

    async def ask_remove(self, request: Request, visitor: Visitor) -> Response:
        endpoint = await self._webhooks.endpoint(_endpoint_id(request), owner=visitor.reseller_id)
        return self._shell.render(request, "portal/webhook_remove.html", endpoint=endpoint)

    async def ask_rotate(self, request: Request, visitor: Visitor) -> Response:
        endpoint = await self._webhooks.endpoint(_endpoint_id(request), owner=visitor.reseller_id)
        return self._shell.render(
            request, "portal/webhook_rotate.html", endpoint=endpoint, as_of=endpoint.changed_at.isoformat()
        )

    async def rotate(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        try:
            as_of = datetime.fromisoformat(form.text("as_of"))
            made = await self._webhooks.rotate(
                _endpoint_id(request),
                owner=visitor.reseller_id,
                as_of=as_of,
                also=endpoint_act(self._people, request, visitor, "webhook.rotated"),
            )
        except (InvalidInput, ValueError):
            flash = "This endpoint has changed since the page was opened. If it has a new secret already, that one was shown once."
            return self._shell.go(request, "/webhooks", flash, "wait")
        return await self._page(request, visitor, Form(), made=made)

    async def send_test(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        kind = form.text("event")
        await require_pace(self._allowance, visitor, "send test", SENT_A_MINUTE)
        try:
            sent, attempt = await self._webhooks.send_test(
                _endpoint_id(request),
                EventType(kind) if kind in tuple(EventType) else None,
                owner=visitor.reseller_id,
            )
        except InvalidInput as error:
            return self._shell.go(request, "/webhooks", sentence_of(error), "bad")
        if sent.state is DeliveryState.DELIVERED:
            flash, tone = f"{sent.type} was taken: answered {attempt.status} after {attempt.duration_ms} ms.", "good"
        else:
            flash, tone = f"{sent.type} was not taken: {_printable(attempt.error)}.", "bad"
        return self._shell.go(request, f"/webhooks/deliveries/{sent.id}", flash, tone)

    async def _page(
        self, request: Request, visitor: Visitor, form: Form, *, status: int = 200, made: NewSecret | None = None
    ) -> Response:
        endpoints = await self._webhooks.list_endpoints(visitor.reseller_id)
        asked = request.query_params
        endpoint = _one_of(asked.get("endpoint", ""), [str(one.endpoint.id) for one in endpoints])
        state = _one_of(asked.get("status", ""), [str(one) for one in DeliveryState])
        before = asked.get("before")
        if before is not None and parse_delivery_id(before) is None:
            raise NotFound("Delivery")
        deliveries = await self._webhooks.deliveries(
            visitor.reseller_id,
            endpoint_id=int(endpoint) if endpoint else None,
            state=DeliveryState(state) if state else None,
            before=before,
            limit=PAGE_SIZE + 1,
        )
        shown, filters = deliveries[:PAGE_SIZE], {"endpoint": endpoint, "status": state}
        older = None
        if len(deliveries) > PAGE_SIZE:
            older = _address(filters | {"before": shown[-1].id})
        return self._shell.render(
            request,
            "portal/webhooks.html",
            status=status,
            compress=made is None,
            form=form,
            made=made,
            endpoints=endpoints,
            events=[(str(kind), SUMMARIES[kind]) for kind in EventType],
            chosen=form.every("event"),
            deliveries=shown,
            filters=filters,
            filtered=bool(endpoint or state or before),
            states=_STATES,
            endpoint_names=[("", "All"), *((str(one.endpoint.id), _short(one.endpoint.url)) for one in endpoints)],
            older=older,
            newest=_address(filters) if before else None,
            wallets=await self._own_wallets(visitor),
            thresholds={
                str(one.threshold.currency): one
                for one in await self._webhooks.thresholds(visitor.reseller_id)
                if one.mode is visitor.mode
            },
        )

    # Deliveries -----------------------------------------------------------------------------------------------------------

    async def delivery(self, request: Request, visitor: Visitor) -> Response:
        found, attempts = await self._webhooks.delivery(request.path_params["delivery"], owner=visitor.reseller_id)
        return self._shell.render(request, "portal/webhook_delivery.html", delivery=found, attempts=attempts)

    async def again(self, request: Request, visitor: Visitor) -> Response:
        delivery_id = request.path_params["delivery"]
        await require_pace(self._allowance, visitor, "send test", SENT_A_MINUTE)
        try:
            again = await self._webhooks.replay(delivery_id, owner=visitor.reseller_id)
        except InvalidInput:
            flash = "Its endpoint is paused, gone or removed: nothing is sent there."
            return self._shell.go(request, f"/webhooks/deliveries/{delivery_id}", flash, "bad")
        flash = f"{again.type} is sent again now."
        return self._shell.go(request, f"/webhooks/deliveries/{again.id}", flash)

    # Low balances ---------------------------------------------------------------------------------------------------------

    async def _own_wallets(self, visitor: Visitor) -> list[WalletBalance]:
        wallets = await self._wallets.of_reseller(visitor.reseller_id)
        return [wallet for wallet in wallets if wallet.mode is visitor.mode]

    async def set_threshold(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        wallets = {str(wallet.wallet_id): wallet for wallet in await self._own_wallets(visitor)}
        wallet = wallets.get(request.path_params["wallet"])
        if wallet is None:
            raise NotFound("Wallet")
        currency = wallet.balance.currency
        name = f"threshold-{currency}"
        text = form.text(name).replace(",", "")
        if not text:
            await self._webhooks.remove_threshold(wallet.wallet_id)
            return self._shell.go(request, "/webhooks#low", f"You are told of a low {currency} balance no more.")
        try:
            await self._webhooks.set_threshold(wallet.wallet_id, Money.parse(text, currency))
        except (InvalidInput, ValueError):
            form.error(name, f"Enter an amount in {currency}, more than nothing.")
            return await self._page(request, visitor, form, status=422)
        return self._shell.go(request, "/webhooks#low", f"You are told when the {currency} wallet falls below {text}.")


def _endpoint_id(request: Request) -> int:
    return number_in_path(request, "Webhook", "endpoint")


def _one_of(text: str, options: list[str]) -> str:
    return text if text in options else ""


def _address(filters: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in filters.items() if value})
    return f"/webhooks?{query}#deliveries" if query else "/webhooks#deliveries"


def _short(url: str) -> str:
    """An address without its scheme, cut to what a line takes."""
    text = url.partition("://")[2]
    return text if len(text) <= 48 else f"{text[:47]}…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def _url_sentence(error: InvalidInput) -> str:
    return sentence_of(error).replace("; `webhook list` shows it", "").replace("of this reseller", "of yours")
