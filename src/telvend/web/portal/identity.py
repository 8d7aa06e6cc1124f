"""`/identity`: NIN and BVN checks by hand. The consent is written down first, the result is shown once, the list is masked.

The form names its wish, which is the check's reference: sent again it costs nothing, and shows the same answer. No page that
is loaded anew has a person's record on it.
"""

import re
import secrets
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.authorities.contract import Record, VerificationKind
from telvend.errors import (
    InsufficientBalance,
    InvalidInput,
    NotFound,
    NotPermitted,
    ProductUnavailable,
    ReferenceReused,
    TooManyRequests,
)
from telvend.identity.model import (
    PAGE,
    Consent,
    Price,
    VerificationRequest,
    VerificationResult,
    VerificationState,
    is_number,
)
from telvend.identity.service import Identity
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret
from telvend.people.service import People
from telvend.resellers.service import Resellers
from telvend.web.shell import Form, Shell, Visitor, read_form, signed_in
from telvend.web.shell.formats import money_text

PAGE_SIZE: Final = 20
_LARGEST_PICTURE: Final = 150_000

CONSENT: Final = (
    "The person whose number this is has agreed to this check, and knows what it is for. I keep their consent, and show it"
    " when I am asked for it."
)
"""What is agreed to, as it is kept with the check."""

_KINDS: Final = tuple((str(kind), kind.upper()) for kind in VerificationKind)
_ENDED: Final = {
    VerificationState.NOT_ON_RECORD: "There is no such number on record. Nothing was charged.",
    VerificationState.BLOCKED: "This number is blocked. Nothing was charged.",
    VerificationState.UNAVAILABLE: "There was no answer. Nothing was charged; try again in a moment.",
}


def routes(shell: Shell, identity: Identity, resellers: Resellers, people: People) -> list[Route]:
    """The pages of identity checks."""
    pages = _Identity(shell, identity, resellers, people)
    return [shell.page("/identity", get=signed_in(pages.show), post=signed_in(pages.check), waits_outside=True)]


class _Identity:
    def __init__(self, shell: Shell, identity: Identity, resellers: Resellers, people: People) -> None:
        self._shell = shell
        self._identity = identity
        self._resellers = resellers
        self._people = people

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, Form())

    async def check(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        prices = await self._prices()
        options = {_option(price): price for price in prices}
        chosen = options.get(form.choice("check", options, "Choose a check."))
        number = form.text("number").replace(" ", "").replace("-", "")
        if not is_number(number):
            form.error("number", "Enter the 11 digits of the number.")
        if not form.ticked("consent"):
            form.error("consent", "Without the person's consent nobody may be looked up.")
        if not self._sells(visitor):
            form.error("", "Identity checks are not sold here yet.")
        reference = form.text("once") or secrets.token_hex(16)
        if form.errors or chosen is None:
            return await self._page(request, visitor, form, status=422)
        wanted = VerificationRequest(
            kind=chosen.kind,
            number=Secret(number),
            card_type=chosen.card_type,
            use_real_api=visitor.mode is Mode.LIVE,
            client_reference=reference,
        )
        try:
            self._people.require_verified(visitor)
            caller = await self._resellers.caller_of(visitor.reseller_id, PAGE, visitor.mode)
            result = await self._identity.check_by_person(caller, wanted, Consent(visitor.person.id, CONSENT))
        except InsufficientBalance as error:
            lacking = f"Your wallet holds {money_text(error.available)}; the check costs {money_text(error.required)}."
            form.error("check", lacking)
        except (InvalidInput, ProductUnavailable, TooManyRequests, NotPermitted) as error:
            form.error("check" if not isinstance(error, InvalidInput) else "number", str(error))
        except (ReferenceReused, NotFound):
            form.error("", "This form was used already. Send it once more as it stands now.")
        else:
            return await self._page(request, visitor, Form(), result=result)
        return await self._page(request, visitor, form, status=422)

    async def _prices(self) -> list[Price]:
        lists = [await self._identity.prices(kind) for kind in VerificationKind]
        return [price for prices in lists for price in prices if price.active]

    def _sells(self, visitor: Visitor) -> bool:
        """Live checks need an authority that is asked; in test mode the personas answer."""
        return visitor.mode is Mode.TEST or self._identity.asks_authority

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        form: Form,
        *,
        status: int = 200,
        result: VerificationResult | None = None,
    ) -> Response:
        asked = request.query_params
        kind = asked.get("kind") if asked.get("kind") in tuple(VerificationKind) else None
        before = _position(asked.get("before"))
        checks = await self._identity.own_listed(
            visitor.person.email, visitor.reseller_id, visitor.mode,
            kind=None if kind is None else VerificationKind(kind), before=before, limit=PAGE_SIZE + 1,
        )  # fmt: skip
        shown = checks[:PAGE_SIZE]
        suffix = f"&kind={kind}" if kind else ""
        return self._shell.render(
            request,
            "portal/identity.html",
            status=status,
            compress=result is None,
            form=form,
            sells=self._sells(visitor),
            prices=[(_option(price), _title(price), money_text(price.price)) for price in await self._prices()],
            consent=CONSENT,
            result=result,
            record=None if result is None or result.record is None else facts_of(result.record),
            photo=None if result is None or result.record is None else picture_of(result.record.photo),
            ended=_ENDED,
            checks=shown,
            kind=kind or "",
            kinds=(("", "All"), *_KINDS),
            older=f"/identity?before={shown[-1][0].id}{suffix}#checks" if len(checks) > PAGE_SIZE else None,
            newest=f"/identity{suffix.replace('&', '?')}#checks" if before else None,
            once=secrets.token_hex(16),
        )


def facts_of(record: Record) -> list[tuple[str, Any]]:
    """What is known of a person, without what is not known, and without pictures."""
    given = (
        ("First name", record.first_name),
        ("Middle name", record.middle_name),
        ("Last name", record.last_name),
        ("Date of birth", record.date_of_birth),
        ("Gender", record.gender),
        ("Mobile number", record.mobile),
        ("E-mail", record.email),
        ("Address", record.address),
        ("Town", record.town),
        ("LGA", record.lga),
        ("State", record.state),
    )
    return [(name, str(value)) for name, value in given if value]


_PICTURES: Final = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg"}
"""How the base64 of a picture begins."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


def picture_of(base64: str) -> str | None:
    """The address of a picture that stands in it; None where it is none, or too large for a page."""
    kind = next((kind for start, kind in _PICTURES.items() if base64.startswith(start)), None)
    if kind is None or len(base64) > _LARGEST_PICTURE or not _BASE64.fullmatch(base64):
        return None
    return f"data:{kind};base64,{base64}"


def _option(price: Price) -> str:
    return f"{price.kind}-{price.card_type}"


def _title(price: Price) -> str:
    return (
        price.description if price.kind.upper() in price.description else f"{price.kind.upper()}: {price.description}"
    )


def _position(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise NotFound("Check")
    return int(text)
