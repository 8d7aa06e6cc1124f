"""A browser without a screen: the pages of a shop in this process, with cookies, tokens and forms as browsers send them."""

import html
import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from telvend.bootstrap import Shop, applications, work
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.secret import Secret
from telvend.people.model import FromWhere
from telvend.upkeep.preparation import prepare_database

HOST = "http://localhost:8000"
_networks = itertools.count(1)
PASSWORD = "a long enough one"
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
_COOKIE = re.compile(r"([^=]+)=([^;]*)")


@dataclass
class Browser:
    """One browser. `get` and `post` do not follow redirects."""

    client: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)
    email: str = ""

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return self._kept(await self.client.get(path, headers=self._headers(headers)))

    async def post(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        *,
        page: str = "/account",
        **headers: str,
    ) -> httpx.Response:
        """Send a form with the token of a page."""
        token = _TOKEN.search((await self.get(page)).text)
        assert token is not None, page
        return await self.post_as_is(path, {"csrf": html.unescape(token[1]), **(fields or {})}, **headers)

    async def post_as_is(self, path: str, fields: Mapping[str, Any], **headers: str) -> httpx.Response:
        return self._kept(await self.client.post(path, data=fields, headers=self._headers(headers)))

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"accept": "text/html", "cookie": cookies, "sec-fetch-site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in more.items()
        }

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            found = _COOKIE.match(line)
            assert found is not None
            if "max-age=0" in line.lower():
                self.cookies.pop(found[1], None)
            else:
                self.cookies[found[1]] = found[2]
        return answer


@dataclass
class Pages:
    """A running shop, whose pages browsers look at."""

    shop: Shop
    app: Any

    def browser(self) -> Browser:
        """Somebody who has not signed in."""
        transport = httpx.ASGITransport(self.app, client=("197.210.1.2", 4711))
        return Browser(httpx.AsyncClient(transport=transport, base_url=HOST))

    async def signed_in(self, name: str) -> Browser:
        """Somebody with an account of their own."""
        browser = self.browser()
        browser.email = f"{name}@example.com"
        token = await self.shop.people.sign_up(
            name.title(),
            browser.email,
            "0241234567",
            Secret(PASSWORD),
            FromWhere(f"197.210.{next(_networks)}.2", "Opera Mini"),
        )
        browser.cookies["__Host-telvend"] = token.secret.reveal()
        return browser

    async def reseller_id(self, browser: Browser) -> Any:
        return (await self.shop.resellers.find(browser.email)).id


@asynccontextmanager
async def pages_of(database: Database, url: str, folder: Path, **settings: Any) -> AsyncIterator[Pages]:
    """A shop that runs in this process, where anybody may sign up."""
    given = {"signup": "open", "verify_email": False, "data_dir": str(folder)} | settings
    await prepare_database(database, lambda _: None)
    async with work(Settings(**given), url) as shop, Lifecycle() as life:
        # Here one process has to see a change of endpoints, which takes a look of its watch.
        vars(shop.webhooks)["_settled_s"] = 0.3
        app, _ = applications(life, shop, folder / "run")
        yield Pages(shop, app)
