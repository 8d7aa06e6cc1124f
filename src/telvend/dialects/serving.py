"""Serving a dialect: from bytes to a call and back, the same way for every endpoint of every dialect.

The order of checks is the contract's: path and method, key, allowance, form; then the endpoint's own. Whatever goes
wrong on the way is rendered by the dialect's own error table, so nothing a client can provoke has another shape.
"""

import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telvend.dialects.contract import Context, Dialect, Endpoint, Header, Request, Response
from telvend.dialects.dispatch import API_HEADERS
from telvend.dialects.forms import Form
from telvend.dialects.headers import header_values
from telvend.dialects.metrics import rate_limited, request_finished
from telvend.errors import (
    BodyNotReadable,
    BodyTooLarge,
    Busy,
    InvalidInput,
    InvariantBroken,
    MediaTypeNotRead,
    MethodNotAllowed,
    NotAuthenticated,
    TelvendError,
    TooManyRequests,
    UnknownPath,
)
from telvend.kit import log
from telvend.kit.allowance import HIGHEST_LIMIT, Allowance, AllowanceKind, AllowanceVerdict
from telvend.kit.exchange import EXCHANGE, Exchange
from telvend.kit.ids import request_id_of
from telvend.kit.turnstile import Budget
from telvend.resellers.model import Caller
from telvend.services import Services

BODY_LIMIT_BYTES: Final = 64 * 1024

KEYLESS_BYTES: Final = 8 * 1024 * 1024
"""What all bodies of a dialect may take together that are read before it is known whose they are. Beyond it, Busy."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_logger = log.get("telvend.http")


class Keys(Protocol):
    """What tells whose key a text is. See keyring.py."""

    def cached(self, api: str, key_text: str) -> Caller | None: ...
    async def authenticate(self, api: str, key_text: str) -> Caller: ...


class DialectApp:
    """The ASGI application of one dialect. `keys`: by default those of the shop's resellers."""

    def __init__(self, dialect: Dialect, services: Services, limiter: Allowance, keys: Keys | None = None) -> None:
        self._edge = _Edge(dialect, services, limiter, services.resellers if keys is None else keys)
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in (*dialect.endpoints, *dialect.courtesies):
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        paths = {dialect.base_path + path: _Path(self._edge, path, endpoints) for path, endpoints in by_path.items()}
        # Most paths are plain and found in one step. Those with placeholders are tried in the order of the table, which takes
        # a tenth of the time of Starlette's router.
        self._plain: dict[str, ASGIApp] = {path: app for path, app in paths.items() if "{" not in path}
        self._patterns = [(compile_path(path)[0].fullmatch, app) for path, app in paths.items() if "{" in path]
        self._nothing = _Nothing(self._edge)

    @property
    def dialect(self) -> Dialect:
        return self._edge.dialect

    async def refuse(self, scope: Scope, send: Send, error: TelvendError) -> None:
        """Answer with `error` in the dialect's shape."""
        await self._edge.refuse(scope, send, "", error)

    # These two return the coroutine of the edge instead of awaiting it: one frame less for each step of each request.

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._plain.get(scope["path"])
        if app is None:
            scope["path_params"], app = self._find(scope["path"])
        return app(scope, receive, send)

    def _find(self, path: str) -> tuple[dict[str, str], ASGIApp]:
        for match, app in self._patterns:
            found = match(path)
            if found is not None:
                return found.groupdict(), app
        return {}, self._nothing


class _Path:
    """All methods of one path."""

    def __init__(self, edge: "_Edge", path: str, endpoints: Mapping[str, Endpoint]) -> None:
        self._edge = edge
        self._route = path
        self._endpoints = dict(endpoints)
        if "GET" in endpoints:
            self._endpoints.setdefault("HEAD", endpoints["GET"])
        self._decoders = {method: _decoder(endpoint) for method, endpoint in self._endpoints.items()}
        self._allowed = tuple(self._endpoints)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = scope["method"]
        endpoint = self._endpoints.get(method)
        parameters = scope.get("path_params")
        if parameters and "" in parameters.values():
            # A path that ends where a name should stand: `/transactions/`.
            return self._edge.refuse(scope, send, "(none)", UnknownPath(scope["path"]))
        if endpoint is None:
            return self._edge.refuse(scope, send, self._route, MethodNotAllowed(self._allowed))
        return self._edge.serve(scope, receive, send, self._route, endpoint, self._decoders[method])


