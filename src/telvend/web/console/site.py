"""The console's addresses, put together. A subject has its line in `SUBJECTS`."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from telvend.desk.service import Desk
from telvend.people.model import Surface, Visitor
from telvend.web.console import (
    catalogue,
    cells,
    claims,
    funding,
    jobs,
    office,
    orders,
    providers,
    reconciliation,
    reports,
    resellers,
    session,
    today,
    vouchers,
)
from telvend.web.console.frame import Console
from telvend.web.shell import Assets, Shell, Side, Templates, local_path, read_form
from telvend.web.shell.assets import BASE as ASSETS
from telvend.web.shell.pages import THEME_COOKIE, THEMES
from telvend.web.shell.site import HtmlSite

BASE: Final = "/console"

SUBJECTS: Final = (
    session,
    today,
    orders,
    resellers,
    providers,
    claims,
    funding,
    catalogue,
    vouchers,
    reports,
    jobs,
    reconciliation,
    office,
)

_THEME_LASTS_S: Final = 365 * 24 * 3600


class ConsoleSite(HtmlSite):
    """The site of the console. `console` knows the right of every route."""

    def __init__(self, console: Console, assets: Assets) -> None:
        subjects = [subject.pages(console) for subject in SUBJECTS]
        super().__init__(
            console.shell, [*_common(console.shell, assets), *(route for routes in subjects for route in routes)]
        )
        self.console = console


def console_site(templates: Templates, assets: Assets, desk: Desk, *, at_once: int) -> ConsoleSite:
    """The site of the console. `at_once`: how many of its pages may be at the database together."""

    async def find(token: str) -> Visitor | None:
        return await desk.people.visitor(token, Surface.CONSOLE)

    side = Side("console", "__Host-telvend-console", f"{BASE}/signin", BASE, find)
    shell = Shell(side, templates, at_once=at_once, show=cells.show, body=cells.body)
    return ConsoleSite(Console(shell, desk), assets)


def _common(shell: Shell, assets: Assets) -> list[BaseRoute]:
    """What a console on a port of its own needs beside its pages, and the switch between light and dark."""

    async def first(_: Request) -> Response:
        return RedirectResponse(BASE, 303)

    async def theme(request: Request) -> Response:
        form = await read_form(request)
        chosen = form.text("theme")
        if chosen in THEMES:
            shell.set_cookie(request, THEME_COOKIE, chosen, _THEME_LASTS_S if chosen != "auto" else 0)
        return shell.go(request, local_path(form.text("next", longest=1024), BASE))

    async def asset(request: Request) -> Response:
        return await assets.serve(request)

    return [
        shell.page("/", get=first),
        shell.page(f"{BASE}/theme", post=theme),
        Route(f"{ASSETS}/{{name}}", asset),
    ]
