"""A real browser on real pages: the system's Chromium, one served shop for each file, axe on every page.

    async def test_something(portal: Portal) -> None:
        page = await portal.open("/home", PHONE, signed_in=True)
        await portal.check(page)

Everything is asynchronous, like the tests of the services: Playwright's other interface would leave a loop running in the
thread that those need.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Playwright, Response, async_playwright

from tests.browser.chromium import chromium
from tests.e2e.shop import Shop

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = Path(__file__).parents[2] / ".browser"
"""Where what was open is kept when a test fails. Playwright makes the folder."""
PASSWORD = "a long enough one"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@dataclass(frozen=True)
class View:
    """How somebody looks at a page."""

    name: str
    width: int
    height: int
    dark: bool = False
    scripts: bool = True


PHONE = View("phone", 360, 740)
DESK = View("desk", 1280, 800)
PHONE_DARK = View("phone-dark", 360, 740, dark=True)
DESK_DARK = View("desk-dark", 1280, 800, dark=True)
PLAIN = View("phone-without-scripts", 360, 740, scripts=False)


@dataclass
class Portal:
    """The pages of one shop, as a browser sees them."""

    browser: Browser
    shop: Shop
    axe: str = field(repr=False)
    sessions: dict[str, Any] = field(default_factory=dict)
    opened: list[BrowserContext] = field(default_factory=list)
    scripts: dict[BrowserContext, bool] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def page(self, view: View = PHONE, who: str | None = None) -> Page:
        """A new tab of a browser of its own; `who` has signed up, by the name in front of the e-mail address."""
        if who is not None and who not in self.sessions:
            await self.sign_up(who)
        context = await self.browser.new_context(
            viewport={"width": view.width, "height": view.height},
            color_scheme="dark" if view.dark else "light",
            java_script_enabled=view.scripts,
            has_touch=view.width < 500,
            reduced_motion="reduce",
            storage_state=self.sessions[who] if who is not None else None,
            base_url=self.shop.url,
        )
        context.set_default_timeout(8_000)
        self.opened.append(context)
        self.scripts[context] = view.scripts
        page = await context.new_page()
        page.on("request", lambda request: self._see(request.url))
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda error: self.refused.append(str(error)))
        return page

    async def open(self, path: str, view: View = PHONE, who: str | None = None) -> Page:
        """Open a page of the shop in a browser of its own."""
        page = await self.page(view, who)
        await page.goto(path)
        return page

    async def sign_up(self, who: str) -> None:
        """Open an account by the form, and keep its session for `page`."""
        page = await self.open("/signup", DESK)
        await page.get_by_label("Name").fill(who.title())
        await page.get_by_label("Email").fill(f"{who}@example.com")
        await page.get_by_label("Phone number").fill("0241234567")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign up").click()
        await page.wait_for_url("**/home")
        self.sessions[who] = await page.context.storage_state()

    async def check(self, page: Page) -> None:
        """Hold a page to what every page is: accessible in light and dark, no wider than the screen, with a title, and from here alone."""
        title = await page.title()
        assert " · " in title, page.url
        assert self.elsewhere == [], page.url
        assert self.refused == [], page.url
        if not self.scripts[page.context]:
            return  # Nothing can be asked of such a page; its HTML is that of the others.
        found = await self._violations(page, {"runOnly": list(RULES)})
        assert found == [], f"{page.url}: {found}"
        # The other theme differs in nothing but colours.
        dark = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        await page.emulate_media(color_scheme="light" if dark else "dark", reduced_motion="reduce")
        contrast = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
        found = await self._violations(page, contrast)
        assert found == [], f"{page.url} {'light' if dark else 'dark'}: {found}"
        await page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        size = page.viewport_size
        assert size is not None
        for width in (size["width"], 320):
            await page.set_viewport_size({"width": width, "height": 740})
            wide = await page.evaluate(
                "() => [document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')]"
                ".filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('pre, .table-wrap, svg, .hide, .skip, thead'))"
                ".slice(0, 3).map(e => e.tagName + '.' + e.className)]"
            )
            assert wide == [width], f"{page.url} at {width} px is {wide}"
        await page.set_viewport_size(size)

    async def _violations(self, page: Page, options: dict[str, Any]) -> list[str]:
        """What axe finds, in a line each."""
        if not await page.evaluate("Boolean(window.axe)"):
            await page.evaluate(self.axe)
        found: list[str] = await page.evaluate(
            "async options => (await axe.run(document, options))"
            ".violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target + ' ' +"
            " (n.any[0] || n.all[0] || n.none[0] || {message: ''}).message).join(' | '))",
            options,
        )
        return found

    def _see(self, url: str) -> None:
        if not url.startswith((f"{self.shop.url}/", "data:")):
            self.elsewhere.append(url)

    def _hear(self, kind: str, text: str) -> None:
        # A page with status 404 or 422 is meant; what the policy forbids, or a script does not survive, is not.
        if kind == "error" and "the server responded with a status of" not in text:
            self.refused.append(text)

    async def close(self) -> None:
        """Close every tab, without what is still on its way to one."""
        for context in self.opened:
            with suppress(Exception):
                await context.close()
        self.opened.clear()
        self.scripts.clear()


async def weight(page: Page, path: str) -> int:
    """How many bytes a browser that knows nothing loads for a page, as they come over the wire."""
    sizes: list[int] = []
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    await page.goto(path, wait_until="networkidle")
    for answer in answers:
        measured = await answer.request.sizes()
        sizes.append(measured["responseBodySize"] + measured["responseHeadersSize"])
    return sum(sizes)


@pytest.fixture(scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as started:
        yield started


@pytest.fixture(scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """Chromium of the system, which `make browser` installs. It draws without a screen and without its sandbox, which root cannot have."""
    launched = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
    yield launched
    await launched.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop for one file, where anybody may sign up, with what the file's SETTINGS say besides."""
    shop = Shop(tmp_path_factory.mktemp("shop") / "data")
    shop.data_dir.mkdir(mode=0o700)
    shop.settings |= {"TELVEND_SIGNUP": "open"} | getattr(request.module, "SETTINGS", {})
    try:
        shop.start(within_s=60)
        yield shop
    finally:
        shop.end()
        # Dozens of megabytes, which pytest would keep for three runs. The log stays.
        shutil.rmtree(shop.data_dir / "postgres", ignore_errors=True)


@pytest.fixture(scope="module")
async def _portal(browser: Browser, served: Shop) -> AsyncIterator[Portal]:
    found = Portal(browser, served, AXE.read_text("utf-8"))
    yield found
    await found.close()


@pytest.fixture
async def portal(_portal: Portal, request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    """The pages of this file's shop. Pictures of what was open are kept where a test has failed."""
    _portal.elsewhere.clear()
    _portal.refused.clear()
    yield _portal
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        await _keep_pictures(_portal, request.node.name)
    await _portal.close()


async def _keep_pictures(portal: Portal, test: str) -> None:
    for number, context in enumerate(portal.opened):
        for page in context.pages:
            with suppress(Exception):
                await page.screenshot(path=PICTURES / f"{test}-{number}.png", full_page=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.report = report  # type: ignore[attr-defined]
    return report
