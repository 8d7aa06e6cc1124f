"""A page: its methods, who may see it, its form, its answer.

    def routes(shell: Shell, orders: Orders) -> list[Route]:
        pages = _Orders(shell, orders)
        return [shell.page("/orders", get=signed_in(pages.list)), shell.page("/orders/new", get=…, post=signed_in(pages.add))]

    async def list(self, request: Request, visitor: Visitor) -> Response:
        return self._shell.render(request, "portal/orders.html", orders=…)

Before a handler runs, the shell has read the form, found the visitor and refused what another site sent. A page waits at a
turnstile, so that pages never take all connections to the database from the APIs.
"""

import gzip
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from telvend.errors import MethodNotAllowed, NotFound, TelvendError
from telvend.kit.ids import request_id_of
from telvend.kit.turnstile import Budget, Turnstile
from telvend.people.model import Role, Visitor
from telvend.web.shell.assets import takes_gzip
from telvend.web.shell.forms import FORM, FORM_BYTES, Form, receive_form
from telvend.web.shell.guard import is_from_elsewhere, is_masked, keeps_cookies, local_path, mask
from telvend.web.shell.rendering import Templates

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    # Without the address of the page browsers send no Origin with a form.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
THEMES: Final = ("auto", "light", "dark")
THEME_COOKIE: Final = "__Host-telvend-theme"
FLASH_COOKIE: Final = "__Host-telvend-flash"

_COMPRESSED_FROM: Final = 1024
_LONGEST_FLASH: Final = 400
_FLASH_LASTS_S: Final = 60
_TONES: Final = frozenset({"good", "bad", "wait"})
_VISIT: Final = "telvend.visit"
_MOST_WAITING: Final = 256
_OUTSIDE_AT_ONCE: Final = 16
_FORMS_BYTES: Final = 32 * 1024 * 1024