def _decoder(endpoint: Endpoint) -> "msgspec.json.Decoder[Any] | _Gathered | None":
    if endpoint.form is None:
        return None
    return _Gathered() if isinstance(endpoint.form, Form) else msgspec.json.Decoder(endpoint.form)


class _Gathered:
    """Reads any object, for an endpoint that looks at its fields one by one and names all that are wrong."""

    def __init__(self) -> None:
        self._object = msgspec.json.Decoder(dict[str, Any], float_hook=_exact)
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._value = msgspec.json.Decoder(float_hook=_exact)

    def decode(self, body: bytes) -> dict[str, Any]:
        """Raises what msgspec raises."""
        try:
            return self._object.decode(body)
        except msgspec.ValidationError:
            # An integer of thousands of digits; which field it is does not show, and it may be one that nobody asked for.
            return {name: self._read(value) for name, value in self._fields.decode(body).items()}

    def _read(self, value: msgspec.Raw) -> Any:
        try:
            return self._value.decode(value)
        except msgspec.ValidationError:
            return Decimal("Infinity")


def _exact(text: str) -> Decimal:
    """A JSON number that keeps its digits: a float would lose them. One beyond all reason reads as infinite."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


class _Nothing:
    """Every path below the dialect's base that is not one of its own."""

    def __init__(self, edge: "_Edge") -> None:
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await self._edge.refuse(scope, send, "", UnknownPath(scope["path"]))


