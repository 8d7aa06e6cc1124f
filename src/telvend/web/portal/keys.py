"""`/keys`: making a key, which is shown once; its limits, revoking it, and when it was used last.

The key is on the page that answers the POST, which nobody keeps. The form names the wish, so that sending it again makes no
second key.
"""

import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.people.service import People
from telvend.resellers.model import ApiKey, NewKey
from telvend.resellers.service import OWN_PURCHASE_LIMIT, OWN_READ_LIMIT, PURCHASE_LIMIT, READ_LIMIT, Resellers
from telvend.web.portal.acting import key_act
from telvend.web.portal.apis import Apis, sentence_of
from telvend.web.shell import Form, Shell, Visitor, read_form, signed_in
from telvend.web.site import base_url_of

MODES: Final = ((str(Mode.LIVE), "Live"), (str(Mode.TEST), "Test"))
REVOKED_SHOWN: Final = 20
"""So many revoked keys are listed, the newest."""

_LONGEST_NUMBER: Final = 9
_MOST: Final = (OWN_READ_LIMIT, OWN_PURCHASE_LIMIT)


def routes(shell: Shell, resellers: Resellers, people: People, apis: Apis, public_url: str) -> list[Route]:
    """The pages of keys."""
    pages = _Keys(shell, resellers, people, apis, public_url)
    return [
        shell.page("/keys", get=signed_in(pages.show), post=signed_in(pages.make)),
        shell.page("/keys/{key}/limits", get=signed_in(pages.ask_limits), post=signed_in(pages.change_limits)),
        shell.page("/keys/{key}/revoke", get=signed_in(pages.ask_revoke), post=signed_in(pages.revoke)),
    ]


class _Keys:
    def __init__(self, shell: Shell, resellers: Resellers, people: People, apis: Apis, public_url: str) -> None:
        self._shell = shell
        self._resellers = resellers
        self._people = people
        self._apis = apis
        self._public_url = public_url

    async def show(self, request: Request, visitor: Visitor) -> Response:
        api, mode = request.query_params.get("api"), request.query_params.get("mode", str(visitor.mode))
        form = Form(api=api if api in self._apis.names else None, mode=mode if mode in tuple(Mode) else None)
        return await self._page(request, visitor, form)

    async def make(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        api = form.choice("api", self._apis.names, "Choose an API.")
        mode = form.choice("mode", tuple(Mode), "Choose live or test.")
        reads = _number(form, "read_limit", READ_LIMIT)
        purchases = _number(form, "purchase_limit", PURCHASE_LIMIT)
        once = form.text("once") or secrets.token_hex(8)
        if form.errors:
            return await self._page(request, visitor, form, 422)
        try:
            made = await self._resellers.add_own_key(
                visitor.reseller_id, api, Mode(mode), reads, purchases, once=once,
                also=key_act(self._people, request, visitor, "key.made"),
            )  # fmt: skip
        except InvalidInput as error:
            form.error(error.field, sentence_of(error))
            return await self._page(request, visitor, form, 422)
        if made is None:
            flash = "This key was made already, and a key is shown once. Make another one if you do not have it."
            return self._shell.go(request, "/keys", flash, "wait")
        return await self._page(request, visitor, Form(api=api, mode=mode), made=made)

    async def ask_limits(self, request: Request, visitor: Visitor) -> Response:
        return self._limits(request, await self._own(request, visitor), Form())

    async def change_limits(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        key = await self._own(request, visitor)
        reads = _number(form, "read_limit", key.read_limit)
        purchases = _number(form, "purchase_limit", key.purchase_limit)
        if not form.errors:
            try:
                await self._resellers.change_limits(
                    key.id,
                    read_limit=reads,
                    purchase_limit=purchases,
                    owner=visitor.reseller_id,
                    also=key_act(self._people, request, visitor, "key.limits"),
                )
                return self._shell.go(request, "/keys", f"The limits of {key.hint} have changed.")
            except InvalidInput as error:
                form.error(error.field, sentence_of(error))
        return self._limits(request, key, form, 422)

    async def ask_revoke(self, request: Request, visitor: Visitor) -> Response:
        key = await self._own(request, visitor)
        return self._shell.render(request, "portal/key_revoke.html", key=key, title_of=self._apis.titles)

    async def revoke(self, request: Request, visitor: Visitor) -> Response:
        key = await self._resellers.revoke_key(
            request.path_params["key"],
            owner=visitor.reseller_id,
            also=key_act(self._people, request, visitor, "key.revoked"),
        )
        return self._shell.go(request, "/keys", f"The key {key.hint} no longer works.")

    async def _own(self, request: Request, visitor: Visitor) -> ApiKey:
        return await self._resellers.own_key(visitor.reseller_id, request.path_params["key"])

    def _limits(self, request: Request, key: ApiKey, form: Form, status: int = 200) -> Response:
        most = tuple(map(max, _MOST, (key.read_limit, key.purchase_limit)))
        return self._shell.render(
            request, "portal/key_limits.html", status=status, key=key, form=form, title_of=self._apis.titles, most=most
        )

    async def _page(
        self, request: Request, visitor: Visitor, form: Form, status: int = 200, *, made: NewKey | None = None
    ) -> Response:
        keys = await self._resellers.own_keys(visitor.reseller_id)
        revoked = [key for key in keys if key.revoked_at is not None]
        base_url = base_url_of(request, self._public_url)
        first_call = ""
        if made is not None:
            first_call = self._apis.first_call(made.key.api, base_url, made.text.reveal())
        return self._shell.render(
            request,
            "portal/keys.html",
            status=status,
            compress=made is None,
            form=form,
            made=made,
            first_call=first_call,
            working=[key for key in keys if key.revoked_at is None],
            revoked=revoked[:REVOKED_SHOWN],
            all_revoked=len(revoked),
            apis=list(self._apis.titles.items()),
            title_of=self._apis.titles,
            modes=MODES,
            usual=(READ_LIMIT, PURCHASE_LIMIT),
            most=_MOST,
            once=secrets.token_hex(16),
        )


def _number(form: Form, name: str, otherwise: int) -> int:
    """The whole number in a field; `otherwise` of an empty one, and of what is none, which is an error of the field."""
    text = form.text(name, longest=_LONGEST_NUMBER)
    if text.isascii() and text.isdigit():
        return int(text)
    if text:
        form.error(name, "Enter a whole number.")
    return otherwise
