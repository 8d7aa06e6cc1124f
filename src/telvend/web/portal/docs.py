"""`/docs`: the APIs with this server's address in every example, for everybody; and trying them in test mode.

Everything is read from the documents of the dialects. The page of an API has all its endpoints; `/docs/webhooks` tells what is
sent to resellers; `/docs/{api}/try/{endpoint}` sends a request with a test key of the person's own, inside this process.
"""

import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import NotFound
from telvend.kit.mode import Mode
from telvend.resellers.model import ApiKey
from telvend.resellers.service import Resellers
from telvend.web.portal.apis import Apis, prose
from telvend.web.portal.checking import CHECKS
from telvend.web.shell import Form, Shell, Visitor, read_form, signed_in, visitor_of
from telvend.web.site import base_url_of
from telvend.webhooks.examples import FIELDS, HEADERS, SUMMARIES, example
from telvend.webhooks.model import KEPT, OLD_SECRET, RETRIES_S, TIMEOUT_S, EventType

_ANY_KEY: Final = "YOUR-KEY"
_LONGEST_BODY: Final = 20_000
_LONGEST_VALUE: Final = 500


def routes(shell: Shell, resellers: Resellers, apis: Apis, public_url: str) -> list[Route]:
    """The pages of the documentation."""
    pages = _Docs(shell, resellers, apis, public_url)
    return [
        shell.page("/docs", get=pages.overview),
        shell.page("/docs/webhooks", get=pages.webhooks),
        shell.page("/docs/{api}", get=pages.api),
        shell.page(
            "/docs/{api}/try/{endpoint}", get=signed_in(pages.ask_try), post=signed_in(pages.send), waits_outside=True
        ),
    ]