PublicHandler = Callable[[Request], Awaitable[Response]]
SignedInHandler = Callable[[Request, Visitor], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Side:
    """What differs between the portal and the console.

    `find` returns who is in the session of a cookie's token. `layout` is the template that pages of this side extend.
    """

    name: str
    cookie: str
    sign_in: str
    home: str
    find: Callable[[str], Awaitable[Visitor | None]]

    @property
    def visit_cookie(self) -> str:
        """The cookie of somebody who has not signed in: forms carry what it holds."""
        return f"{self.cookie}-visit"


@dataclass(slots=True)
class _Visit:
    """One request: who it is from, and the cookies that its answer sets."""

    side: Side
    visitor: Visitor | None = None
    anonymous: str | None = None
    cookies: list[tuple[str, str, int | None]] = field(default_factory=list)

    def bake(self, response: Response) -> None:
        """Set the cookies with an answer."""
        for name, value, lasts_s in self.cookies:
            response.set_cookie(name, value, max_age=lasts_s, path="/", secure=True, httponly=True, samesite="lax")


class Shell:
    """What the pages of one side share."""

    def __init__(self, side: Side, templates: Templates, *, at_once: int = 2, **shared: Any) -> None:
        """`at_once`: how many pages are made at the same time, a part of the connections to the database.

        `shared` is known to every template of this side.
        """
        self.side = side
        self._templates = templates
        self._turnstile = Turnstile(at_once, _MOST_WAITING)
        self._outside = Turnstile(_OUTSIDE_AT_ONCE, _MOST_WAITING)
        self._together = Budget(_FORMS_BYTES)
        self._shared = shared

    # Routes ---------------------------------------------------------------------------------------------------------------

    def page(
        self,
        path: str,
        *,
        get: PublicHandler | None = None,
        post: PublicHandler | None = None,
        form_bytes: int = FORM_BYTES,
        waits_outside: bool = False,
    ) -> Route:
        """A route. `form_bytes`: the longest body of its form, files with it.

        `waits_outside`: handlers wait for something else than the database, such as another server or the hash of a password;
        more of them may be under way.
        """
        turnstile = self._outside if waits_outside else self._turnstile
        return Route(path, _Page(self, get, post, form_bytes, self._together, turnstile))

    # Answers --------------------------------------------------------------------------------------------------------------

    def render(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        fragment: str | None = None,
        compress: bool = True,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """Answer with a page. `form` is in every context, empty where none is given.

        `fragment`: the block that alone is sent where htmx asks. `compress=False`: for a page with a secret on it beside
        what the request has brought along.
        """
        visit = _visit_of(request, self.side)
        whole = fragment is None or request.headers.get("hx-request") != "true"
        context = {
            "form": Form(),
            "refresh_s": None,
            **self._shared,
            **context,
            "visitor": visit.visitor,
            "side": self.side.name,
            "home": self.side.home,
            "here": _path_of(request.scope),
            "query": _query_of(request.scope),
            "csrf": lambda: self._csrf(visit),
            "flash": self._take_flash(request, visit) if whole else None,
            "theme": theme_of(request),
            "request_id": request_id_of(request.headers.get("x-request-id", "").encode("latin-1") or None).decode(),
            "keeps_cookies": keeps_cookies(request.scope["scheme"], request.headers.get("host", "")),
        }
        if whole or fragment is None:
            text = self._templates.render(template, context)
        else:
            text = self._templates.fragment(template, fragment, context)
        body = text.encode()
        given = {**HEADERS, "vary": "Cookie, HX-Request", **(headers or {})}
        given["x-request-id"] = context["request_id"]
        if compress and len(body) > _COMPRESSED_FROM and takes_gzip(request.headers.get("accept-encoding", "")):
            body = gzip.compress(body, 5, mtime=0)
            given["content-encoding"] = "gzip"
            given["vary"] += ", Accept-Encoding"
        return Response(body, status, given, media_type="text/html")

    def go(self, request: Request, path: str, flash: str | None = None, tone: str = "good") -> Response:
        """Answer 303: the browser loads `path` next, and shows `flash` there once."""
        if flash is not None:
            value = quote(f"{tone}:{flash[:_LONGEST_FLASH]}", safe="")
            _visit_of(request, self.side).cookies.append((FLASH_COOKIE, value, _FLASH_LASTS_S))
        return RedirectResponse(path, 303)

    def leave(self, request: Request, url: str, whereto: str) -> Response:
        """A page that sends the browser on to another server, by itself and by a link.

        A redirect of a form would be refused by browsers, since `form-action` counts it: answer the form with a 303 to a
        page of ours that answers with this.
        """
        return self.render(request, "shell/leave.html", url=url, whereto=whereto)

    def sign_in_first(self, request: Request) -> Response:
        """Answer 303 to the page where one signs in, which comes back to the page that was asked for."""
        query = _query_of(request.scope)
        here = _path_of(request.scope) + (f"?{query}" if query else "")
        back = here if request.method in ("GET", "HEAD") else self.side.home
        return RedirectResponse(f"{self.side.sign_in}?next={quote(local_path(back, self.side.home), safe='')}", 303)

    def keep_session(self, request: Request, token: str, lasts_s: int) -> None:
        """Set the cookie of a session that has begun, with the answer of this request."""
        visit = _visit_of(request, self.side)
        visit.cookies.append((self.side.cookie, token, lasts_s))
        visit.cookies.append((self.side.visit_cookie, "", 0))

    def drop_session(self, request: Request) -> None:
        """Remove the session's cookie, with the answer of this request."""
        _visit_of(request, self.side).cookies.append((self.side.cookie, "", 0))

    def set_cookie(self, request: Request, name: str, value: str, lasts_s: int) -> None:
        """Set a cookie of our own, with the answer of this request. `name` begins with __Host-."""
        _visit_of(request, self.side).cookies.append((name, value, lasts_s))

    def failure(self, scope: Scope, status: int, error: TelvendError) -> Response:
        """The page of an error. For a 500 it says nothing of what went wrong."""
        request = Request(scope)
        title, text = _WORDS.get(status, _WORDS[500])
        if status in (400, 403, 409, 410, 413, 429):
            text = str(error)
        response = self.render(
            request, "shell/message.html", status=status, title=title, text=text,
            refresh_s=5 if status == 503 and scope["method"] == "GET" else None,
        )  # fmt: skip
        _visit_of(request, self.side).bake(response)
        return response

    # Within ---------------------------------------------------------------------------------------------------------------

    def _csrf(self, visit: _Visit) -> str:
        if visit.visitor is not None:
            return mask(visit.visitor.csrf)
        if visit.anonymous is None:
            visit.anonymous = secrets.token_urlsafe(24)
            visit.cookies.append((self.side.visit_cookie, visit.anonymous, None))
        return mask(visit.anonymous)

    def _take_flash(self, request: Request, visit: _Visit) -> tuple[str, str] | None:
        """The message of the page before, once. A __Host- cookie is set by nobody but this server."""
        text = request.cookies.get(FLASH_COOKIE)
        if text is None:
            return None
        visit.cookies.append((FLASH_COOKIE, "", 0))
        return read_flash(text)


def _path_of(scope: Scope) -> str:
    """The path of a request, as an address has it. It is no part of another one, whatever the client has sent."""
    return quote(scope["path"], safe="/-._~!$&'()*+,;=:@")


def _query_of(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return quote(query, safe="/-._~!$&'()*+,;=:@?%")


def read_flash(text: str) -> tuple[str, str] | None:
    """The tone and the sentence in a flash cookie; None where it is none of ours."""
    try:
        tone, _, sentence = unquote(text, errors="strict").partition(":")
    except ValueError:
        return None
    return (
        (tone, sentence) if tone in _TONES and sentence.isprintable() and 0 < len(sentence) <= _LONGEST_FLASH else None
    )


def theme_of(request: Request) -> str:
    """The theme that was chosen: auto, light or dark."""
    chosen = request.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def visitor_of(request: Request) -> Visitor | None:
    """Who looks at a page for everybody, if they have signed in."""
    visit: _Visit | None = request.scope.get(_VISIT)
    return None if visit is None else visit.visitor


def signed_in(handler: SignedInHandler) -> PublicHandler:
    """A handler for those who have signed in; everybody else is sent to do it."""

    async def handle(request: Request) -> Response:
        visitor = visitor_of(request)
        if visitor is None:
            shell: Shell = request.scope[_SHELL]
            return shell.sign_in_first(request)
        return await handler(request, visitor)

    return handle


def with_role(role: Role, handler: SignedInHandler) -> PublicHandler:
    """A handler for those with this role. Without it the page does not exist."""

    async def handle(request: Request, visitor: Visitor) -> Response:
        if role not in visitor.roles:
            raise NotFound("page")
        return await handler(request, visitor)

    return signed_in(handle)


_SHELL: Final = "telvend.shell"


class _Page:
    """The ASGI application of one path."""

    def __init__(
        self,
        shell: Shell,
        get: PublicHandler | None,
        post: PublicHandler | None,
        form_bytes: int,
        together: Budget,
        turnstile: Turnstile,
    ) -> None:
        self._shell = shell
        self._handlers = {name: handler for name, handler in (("GET", get), ("HEAD", get), ("POST", post)) if handler}
        self._form_bytes = form_bytes
        self._together = together
        self._turnstile = turnstile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(tuple(self._handlers))
        request = Request(scope, receive)
        scope[_SHELL] = self._shell
        visit = _visit_of(request, self._shell.side)
        token = request.cookies.get(self._shell.side.cookie, "")
        if scope["method"] == "POST":
            scope[FORM] = await receive_form(
                request, self._form_bytes if token else min(FORM_BYTES, self._form_bytes), self._together
            )
        async with self._turnstile:
            if 0 < len(token) <= 200 and token.isascii():
                visit.visitor = await self._shell.side.find(token)
            if scope["method"] == "POST" and not _is_own_form(request, visit, scope[FORM]):
                response = self._foreign(request, visit, had_session=bool(token))
            else:
                response = await handler(request)
        visit.bake(response)
        await response(scope, receive, send)

    def _foreign(self, request: Request, visit: _Visit, *, had_session: bool) -> Response:
        """What a form gets that is not ours, or was ours too long ago."""
        if had_session and visit.visitor is None:
            return self._shell.sign_in_first(request)
        return self._shell.render(request, "shell/foreign.html", status=403)


def _is_own_form(request: Request, visit: _Visit, form: Form) -> bool:
    """Whether a form was made for this session by a page of ours."""
    if is_from_elsewhere(request.headers, request.headers.get("host", "")):
        return False
    token = visit.visitor.csrf if visit.visitor is not None else visit.anonymous
    return token is not None and is_masked(form.text("csrf", longest=512), token)


def _visit_of(request: Request, side: Side) -> _Visit:
    visit: _Visit | None = request.scope.get(_VISIT)
    if visit is None:
        anonymous = request.cookies.get(side.visit_cookie)
        known = anonymous if anonymous and 16 <= len(anonymous) <= 64 and anonymous.isascii() else None
        visit = request.scope[_VISIT] = _Visit(side, anonymous=known)
    return visit


_WORDS: Final = {
    400: ("This cannot be read", ""),
    403: ("This is not allowed", ""),
    404: ("There is nothing here", "The address may be incomplete, or no longer in use."),
    405: ("This cannot be done here", "Go back and use the buttons of the page."),
    409: ("This is there already", ""),
    410: ("This link has ended", ""),
    413: ("This is too large", ""),
    429: ("Too many attempts", ""),
    500: ("Something went wrong", "It has been recorded. Please try again in a moment."),
    503: ("One moment, please", "The shop cannot answer right now. This page tries again by itself."),
}
