"""Receipts that are passed on to a customer: a page, its print, a picture, and a link that shows nothing else.

A receipt says what was delivered to whom and when, at the reseller's own price where that was entered, and never what the reseller has
paid.
"""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.catalog.kinds import kind_of
from telvend.errors import InvalidInput, NotFound
from telvend.orders.model import Order, OrderState
from telvend.orders.receipts import Receipt, receipt_of
from telvend.people.model import Visitor
from telvend.services import Services
from telvend.web.portal.spending import customer_price_of, network_name, order_of, shown_recipient, what_of
from telvend.web.receipt_image import ReceiptPicture, ReceiptPictures
from telvend.web.shell import Form, Shell, read_form, signed_in
from telvend.web.shell.formats import money_text, time_text
from telvend.web.site import base_url_of

_ZONES: Final = {"GH": "Africa/Accra", "NG": "Africa/Lagos", "UG": "Africa/Kampala", "ZA": "Africa/Johannesburg"}
"""In which zone a customer of a country reads times."""


def routes(shell: Shell, services: Services) -> list[BaseRoute]:
    """The pages of receipts."""
    pages = _Receipts(shell, services)
    return [
        shell.page("/receipt/{reference}", get=signed_in(pages.show)),
        shell.page("/receipt/{reference}/picture.png", get=signed_in(pages.picture)),
        shell.page("/receipt/{reference}/price", post=signed_in(pages.write_price)),
        shell.page("/receipt/{reference}/link", post=signed_in(pages.make_link)),
        shell.page("/receipt/{reference}/revoke", post=signed_in(pages.revoke)),
        shell.page("/r/{token}", get=pages.shared),
        shell.page("/r/{token}/picture.png", get=pages.shared_picture),
    ]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A receipt as a customer sees it."""

    seller: str
    what: str
    facts: list[tuple[str, str]]
    secrets: list[tuple[str, str]]
    complete: bool
    is_test: bool

    def picture(self) -> ReceiptPicture:
        foot = "Delivered." if self.complete else "Delivered. Its codes are not there yet."
        heading = "Receipt (test: nothing was delivered)" if self.is_test else "Receipt"
        return ReceiptPicture(self.seller, heading, self.what, (*self.facts, *self.secrets), foot)


class _Receipts:
    def __init__(self, shell: Shell, services: Services) -> None:
        self._shell = shell
        self._services = services
        self._pictures = ReceiptPictures()

    # For whoever has sold it ------------------------------------------------------------------------------------------------

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, await self._own(request, visitor))

    async def _own(self, request: Request, visitor: Visitor) -> Order:
        reference = request.path_params["reference"]
        order = await order_of(self._services, visitor, reference)
        if order.reference != reference:
            raise NotFound("Receipt")
        return order

    async def _page(
        self, request: Request, visitor: Visitor, order: Order, form: Form | None = None, link: str = ""
    ) -> Response:
        shown = await self._shown(order, f"portal, {visitor.person.email}", visitor.person.zone)
        price = await self._services.receipt_prices.read(order)
        return self._shell.render(
            request,
            "portal/receipt.html",
            status=422 if form is not None else 200,
            # With a link on it the page has a secret.
            compress=not link,
            form=form or Form(),
            shown=shown,
            order=order,
            customer_price="" if price is None else f"{price.decimal}",
            links=await self._services.receipt_links.working(order),
            link=link,
        )

    async def picture(self, request: Request, visitor: Visitor) -> Response:
        order = await self._own(request, visitor)
        shown = await self._shown(order, f"portal, {visitor.person.email}", visitor.person.zone)
        return await self._png(shown, order)

    async def write_price(self, request: Request, visitor: Visitor) -> Response:
        """Put what the customer has paid on the receipt, or take it off."""
        order = await self._own(request, visitor)
        if order.state is not OrderState.DELIVERED:
            raise NotFound("Receipt")
        form = await read_form(request)
        price = customer_price_of(form, order.price.currency)
        if form.errors:
            return await self._page(request, visitor, order, form)
        await self._services.receipt_prices.write(order, price)
        text = "The receipt shows no price." if price is None else f"The receipt shows {money_text(price)}."
        return self._shell.go(request, f"/receipt/{order.reference}", text)

    async def make_link(self, request: Request, visitor: Visitor) -> Response:
        order = await self._own(request, visitor)
        try:
            token = await self._services.receipt_links.make(order)
        except InvalidInput as error:
            form = Form()
            form.take(error)
            return await self._page(request, visitor, order, form)
        return await self._page(
            request, visitor, order, link=f"{base_url_of(request, self._services.public_url)}/r/{token}"
        )

    async def revoke(self, request: Request, visitor: Visitor) -> Response:
        order = await self._own(request, visitor)
        count = await self._services.receipt_links.revoke(order)
        text = "One link works no more." if count == 1 else f"{count} links work no more."
        return self._shell.go(request, f"/receipt/{order.reference}", text)

    # For the customer -----------------------------------------------------------------------------------------------------------

    async def shared(self, request: Request) -> Response:
        order = await self._services.receipt_links.open(request.path_params["token"])
        shown = await self._shown(order, "receipt link", _ZONES.get(order.country, "UTC"))
        return self._shell.render(
            request,
            "portal/receipt_shared.html",
            shown=shown,
            # Whoever follows a link from here does not pass its address on, and nobody keeps the page.
            headers={"referrer-policy": "no-referrer", "cache-control": "no-store"},
        )

    async def shared_picture(self, request: Request) -> Response:
        order = await self._services.receipt_links.open(request.path_params["token"])
        return await self._png(await self._shown(order, "receipt link", _ZONES.get(order.country, "UTC")), order)

    # Both ---------------------------------------------------------------------------------------------------------------------

    async def _shown(self, order: Order, reader: str, zone: str) -> _Shown:
        """A receipt; raises NotFound while the order is not delivered."""
        receipt: Receipt | None = await receipt_of(lambda: self._services.payloads, order, reader)
        if receipt is None:
            raise NotFound("Receipt")
        snapshot = self._services.catalogue.snapshot
        kind = kind_of(order.kind)
        seller = (await self._services.resellers.profile(order.reseller_id)).name
        facts = [(kind.recipient.label.capitalize(), shown_recipient(order.subscriber))]
        if kind.by_amount:
            facts.append(("Amount", money_text(order.face)))
        if order.kind == "data":
            facts.append(("Bundle", order.size))
            days = order.validity_days
            facts.append(("Valid for", "No expiry" if days is None else f"{days} day{'s' * (days != 1)}"))
        facts += [
            (
                "Network" if order.kind in ("data", "airtime") else "Biller",
                network_name(snapshot, order.country, order.network),
            ),
            ("Delivered", time_text(order.updated_at, zone)),
            ("Reference", order.reference),
        ]
        price = await self._services.receipt_prices.read(order)
        if price is not None:
            facts.append(("Price", money_text(price)))
        secrets = [(label.capitalize(), text) for label, text in receipt.customer_lines()]
        is_test = order.mode == "test"
        return _Shown(seller, what_of(snapshot, order), facts, secrets, receipt.complete, is_test)

    async def _png(self, shown: _Shown, order: Order) -> Response:
        return Response(
            await self._pictures.png(shown.picture()),
            media_type="image/png",
            headers={
                "content-disposition": f'inline; filename="receipt-{order.reference}.png"',
                "cache-control": "no-store",
                "referrer-policy": "no-referrer",
            },
        )
