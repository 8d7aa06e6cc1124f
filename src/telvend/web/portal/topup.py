"""Money into a wallet through a gateway: choose an amount, pay at the gateway's page, come back to the home page."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.errors import Busy, InvalidInput, NotFound
from telvend.funding.model import FundingState
from telvend.gateways.contract import Method
from telvend.kit.money import Money, currency_of
from telvend.people.model import Visitor
from telvend.services import Services
from telvend.web.portal.spending import caller_of, wallets_of
from telvend.web.shell import Form, Shell, read_form, signed_in
from telvend.web.site import base_url_of

METHODS: Final = {
    Method.CARD: ("Card", "Debit or credit card"),
    Method.BANK_TRANSFER: ("Bank transfer", "To an account made for this payment"),
    Method.USSD: ("USSD", "Dial a code from the bank's number"),
}


def routes(shell: Shell, services: Services) -> list[BaseRoute]:
    """The pages of topping up."""
    pages = _TopUp(shell, services)
    return [
        # A gateway is called while the page is made.
        shell.page("/topup", get=signed_in(pages.show), post=signed_in(pages.begin), waits_outside=True),
        shell.page("/topup/{reference}", get=signed_in(pages.leave)),
    ]


class _TopUp:
    def __init__(self, shell: Shell, services: Services) -> None:
        self._shell = shell
        self._services = services

    async def show(self, request: Request, visitor: Visitor) -> Response:
        given = {
            name: [request.query_params[name][:20]] for name in ("amount", "currency") if name in request.query_params
        }
        return await self._page(request, visitor, Form(given))

    async def _page(self, request: Request, visitor: Visitor, form: Form, status: int = 200) -> Response:
        wallets = await wallets_of(self._services, visitor)
        fundings = self._services.fundings
        offered = {w.balance.currency.code: fundings.methods(visitor.mode, w.balance.currency.code) for w in wallets}
        methods = [method for method in Method if any(method in found for found in offered.values())]
        currencies = [code for code, found in offered.items() if found]
        used = max(wallets, key=lambda wallet: wallet.sequence, default=None)
        return self._shell.render(
            request,
            "portal/topup.html",
            status=status,
            form=form,
            wallets=wallets,
            currencies=[(code, code) for code in currencies],
            # The wallet that is used most; of a new account, the one of the person's own country.
            currency=used.balance.currency.code
            if used is not None and used.sequence
            else _home_of(visitor, currencies),
            methods=[(method.value, *METHODS[method]) for method in methods],
            method=methods[0].value if methods else "",
        )

    async def begin(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        caller = await caller_of(self._services, visitor)
        code = form.choice("currency", list(caller.wallets), "Choose a currency of your wallets.")
        method = form.choice("method", [method.value for method in Method], "Choose how to pay.")
        text = form.text("amount").replace(",", "")
        amount = None
        if code:
            try:
                amount = Money.parse(text, currency_of(code))
            except ValueError as error:
                form.error("amount", f"The amount {error}." if text else "Enter an amount.")
        if amount is not None and not amount.minor:
            form.error("amount", "Enter an amount above zero.")
        if form.errors or amount is None:
            return await self._page(request, visitor, form, 422)
        base = base_url_of(request, self._services.public_url)
        try:
            funding = await self._services.fundings.start(
                caller, amount, Method(method), f"{base.rstrip('/')}/home", base_url=base
            )
        except InvalidInput as error:
            form.take(error, {"payment_method": "method"})
            return await self._page(request, visitor, form, 422)
        except Busy as busy:
            form.error("", "The payment page cannot be reached right now. Nothing was charged; try again in a moment.")
            response = await self._page(request, visitor, form, 503)
            response.headers["retry-after"] = str(busy.retry_after_s)
            return response
        url = funding.payment_url or ""
        parts = urlsplit(url)
        # What is our own page can follow a form; another server's is reached from a page of ours (see Shell.leave).
        if (parts.scheme, parts.netloc) == (request.url.scheme, request.url.netloc):
            return self._shell.go(request, url)
        return self._shell.go(request, f"/topup/{funding.reference}")

    async def leave(self, request: Request, visitor: Visitor) -> Response:
        caller = await caller_of(self._services, visitor)
        funding = await self._services.fundings.find(caller, request.path_params["reference"])
        if funding.state is not FundingState.PENDING or not funding.payment_url:
            return self._shell.go(request, f"/transactions/{funding.reference}")
        whereto = urlsplit(funding.payment_url).hostname
        if whereto is None:
            raise NotFound("Payment")
        return self._shell.leave(request, funding.payment_url, whereto)


_HOME_CURRENCIES: Final = {"+233": "GHS", "+234": "NGN"}


def _home_of(visitor: Visitor, currencies: list[str]) -> str:
    own = _HOME_CURRENCIES.get(visitor.person.phone[:4], "")
    return own if own in currencies else (currencies[0] if currencies else "")
