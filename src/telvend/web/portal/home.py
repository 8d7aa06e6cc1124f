"""The first page of an account: what is in its wallets, what was spent, what happened last."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.kit.clock import Clock
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.services import Services
from telvend.wallets.model import Filter, Overview, Transaction, WalletBalance
from telvend.web.portal.transactions import title_of
from telvend.web.shell import Shell, Visitor, signed_in
from telvend.web.shell.formats import date_text, money_text, zone_of

DAYS: Final = 30
_LAST: Final = 5


def routes(shell: Shell, services: Services, clock: Clock) -> list[BaseRoute]:
    """The home page."""
    return [shell.page("/home", get=signed_in(_Home(shell, services, clock).show))]


@dataclass(frozen=True, slots=True)
class _Wallet:
    """One wallet as the page shows it. `bars`: of each day its name, what was spent in minor units, and that in words."""

    currency: str
    overview: Overview
    bars: list[tuple[str, int, str]]
    spent: Money


class _Home:
    def __init__(self, shell: Shell, services: Services, clock: Clock) -> None:
        self._shell = shell
        self._services = services
        self._people = services.people
        self._clock = clock

    async def show(self, request: Request, visitor: Visitor) -> Response:
        found = await self._services.wallets.of_reseller(visitor.reseller_id)
        mine = [wallet for wallet in found if wallet.mode is visitor.mode]
        bounds = days_back(self._clock.now(), visitor.person.zone)
        wallets = [await self._wallet(wallet, bounds) for wallet in mine]
        used = [wallet for wallet in wallets if wallet.overview.count]
        last = await self._last(mine)
        steps = (
            ("Put money into your wallet", "Pay by card, bank transfer or mobile money.", "/topup", bool(used)),
            (
                "Send a first bundle",
                "Type a number; its network is found for you.",
                "/buy",
                any(not t.credit for t in last),
            ),
            ("Connect your own program", "Make a key, and copy a line of curl.", "/keys", False),
        )
        return self._shell.render(
            request,
            "portal/home.html",
            # Wallets that were never used stand below those that were, in one line each.
            wallets=used or wallets,
            unused=[wallet for wallet in wallets if not wallet.overview.count] if used else [],
            last=last,
            title=partial(title_of, self._services.catalogue.snapshot),
            # Whoever has bought something knows the way.
            steps=() if all(done for *_, done in steps[:2]) else steps,
            unverified=visitor.mode is Mode.LIVE
            and self._people.policy.verify_email
            and not visitor.person.email_verified,
            days=DAYS,
        )

    async def _wallet(self, wallet: WalletBalance, bounds: list[datetime]) -> _Wallet:
        currency = wallet.balance.currency
        overview = await self._services.transactions.overview(
            wallet.wallet_id, currency, bounds if wallet.sequence else ()
        )
        bars = [
            (date_text(start), spent.minor, money_text(spent))
            for start, spent in zip(bounds[:-1], overview.spent, strict=False)
        ]
        return _Wallet(currency.code, overview, bars, sum(overview.spent, Money(0, currency)))

    async def _last(self, wallets: list[WalletBalance]) -> list[Transaction]:
        """The last transactions of all wallets, newest first."""
        found: list[Transaction] = []
        for wallet in wallets:
            if wallet.sequence:
                page = await self._services.transactions.page(
                    wallet.wallet_id, wallet.balance.currency, Filter(), limit=_LAST, offset=0
                )
                found += page.transactions
        return sorted(found, key=lambda transaction: transaction.created_at, reverse=True)[:_LAST]


def days_back(now: datetime, zone: str) -> list[datetime]:
    """The midnights between which the last days of a zone lie; the last one is the end of today."""
    place = zone_of(zone)
    today = now.astimezone(place).date()
    return [datetime.combine(today - timedelta(days=DAYS - 1 - number), time(), place) for number in range(DAYS + 1)]
