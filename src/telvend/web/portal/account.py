"""What a person changes about themselves: name, zone, password, second factor, purchase PIN, and where they are signed in."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.kit.secret import Secret
from telvend.people.model import CodeRefused, TooManyAttempts
from telvend.people.service import People
from telvend.web.shell import Form, Shell, Visitor, read_form, signed_in

PATH: Final = "/account"
_LARGEST: Final = 2**63 - 1


def routes(shell: Shell, people: People) -> list[BaseRoute]:
    """The account page, and what its forms do."""
    pages = _Account(shell, people)
    actions = {
        "profile": pages.save_profile,
        "password": pages.change_password,
        "totp": pages.begin_totp,
        "totp/confirm": pages.confirm_totp,
        "totp/end": pages.end_totp,
        "totp/codes": pages.new_codes,
        "pin": pages.set_pin,
        "pin/remove": pages.remove_pin,
        "pin/unlock": pages.unlock_pin,
        "sessions/revoke": pages.revoke_others,
        "sessions/{id:int}/revoke": pages.revoke,
    }
    return [
        shell.page(PATH, get=signed_in(pages.show)),
        # Nearly all of them ask for the password, whose hash takes its time. A reload of what one has answered shows the page.
        *(
            shell.page(f"{PATH}/{name}", get=signed_in(pages.show), post=signed_in(action), waits_outside=True)
            for name, action in actions.items()
        ),
    ]


class _Account:
    def __init__(self, shell: Shell, people: People) -> None:
        self._shell = shell
        self._people = people

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor)

    async def _page(
        self, request: Request, visitor: Visitor, section: str = "", form: Form | None = None, status: int = 200
    ) -> Response:
        """The page; `form` is what was sent in a section of it, with its errors."""
        left = await self._people.recovery_codes_left(visitor) if visitor.person.has_totp else 0
        return self._shell.render(
            request,
            "portal/account.html",
            status=status,
            section=section,
            form=form or Form(),
            blank=Form(),
            sessions=await self._people.sessions(visitor),
            codes_left=left,
            zones=zones(),
        )

    async def _do(
        self,
        request: Request,
        visitor: Visitor,
        section: str,
        act: Callable[[Form], Awaitable[Response]],
        fields: dict[str, str] | None = None,
    ) -> Response:
        """Do what a section asks for, or show the page with what is wrong in it."""
        form = await read_form(request)
        status = 422
        try:
            response = await act(form)
        except InvalidInput as error:
            form.take(error, fields)
        except TooManyAttempts as error:
            form.error("", str(error))
            status = 429
        else:
            return response
        return await self._page(request, visitor, section, form, status)

    def _done(self, request: Request, flash: str) -> Response:
        return self._shell.go(request, PATH, flash)

    # Profile and password -------------------------------------------------------------------------------------------------

    async def save_profile(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.change_profile(visitor, form.text("name"), form.text("phone"), form.text("zone"))
            return self._done(request, "Your details are saved.")

        return await self._do(request, visitor, "profile", act)

    async def change_password(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.change_password(
                visitor, Secret(form.secret("current")), Secret(form.secret("new_password"))
            )
            return self._done(request, "Your password is changed. Every other browser is signed out.")

        return await self._do(request, visitor, "password", act, {"password": "current"})

    # The second factor ----------------------------------------------------------------------------------------------------

    async def begin_totp(self, request: Request, visitor: Visitor) -> Response:
        try:
            factor = await self._people.begin_totp(visitor)
        except AlreadyExists:
            return self._shell.go(request, PATH, "Sign-in asks for a code already.", "wait")
        return self._secret(
            request, "portal/totp.html", qr=qr_code(factor.uri.reveal()), secret=grouped(factor.secret.reveal())
        )

    async def confirm_totp(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        try:
            codes = await self._people.confirm_totp(visitor, form.text("code"))
        except CodeRefused as error:
            form.error("code", str(error))
        except TooManyAttempts as error:
            form.error("", str(error))
        except NotFound:
            return self._shell.go(request, PATH, "Begin again: turn the second step on.", "wait")
        else:
            return self._secret(request, "portal/recovery.html", codes=[code.reveal() for code in codes])
        return self._shell.render(request, "portal/totp.html", status=422, form=form, qr=None, secret=None)

    async def end_totp(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.end_totp(visitor, Secret(form.secret("totp_password")))
            return self._done(request, "Sign-in asks for the password alone now.")

        return await self._do(request, visitor, "totp", act, {"password": "totp_password"})

    async def new_codes(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            codes = await self._people.new_recovery_codes(visitor, Secret(form.secret("totp_password")))
            return self._secret(request, "portal/recovery.html", codes=[code.reveal() for code in codes])

        return await self._do(request, visitor, "totp", act, {"password": "totp_password"})

    def _secret(self, request: Request, template: str, **context: Any) -> Response:
        """A page that shows secrets once. It is not compressed."""
        return self._shell.render(request, template, compress=False, **context)

    # The purchase PIN -----------------------------------------------------------------------------------------------------

    async def set_pin(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.set_pin(visitor, Secret(form.secret("pin_password")), Secret(form.text("pin")))
            return self._done(request, "Every purchase on these pages asks for your PIN now.")

        return await self._do(request, visitor, "pin", act, {"password": "pin_password"})

    async def remove_pin(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.remove_pin(visitor, Secret(form.secret("pin_password")))
            return self._done(request, "Purchases ask for no PIN any more.")

        return await self._do(request, visitor, "pin", act, {"password": "pin_password"})

    async def unlock_pin(self, request: Request, visitor: Visitor) -> Response:
        async def act(form: Form) -> Response:
            await self._people.unlock_pin(visitor, Secret(form.secret("pin_password")))
            return self._done(request, "Your PIN works again.")

        return await self._do(request, visitor, "pin", act, {"password": "pin_password"})

    # Sessions -------------------------------------------------------------------------------------------------------------

    async def revoke(self, request: Request, visitor: Visitor) -> Response:
        number: int = request.path_params["id"]
        if number > _LARGEST:
            raise NotFound("Session")
        await self._people.revoke(visitor, number)
        return self._done(request, "That browser is signed out.")

    async def revoke_others(self, request: Request, visitor: Visitor) -> Response:
        count = await self._people.revoke_others(visitor)
        return self._done(request, f"Signed out: {count} other browser{'s' if count != 1 else ''}.")


def qr_code(text: str) -> Markup:
    """A QR code as a picture to stand in a page. It has a light ground, on dark pages too."""
    picture = segno.make_qr(text, error="m").svg_inline(scale=4, border=4, light="#fff", svgclass="qr", lineclass=None)
    return Markup(picture)  # noqa: S704 - made of numbers


def grouped(text: str, size: int = 4) -> str:
    """A long text in groups, which is easier to type."""
    return " ".join(text[start : start + size] for start in range(0, len(text), size))


@lru_cache(maxsize=1)
def zones() -> list[tuple[str, str]]:
    """The time zones to choose from, Africa's first."""
    names = sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/", "US/"))
    )
    africa = [name for name in names if name.startswith("Africa/")]
    others = [
        name for name in names if name.startswith(("America/", "Asia/", "Europe/", "Australia/", "Pacific/", "Indian/"))
    ]
    return [(name, name.replace("_", " ").replace("/", ": ", 1)) for name in [*africa, *others]] + [("UTC", "UTC")]
