"""The portal's addresses, put together. A subject has its line in `portal`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from telvend.kit.allowance import Allowance
from telvend.kit.clock import Clock
from telvend.people.model import Surface, Visitor
from telvend.services import Services
from telvend.web.pages import BY_ACCEPT
from telvend.web.portal import (
    access,
    account,
    bulk,
    buy,
    claims,
    docs,
    home,
    identity,
    keys,
    receipts,
    status,
    test_mode,
    topup,
    transactions,
    webhooks,
)
from telvend.web.portal.apis import Apis
from telvend.web.portal.test_mode import MagicNumber, Situation
from telvend.web.shell import Assets, Shell, Side, Templates, local_path, read_form
from telvend.web.shell.assets import BASE as ASSETS
from telvend.web.shell.pages import THEME_COOKIE, THEMES
from telvend.web.shell.site import HtmlSite

_THEME_LASTS_S: Final = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Api:
    """A public API as the pages name it. `about` is its first sentence."""

    name: str
    title: str
    about: str

    @classmethod
    def of(cls, name: str, info: Mapping[str, Any]) -> "Api":
        """Read the `info` of its document."""
        about = str(info.get("description", "")).partition(". ")[0].rstrip(".")
        return cls(name, str(info["title"]), f"{about}.")


@dataclass(frozen=True, slots=True)
class ForDevelopers:
    """What the pages for developers show that rooms of their own know: the APIs, and what numbers do in test mode."""

    apis: Apis
    numbers: Sequence[MagicNumber]
    situations: Sequence[Situation]
    allowance: Allowance
    """What is counted with that goes to somebody else's server."""


def portal(
    templates: Templates,
    assets: Assets,
    services: Services,
    apis: Sequence[Api],
    developers: ForDevelopers,
    clock: Clock,
    *,
    at_once: int,
) -> HtmlSite:
    """The site of the portal. `at_once`: how many of its pages may be at the database together."""
    people = services.people

    async def find(token: str) -> Visitor | None:
        return await people.visitor(token, Surface.PORTAL)

    shell = Shell(Side("portal", "__Host-telvend", "/signin", "/home", find), templates, at_once=at_once)
    subjects: list[Sequence[BaseRoute]] = [
        _common(shell, assets, apis),
        access.routes(shell, people),
        home.routes(shell, services, clock),
        account.routes(shell, people),
        keys.routes(shell, services.resellers, people, developers.apis, services.public_url),
        docs.routes(shell, services.resellers, developers.apis, services.public_url),
        webhooks.routes(shell, services.webhooks, services.wallets, people, developers.allowance),
        status.routes(shell, services.network_conditions),
        identity.routes(shell, services.identity, services.resellers, people),
        test_mode.routes(
            shell,
            services.wallets,
            services.credits,
            people,
            developers.numbers,
            developers.situations,
            developers.allowance,
        ),
        topup.routes(shell, services),
        claims.routes(shell, services, developers.allowance),
        buy.routes(shell, services, clock),
        bulk.routes(shell, services),
        receipts.routes(shell, services),
        transactions.routes(shell, services),
    ]
    return HtmlSite(shell, [route for subject in subjects for route in subject])


def _common(shell: Shell, assets: Assets, apis: Sequence[Api]) -> list[BaseRoute]:
    """The first page, the files of all pages, and the switch between light and dark."""

    async def first(request: Request) -> Response:
        return shell.render(request, "portal/first.html", headers=BY_ACCEPT, apis=apis)

    async def theme(request: Request) -> Response:
        form = await read_form(request)
        chosen = form.text("theme")
        if chosen in THEMES:
            shell.set_cookie(request, THEME_COOKIE, chosen, _THEME_LASTS_S if chosen != "auto" else 0)
        return shell.go(request, local_path(form.text("next", longest=1024), "/"))

    async def asset(request: Request) -> Response:
        return await assets.serve(request)

    return [shell.page("/", get=first), shell.page("/theme", post=theme), Route(f"{ASSETS}/{{name}}", asset)]