class _Edge:
    """What every request goes through."""

    def __init__(self, dialect: Dialect, services: Services, limiter: Allowance, keys: Keys) -> None:
        self.dialect = dialect
        self._services = services
        self._limiter = limiter
        self._name = dialect.name
        self._key_of = dialect.key_of
        self._second_key_of = dialect.second_key_of
        self._trace_of = dialect.trace_of
        self._public_url = services.public_url
        self._cached = keys.cached
        self._authenticate = keys.authenticate
        self._unauthenticated = log.LogLimit()
        self._refused = log.LogLimit()
        self._keyless = Budget(KEYLESS_BYTES)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        route: str,
        endpoint: Endpoint,
        decoder: "msgspec.json.Decoder[Any] | _Gathered | None",
    ) -> None:
        started = time.perf_counter()
        exchange: Exchange | None = scope.get(EXCHANGE)
        request = self._request(scope, route)
        headers = request.headers
        rate: _Rate | None = None
        key: str | None = None
        caller: Caller | None = None
        try:
            form = None
            if endpoint.key_in_form is None:
                key = self._key_of(headers)
                if not key:
                    raise NotAuthenticated
                caller = self._cached(self._name, key) or await self._authenticate(self._name, key)
                second = None if self._second_key_of is None else self._second_key_of(headers)
                if second:
                    # Where both are sent, both must be of one key.
                    key = second
                    if (await self._authenticate(self._name, second)).key_id != caller.key_id:
                        raise NotAuthenticated
            else:
                body = await read_body(receive, headers, self._keyless)
                form = self._read_form(body, headers, endpoint, decoder)
                key = endpoint.key_in_form(form, headers)
                caller = await self._authenticate(self._name, key or "")
            limit = caller.purchase_limit if endpoint.allowance is AllowanceKind.PURCHASE else caller.read_limit
            # A key may be given more than can be counted; nobody reaches that.
            verdict = await self._limiter.take(caller.key_bytes, endpoint.allowance, min(limit, HIGHEST_LIMIT))
            rate = verdict, limit
            if not verdict.allowed:
                rate_limited(self.dialect.name, endpoint.allowance.name.lower())
                raise TooManyRequests(verdict.retry_after_s, verdict.limit)
            if decoder is not None and form is None:
                whole = None if exchange is None else exchange.whole_body()
                if whole is None:
                    whole = await read_body(receive, headers)
                elif len(whole) > BODY_LIMIT_BYTES:
                    raise BodyTooLarge(BODY_LIMIT_BYTES)
                form = self._read_form(whole, headers, endpoint, decoder)
            answer = await endpoint.handler(
                Context(self._services, caller, form, scope.get("path_params", {}), request)
            )
        except TelvendError as error:
            answer = self._render(error, request, caller, key)
        except Exception as error:
            answer = self._render(_broken(error), request, caller, key, error)
        await self._send(exchange, send, answer, request, rate)
        request_finished(self._name, route, answer.status, time.perf_counter() - started)

    def _request(self, scope: Scope, route: str) -> Request:
        headers = header_values(scope["headers"])
        client = scope["client"]
        return Request(
            scope["method"],
            scope["path"],
            route,
            scope["query_string"],
            headers,
            scope["scheme"],
            client[0] if client else "",
            request_id_of(headers.get(b"x-request-id")),
            self._public_url,
            self._trace_of(headers) if self._trace_of is not None else "",
        )

    def _read_form(
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        endpoint: Endpoint,
        decoder: "msgspec.json.Decoder[Any] | _Gathered | None",
    ) -> Any:
        if self.dialect.minds_media_type:
            require_media_type(headers.get(b"content-type", b""), body)
        return _read_form(body, headers, endpoint, decoder)

    async def refuse(self, scope: Scope, send: Send, route: str, error: TelvendError) -> None:
        """Answer a request that is no endpoint's."""
        started = time.perf_counter()
        request = self._request(scope, route)
        # What is broken has been logged by whoever caught it.
        broken = isinstance(error, InvariantBroken)
        answer = self.dialect.error(error, request) if broken else self._render(error, request, None, None)
        await self._send(scope.get(EXCHANGE), send, answer, request, None)
        request_finished(self._name, route or "(none)", answer.status, time.perf_counter() - started)

    def _render(
        self,
        error: TelvendError,
        request: Request,
        caller: Caller | None,
        key: str | None,
        cause: Exception | None = None,
    ) -> Response:
        answer = self.dialect.error(error, request)
        if isinstance(error, MethodNotAllowed):
            answer.headers += ((b"allow", ", ".join(error.allowed).encode()),)
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            answer.headers += ((b"retry-after", str(retry_after_s).encode()),)
        self._log(error, answer.status, request, caller, key, cause)
        return answer

    def _log(
        self,
        error: TelvendError,
        status: int,
        request: Request,
        caller: Caller | None,
        key: str | None,
        cause: Exception | None,
    ) -> None:
        """One line, except for what is not found. What needs no key, or has no allowance left, is bounded."""
        facts: dict[str, object] = {"request_id": request.request_id.decode(), "dialect": self._name}
        if status >= 500 and isinstance(error, InvariantBroken):
            _logger.critical("request failed", **facts, exc_info=cause)
        elif isinstance(error, NotAuthenticated):
            facts |= {
                "client": request.client,
                "route": request.route,
                "hint": self._services.resellers.hint_of(key) if key else None,
            }
            # A client that forgets its key does not hide one that tries keys from the same address.
            source = f"{request.client} {key is not None}"
            self._unauthenticated.write(_logger.warning, "not_authenticated", source=source, **facts)
        elif isinstance(error, BodyNotReadable) and str(error) == _CUT_OFF:
            _logger.debug("caller has gone", **facts)
        elif status != 404:
            facts |= {"status": status, "error": type(error).__name__}
            # An outage is told where it is noticed, not once for each request that it costs.
            if caller is None or isinstance(error, TooManyRequests | Busy):
                facts["client"] = request.client
                self._refused.write(_logger.info, "request refused", source=f"{request.client} {status}", **facts)
            else:
                _logger.info("request refused", **facts)

    async def _send(
        self, exchange: Exchange | None, send: Send, answer: Response, request: Request, rate: "_Rate | None"
    ) -> None:
        body = _encode(answer.body)
        more: list[Header] = []
        if request.trace:
            more.append((self.dialect.trace_header, request.trace.encode()))
        more += answer.headers
        if exchange is not None:
            lines = _HEAD_LINES % (len(body), request.request_id)
            if rate is not None:
                lines += _RATE_LINES % _rate_values(*rate)
            if more:
                lines += _lines(more)
            if exchange.answer(answer.status, lines, body):
                return
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(body)),
                    (b"x-request-id", request.request_id),
                    *API_HEADERS,
                    *(() if rate is None else _rate_headers(*rate)),
                    *more,
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})


