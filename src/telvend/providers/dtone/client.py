"""How DT One is called. A purchase is two requests: the transaction is created, then confirmed.

Only the confirmation delivers, and only the process that has the creation's answer sends it. So whatever becomes of a creation
without an answer, nothing is delivered; and a transaction that a requery finds unconfirmed, after a lost answer or a crash, can be
closed: the requery cancels it, which gives our float back and makes any confirmation that is still on its way useless. DT One decides
between the two, whichever comes first. docs/decisions/0033-dt-one-is-bought-in-two-phases.md.
"""

import base64
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, NotSent, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.dtone import wire
from telvend.providers.listing import KEPT_S, Listing, Parsed
from telvend.providers.over_http import ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.pages import transactions
from telvend.providers.requirements import Requirements
from telvend.providers.upstream import BalanceUnavailable, StatementLine, StatementUnavailable

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://dvs-api.dtone.com/v1"

# A product that is missing from a list of this age is looked for once more: it may have come since.
_STALE_S: Final = 30.0


class DTOne(ProviderOverHttp):
    """Airtime and bundles by product. Its sandbox is another `base_url`: https://preprod-dvs-api.dtone.com/v1."""

    connector = "dtone"
    callback = wire.CALLBACK

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        clock: Clock,
        *,
        api_key: Secret,
        api_secret: Secret,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        pair = f"{api_key.reveal()}:{api_secret.reveal()}"
        headers: dict[str, str | Secret] = {
            "authorization": Secret(f"Basic {base64.b64encode(pair.encode()).decode()}"),
            "accept": "application/json",
            "content-type": "application/json",
        }
        super().__init__(
            name,
            base_url,
            traits,
            headers=headers,
            secrets=(api_key, api_secret),
            timeout_s=timeout_s,
            transport=transport,
        )
        self._clock = clock
        # Longer than this after its beginning a purchase is not confirmed any more, whatever has kept the process from it: by
        # then a requery may have been told that there is nothing.
        self._confirmed_within_s = 2.5 * timeout_s
        self._listing = Listing(self._ask, clock)
        self._product = Parsed(wire.product_of)
        self._products = Parsed(wire.products_of)

    # Products -----------------------------------------------------------------------------------------------------------

    async def prepare(self, delivery: Delivery) -> Refused | NotSent | None:
        """Read the product: the one that the product's code names, else all of the country's."""
        if _refused_unread(delivery) is not None:
            return None  # `_purchase_request` says so.
        for newer_than_s in (KEPT_S, _STALE_S):
            unread = await self._read_products(delivery, newer_than_s)
            if unread is not None:
                return unread
            found = self._found(delivery)
            if isinstance(found, NotSent):
                return found
            if not isinstance(found, Refused):
                return None
        return None  # `_purchase_request` says what is wrong.

    async def _read_products(self, delivery: Delivery, newer_than_s: float) -> Refused | NotSent | None:
        number, pages = 1, 1
        while number <= pages:
            reply = await self._listing.get(self._products_request(delivery, number), newer_than_s=newer_than_s)
            if reply is None or reply.http_status != 200:
                return wire.products_refused(reply)
            pages = 1 if delivery.provider_code else wire.pages_of(reply) or 1
            if pages > wire.MOST_PAGES:
                return Refused(Reason.NOT_SOLD, f"DT One has {pages} pages of products; name one by its id")
            number += 1
        return None

    def _products_request(self, delivery: Delivery, page: int) -> "httpx.Request":
        if delivery.provider_code:
            return self._client.build_request("GET", f"/products/{delivery.provider_code}")
        params = {"country_iso_code": wire.ISO3[delivery.country], "page": str(page), "per_page": str(wire.PER_PAGE)}
        return self._client.build_request("GET", "/products", params=params)

    def _found(self, delivery: Delivery) -> wire.Product | Refused | NotSent:
        """The product to ask for, by the answers that were read last."""
        products: list[wire.Product] = []
        number, pages = 1, 1
        while number <= pages:
            request = self._products_request(delivery, number)
            reply = self._listing.peek(request)
            if reply is None:
                return wire.products_refused(None)
            if delivery.provider_code:
                product = self._product.of(request, reply)
                if product is None:
                    return Refused(
                        Reason.NOT_SOLD, f"the product {delivery.provider_code} is no recharge: {reply.excerpt}"
                    )
                amount = wire.amount_of(delivery, product)
                return amount if isinstance(amount, Refused) else product
            page = self._products.of(request, reply)
            if page is None:
                return wire.products_refused(reply)
            products += page
            pages = wire.pages_of(reply) or 1
            number += 1
        return wire.product_for(delivery, products)

    # Buying -------------------------------------------------------------------------------------------------------------

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        refusal = _refused_unread(delivery)
        if refusal is not None:
            return refusal
        product = self._found(delivery)
        if isinstance(product, NotSent):
            return Refused(Reason.NOT_SOLD, product.text)
        if isinstance(product, Refused):
            return product
        amount = wire.amount_of(delivery, product)
        if isinstance(amount, Refused):
            return amount
        return self._creation(wire.form_of(delivery, product.id, amount, self._callback_url))

    def _creation(self, form: bytes) -> "httpx.Request":
        return self._client.build_request("POST", "/async/transactions", content=form)

    def _preview_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if _refused_unread(delivery) is None and self._listing.peek(self._products_request(delivery, 1)) is None:
            # Until the products have been read, what comes from them is described.
            product = delivery.provider_code or "the id of the product, from /products"
            return self._creation(wire.form_of(delivery, product, None, self._callback_url))
        return self._purchase_request(delivery)

    async def _deliver(self, delivery: Delivery) -> Outcome:
        begun_s = self._clock.monotonic()
        request = await self._request_of(delivery)
        if isinstance(request, Refused | NotSent):
            return request
        reply = await self._attempt(request)
        created = wire.created_of(delivery, reply) if isinstance(reply, ProviderReply) else reply
        if not isinstance(created, wire.Created):
            return created
        if self._clock.monotonic() - begun_s > self._confirmed_within_s:
            return Unknown(f"{created.id} was created, too late to be confirmed")
        confirmation = self._client.build_request("POST", f"/async/transactions/{quote(created.id, safe='')}/confirm")
        reply = await self._attempt(confirmation)
        if isinstance(reply, ProviderReply):
            return self._outcome(delivery, reply)
        # Even one that was not sent leaves a transaction behind, with our float in it: a requery closes it.
        return Unknown(f"{created.id} was created; its confirmation: {reply.text}")

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.confirmed_of(delivery, reply)

    # Asking -------------------------------------------------------------------------------------------------------------

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        if delivery.provider_reference:
            return self._client.build_request("GET", f"/transactions/{quote(delivery.provider_reference, safe='')}")
        return self._client.build_request("GET", "/transactions", params={"external_id": delivery.reference})

    async def _look_up(self, delivery: Delivery) -> Outcome:
        question = self._requery_request(delivery)
        if isinstance(question, Unknown):
            return question
        reply = await self._ask(question)
        if reply is None:
            return Unknown("could not be asked: no answer")
        told = wire.requery_outcome_of(delivery, reply)
        return await self._closed(delivery, told) if isinstance(told, wire.Created) else told

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        told = wire.requery_outcome_of(delivery, reply)
        return Unknown(f"{told.id} is created, not confirmed") if isinstance(told, wire.Created) else told

    async def _closed(self, delivery: Delivery, created: wire.Created) -> Outcome:
        """Cancel a transaction that nobody has confirmed. Never delivers; what is confirmed meanwhile cannot be cancelled."""
        if delivery.reference in self._under_way:
            return Unknown(f"{created.id} is created, and about to be confirmed")
        cancellation = self._client.build_request("POST", f"/transactions/{quote(created.id, safe='')}/cancel")
        reply = await self._ask(cancellation)
        if reply is None:
            return Unknown(f"{created.id} is created; its cancellation has no answer")
        return wire.cancelled_of(delivery, reply)

    async def statement(self, begins_at: datetime, ends_at: datetime) -> AsyncIterator[StatementLine]:
        """List our transactions of this time, and of an hour around it. Raises StatementUnavailable."""

        def request_of(page: int) -> "httpx.Request":
            query = wire.list_query(begins_at, ends_at, page)
            return self._client.build_request("GET", "/transactions", params=query)

        try:
            async for line in transactions(self._read, request_of, wire.page_of, self._clock, wire.PER_PAGE):
                yield line
        except StatementUnavailable as error:
            raise StatementUnavailable(self._starred(str(error))) from None

    # The float ----------------------------------------------------------------------------------------------------------

    def _balance_request(self) -> "httpx.Request":
        return self._client.build_request("GET", "/balances", params={"unit_type": "CURRENCY", "per_page": "100"})

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        return wire.balance_of(reply)


