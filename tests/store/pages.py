"""The pages of a whole shop without a server: browsers that keep cookies and fill in forms."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from telvend.bootstrap import Shop, applications, work
from telvend.config import Settings
from telvend.kit.lifecycle import Lifecycle

PASSWORD = "a long enough one"
ADDRESS = "https://shop.example"


class Visit(httpx.AsyncClient):
    """A browser. `submit` fills in the form of a page and sends it, with the hidden fields that the page has put there."""

    async def submit(self, path: str, to: str | None = None, **fields: str) -> httpx.Response:
        page = await self.get(path)
        return await self.send_form(to or path, token_of(page.text), **fields)

    async def send_form(self, path: str, token: str | None, **fields: str) -> httpx.Response:
        return await self.post(path, data=fields | ({} if token is None else {"csrf": token}))


def token_of(page: str) -> str:
    """The token of the forms of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return unescape(found[1])


class Pages:
    """The pages of one shop."""

    def __init__(self, shop: Shop, app: Any) -> None:
        self.shop = shop
        self.app = app
        self._open: list[Visit] = []

    def browser(self, address: str = ADDRESS, **headers: str) -> Visit:
        """A browser that has not been here before."""
        transport = httpx.ASGITransport(self.app, client=("197.210.1.2", 4711))
        visit = Visit(transport=transport, base_url=address, headers={"accept": "text/html,*/*;q=0.8"} | headers)
        self._open.append(visit)
        return visit

    async def signed_up(self, email: str = "ama@example.com", name: str = "Ama") -> Visit:
        """A browser in which somebody has just signed up."""
        visit = self.browser()
        answer = await visit.submit("/signup", name=name, email=email, phone="0241234567", password=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/home"), answer.text
        return visit

    async def close(self) -> None:
        for visit in self._open:
            await visit.aclose()


@asynccontextmanager
async def opened_pages(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Pages]:
    """The pages of the shop in this database, whose signup is open."""
    chosen = Settings(**({"data_dir": str(folder), "signup": "open"} | settings))
    async with work(chosen, database_url, fulfilment=False) as shop, Lifecycle() as life:
        app, _ = applications(life, shop, folder / "run")
        pages = Pages(shop, app)
        try:
            yield pages
        finally:
            await pages.close()
