"""Buying airtime and bundles: a number, its network and what to buy, a summary with the price, and the confirmation.

    GET  /buy                                   the number; the last ones and the named ones
    GET  /buy?phone=…                           its network, its plans
    GET  /buy?phone=…&network=…&plan=…&once=…   the summary
    POST /buy                                   buys, and shows the transaction

Everything before the purchase is an address, so that going back, reloading and a second tab change nothing. `once` is made with the
page on which one chooses, and is the reference of the purchase: whatever is confirmed twice with it is bought once.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.catalog.guess import country_of, guess_network
from telvend.catalog.model import CURRENCY_BY_COUNTRY, Airtime, Network, Product
from telvend.errors import (
    Busy,
    InsufficientBalance,
    InvalidFields,
    InvalidInput,
    NotFound,
    NotPermitted,
    ProductUnavailable,
    ReferenceReused,
)
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.secret import Secret, random_text
from telvend.orders.counter import Item, PriceChanged
from telvend.orders.model import PORTAL
from telvend.people.model import EmailNotVerified, PurchasePinLocked, PurchasePinRefused, Visitor
from telvend.services import Services
from telvend.wallets.model import RecentRecipient
from telvend.web.portal.spending import caller_of, customer_price_of, network_name, wallets_of
from telvend.web.shell import Form, Shell, read_form, signed_in
from telvend.web.shell.formats import money_text
from telvend.web.shell.paths import number_in_path

_ONCE: Final = re.compile(r"[A-Za-z0-9]{20,40}", re.ASCII)
_ONCE_LETTERS: Final = 24
_AGAIN_WITHIN: Final = timedelta(minutes=15)
_FIELDS: Final = ("phone", "network", "kind", "plan", "amount", "once")


def routes(shell: Shell, services: Services, clock: Clock) -> list[BaseRoute]:
    """The pages of buying, and of the numbers that have names."""
    pages = _Buying(shell, services, clock)
    return [
        shell.page("/buy", get=signed_in(pages.show), post=signed_in(pages.buy)),
        shell.page("/numbers", get=signed_in(pages.numbers), post=signed_in(pages.add_number)),
        shell.page("/numbers/{id}/remove", post=signed_in(pages.remove_number)),
    ]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What somebody is about to buy, as far as it is chosen. `number` is E.164."""

    number: str
    network: Network
    kind: str = "data"
    plan: Product | None = None
    amount: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The choice as an address has it."""
        query = {"phone": self.number, "network": str(self.network.id), "kind": self.kind}
        if self.kind == "data" and self.plan is not None:
            query["plan"] = self.plan.code
        if self.kind == "airtime":
            query["amount"] = self.amount
        return query


class _Buying:
    def __init__(self, shell: Shell, services: Services, clock: Clock) -> None:
        self._shell = shell
        self._services = services
        self._clock = clock

    # What is shown --------------------------------------------------------------------------------------------------------

    async def show(self, request: Request, visitor: Visitor) -> Response:
        query = request.query_params
        form = Form({name: [query[name]] for name in _FIELDS if name in query})
        if "phone" not in query:
            return await self._first(request, visitor, form)
        choice = self._read(form)
        if choice is None:
            return await self._first(request, visitor, form, 422)
        if "kind" not in query or query.get("step") == "choose":
            return self._choose(request, form, choice)
        item = self._item(form, visitor, choice)
        if form.errors or item is None:
            # Another network was chosen: its plans are shown, and nothing was wrong.
            moved = not form.errors
            return self._choose(request, form, choice, 200 if moved else 422)
        once = form.text("once")
        if not _ONCE.fullmatch(once):
            once = random_text(_ONCE_LETTERS)
            return self._shell.go(request, f"/buy?{urlencode(choice.query | {'once': once})}")
        known = await self._services.orders.under([(visitor.reseller_id, PORTAL, str(visitor.mode), once)])
        if known:
            (order,) = known.values()
            return self._shell.go(request, f"/transactions/{order.reference}", "This was bought already.")
        return await self._summary(request, visitor, form, choice, item, once)

    async def _first(self, request: Request, visitor: Visitor, form: Form, status: int = 200) -> Response:
        snapshot = self._services.catalogue.snapshot
        named = await self._services.beneficiaries.listed(visitor.reseller_id)
        names = {one.number: one.name for one in named}
        recent = [
            {
                "number": one.number,
                "name": names.get(one.number, ""),
                "what": _what(one, network_name(snapshot, country_of(one.number), one.network)),
                "href": f"/buy?{urlencode(self._again(one))}",
            }
            for one in await self._recent(visitor)
        ]
        return self._shell.render(
            request, "portal/buy.html", status=status, form=form, recent=recent, named=named, urlencode=urlencode
        )

    def _again(self, recent: RecentRecipient) -> dict[str, str]:
        """What was bought last for a number, to be chosen again."""
        query = {"phone": recent.number, "step": "choose", "kind": recent.service}
        network = self._services.catalogue.snapshot.network(country_of(recent.number), recent.network)
        if network is not None:
            query["network"] = str(network.id)
        product = self._services.catalogue.snapshot.product(recent.product_id) if recent.service == "data" else None
        if product is not None:
            query["plan"] = product.code
        elif recent.service == "airtime":
            query["amount"] = recent.size
        return query

    async def _recent(self, visitor: Visitor) -> list[RecentRecipient]:
        wallets = await wallets_of(self._services, visitor)
        used = {wallet.wallet_id: wallet.balance.currency for wallet in wallets if wallet.sequence}
        return await self._services.transactions.recent_recipients(used)

    def _choose(self, request: Request, form: Form, choice: _Choice, status: int = 200) -> Response:
        snapshot = self._services.catalogue.snapshot
        network = choice.network
        plans = snapshot.plans(network.country, network.code)
        types = {plan.type for plan in plans}
        once = form.text("once")
        airtime = snapshot.airtime(network.country, network.code)
        return self._shell.render(
            request,
            "portal/buy_choose.html",
            status=status,
            fragment="choice",
            form=form,
            choice=choice,
            networks=[(str(found.id), found.name) for found in snapshot.networks(network.country)],
            plans=_in_order(plans),
            several_types=len(types) > 1,
            airtime=airtime,
            paused=not network.on_sale,
            once=once if _ONCE.fullmatch(once) else random_text(_ONCE_LETTERS),
        )

    async def _summary(
        self,
        request: Request,
        visitor: Visitor,
        form: Form,
        choice: _Choice,
        item: Item,
        once: str,
        status: int = 200,
        **more: Any,
    ) -> Response:
        caller = await caller_of(self._services, visitor)
        wanted = self._services.portal_sales.wanted(caller, item)
        price = wanted.quote.price if wanted.quote is not None else None
        balances = {w.balance.currency.code: w.balance for w in await wallets_of(self._services, visitor)}
        balance = balances.get(choice.network.currency.code)
        missing = None
        if price is not None and balance is not None and balance.minor < price.minor:
            missing = price - balance
        person = visitor.person
        return self._shell.render(
            request,
            "portal/buy_summary.html",
            status=status,
            form=form,
            choice=choice,
            price=price,
            face=item.amount if isinstance(item.product, Airtime) else None,
            balance=balance,
            missing=missing,
            fields=choice.query | {"once": once} | ({"price": str(price.minor)} if price is not None else {}),
            change=f"/buy?{urlencode(choice.query | {'once': once, 'step': 'choose'})}",
            asks_pin=person.has_pin,
            unverified=more.pop("unverified", False),
            before=await self._before(visitor, choice),
            **more,
        )

    async def _before(self, visitor: Visitor, choice: _Choice) -> RecentRecipient | None:
        """The same purchase, if it was made a moment ago."""
        since = self._clock.now() - _AGAIN_WITHIN
        for one in await self._recent(visitor):
            if one.number == choice.number and one.service == choice.kind and one.at >= since:
                same = one.product_id == choice.plan.id if choice.plan is not None else True
                return one if same else None
        return None

    # What is chosen ---------------------------------------------------------------------------------------------------------

    def _read(self, form: Form) -> _Choice | None:
        """The number and its network; None, with an error of the form, where the number is none that is sold to."""
        text = form.text("phone")
        if not text:
            form.error("phone", "Enter the phone number.")
            return None
        try:
            number = parse_mobile_of_any_market(text)
        except NotAMobileNumber as error:
            form.error("phone", str(error))
            return None
        snapshot = self._services.catalogue.snapshot
        country = country_of(number)
        networks = snapshot.networks(country) if country in CURRENCY_BY_COUNTRY else ()
        if not networks:
            form.error("phone", "Nothing is sold for numbers of this country.")
            return None
        chosen = form.text("network")
        network = next((one for one in networks if str(one.id) == chosen), None)
        network = network or guess_network(snapshot, number) or networks[0]
        kind = "airtime" if form.text("kind") == "airtime" else "data"
        plan = snapshot.product_by_code(form.text("plan"))
        if plan is not None and (plan.country, plan.network) != (network.country, network.code):
            plan = None
        return _Choice(number, network, kind, plan, form.text("amount").replace(",", ""))

    def _item(self, form: Form, visitor: Visitor, choice: _Choice) -> Item | None:
        """What is to be bought. None where something is missing: with an error, unless the network was changed."""
        snapshot = self._services.catalogue.snapshot
        if choice.kind == "airtime":
            airtime = snapshot.airtime(choice.network.country, choice.network.code)
            if airtime is None:
                form.error("kind", f"{choice.network.name} sells no airtime at the moment.")
                return None
            code = airtime.code
            if not choice.amount:
                form.error("amount", "Enter an amount.")
                return None
        else:
            if choice.plan is None:
                given = snapshot.product_by_code(form.text("plan"))
                if given is None:
                    form.error("plan", "Choose a plan.")
                return None
            code = choice.plan.code
        try:
            return self._services.portal_sales.item(
                visitor.mode,
                code=code,
                recipient=choice.number,
                amount=choice.amount if choice.kind == "airtime" else None,
            )
        except InvalidFields as error:
            for name, problem in error.problems.items():
                form.error({"to": "phone"}.get(name, name), f"The {'number' if name == 'to' else name} {problem}.")
        except NotFound:
            form.error("plan", "Choose a plan.")
        return None

    # The purchase -----------------------------------------------------------------------------------------------------------

    async def buy(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        once = form.text("once")
        if not _ONCE.fullmatch(once):
            return self._shell.go(request, "/buy")
        choice = self._read(form)
        if choice is None:
            return await self._first(request, visitor, form, 422)
        item = self._item(form, visitor, choice)
        if item is None:
            return self._choose(request, form, choice, 422)
        customer_price = customer_price_of(form, choice.network.currency)
        if form.errors:
            return await self._summary(request, visitor, form, choice, item, once, 422)
        # A second click, or a reload: neither PIN nor price is asked for again.
        known = await self._services.orders.under([(visitor.reseller_id, PORTAL, str(visitor.mode), once)])
        more: dict[str, Any] = {}
        try:
            if not known:
                self._services.people.require_verified(visitor)
                await self._services.people.check_pin(visitor, Secret(form.secret("pin")))
            caller = await caller_of(self._services, visitor)
            price = _price_of(form, choice.network)
            placement = await self._services.portal_sales.buy_at(caller, item, price, once)
        except EmailNotVerified as error:
            form.error("", str(error))
            more["unverified"] = True
        except PurchasePinLocked as error:
            form.error("pin", str(error))
        except PurchasePinRefused as error:
            form.take(error)
        except PriceChanged as error:
            form.error(
                "", f"The price has changed to {money_text(error.now)}. Nothing was bought; confirm it at this price."
            )
        except InsufficientBalance as error:
            missing = error.required - error.available
            form.error(
                "",
                f"Your wallet has {money_text(error.available)}; {money_text(missing)} is missing. Nothing was bought.",
            )
        except ProductUnavailable:
            form.error(
                "", f"{choice.network.name} does not sell this at the moment. Nothing was charged; try again later."
            )
        except ReferenceReused:
            # Somebody has changed the address: what is confirmed now is another purchase.
            form.error("", "Something else was bought from this page. Look at the summary again and confirm it.")
            once = random_text(_ONCE_LETTERS)
        except InvalidInput as error:
            form.take(error)
        except NotFound:
            form.error("", f"You have no wallet in {choice.network.currency}.")
        except NotPermitted:
            form.error("", "This account is suspended, and buys nothing at the moment.")
        else:
            if customer_price is not None:
                # It is bought: a price that could not be written is entered on the receipt.
                with suppress(Busy):
                    await self._services.receipt_prices.write(placement.order, customer_price)
            return self._shell.go(request, f"/transactions/{placement.order.reference}")
        return await self._summary(request, visitor, form, choice, item, once, 422, **more)

    # Named numbers ------------------------------------------------------------------------------------------------------------

    async def numbers(self, request: Request, visitor: Visitor) -> Response:
        return await self._numbers(request, visitor, Form(phone=request.query_params.get("phone", "")[:32] or None))

    async def _numbers(self, request: Request, visitor: Visitor, form: Form, status: int = 200) -> Response:
        named = await self._services.beneficiaries.listed(visitor.reseller_id)
        return self._shell.render(
            request, "portal/numbers.html", status=status, form=form, named=named, urlencode=urlencode
        )

    async def add_number(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        try:
            await self._services.beneficiaries.add(visitor.reseller_id, form.text("name"), form.text("phone"))
        except InvalidInput as error:
            form.take(error)
        if form.errors:
            return await self._numbers(request, visitor, form, 422)
        return self._shell.go(request, "/numbers", "Saved.")

    async def remove_number(self, request: Request, visitor: Visitor) -> Response:
        await self._services.beneficiaries.remove(visitor.reseller_id, number_in_path(request, "Number", "id"))
        return self._shell.go(request, "/numbers", "Removed.")


def _price_of(form: Form, network: Network) -> Money:
    """The price that the page has shown. Whoever changes it is told the right one."""
    text = form.text("price")
    return Money(int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0, network.currency)


def _what(recent: RecentRecipient, network: str) -> str:
    return f"{network} {recent.size}" if recent.service == "data" else f"{network} airtime {recent.size}"


_UNITS: Final = {"KB": 1, "MB": 1_000, "GB": 1_000_000, "TB": 1_000_000_000}


def _in_order(plans: tuple[Product, ...]) -> list[Product]:
    """Plans as people look for them: by type, then by size, then by price."""

    def size(plan: Product) -> float:
        found = re.match(r"([0-9.]+)\s*([KMGT]B)", plan.size, re.IGNORECASE)
        return float(found[1]) * _UNITS[found[2].upper()] if found else 0.0

    return sorted(plans, key=lambda plan: (plan.type, size(plan), plan.price.minor))