class _Docs:
    def __init__(self, shell: Shell, resellers: Resellers, apis: Apis, public_url: str) -> None:
        self._shell = shell
        self._resellers = resellers
        self._apis = apis
        self._public_url = public_url

    async def overview(self, request: Request) -> Response:
        base_url = base_url_of(request, self._public_url)
        keys = await self._keys(request)
        listed = [
            {
                "reference": self._apis.reference(name),
                "title": title,
                "about": prose(self._apis.reference(name).about),
                "snippets": self._first_snippets(name, base_url, _shown_key(keys, name)),
            }
            for name, title in self._apis.titles.items()
        ]
        return self._shell.render(request, "portal/docs.html", apis=listed, base_url=base_url)

    def _first_snippets(self, name: str, base_url: str, key: str) -> Any:
        """The request that shows best what the API is for: the first purchase, else the first of all."""
        pages = [page for page in self._apis.reference(name).pages if page.step is not None]
        page = next((page for page in pages if page.buys), pages[0])
        return self._apis.snippets(name, page, base_url, key)

    async def api(self, request: Request) -> Response:
        name = request.path_params["api"]
        reference = self._apis.reference(name)
        base_url = base_url_of(request, self._public_url)
        keys = await self._keys(request)
        key = _shown_key(keys, name)
        return self._shell.render(
            request,
            "portal/docs_api.html",
            api=name,
            reference=reference,
            short=self._apis.titles[name],
            titles=self._apis.titles,
            base_url=base_url,
            key=None if key == _ANY_KEY else key,
            prose=prose,
            words=_status_words,
            snippets_of=lambda page: self._apis.snippets(name, page, base_url, key),
        )

    async def webhooks(self, request: Request) -> Response:
        events = [
            {
                "type": str(kind),
                "about": SUMMARIES[kind],
                "fields": [(name, prose(field.about), field.or_null) for name, field in FIELDS[kind].items()],
                "example": json.dumps(example(kind), indent=2, ensure_ascii=False, default=str),
            }
            for kind in EventType
        ]
        return self._shell.render(
            request,
            "portal/docs_webhooks.html",
            events=events,
            signed_headers=[(name, prose(about)) for name, about in HEADERS.items()],
            checks=CHECKS,
            titles=self._apis.titles,
            retries=[_duration(seconds) for seconds in RETRIES_S],
            timeout_s=int(TIMEOUT_S),
            kept_days=KEPT.days,
            old_secret_hours=int(OLD_SECRET.total_seconds() // 3600),
        )

    # Try it ---------------------------------------------------------------------------------------------------------------

    async def ask_try(self, request: Request, visitor: Visitor) -> Response:
        name, page = self._tryable(request)
        given, body = self._apis.example(name, page, base_url_of(request, self._public_url))
        fresh = _with_own_reference(body)
        return await self._try_page(request, visitor, name, page, Form({**_named(given), "body": [fresh]}))

    async def send(self, request: Request, visitor: Visitor) -> Response:
        name, page = self._tryable(request)
        form = await read_form(request)
        keys = await self._test_keys(visitor, name)
        key_id = form.choice("key", [str(key.id) for key in keys], "Choose one of your test keys.")
        given = {
            (field.where, field.name): form.text(_input_name(field.where, field.name), longest=_LONGEST_VALUE)
            for field in page.fields
            if field.where != "body"
        }
        for (where, field), value in given.items():
            if where == "path" and not value:
                form.error(_input_name(where, field), f"Enter the {field}: it is part of the address.")
            if where == "header" and not value.isascii():
                form.error(_input_name(where, field), "A header has letters of ASCII only.")
        body = form.lines("body", longest=_LONGEST_BODY)
        if form.errors:
            return await self._try_page(request, visitor, name, page, form, status=422)
        caller = await self._resellers.caller_of_own_key(visitor.reseller_id, key_id)
        if caller.mode is not Mode.TEST:
            raise NotFound("Key")
        path, query, headers = _request_of(page.path, given)
        if body.strip():
            headers["Content-Type"] = "application/json"
        base_url = base_url_of(request, self._public_url)
        answer = await self._apis.call(
            name, caller, page.method, path, query=query, headers=headers, body=body.encode(), base_url=base_url
        )
        sent = {
            "line": f"{page.method} {quote(path)}{'?' + query if query else ''}",
            "headers": [*headers.items()],
            "body": body,
        }
        return await self._try_page(request, visitor, name, page, form, answer=answer, sent=sent)

    def _tryable(self, request: Request) -> tuple[str, Any]:
        name = request.path_params["api"]
        page = self._apis.page(name, request.path_params["endpoint"])
        if not page.tryable:
            raise NotFound("Endpoint")
        return name, page

    async def _try_page(
        self, request: Request, visitor: Visitor, name: str, page: Any, form: Form, *, status: int = 200, **more: Any
    ) -> Response:
        context = {"answer": None, "sent": None} | more
        if context["answer"] is not None:
            context["answer_body"] = _indented(context["answer"].body)
            context["answer_words"] = _status_words(context["answer"].status)
        keys = await self._test_keys(visitor, name)
        return self._shell.render(
            request,
            "portal/docs_try.html",
            status=status,
            api=name,
            page=page,
            short=self._apis.titles[name],
            form=form,
            keys=[(str(key.id), key.hint) for key in keys],
            inputs=[(field, _input_name(field.where, field.name)) for field in page.fields if field.where != "body"],
            has_body=any(field.where == "body" for field in page.fields),
            **context,
        )

    async def _test_keys(self, visitor: Visitor, name: str) -> list[ApiKey]:
        keys = await self._resellers.own_keys(visitor.reseller_id)
        return [key for key in keys if key.api == name and key.mode is Mode.TEST and key.revoked_at is None]

    async def _keys(self, request: Request) -> dict[str, str]:
        """The hint of a key for each API of who looks at the page, of their present mode where there is one."""
        visitor = visitor_of(request)
        if visitor is None:
            return {}
        keys = [key for key in await self._resellers.own_keys(visitor.reseller_id) if key.revoked_at is None]
        keys.sort(key=lambda key: key.mode is visitor.mode)
        return {key.api: key.hint for key in keys}


def _shown_key(hints: Mapping[str, str], name: str) -> str:
    return hints.get(name, _ANY_KEY)


def _input_name(where: str, name: str) -> str:
    """What a parameter is called in a form: `query-network`."""
    return f"{where}-{name}"


def _named(given: Mapping[str, str]) -> dict[str, list[str]]:
    return {name.replace(".", "-", 1): [value] for name, value in given.items()}


def _request_of(pattern: str, given: Mapping[tuple[str, str], str]) -> tuple[str, str, dict[str, str]]:
    """Path, query and headers with these parameters in their places; empty ones are not sent."""
    path = pattern
    for (where, name), value in given.items():
        if where == "path":
            path = path.replace(f"{{{name}}}", value)
    query = urlencode([(name, value) for (where, name), value in given.items() if where == "query" and value])
    headers = {name: value for (where, name), value in given.items() if where == "header" and value}
    return path, query, headers


def _with_own_reference(body: str) -> str:
    """The example of a body under a reference of its own: the printed one may be used up."""
    try:
        fields = json.loads(body)
    except ValueError:
        return body
    if not isinstance(fields, dict) or "reference" not in fields:
        return body
    return json.dumps(fields | {"reference": f"try-{secrets.token_hex(4)}"}, indent=2, ensure_ascii=False)


def _indented(text: str) -> str:
    """JSON as people read it, its numbers as they are; any other text as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def _status_words(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"