_Rate = tuple[AllowanceVerdict, int]
"""The verdict on a request, and the limit of its key."""


def _broken(error: Exception) -> InvariantBroken:
    return error if isinstance(error, InvariantBroken) else InvariantBroken(type(error).__name__)


def _rate_values(verdict: AllowanceVerdict, limit: int) -> tuple[int, int, int]:
    return limit, verdict.remaining + limit - verdict.limit, verdict.reset_s


def _rate_headers(verdict: AllowanceVerdict, limit: int) -> tuple[Header, ...]:
    values = _rate_values(verdict, limit)
    return tuple((name, b"%d" % value) for name, value in zip(_RATE_NAMES, values, strict=True))


_RATE_NAMES: Final = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")
_RATE_LINES: Final = b"".join(b"%b: %%d\r\n" % name for name in _RATE_NAMES)
_HEAD_LINES: Final = b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n" + b"".join(
    b"%b: %b\r\n" % header for header in API_HEADERS
)
_NO_HEADER: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header's value may hold."""


def _lines(headers: Iterable[Header]) -> bytes:
    """Return headers as they are sent. Raises InvariantBroken for a value that would begin another header."""
    lines = b""
    for name, value in headers:
        if _NO_HEADER.search(value):
            raise InvariantBroken(f"the value of the header {name.decode()} has a character that none may have")
        lines += b"%b: %b\r\n" % (name, value)
    return lines


def _read_form(
    body: bytes,
    headers: Mapping[bytes, bytes],
    endpoint: Endpoint,
    decoder: "msgspec.json.Decoder[Any] | _Gathered | None",
) -> Any:
    if decoder is None:
        return None
    if endpoint.read_other is not None:
        other = endpoint.read_other(headers.get(b"content-type", b""), body)
        if other is not None:
            return other
    if endpoint.url_encoded and not body:
        return {}
    # What curl sends with -d says that it is a form, and is JSON all the same.
    if (
        endpoint.url_encoded
        and headers.get(b"content-type", b"").startswith(_URL_ENCODED)
        and body.lstrip()[:1] != b"{"
    ):
        return decode_url_encoded(body)
    return decode(decoder, body)


_URL_ENCODED: Final = b"application/x-www-form-urlencoded"
_JSON: Final = re.compile(rb"[a-z]+/(?:[a-z0-9.-]+\+)?json")
_PLAIN: Final = b"text/plain"


