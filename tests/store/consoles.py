"""What the tests of the console start from: a whole shop, its pages over ASGI, and people with browsers."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from telvend.approvals.gate import SecondPerson
from telvend.bootstrap import Shop, applications, open_shop
from telvend.catalog.service import install_builtin
from telvend.config import Settings, SimulatorSettings
from telvend.desk.jobs.model import JobKind
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.people.model import Role
from telvend.resellers.model import Reseller
from telvend.web.console.site import ConsoleSite

BASE_URL = "https://shop.example"
PASSWORD = "correct horse battery"
OWNER = "owner@shop.example"


@dataclass
class FormOnPage:
    """A form as a browser would send it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)


class Page(HTMLParser):
    """What a person finds on a page: forms, links, texts, and the errors of fields."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.html = response.text
        self.url = str(response.url)
        self.forms: list[FormOnPage] = []
        self.links: dict[str, str] = {}
        self.ids: set[str] = set()
        self.described: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: FormOnPage | None = None
        self._button: tuple[FormOnPage, str, str] | None = None
        self._link: str | None = None
        self._select: str | None = None
        self._area: str | None = None
        self._texts: list[str] = []
        self.texts: list[str] = []
        self.feed(self.html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if "id" in given:
            self.ids.add(given["id"])
        name = given.get("name", "")
        if name and "aria-describedby" in given:
            self.described[name] = given["aria-describedby"]
        if tag == "form":
            self._open = FormOnPage(given.get("action", ""), given.get("method", "get"))
            self.forms.append(self._open)
        elif tag == "a":
            self._link, self._texts = given.get("href", ""), []
        elif self._open is not None and tag == "input" and name and given.get("type") not in ("submit", "file"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self._open.fields[name] = given.get("value", "")
        elif self._open is not None and tag == "select":
            self._select = name
            self._open.options[name] = []
        elif self._open is not None and tag == "option" and self._select is not None:
            self._open.options[self._select].append(given.get("value", ""))
            if "selected" in given or self._select not in self._open.fields:
                self._open.fields[self._select] = given.get("value", "")
        elif self._open is not None and tag == "textarea":
            self._area, self._texts = name, []
        elif self._open is not None and tag == "button":
            self._button, self._texts = (self._open, name, given.get("value", "")), []

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "a" and self._link is not None:
            self.links[" ".join("".join(self._texts).split())] = self._link
            self._link = None
        elif tag == "textarea" and self._area is not None and self._open is not None:
            self._open.fields[self._area] = "".join(self._texts).removeprefix("\n")
            self._area = None
        elif tag == "button" and self._button is not None:
            form, name, value = self._button
            form.buttons[" ".join("".join(self._texts).split())] = (name, value)
            self._button = None

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        self.texts.append(data)

    def form(self, button: str) -> FormOnPage:
        """The form with this button."""
        return next(form for form in self.forms if button in form.buttons)

    def error_of(self, name: str) -> str:
        """The error that is tied to a field."""
        assert f"f-{name}-error" in self.described.get(name, ""), (name, self.text)
        start = self.html.index(f'id="f-{name}-error"')
        return self.html[start : self.html.index("</p>", start)]


@dataclass
class Browser:
    """Somebody's browser."""

    http: httpx.AsyncClient

    async def open(self, path: str) -> Page:
        return Page(await self.http.get(path, follow_redirects=True))

    async def press(self, page: Page, button: str, files: Any = None, **typed: str) -> Page:
        """Fill a form in and press its button. Returns the page that follows."""
        form = page.form(button)
        name, value = form.buttons[button]
        values = {**form.fields, **typed, **({name: value} if name else {})}
        action = form.action or page.url
        if form.method == "get":
            return Page(await self.http.get(action, params=values, follow_redirects=True))
        return Page(await self.http.post(action, data=values, files=files, follow_redirects=True))

    async def do(self, path: str, button: str, files: Any = None, **typed: str) -> Page:
        """Open the form of a verb, continue, and confirm what the next page shows."""
        shown = await self.press(await self.open(path), "Continue", files, **typed)
        assert shown.status == 200, shown.text
        return await self.press(shown, button)


