"""A browser without scripts, for tests of pages: follows forms and links of an ASGI application, and keeps its cookies."""

import html
import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from telvend.bootstrap import Shop, applications, work
from telvend.catalog.service import install_builtin
from telvend.config import load
from telvend.funding.credits.service import Credits
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money

BASE = "https://shop.example"
PASSWORD = "a long enough one"
GB = "GH-MTN-1GB-30D"


_addresses = itertools.count(1)


class Page:
    """What a browser was sent."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.source = response.text
        self.text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.source)).split())
        self.place = response.headers.get("location", "")

    def fields(self, action: str) -> dict[str, str]:
        """The hidden fields of the form with this action."""
        for form in re.findall(r"<form\b.*?</form>", self.source, re.DOTALL):
            if f'action="{action}"' in form.split(">", 1)[0]:
                found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
                return {name: html.unescape(value) for name, value in found}
        raise AssertionError(f"there is no form with the action {action}: {self.text[:400]}")

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.source)
        assert found is not None, self.text[:400]
        return found[1]


class Browser:
    """Somebody who looks at pages."""

    def __init__(self, app: Any) -> None:
        # Each from an address of its own: one address opens few accounts a minute.
        number = next(_addresses)
        transport = httpx.ASGITransport(app, client=(f"197.210.{number // 250}.{number % 250 + 1}", 4711))
        self.client = httpx.AsyncClient(transport=transport, base_url=BASE)
        self.csrf = ""

    async def get(self, path: str, **query: str) -> Page:
        page = Page(await self.client.get(path, params=query or None))
        if 'name="csrf"' in page.source:
            self.csrf = page.csrf
        return page

    async def post(self, path: str, fields: Mapping[str, str] | None = None, **more: Any) -> Page:
        """Send a form with the token of the page before, or with what `fields` has in its place."""
        data = {"csrf": self.csrf, **(fields or {})}
        return Page(await self.client.post(path, data=data, **more))

    async def sign_up(self, email: str, name: str = "Ama's <b>Shop</b>") -> None:
        await self.get("/signup")
        answer = await self.post("/signup", {"name": name, "email": email, "phone": "0241234567", "password": PASSWORD})
        assert (answer.status, answer.place) == (303, "/home"), answer.text
        await self.get("/home")


_numbers = itertools.count(1)


class Stage:
    """A shop whose pages are looked at, and one person there, who is Ama."""

    def __init__(self, shop: Shop, app: Any) -> None:
        self.shop = shop
        self.app = app
        self.ama = Browser(app)
        self.email = f"ama{next(_numbers)}@example.com"

    async def somebody_else(self, amount: str = "") -> "Stage":
        """Somebody else who has signed up, with so much money."""
        other = Stage(self.shop, self.app)
        await other.enter(amount)
        return other

    async def enter(self, amount: str = "") -> None:
        await self.ama.sign_up(self.email)
        if amount:
            await self.credit(amount)

    async def orders(self) -> int:
        """How many orders are hers."""
        reseller = await self.shop.resellers.find(self.email)
        return int(await self.value("select count(*) from orders where reseller_id = $1", reseller.id))

    async def credit(self, amount: str, mode: Mode = Mode.LIVE) -> None:
        reseller = await self.shop.resellers.find(self.email)
        number = next(_numbers)
        money = Money.parse(amount, GHS)
        await Credits(self.shop.database, self.shop.ledger).add(reseller.id, money, mode, f"cash <i>{number}</i>")

    async def balance(self, mode: Mode = Mode.LIVE) -> str:
        reseller = await self.shop.resellers.find(self.email)
        wallets = await self.shop.wallets.of_reseller(reseller.id)
        return next(w.balance.text for w in wallets if w.mode is mode and w.balance.currency == GHS)

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.shop.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.shop.database.connection() as tx:
            await tx.execute(statement, *values)

    async def summary(self, phone: str = "0241234567", **query: str) -> Page:
        """The summary of a purchase: one bundle of 4.50, unless something else is said."""
        wanted = {"phone": phone, "kind": "data", "plan": GB} | query
        answer = await self.ama.get("/buy", **wanted)
        assert answer.status == 303, answer.text
        return await self.ama.get(answer.place)

    async def buy(self, phone: str = "0241234567", *, customer_price: str = "", **query: str) -> str:
        """Buy what `summary` shows; return the reference. `customer_price`: what is typed for the receipt."""
        fields = (await self.summary(phone, **query)).fields("/buy") | {"customer_price": customer_price}
        bought = await self.ama.post("/buy", fields)
        assert bought.status == 303, bought.text
        return bought.place.rpartition("/")[2]


@asynccontextmanager
async def served(
    url: str, folder: Path, *, fulfilment: bool = False, **settings: Any
) -> AsyncIterator[tuple[Shop, Any]]:
    """A running shop with the built-in catalogue, and its application. Anybody may sign up, and nobody's address is asked for."""
    chosen = {"data_dir": str(folder), "signup": "open", "verify_email": False, "public_url": BASE} | settings
    async with work(load(chosen, {}).settings, url, fulfilment=fulfilment) as shop, Lifecycle() as life:
        async with shop.database.transaction() as tx:
            await install_builtin(tx)
        await shop.watch.look()
        app, _ = applications(life, shop, folder / "run")
        yield shop, app
