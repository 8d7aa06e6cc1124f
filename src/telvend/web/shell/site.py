"""Sites of HTML pages, and the choice between them and the JSON pages for what has no address of its own."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send

from telvend.errors import TelvendError, UnknownPath
from telvend.web.shell.pages import Shell
from telvend.web.site import Site


class HtmlSite(Site):
    """An ASGI application of pages in the design of the shell, its errors with them."""

    def __init__(self, shell: Shell, routes: Sequence[BaseRoute]) -> None:
        router = Router(routes=routes, default=_nothing, redirect_slashes=False)
        super().__init__(router, lambda status, error: shell.failure({"type": "http", "headers": []}, status, error))
        self._shell = shell

    def page_of(self, scope: Scope, status: int, error: TelvendError) -> Response:
        return self._shell.failure(scope, status, error)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    raise UnknownPath(scope["path"])


class FrontDoor(Site):
    """Everything that is under no base path of its own: the portal's pages, and JSON for programs.

    The first part of a path says whose it is. `/`, and what nobody has, is HTML for who asks for HTML.
    """

    def __init__(self, html: Site, programs: Site) -> None:
        self._html = html
        self._programs = programs
        self._html_names = _names(html) - {""}
        self._program_names = _names(programs) - {""}
        self.routes = [*html.routes, *programs.routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._site_of(scope)(scope, receive, send)

    async def refuse(self, scope: Scope, send: Send, error: TelvendError) -> None:
        await self._site_of(scope).refuse(scope, send, error)

    def _site_of(self, scope: Scope) -> Site:
        name = scope["path"].split("/", 2)[1] if "/" in scope["path"] else ""
        if name in self._html_names:
            return self._html
        if name in self._program_names:
            return self._programs
        return self._html if asks_for_html(scope) else self._programs


def asks_for_html(scope: Scope) -> bool:
    """Whether a request is a browser's, which names HTML among what it takes."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _names(site: Site) -> set[str]:
    return {getattr(route, "path", "/").split("/", 2)[1].partition("{")[0] for route in site.routes}
