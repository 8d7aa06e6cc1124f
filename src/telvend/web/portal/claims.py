"""Claims: a payment that was made and is in no wallet. Its reference is given here; the shop asks the gateway and answers."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.errors import AlreadyExists, InvalidInput
from telvend.funding.claims.model import LONGEST_NOTE, ClaimState
from telvend.funding.model import Funding
from telvend.kit.allowance import Allowance
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.people.model import Visitor
from telvend.services import Services
from telvend.web.portal.acting import require_pace
from telvend.web.portal.spending import wallets_of
from telvend.web.shell import Form, Shell, read_form, signed_in

_SHOWN: Final = 20
_A_MINUTE: Final = 10
"""Each asks a gateway."""
STATES: Final = {
    ClaimState.OPEN: ("The shop looks at it", "wait"),
    ClaimState.WAITING: ("The shop looks at it", "wait"),
    ClaimState.CREDITED: ("Credited", "good"),
    ClaimState.REFUSED: ("Refused", "bad"),
}


def routes(shell: Shell, services: Services, allowance: Allowance) -> list[BaseRoute]:
    """The page of claims."""
    pages = _Claims(shell, services, allowance)
    return [shell.page("/claims", get=signed_in(pages.show), post=signed_in(pages.make), waits_outside=True)]


class _Claims:
    def __init__(self, shell: Shell, services: Services, allowance: Allowance) -> None:
        self._shell = shell
        self._services = services
        self._allowance = allowance

    async def show(self, request: Request, visitor: Visitor) -> Response:
        given = {name: [request.query_params[name][:100]] for name in ("reference",) if name in request.query_params}
        return await self._page(request, visitor, Form(given))

    async def make(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        if visitor.mode is not Mode.LIVE:
            form.error("", "Play money cannot be claimed. Switch to live money first.")
            return await self._page(request, visitor, form, 422)
        gateways = self._services.claims.gateways()
        gateway = form.choice("gateway", gateways) if len(gateways) > 1 else "".join(gateways)
        reference = form.text("reference", longest=120)
        if not reference.strip():
            form.error("reference", "Enter the reference of the payment.")
        note = form.lines("note", longest=LONGEST_NOTE)
        amount = await self._amount(visitor, form)
        if form.errors or amount is None:
            return await self._page(request, visitor, form, 422)
        await require_pace(self._allowance, visitor, "claim", _A_MINUTE)
        try:
            made = await self._services.claims.make(
                visitor.reseller_id, gateway, reference, amount, note, by_whom=visitor.person.email
            )
        except AlreadyExists:
            form.error("reference", "You have claimed this payment already: see below.")
        except InvalidInput as error:
            form.take(error, {})
        else:
            if isinstance(made, Funding):
                text = f"It has arrived: {made.amount} is in your wallet."
                return self._shell.go(request, f"/transactions/{made.reference}", text)
            return self._shell.go(request, "/claims", "The shop asks the payment provider. Its answer appears here.")
        return await self._page(request, visitor, form, 422)

    async def _amount(self, visitor: Visitor, form: Form) -> Money | None:
        wallets = await wallets_of(self._services, visitor)
        code = form.choice("currency", [w.balance.currency.code for w in wallets], "Choose a currency of your wallets.")
        text = form.text("amount").replace(",", "")
        if not code:
            return None
        try:
            amount = Money.parse(text, currency_of(code))
        except ValueError as error:
            form.error("amount", f"The amount {error}." if text else "Enter the amount that you have paid.")
            return None
        if not amount.minor:
            form.error("amount", "Enter an amount above zero.")
        return amount

    async def _page(self, request: Request, visitor: Visitor, form: Form, status: int = 200) -> Response:
        wallets = await wallets_of(self._services, visitor)
        gateways = self._services.claims.gateways()
        claims = await self._services.claims.of_reseller(visitor.reseller_id, limit=_SHOWN)
        used = max(wallets, key=lambda wallet: wallet.sequence, default=None)
        return self._shell.render(
            request,
            "portal/claims.html",
            status=status,
            form=form,
            claims=claims,
            states=STATES,
            gateways=[(name, name.capitalize()) for name in gateways],
            currencies=[(w.balance.currency.code, w.balance.currency.code) for w in wallets],
            currency="" if used is None else used.balance.currency.code,
            longest_note=LONGEST_NOTE,
        )
