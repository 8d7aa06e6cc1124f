"""The portal's addresses, put together. A subject gets its line in `portal`."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from telvend.web.shell import Assets, Shell, local_path, read_form
from telvend.web.shell.assets import BASE as ASSETS
from telvend.web.shell.pages import THEME_COOKIE, THEMES
from telvend.web.shell.site import HtmlSite

_THEME_LASTS_S = 365 * 24 * 3600


def portal(shell: Shell, assets: Assets, *subjects: Sequence[BaseRoute]) -> HtmlSite:
    """The site of the portal. `subjects` are the routes of each subject."""

    async def theme(request: Request) -> Response:
        form = await read_form(request)
        chosen = form.text("theme")
        if chosen in THEMES:
            shell.set_cookie(request, THEME_COOKIE, chosen, _THEME_LASTS_S if chosen != "auto" else 0)
        return shell.go(request, local_path(form.text("next", longest=1024), "/"))

    async def asset(request: Request) -> Response:
        return await assets.serve(request)

    routes = [
        Route(f"{ASSETS}/{{name}}", asset),
        shell.page("/theme", post=theme),
        *(route for subject in subjects for route in subject),
    ]
    return HtmlSite(shell, routes)
