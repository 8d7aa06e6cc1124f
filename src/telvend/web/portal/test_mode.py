"""The switch between live and test, `/test` with what numbers do there, and play money."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput, NotFound
from telvend.funding.credits.service import MOST_PLAY_MONEY, Credits
from telvend.kit.allowance import Allowance
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money
from telvend.people.service import People
from telvend.wallets.service import Wallets
from telvend.web.portal.acting import require_pace
from telvend.web.portal.apis import sentence_of
from telvend.web.shell import Form, Shell, Visitor, local_path, read_form, signed_in

_USUAL: Final = "1000"
_ADDED_A_MINUTE: Final = 30


@dataclass(frozen=True, slots=True)
class MagicNumber:
    """What becomes of a sale in test mode to a number with these last digits; empty digits stand for every other number."""

    ending: str
    happens: str
    ends: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What an identity check in test mode answers for a number with these last digits."""

    ending: str
    happens: str


def routes(
    shell: Shell,
    wallets: Wallets,
    credits_by_hand: Credits,
    people: People,
    numbers: Sequence[MagicNumber],
    situations: Sequence[Situation],
    allowance: Allowance,
) -> list[Route]:
    """The pages of test mode. `numbers` are the simulator's own table, `situations` the personas'."""
    pages = _TestMode(shell, wallets, credits_by_hand, people, numbers, situations, allowance)
    return [
        shell.page("/mode", post=signed_in(pages.switch)),
        shell.page("/test", get=signed_in(pages.show)),
        shell.page("/test/money", post=signed_in(pages.add_money)),
    ]


class _TestMode:
    def __init__(
        self,
        shell: Shell,
        wallets: Wallets,
        credits_by_hand: Credits,
        people: People,
        numbers: Sequence[MagicNumber],
        situations: Sequence[Situation],
        allowance: Allowance,
    ) -> None:
        self._shell = shell
        self._wallets = wallets
        self._credits = credits_by_hand
        self._people = people
        self._numbers = numbers
        self._situations = situations
        self._allowance = allowance

    async def switch(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        mode = form.text("mode")
        if mode in tuple(Mode) and Mode(mode) is not visitor.mode:
            await self._people.set_mode(visitor, Mode(mode))
        # The same page may be about something of the other mode: those go to where both modes have something.
        back = local_path(form.text("next", longest=1024), self._shell.side.home)
        return self._shell.go(request, back if back.partition("?")[0].count("/") == 1 else self._shell.side.home)

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, Form())

    async def add_money(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        await require_pace(self._allowance, visitor, "play money", _ADDED_A_MINUTE)
        wallets = await self._test_wallets(visitor)
        code = form.choice("currency", [str(wallet.balance.currency) for wallet in wallets], "Choose a wallet.")
        text = form.text("amount").replace(",", "")
        once = form.text("once") or secrets.token_hex(8)
        if code and not form.errors:
            try:
                amount = Money.parse(text, CURRENCIES[code])
                if amount.minor <= 0:
                    raise InvalidInput("amount", "must be more than nothing")
                await self._credits.add_play_money(visitor.reseller_id, amount, once)
                return self._shell.go(request, "/test", f"{code} {text} of play money is in your test wallet.")
            except InvalidInput as error:
                form.error("amount", sentence_of(error))
            except ValueError:
                form.error("amount", f"Enter an amount in {code}, such as 1000.")
        return await self._page(request, visitor, form, status=422)

    async def _test_wallets(self, visitor: Visitor) -> Sequence[Any]:
        wallets = await self._wallets.of_reseller(visitor.reseller_id)
        if not wallets:
            raise NotFound("Wallet")
        return [wallet for wallet in wallets if wallet.mode is Mode.TEST]

    async def _page(self, request: Request, visitor: Visitor, form: Form, *, status: int = 200) -> Response:
        wallets = await self._test_wallets(visitor)
        return self._shell.render(
            request,
            "portal/test.html",
            status=status,
            form=form,
            wallets=wallets,
            currencies=[(str(wallet.balance.currency), str(wallet.balance.currency)) for wallet in wallets],
            numbers=self._numbers,
            situations=self._situations,
            usual=_USUAL,
            most=MOST_PLAY_MONEY,
            once=secrets.token_hex(16),
        )
