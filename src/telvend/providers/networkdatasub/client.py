"""How networkdatasub is called, and how a purchase without an answer is asked about.

With `caller_reference` the far side takes our reference as a key and finds a transaction by it. Without, it knows only its own:
what it has answered is asked about by that, and what it has not is searched for in its list (search.py).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.numbering import national_form
from telvend.kit.secret import Secret
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.listing import KEPT_S, Listing, Parsed
from telvend.providers.networkdatasub import wire
from telvend.providers.networkdatasub.search import MOST_PAGES, Search, are_whole, day_query
from telvend.providers.over_http import ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.requirements import Requirements, is_at
from telvend.providers.their_references import TheirReferences
from telvend.providers.upstream import BalanceUnavailable, LineStatus, StatementLine, StatementUnavailable

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://networkdatasub.com/api"

# A plan that is missing from a list of this age is looked for once more: it may have come since.
_STALE_S: Final = 30.0


class NetworkDataSub(ProviderOverHttp):
    """Airtime by network and data by plan, for the networks of Nigeria."""

    connector = "networkdatasub"
    zone = "Africa/Lagos"

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        api_key: Secret,
        clock: Clock,
        *,
        keyed: bool,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        headers: dict[str, str | Secret] = {
            "authorization": Secret(f"Token {api_key.reveal()}"),
            "accept": "application/json",
            "content-type": "application/json",
        }
        super().__init__(
            name, base_url, traits, headers=headers, secrets=(api_key,), timeout_s=timeout_s, transport=transport
        )
        self._clock = clock
        self._keyed = keyed
        self._plans = Listing(self._ask, clock)
        self._parsed_plans = Parsed(wire.plans_of)
        self._references = TheirReferences()

    # Plans --------------------------------------------------------------------------------------------------------------

    async def prepare(self, delivery: Delivery) -> Refused | NotSent | None:
        """Read the list of plans where the plan has to be found on it."""
        if delivery.kind != "data" or delivery.provider_code or not self._serves(delivery):
            return None
        request = self._plans_request(delivery)
        for newer_than_s in (KEPT_S, _STALE_S):
            reply = await self._plans.get(request, newer_than_s=newer_than_s)
            plans = None if reply is None else self._parsed_plans.of(request, reply)
            if plans is None:
                if reply is not None and reply.http_status == 401:
                    return Refused(Reason.NOT_ALLOWED, f"the list of plans: {reply.excerpt}")
                said = "no answer" if reply is None else reply.excerpt
                return NotSent(f"the list of plans cannot be read: {said}")
            if not isinstance(wire.plan_of(delivery, plans), Refused):
                return None
        return None  # `_purchase_request` says what is wrong.

    def _plans_request(self, delivery: Delivery) -> "httpx.Request":
        return self._client.build_request("GET", "/data-plans", params={"network": delivery.network})

    def _plan(self, delivery: Delivery) -> wire.Plan | Refused | None:
        """The plan on the list that was read last; None where none was."""
        request = self._plans_request(delivery)
        reply = self._plans.peek(request)
        plans = None if reply is None else self._parsed_plans.of(request, reply)
        return None if plans is None else wire.plan_of(delivery, plans)

    # Buying -------------------------------------------------------------------------------------------------------------

    def _serves(self, delivery: Delivery) -> bool:
        return (delivery.country, delivery.network) in wire.NETWORKS and delivery.kind in ("data", "airtime")

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        plan_id: int | None = None
        if delivery.kind == "data" and self._serves(delivery):
            if delivery.provider_code:
                plan_id = wire.plan_id_of(delivery.provider_code)
                if plan_id is None:
                    return Refused(Reason.NOT_SOLD, f"{delivery.provider_code!r} is not the id of a plan")
            else:
                plan = self._plan(delivery)
                if isinstance(plan, Refused):
                    return plan
                if plan is None:
                    return Refused(Reason.NOT_SOLD, "the list of plans was not read")
                plan_id = plan.id
        return self._request(delivery, plan_id)

    def _request(self, delivery: Delivery, plan_id: int | str | None) -> "httpx.Request | Refused":
        if not self._serves(delivery):
            where = f"{delivery.country}/{delivery.network}"
            return Refused(Reason.NOT_SOLD, f"networkdatasub sells no {delivery.kind} of {where}")
        phone = national_form(delivery.subscriber)
        if plan_id is None:
            form = wire.airtime_form(delivery, phone, keyed=self._keyed)
            return form if isinstance(form, Refused) else self._post("/airtime/purchase", form)
        return self._post("/data/purchase", wire.data_form(delivery, phone, plan_id, keyed=self._keyed))

    def _post(self, path: str, form: bytes) -> "httpx.Request":
        return self._client.build_request("POST", path, content=form)

    def _preview_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if delivery.kind == "data" and not delivery.provider_code and self._plan(delivery) is None:
            return self._request(delivery, "the id of the plan, from /data-plans")
        return self._purchase_request(delivery)

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        outcome = wire.outcome_of(delivery, reply)
        if isinstance(outcome, Accepted | Delivered):
            # It names no recipient: the answer to another purchase of the same amount looks like this one's.
            owner = self._references.owner(outcome.provider_reference or "")
            if owner not in (None, delivery.reference):
                return Unknown(f"an answer about {owner}: {reply.excerpt}")
        self._remember(delivery, outcome)
        return outcome

    def _remember(self, delivery: Delivery, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted | Delivered) and outcome.provider_reference:
            self._references.remember(delivery.reference, outcome.provider_reference)

    # Asking -------------------------------------------------------------------------------------------------------------

    def _known(self, delivery: Delivery) -> str:
        """What the transaction may be asked about by; empty where only the list is left."""
        theirs = delivery.provider_reference or self._references.of(delivery.reference)
        return theirs or (delivery.reference if self._keyed else "")

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        known = self._known(delivery)
        if not known:
            return Unknown("only the list of transactions could show it")
        return self._client.build_request("GET", f"/transactions/{quote(known, safe='')}")

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.requery_outcome_of(delivery, reply, self._known(delivery))

    async def requery(self, delivery: Delivery) -> Outcome:
        if self._known(delivery):
            return await super().requery(delivery)
        if delivery.reference in self._under_way:
            return Unknown("the request is on its way")
        return self._veiled(delivery, await self._searched(delivery))

    async def _searched(self, delivery: Delivery) -> Outcome:
        if delivery.started_at is None:
            return Unknown("it is not known when it was sent")
        search = Search(delivery, delivery.started_at, await self._price(delivery), self._traits.timeout_s)
        if (doubt := search.too_early(self._clock.now())) is not None:
            return doubt
        pages: list[wire.Page] = []
        while not pages or len(pages) < pages[-1].last:
            if len(pages) == MOST_PAGES:
                return Unknown(f"more than {MOST_PAGES} pages of transactions in three days")
            query = search.query(len(pages) + 1)
            reply = await self._ask(self._client.build_request("GET", "/transactions", params=query))
            page = None if reply is None else wire.page_of(reply)
            if page is None:
                said = "no answer" if reply is None else reply.excerpt
                return Unknown(f"the list of transactions cannot be read: {said}")
            pages.append(page)
        outcome = search.found_in(pages, self._references.but(delivery.reference))
        self._remember(delivery, outcome)
        return outcome

    async def statement(self, begins_at: datetime, ends_at: datetime) -> AsyncIterator[StatementLine]:
        """List our debits for airtime and data, for whole days of Lagos. Raises StatementUnavailable."""
        pages: list[wire.Page] = []
        while not pages or len(pages) < pages[-1].last:
            query = day_query(begins_at, ends_at, len(pages) + 1)
            reply = await self._ask(self._client.build_request("GET", "/transactions", params=query))
            page = None if reply is None else wire.page_of(reply)
            if page is None:
                said = "no answer" if reply is None else self._starred(reply.excerpt)
                raise StatementUnavailable(f"page {len(pages) + 1} of the list of transactions cannot be read: {said}")
            if page.number != len(pages) + 1:
                raise StatementUnavailable(
                    f"page {len(pages) + 1} of the list of transactions says that it is {page.number}"
                )
            # Only what tells pages apart is kept of those before.
            pages.append(replace(page, transactions=()))
            for transaction in page.transactions:
                yield transaction.line
            for _ in range(page.unread):
                yield StatementLine(LineStatus.UNKNOWN, word="a debit that cannot be read")
        if not are_whole(pages):
            raise StatementUnavailable("the list of transactions has changed while it was read; reconcile again")

    async def _price(self, delivery: Delivery) -> Money | None:
        """What the purchase costs there, which tells it from others of the same size; None where that is not known."""
        if delivery.kind == "airtime":
            return delivery.face_value
        request = self._plans_request(delivery)
        reply = await self._plans.get(request)
        plans = () if reply is None else self._parsed_plans.of(request, reply) or ()
        if delivery.provider_code:
            return next((plan.amount for plan in plans if str(plan.id) == delivery.provider_code), None)
        plan = wire.plan_of(delivery, plans)
        return None if isinstance(plan, Refused) else plan.amount

    # The float ----------------------------------------------------------------------------------------------------------

    def _balance_request(self) -> "httpx.Request":
        return self._client.build_request("GET", "/wallet/balance")

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        return wire.balance_of(reply)


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> NetworkDataSub:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    (api_key,) = requirements.credentials(api_key="the API token (API Tokens page)")
    base_url = requirements.base_url(BASE_URL)
    networks = requirements.networks(wire.NETWORKS)
    if settings.caller_reference and is_at(base_url, BASE_URL):
        requirements.add(
            "caller_reference",
            "is true, and networkdatasub's own API knows no reference of ours: what is sent again would be bought twice; take it"
            " out, or write the base_url of the Telvend that is meant",
        )
    requirements.raise_if_any()
    # The list of plans may be read before the purchase.
    timeout_s = call_timeout_s(2 * settings.timeout_s)
    traits = ProviderTraits(
        timeout_s=timeout_s,
        settles_after_s=max(wire.SETTLES_AFTER_S, timeout_s),
        networks=networks,
        reference_is_key=settings.caller_reference,
        requery_needs_rivals=not settings.caller_reference,
    )
    return NetworkDataSub(
        name,
        base_url,
        traits,
        api_key,
        clock,
        keyed=settings.caller_reference,
        timeout_s=settings.timeout_s,
        transport=transport,
    )
