"""Who comes in: the one-time link of the first start, invitations of staff, signing in and out."""

from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from telvend.errors import InvalidFields, InvalidInput, NotFound, TooManyRequests
from telvend.kit.secret import Secret
from telvend.people.model import (
    AccountSuspended,
    CodeRefused,
    FromWhere,
    LinkEnded,
    Purpose,
    SecondFactorNeeded,
    SessionToken,
    SignInRefused,
    Surface,
)
from telvend.web.console.frame import Console
from telvend.web.shell import local_path, read_form, visitor_of

HOME: Final = "/console"
_TICKET: Final = "__Host-telvend-console-step"
_TICKET_S: Final = 300


def pages(console: Console) -> list[Route]:
    """The pages for those who have no session yet."""
    own = _Pages(console)
    page = console.shell.page
    return [
        page("/console/signin", get=own.ask, post=own.sign_in),
        page("/console/signin/code", get=own.ask_code, post=own.give_code),
        page("/console/signout", post=own.sign_out),
        page("/console/link/{token}", get=own.ask_owner, post=own.open_console),
        page("/console/invitation/{token}", get=own.ask_staff, post=own.accept),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._shell = console.shell
        self._people = console.desk.people

    # Signing in ---------------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        if visitor_of(request) is not None:
            return RedirectResponse(_next(request), 303)
        return self._shell.render(request, "console/signin.html", next=_next(request))

    async def sign_in(self, request: Request) -> Response:
        form = await read_form(request)
        login, password = form.text("email"), Secret(form.secret("password"))
        try:
            token = await self._people.sign_in(login, password, from_where(request), surface=Surface.CONSOLE)
        except SecondFactorNeeded as needed:
            self._shell.set_cookie(request, _TICKET, needed.ticket.reveal(), _TICKET_S)
            return RedirectResponse(_leading("/console/signin/code", _next(request)), 303)
        except (SignInRefused, AccountSuspended, TooManyRequests) as error:
            form.error("", str(error))
            return self._shell.render(
                request,
                "console/signin.html",
                status=_status(error),
                form=form,
                next=_next(request),
                headers=_after(error),
            )
        return self._begin(request, token, _next(request))

    async def ask_code(self, request: Request) -> Response:
        if _TICKET not in request.cookies:
            return RedirectResponse(_leading("/console/signin", _next(request)), 303)
        return self._shell.render(request, "console/code.html", next=_next(request))

    async def give_code(self, request: Request) -> Response:
        form = await read_form(request)
        ticket = request.cookies.get(_TICKET, "")
        try:
            token = await self._people.second_step(
                Secret(ticket), form.text("code", longest=64), from_where(request), surface=Surface.CONSOLE
            )
        except (CodeRefused, TooManyRequests) as error:
            form.error("code", str(error))
            return self._shell.render(
                request,
                "console/code.html",
                status=_status(error),
                form=form,
                next=_next(request),
                headers=_after(error),
            )
        except (LinkEnded, NotFound):
            self._shell.set_cookie(request, _TICKET, "", 0)
            return self._shell.go(
                request, _leading("/console/signin", _next(request)), "Sign in again: that took too long.", "wait"
            )
        self._shell.set_cookie(request, _TICKET, "", 0)
        return self._begin(request, token, _next(request))

    async def sign_out(self, request: Request) -> Response:
        token = request.cookies.get(self._shell.side.cookie, "")
        if token:
            await self._people.sign_out(token)
        self._shell.drop_session(request)
        return self._shell.go(request, "/console/signin", "You have signed out.")

    # Links --------------------------------------------------------------------------------------------------------------

    async def ask_owner(self, request: Request) -> Response:
        return await self._ask(request, Purpose.CONSOLE)

    async def open_console(self, request: Request) -> Response:
        return await self._use(request, Purpose.CONSOLE)

    async def ask_staff(self, request: Request) -> Response:
        return await self._ask(request, Purpose.STAFF)

    async def accept(self, request: Request) -> Response:
        return await self._use(request, Purpose.STAFF)

    async def _ask(self, request: Request, purpose: Purpose) -> Response:
        try:
            link = await self._people.link(purpose, request.path_params["token"])
        except (LinkEnded, NotFound):
            return self._ended(request)
        return self._shell.render(request, "console/link.html", link=link, first=purpose is Purpose.CONSOLE)

    async def _use(self, request: Request, purpose: Purpose) -> Response:
        form, token = await read_form(request), request.path_params["token"]
        password = Secret(form.secret("password"))
        try:
            link = await self._people.link(purpose, token)
            if purpose is Purpose.CONSOLE:
                session = await self._people.open_console(token, form.text("email"), password, from_where(request))
            else:
                session = await self._people.accept_staff(token, password, from_where(request))
        except (LinkEnded, NotFound):
            return self._ended(request)
        except InvalidInput as error:
            problems = error.problems if isinstance(error, InvalidFields) else {error.field: error.problem}
            for name, problem in problems.items():
                form.error(name, f"This {problem}." if not problem.endswith(".") else problem)
        except (SignInRefused, TooManyRequests) as error:
            form.error("password", str(error))
        else:
            return self._begin(request, session, HOME)
        return self._shell.render(
            request, "console/link.html", status=422, form=form, link=link, first=purpose is Purpose.CONSOLE
        )

    def _ended(self, request: Request) -> Response:
        return self._shell.render(request, "console/ended.html", status=410)

    def _begin(self, request: Request, token: SessionToken, path: str) -> Response:
        self._shell.keep_session(request, token.secret.reveal(), token.lasts_s)
        return RedirectResponse(path, 303)


def from_where(request: Request) -> FromWhere:
    """Where a request comes from."""
    address = "" if request.client is None else request.client.host
    return FromWhere(address, request.headers.get("user-agent", ""))


def _next(request: Request) -> str:
    """Where to go afterwards: a page of the console."""
    wanted = local_path(request.query_params.get("next", ""), HOME)
    return wanted if wanted == HOME or wanted.startswith((f"{HOME}/", f"{HOME}?")) else HOME


def _leading(path: str, after: str) -> str:
    return path if after == HOME else f"{path}?next={quote(after, safe='')}"


def _status(error: Exception) -> int:
    return 429 if isinstance(error, TooManyRequests) else 422


def _after(error: Exception) -> dict[str, str]:
    retry_after_s = getattr(error, "retry_after_s", None)
    return {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