@dataclass
class ConsoleShop:
    """A shop with its console. Nothing delivers by itself."""

    shop: Shop
    site: ConsoleSite
    app: Any
    stack: AsyncExitStack
    ama: Reseller

    async def stranger(self) -> Browser:
        """A browser that nobody has signed in with."""
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE_URL)
        return Browser(await self.stack.enter_async_context(client))

    async def owner(self) -> Browser:
        """The owner, come in by the one-time link."""
        browser = await self.stranger()
        page = await browser.open(await self.shop.people.console_link(by="test"))
        page = await browser.press(page, "Continue", email=OWNER, password=PASSWORD)
        assert page.status == 200, page.text
        return browser

    async def staff(self, email: str, *roles: Role) -> Browser:
        """Somebody with these roles, come in by an invitation."""
        browser = await self.stranger()
        path = await self.shop.people.invite_staff(email, roles, "help", "test")
        page = await browser.press(await browser.open(path), "Continue", password=PASSWORD)
        assert page.status == 200, page.text
        return browser

    async def balance(self, mode: Mode = Mode.LIVE) -> int:
        """What Ama's wallet in GHS holds, in minor units."""
        wallets = await self.shop.wallets.of_reseller(self.ama.id)
        return next(one.balance.minor for one in wallets if one.mode is mode and one.balance.currency is GHS)

    async def value(self, statement: str, *values: object) -> Any:
        async with self.shop.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def sell(self, client_reference: str = "INV-1", number: str = "0241234567") -> str:
        """Place one order of Ama's by hand. Returns our reference."""
        caller = await self.shop.resellers.caller_without_key(self.ama.email, "counter", Mode.LIVE)
        placement = await self.shop.counter.place(
            caller, code="GH-MTN-1GB-30D", recipient=number, amount=None, client_reference=client_reference
        )
        return placement.order.reference

    async def doubtful(self, client_reference: str = "INV-1", number: str = "0241234567") -> str:
        """An order in review, whose provider has not said what became of it."""
        reference = await self.sell(client_reference, number)
        async with self.shop.database.connection() as tx:
            number_ = await tx.fetchval("select id from orders where reference = $1", reference)
            await tx.execute(
                "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at, text,"
                " provider_reference) values ($1, 1, 'simulator', $2, 'unknown', 390, now(), 'no answer in time', $3)",
                number_, f"{reference}-1", f"SIM-{number_}",
            )  # fmt: skip
            await tx.execute("update orders set state = 'review', due_at = null, attempts = 1 where id = $1", number_)
        return reference

    async def work_off(self, kind: JobKind) -> None:
        """Do the job of this kind that is due, as a process that runs does."""
        await self.shop.job_workers[kind].work_off()

    async def acts(self) -> list[tuple[str, str, str]]:
        """Who did what for what reason, the last one first."""
        return [(act.who, act.what, act.reason) for act in await self.shop.people.acts()]


@asynccontextmanager
async def console_shop(
    database_url: str, folder: Path, *, second_person_above: str | dict[str, str] = "", **changes: Any
) -> AsyncIterator[ConsoleShop]:
    """A shop with one funded reseller, whose pages answer."""
    settings = Settings(
        data_dir=str(folder / "data"),
        simulators={"simulator": SimulatorSettings(live=True)},
        own_network=False,
        second_person_above=second_person_above,
        **changes,
    )
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(open_shop(settings, database_url, serves=True))
        life = await stack.enter_async_context(Lifecycle())
        app, _ = applications(life, shop, folder / "run")
        async with shop.database.transaction() as tx:
            await install_builtin(tx)
        await shop.watch.look()
        shop.orders.start()
        shop.wallets.start()
        ama = await shop.resellers.add("ama@example.com", "Ama's Airtime", "0241234567")
        limits, shop.second_person.limits = shop.second_person.limits, SecondPerson().limits
        await shop.credits.add(ama.id, Money(100_00, GHS), Mode.LIVE, "start")
        shop.second_person.limits = limits
        site = app.served["/console"]
        assert isinstance(site, ConsoleSite)
        yield ConsoleShop(shop, site, app, stack, ama)


def paths(site: ConsoleSite) -> Iterable[str]:
    """The addresses of all pages."""
    return sorted(path for method, path in site.console.rights if method == "GET")
