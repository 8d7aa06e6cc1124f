"""Into the portal and out of it: sign up, sign in with a second step, sign out, lost passwords, links of e-mails.

Sign-in and reset say the same of an address that nobody has. Links change nothing when they are opened, since the readers of
e-mails open them too: a button does.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.errors import InvalidInput
from telvend.kit.secret import Secret
from telvend.people.model import (
    AccountSuspended,
    CodeRefused,
    EmailTaken,
    FromWhere,
    LinkEnded,
    Purpose,
    SecondFactorNeeded,
    SessionToken,
    SignInRefused,
    SignUp,
    SignUpRefused,
    TooManyAttempts,
)
from telvend.people.service import People
from telvend.web.shell import Form, Shell, Visitor, local_path, read_form, signed_in, visitor_of

TICKET_COOKIE: Final = "__Host-telvend-ticket"
_TICKET_LASTS_S: Final = 300
_SENT: Final = "If somebody signs in with this address, a link is on its way to it. It works for one hour."


def routes(shell: Shell, people: People) -> list[BaseRoute]:
    """The pages by which one gets in and out."""
    pages = _Access(shell, people)
    # Passwords are hashed while nobody holds a connection to the database.
    return [
        shell.page("/signup", get=pages.show_sign_up, post=pages.sign_up, waits_outside=True),
        shell.page("/signin", get=pages.show_sign_in, post=pages.sign_in, waits_outside=True),
        shell.page("/signin/code", get=pages.show_code, post=pages.second_step, waits_outside=True),
        shell.page("/signout", post=pages.sign_out),
        shell.page("/forgot", get=pages.show_forgot, post=pages.ask_reset),
        shell.page("/reset/{token}", get=pages.show_reset, post=pages.reset, waits_outside=True),
        shell.page("/verify/{token}", get=pages.show_verify, post=pages.verify),
        shell.page("/verify", post=signed_in(pages.ask_verification)),
        shell.page("/invitation/{token}", get=pages.show_invitation, post=pages.accept, waits_outside=True),
    ]


def from_where(request: Request) -> FromWhere:
    """Where a request comes from."""
    return FromWhere(request.client.host if request.client else "", request.headers.get("user-agent", ""))


class _Access:
    def __init__(self, shell: Shell, people: People) -> None:
        self._shell = shell
        self._people = people

    # Sign up --------------------------------------------------------------------------------------------------------------

    async def show_sign_up(self, request: Request) -> Response:
        if visitor_of(request) is not None:
            return self._shell.go(request, self._shell.side.home)
        return self._sign_up_page(request, Form())

    def _sign_up_page(self, request: Request, form: Form, status: int = 200) -> Response:
        opened = self._people.policy.sign_up is SignUp.OPEN
        return self._shell.render(
            request, "portal/signup.html", status=status, form=form, opened=opened, next=_next(request, form)
        )

    async def sign_up(self, request: Request) -> Response:
        form = await read_form(request)
        name, email, phone = form.text("name"), form.text("email"), form.text("phone")
        password = form.secret("password")
        if form.errors:
            return self._sign_up_page(request, form, 422)
        try:
            token = await self._people.sign_up(name, email, phone, Secret(password), from_where(request))
        except InvalidInput as error:
            form.take(error)
        except EmailTaken as error:
            form.error("email", str(error))
        except SignUpRefused as error:
            form.error("", str(error))
            return self._sign_up_page(request, form, 403)
        except TooManyAttempts as error:
            form.error("", str(error))
            return _later(self._sign_up_page(request, form, 429), error)
        else:
            return self._enter(request, token, form, "Welcome. Your account is ready.")
        return self._sign_up_page(request, form, 422)

    # Sign in --------------------------------------------------------------------------------------------------------------

    async def show_sign_in(self, request: Request) -> Response:
        if visitor_of(request) is not None:
            return self._shell.go(request, _next(request, Form()) or self._shell.side.home)
        return self._sign_in_page(request, Form())

    def _sign_in_page(self, request: Request, form: Form, status: int = 200) -> Response:
        return self._shell.render(request, "portal/signin.html", status=status, form=form, next=_next(request, form))

    async def sign_in(self, request: Request) -> Response:
        form = await read_form(request)
        login, password = form.text("email"), form.secret("password")
        if not login:
            form.error("email", "Enter your e-mail address or phone number.")
        if not password:
            form.error("password", "Enter your password.")
        if form.errors:
            return self._sign_in_page(request, form, 422)
        try:
            token = await self._people.sign_in(login, Secret(password), from_where(request))
        except SecondFactorNeeded as needed:
            self._shell.set_cookie(request, TICKET_COOKIE, needed.ticket.reveal(), _TICKET_LASTS_S)
            return self._shell.go(request, _with_next("/signin/code", _next(request, form)))
        except SignInRefused as error:
            form.error("email", str(error))
            return self._sign_in_page(request, form, 422)
        except AccountSuspended as error:
            form.error("", str(error))
            return self._sign_in_page(request, form, 403)
        except TooManyAttempts as error:
            form.error("", str(error))
            return _later(self._sign_in_page(request, form, 429), error)
        return self._enter(request, token, form)

    async def show_code(self, request: Request) -> Response:
        if not request.cookies.get(TICKET_COOKIE):
            return self._shell.go(request, _with_next("/signin", _next(request, Form())))
        return self._shell.render(request, "portal/code.html", next=_next(request, Form()))

    async def second_step(self, request: Request) -> Response:
        form = await read_form(request)
        code, ticket = form.text("code"), request.cookies.get(TICKET_COOKIE, "")
        if not code:
            form.error("code", "Enter the code.")
        status = 422
        if not form.errors:
            try:
                token = await self._people.second_step(Secret(ticket), code, from_where(request))
            except CodeRefused as error:
                form.error("code", str(error))
            except LinkEnded:
                self._shell.set_cookie(request, TICKET_COOKIE, "", 0)
                flash = "That took too long. Sign in again."
                return self._shell.go(request, _with_next("/signin", _next(request, form)), flash, "wait")
            except TooManyAttempts as error:
                form.error("", str(error))
                status = 429
            else:
                self._shell.set_cookie(request, TICKET_COOKIE, "", 0)
                return self._enter(request, token, form)
        return self._shell.render(request, "portal/code.html", status=status, form=form, next=_next(request, form))

    async def sign_out(self, request: Request) -> Response:
        token = request.cookies.get(self._shell.side.cookie, "")
        if token:
            await self._people.sign_out(token)
        self._shell.drop_session(request)
        return self._shell.go(request, "/signin", "You have signed out.")

    def _enter(self, request: Request, token: SessionToken, form: Form, flash: str | None = None) -> Response:
        self._shell.keep_session(request, token.secret.reveal(), token.lasts_s)
        return self._shell.go(request, _next(request, form) or self._shell.side.home, flash)

    # A lost password ------------------------------------------------------------------------------------------------------

    async def show_forgot(self, request: Request) -> Response:
        return self._shell.render(request, "portal/forgot.html", sent=None)

    async def ask_reset(self, request: Request) -> Response:
        form = await read_form(request)
        email = form.text("email")
        try:
            if not form.errors:
                await self._people.ask_reset(email, from_where(request))
        except InvalidInput as error:
            form.take(error)
        except TooManyAttempts as error:
            form.error("", str(error))
            return self._shell.render(request, "portal/forgot.html", status=429, form=form, sent=None)
        if form.errors:
            return self._shell.render(request, "portal/forgot.html", status=422, form=form, sent=None)
        return self._shell.go(request, "/signin", _SENT)

    async def show_reset(self, request: Request) -> Response:
        return await self._link(request, Purpose.RESET, "portal/reset.html")

    async def reset(self, request: Request) -> Response:
        form = await read_form(request)
        password = form.secret("password")

        async def use(token: str) -> Response:
            await self._people.reset(token, Secret(password), from_where(request))
            return self._shell.go(request, "/signin", "Your password is changed. Sign in with the new one.")

        return await self._use(request, Purpose.RESET, "portal/reset.html", form, use)

    # Links of e-mails -----------------------------------------------------------------------------------------------------

    async def show_verify(self, request: Request) -> Response:
        return await self._link(request, Purpose.VERIFY, "portal/verify.html")

    async def verify(self, request: Request) -> Response:
        form = await read_form(request)

        async def use(token: str) -> Response:
            await self._people.confirm_email(token)
            whereto = self._shell.side.home if visitor_of(request) is not None else "/signin"
            return self._shell.go(request, whereto, "Your e-mail address is confirmed.")

        return await self._use(request, Purpose.VERIFY, "portal/verify.html", form, use)

    async def ask_verification(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        whereto = local_path(form.text("next", longest=1024), self._shell.side.home)
        try:
            await self._people.ask_verification(visitor)
        except TooManyAttempts as error:
            return self._shell.go(request, whereto, str(error), "wait")
        return self._shell.go(request, whereto, f"A link is on its way to {visitor.person.email}.")

    async def show_invitation(self, request: Request) -> Response:
        return await self._link(request, Purpose.INVITE, "portal/invitation.html")

    async def accept(self, request: Request) -> Response:
        form = await read_form(request)
        name, phone, password = form.text("name"), form.text("phone"), form.secret("password")

        async def use(token: str) -> Response:
            session = await self._people.accept_invitation(
                token, Secret(password), from_where(request), name=name or None, phone=phone or None
            )
            return self._enter(request, session, Form(), "Welcome. Your account is ready.")

        return await self._use(request, Purpose.INVITE, "portal/invitation.html", form, use)

    async def _link(
        self, request: Request, purpose: Purpose, template: str, form: Form | None = None, status: int = 200
    ) -> Response:
        """The page of a link, where it may still be used. Raises NotFound."""
        try:
            link = await self._people.link(purpose, request.path_params["token"])
        except LinkEnded as error:
            return self._shell.render(request, "portal/ended.html", status=410, text=str(error), purpose=purpose)
        return self._shell.render(request, template, status=status, link=link, form=form or Form())

    async def _use(
        self, request: Request, purpose: Purpose, template: str, form: Form, use: Callable[[str], Awaitable[Response]]
    ) -> Response:
        """Use a link, and show its page again with what is wrong. Raises NotFound."""
        status = 422
        if not form.errors:
            try:
                return await use(request.path_params["token"])
            except LinkEnded as error:
                return self._shell.render(request, "portal/ended.html", status=410, text=str(error), purpose=purpose)
            except InvalidInput as error:
                form.take(error)
            except (SignUpRefused, TooManyAttempts) as error:
                form.error("", str(error))
                status = 403 if isinstance(error, SignUpRefused) else 429
        return await self._link(request, purpose, template, form, status)


def _next(request: Request, form: Form) -> str:
    """Where to go after signing in; "" for home."""
    return local_path(form.typed("next") or request.query_params.get("next"), "")


def _with_next(path: str, whereto: str) -> str:
    return f"{path}?next={quote(whereto, safe='')}" if whereto else path


def _later(response: Response, error: TooManyAttempts) -> Response:
    response.headers["retry-after"] = str(error.retry_after_s)
    return response