def require_media_type(content_type: bytes, body: bytes) -> None:
    """Raises MediaTypeNotRead for what says that it is neither JSON nor a form. What says nothing is read.

    What a browser's `fetch` sends says `text/plain` unless it is told otherwise, and is JSON all the same.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if not kind or kind == _URL_ENCODED or _JSON.fullmatch(kind):
        return
    if kind == _PLAIN and body.lstrip()[:1] in (b"", b"{", b"["):
        return
    raise MediaTypeNotRead


MOST_FIELDS: Final = 100
"""How many fields a form may have."""
NOT_A_FORM: Final = "The request body is not a valid form."


def decode_url_encoded(body: bytes) -> dict[str, Any]:
    """The fields of a form with their texts; of a field that comes twice the last. Raises BodyNotReadable."""
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except ValueError:
        raise BodyNotReadable(NOT_A_FORM) from None


_CUT_OFF: Final = "The request body was cut off."
"""What is said to a caller who has gone: to nobody."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], budget: Budget | None = None) -> bytes:
    """The whole body. Raises BodyNotReadable when the caller went away before its end.

    Raises BodyTooLarge before reading on when it is longer than BODY_LIMIT_BYTES, and Busy where `budget` has no more.
    """
    declared = headers.get(b"content-length")
    # A number of a hundred digits is too large without being read.
    if declared is not None and declared.isdigit() and (len(declared) > 18 or int(declared) > BODY_LIMIT_BYTES):
        raise BodyTooLarge(BODY_LIMIT_BYTES)
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        pieces = [body]
        size = len(body)
        taken = 0
        try:
            while message.get("more_body", False) and size <= BODY_LIMIT_BYTES:
                if budget is not None:
                    budget.grow(taken, size)
                    taken = size
                message = await receive()
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
        finally:
            if budget is not None:
                budget.shrink(taken)
        body = b"".join(pieces)
    if message["type"] == "http.disconnect":
        # What arrived may read like a whole request and is not one: nothing may be bought with it.
        raise BodyNotReadable(_CUT_OFF)
    if len(body) > BODY_LIMIT_BYTES:
        raise BodyTooLarge(BODY_LIMIT_BYTES)
    return body


# What msgspec says: `Expected `int | null`, got `str` - at `$.amount``, `Invalid UUID - at `key` in `$.ids``.
_PLACE = re.compile(r"(?P<problem>.*) - at (?:`key` in )?`\$\.?(?P<field>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[a-z| ]+)`(?:, got `(?P<given>[a-z]+)`)?(?P<limit>.*)", re.DOTALL)
_UNREADABLE = re.compile(r"Invalid (?P<what>[A-Z][A-Za-z0-9 ]+|base64 encoded string|decimal string)")

_KINDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time of day",
    "duration": "a duration",
    "uuid": "a UUID",
    "bytes": "base64 text",
    "null": "null",
}
"""msgspec's names of types in words that a client's programmer knows."""


def decode(decoder: "msgspec.json.Decoder[Any] | _Gathered", body: bytes) -> Any:
    """Read a JSON object into the form's type. Raises BodyNotReadable, or InvalidInput naming the field."""
    try:
        body.decode()  # What the form does not name is passed over unread, and must be text all the same.
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_input(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyNotReadable("The request body is not valid JSON.") from None


def invalid_input(problem: str) -> InvalidInput:
    """What msgspec says of a value, as an error that names the field and says in plain words what it must be.

    Nothing of the value itself is repeated. A body that is no object at all is BodyNotReadable.
    """
    place = _PLACE.fullmatch(problem)
    field = place["field"] if place else ""
    text = place["problem"] if place else problem
    if missing := _MISSING.fullmatch(text):
        return InvalidInput(f"{field}.{missing['field']}" if field else missing["field"], "is required")
    if not field:
        return BodyNotReadable("The request body is not a JSON object.")
    return InvalidInput(field, _sentence(text))


def _sentence(text: str) -> str:
    if expected := _EXPECTED.fullmatch(text):
        kinds = [kind for kind in expected["wanted"].split(" | ") if kind != "null"] or ["null"]
        sentence = f"must be {' or '.join(_KINDS.get(kind, 'another kind of value') for kind in kinds)}"
        if expected["given"]:
            return f"{sentence}, not {_KINDS.get(expected['given'], 'this')}"
        return sentence + expected["limit"]
    if text.startswith(("Invalid enum value", "Invalid value")):
        return "is not one of the values that are known"
    if unreadable := _UNREADABLE.fullmatch(text):
        return f"is not a valid {unreadable['what']}"
    return "is out of range" if text == "Number out of range" else "is not a valid value"