def _refused_unread(delivery: Delivery) -> Refused | None:
    """Why a delivery cannot be sent, as far as that is known without asking DT One."""
    if delivery.kind not in ("data", "airtime"):
        return Refused(Reason.NOT_SOLD, f"{delivery.kind} is not sold through DT One here")
    if delivery.country not in wire.ISO3:
        return Refused(Reason.NOT_SOLD, f"the country {delivery.country} is not sold through DT One here")
    code = wire.product_id_of(delivery)
    return code if isinstance(code, Refused) else None


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> DTOne:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    api_key, api_secret = requirements.credentials(
        api_key="the API key (DT Shop, Account, Developer)",
        api_secret="the API secret that was shown with it",  # noqa: S106 (what it is called, not what it is)
    )
    if ":" in api_key.reveal():
        requirements.add("api_key", "must not hold a colon, which ends it in the header")
    base_url = requirements.base_url(BASE_URL)
    requirements.raise_if_any()
    # The products may be read before the creation, and the confirmation follows it.
    timeout_s = call_timeout_s(3 * settings.timeout_s)
    traits = ProviderTraits(
        timeout_s=timeout_s,
        settles_after_s=max(wire.SETTLES_AFTER_S, timeout_s),
        reference=wire.reference,
    )
    return DTOne(
        name,
        base_url,
        traits,
        clock,
        api_key=api_key,
        api_secret=api_secret,
        timeout_s=settings.timeout_s,
        transport=transport,
    )
