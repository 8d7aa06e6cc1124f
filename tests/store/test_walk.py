"""Every route of everything that is served, every field of each, with what no table can store and no person would send.

The routes are those of the applications themselves: a new endpoint or page is walked without anybody adding it here. A
dialect's requests are those of its story, with one field at a time replaced. Never a 5xx, a traceback, another shape than
the dialect's, or a row left behind by what was refused.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlencode

import msgspec
import pytest
from structlog.testing import capture_logs

from telvend.bootstrap import APIS, applications, work
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.dialects.contract import Endpoint
from telvend.dialects.dispatch import Dispatch
from telvend.dialects.examples import filled
from telvend.dialects.forms import Form
from telvend.dialects.serving import DialectApp
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.upkeep.preparation import prepare_database
from telvend.web.site import Site
from tests.store.subscribers import subscriber
from tests.unit.asgi import Reply, request

PLENTY = 1_000_000_000

# As they stand in a path or a query: percent-encoded.
TEXTS = [
    "%00", "a%00b", "%ff", "%c3%28", "%ed%a0%80", "%f8%88%80%80%80", "%0d%0aSet-Cookie:%20a=b", "%1b[2J", "%e2%80%ae", "%ef%bf%bd",
    "%", "%zz", "+", "%20", "%2e%2e%2f", "%25%30%30", "'%3b--", "%d9%a3", "-1", "0", "1e5", "NaN", "9" * 18, "9" * 19, "9" * 30,
    "9" * 5000, "-" + "9" * 30, "0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "x" * 1025, "x" * 60_000, "%f0%9f%98%80" * 50,
    "NPAPI-9223372036854775808-aaaaaa", "AIR-999999999999999999-aaaaaa", "FUND-1-aaaaaa%00",
]  # fmt: skip
# As they stand in JSON.
VALUES = [
    rb'"\u0000"', rb'"a\u0000b"', rb'"\ud800"', rb'"\udc00\ud800"', b'"\xff"', b'"\xc3("', b'"\xed\xa0\x80"', rb'"\u202e"', rb'"\u001b[2J"',
    rb'"\r\nx: y"', b'"' + b"x" * 300 + b'"', b'"' + b"x" * 60_000 + b'"', b'"' + b"x" * 70_000 + b'"', b'""', b'" "', b"null", b"true",
    b"-1", b"0", b"1.5", b"9" * 19, b"9" * 30, b"9" * 5000, b"-" + b"9" * 30, b"1e999", b"1e-999999999", b"1e400", b"-0.0", b"NaN",
    b"Infinity", b"[]", b"{}", b"[" * 500 + b"]" * 500, b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'["a", "b"]', b'{"type":"CURRENCY","value":"1e5","unit":"NGN"}', '"٣"'.encode(), b'"0001-01-01"', b'"9999-12-31"',
]  # fmt: skip
HEADERS = [b"", b" ", b"\xff", b"\xc3(", b"\xed\xa0\x80", b"x" * 60_000, b"a, b", b"\x1b[2J", b"9" * 30, b"a\tb"]
BODIES = [
    b"", b"\x00", b"\xff\xfe", b"{", b"null", b"[]", b'"x"', b"1", b"\xef\xbb\xbf{}", b"{}{}", b'{"a":1,"a":2}', b"[" * 60_000,
    b"a=%00&b=%ff&a=1", b"&" * 1000, b"=", b"a=" + b"%c3%28" * 50,
    b'--x\r\ncontent-disposition: form-data; name="network"\r\n\r\nMTN\r\n--x--\r\n',
]  # fmt: skip
CONTENT_TYPES = [
    b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"text/plain", b"application/xml",
    b"application/json; charset=utf-16", b"\xff", b";", b"a/b/c", b"application/x-www-form-urlencoded; charset=\xff",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"]
SHAPES = {
    "netpluse": {"error"},
    "networkdatasub": {"success", "message"},
    "madapi": {"statusCode", "statusMessage", "transactionId"},
}


@dataclass
class Walker:
    """A whole shop that is called without a server, and what has been said by it."""

    app: Dispatch
    database: Database
    keys: Mapping[str, dict[str, str]]
    variables: Mapping[str, str]
    lines: list[Any]
    sent: int = 0

    async def send(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, shape: str = ""
    ) -> Reply:
        """One request; its answer has been looked at."""
        path, _, query = target.partition("?")
        # Most pages here wait for nothing, and the watch must have its turn to know that the database answers.
        await asyncio.sleep(0)
        reply = await request(self.app, method, unquote(path), headers=headers, body=body, query=query.encode("ascii"))
        self.sent += 1
        what = f"{method} {target[:200]} {headers} {body[:200]!r} -> {reply.status} {reply.body[:300]!r}"
        assert 200 <= reply.status < 500, what
        bad = [line for line in self.lines if line["log_level"] in ("critical", "error") or line.get("exc_info")]
        assert not bad, (what, bad)
        self.lines.clear()
        assert reply.header("x-content-type-options") == "nosniff", what
        assert reply.header("cache-control"), what
        # The server ends a connection on any other header.
        assert all(value.isprintable() for _, value in reply.headers), what
        if shape and method != "HEAD":
            assert reply.header("cache-control") == "no-store", what
            assert reply.status < 400 or reply.json.keys() >= SHAPES[shape], what
        return reply

    async def rows(self) -> dict[str, int]:
        """How many there are in each table."""
        async with self.database.connection() as tx:
            names = [
                row["name"]
                for row in await tx.fetch(
                    "select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables"
                    # Figures of days are counted beside the requests.
                    " where schemaname not in ('pg_catalog', 'information_schema', 'kept')"
                    " and tablename not like 'report\\_day\\_%' order by 1"
                )
            ]
            counted = " union all ".join(f"select '{name}' as name, count(*) as rows from {name}" for name in names)
            return {row["name"]: row["rows"] for row in await tx.fetch(counted)}

    async def refused_without_trace(self, replies: list[Reply], before: Mapping[str, int]) -> None:
        """Where all of these were refused, nothing has been written."""
        if all(reply.status >= 400 for reply in replies):
            assert await self.rows() == before


@pytest.fixture
async def walker(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Walker]:
    settings = Settings(data_dir=str(tmp_path), delivery_wait_s=0, madapi_home_country="NG")
    await prepare_database(database, lambda _: None)
    for msisdn in ("+2348031234567", "+2348031234568"):
        await subscriber(database, msisdn, currency="NGN")
    with capture_logs() as lines:
        async with work(settings, database_url, fulfilment=False) as shop, Lifecycle() as life:
            app, _ = applications(life, shop, tmp_path / "run")
            await shop.watch.look()
            people = shop.services.resellers
            ada = await people.add("ada@example.com", "Ada", "08031234567")
            keys: dict[str, dict[str, str]] = {}
            variables: dict[str, str] = {}
            for api in (keys.api for keys in APIS):
                _, key, secret = await people.add_key(ada.email, api, Mode.LIVE, PLENTY, PLENTY)
                value = f"Token {key.reveal()}" if api == "networkdatasub" else key.reveal()
                keys[api] = {"authorization" if api == "networkdatasub" else "x-api-key": value}
                if secret is not None:
                    variables |= {"key": key.reveal(), "secret": secret.reveal()}
            for currency in (GHS, NGN):
                await shop.services.credits.add(ada.id, Money(PLENTY, currency), Mode.LIVE, "opening")
            yield Walker(app, database, keys, variables, lines)


@dataclass(frozen=True)
class Base:
    """A request that works, of which one part at a time is replaced."""

    endpoint: Endpoint
    base_path: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: dict[str, Any] | None

    def target(self, path: Mapping[str, str] | None = None, query: str | None = None) -> str:
        text = self.base_path + self.endpoint.path.replace(":path}", "}")
        for name, value in {
            **{name: quote(value, safe="") for name, value in self.path.items()},
            **(path or {}),
        }.items():
            text = text.replace(f"{{{name}}}", value)
        found = urlencode(self.query) if query is None else query
        return text + (f"?{found}" if found else "")

    def body_with(self, place: tuple[str, ...], value: bytes) -> bytes:
        """The body with what stands at a place replaced by these bytes of JSON."""
        marker = "d41d8cd98f00b204"
        made = json.loads(json.dumps(self.body))
        inner = made
        for name in place[:-1]:
            inner[name] = inner.get(name) if isinstance(inner.get(name), dict) else {}
            inner = inner[name]
        inner[place[-1]] = marker
        return json.dumps(made).encode().replace(f'"{marker}"'.encode(), value)


_numbers = itertools.count(1)


def bases(app: DialectApp, variables: Mapping[str, str]) -> Iterator[Callable[[], Base]]:
    """For each endpoint what makes its request, under references of its own each time."""
    dialect = app.dialect
    steps: dict[str, Any] = {}
    for step in dialect.story:
        if step.status < 300:
            steps.setdefault(step.endpoint, step)
    for endpoint in dialect.endpoints:
        step = steps[f"{endpoint.method} {endpoint.path.replace(':path', '')}"]

        def make(endpoint: Endpoint = endpoint, step: Any = step) -> Base:
            fresh = {name: f"WALK-{next(_numbers):06d}" for name in step.makes}
            known = [type(v)(v.name, (variables | fresh).get(v.name, v.example), v.about) for v in dialect.variables]
            if "key" in variables:
                known.append(type(known[0])("key", variables["key"], ""))
            # A quote would have to be asked for first; without one the same request works.
            kept = {name: value for name, value in (step.body or {}).items() if name != "quoteId"}
            body = None if step.body is None else filled(kept, known)
            parts = (filled(part, known) for part in (step.path, step.query, step.headers))
            return Base(endpoint, dialect.base_path, *parts, body)  # type: ignore[arg-type]

        yield make


def places(form: type[Any] | Form[Any]) -> Iterator[tuple[str, ...]]:
    """Every field of a form, and those inside of it."""
    if isinstance(form, Form):
        yield from places_of(form.schema(), form.components)
    else:
        yield from ((field.encode_name,) for field in msgspec.structs.fields(form))


def places_of(schema: dict[str, Any], components: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, own in schema["properties"].items():
        yield (name,)
        if "$ref" in own:
            inner = components[own["$ref"].rpartition("/")[2]]
            yield from ((name, *more) for more in places_of(inner, components))


def dialects(walker: Walker) -> dict[str, DialectApp]:
    found = [app for app in walker.app.served.values() if isinstance(app, DialectApp)]
    return {app.dialect.name: app for app in found}


def sites(walker: Walker) -> dict[str, Site]:
    return {base: app for base, app in walker.app.served.items() if isinstance(app, Site)}


async def test_everything_that_is_served_is_walked(walker: Walker) -> None:
    assert set(dialects(walker)) == set(SHAPES) == {keys.api for keys in APIS}
    assert len(sites(walker)) + len({id(app) for app in dialects(walker).values()}) == len(
        {id(app) for app in walker.app.served.values()}
    )
    assert all(site.routes for site in sites(walker).values())


@pytest.mark.parametrize("name", sorted(SHAPES))
async def test_every_field_of_every_endpoint_with_what_nobody_sends(walker: Walker, name: str) -> None:
    for make in bases(dialects(walker)[name], walker.variables):
        await walk(walker, name, make)
    print(f"{walker.sent} requests")


async def walk(walker: Walker, name: str, make: Callable[[], Base]) -> None:
    """One endpoint: path, query, headers, body, in turn."""
    mine = walker.keys[name]
    base = make()
    method = base.endpoint.method
    ordinary = await walker.send(method, base.target(), _json(base.body), {**mine, **base.headers}, name)
    # Otherwise nothing would get as far as the tables.
    assert ordinary.status not in (400, 401, 405, 422), f"{base.target()} {base.body} {ordinary}"

    async def batch(requests: Iterator[tuple[str, str, bytes, dict[str, str]]]) -> None:
        before = await walker.rows()
        replies = [await walker.send(*sent, name) for sent in requests]
        await walker.refused_without_trace(replies, before)

    for part in base.path:
        made = [(make(), text) for text in TEXTS]
        await batch((method, b.target({part: text}), _json(b.body), {**mine, **b.headers}) for b, text in made)
    known = [parameter.name for parameter in base.endpoint.parameters if parameter.where == "query"]
    for field in [*known, "unknown", "%00"]:
        texts = TEXTS if field in known else TEXTS[:8]
        queries = [f"{field}={text}" for text in texts] + [
            f"{field}=a&{field}=b",
            f"{field}[]=a",
            field,
            f"{field}=&{field}",
        ]
        others = {key: value for key, value in base.query.items() if key != field}
        await batch(
            (method, make().target(None, "&".join(filter(None, [urlencode(others), query]))), _json(make().body),
             {**mine, **base.headers})
            for query in queries
        )  # fmt: skip
    named = {p.name.lower() for p in base.endpoint.parameters if p.where == "header"}
    for field in sorted(
        named | {"idempotency-key", "x-request-id", "accept", "content-encoding", *mine, "authorization"}
    ):
        await batch(
            (method, b.target(), _json(b.body), {**mine, **b.headers, field: value.decode("latin-1")})
            for b, value in [(make(), value) for value in HEADERS]
        )
    if base.endpoint.form is None:
        return
    for place in places(base.endpoint.form):
        made_with = [(make(), value) for value in VALUES]
        await batch((method, b.target(), b.body_with(place, value), {**mine, **b.headers}) for b, value in made_with)
        if base.endpoint.url_encoded:
            as_form = {**mine, "content-type": "application/x-www-form-urlencoded"}
            kept = {
                key: value for key, value in (base.body or {}).items() if isinstance(value, str) and key != place[0]
            }
            await batch(
                (method, base.target(), f"{urlencode(kept)}&{'.'.join(place)}={text}".encode(), as_form)
                for text in TEXTS
            )
    await batch(
        (method, base.target(), body, {**mine, "content-type": kind.decode("latin-1")})
        for body in BODIES
        for kind in CONTENT_TYPES
    )


def _json(body: dict[str, Any] | None) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


@pytest.mark.parametrize("name", sorted(SHAPES))
async def test_every_wrong_method_is_405_with_what_is_allowed(walker: Walker, name: str) -> None:
    app = dialects(walker)[name]
    allowed: dict[str, set[str]] = {}
    for make in bases(app, walker.variables):
        base = make()
        allowed.setdefault(base.target(), set()).add(base.endpoint.method)
    for target, methods in allowed.items():
        for method in METHODS:
            if method not in methods and not (method == "HEAD" and "GET" in methods):
                reply = await walker.send(method, target, b"{}", walker.keys[name], name)
                assert reply.status == 405, (method, target)
                assert set((reply.header("allow") or "").split(", ")) >= methods


async def test_every_page_with_every_method_and_what_nobody_sends(walker: Walker) -> None:
    before = await walker.rows()
    for site in sites(walker).values():
        for route in cast(Any, site.routes):
            names = list(route.param_convertors)
            for method in METHODS:
                for text in TEXTS if names else [""]:
                    target = str(route.path)
                    for name in names:
                        target = target.replace(f"{{{name}}}", text)
                    reply = await walker.send(method, target + "?download=%00&a=%ff", b"decision=pay&method=%00")
                    assert reply.header("x-frame-options") == "DENY"
                    assert reply.header("referrer-policy")
                    assert "frame-ancestors 'none'" in (reply.header("content-security-policy") or "")
    for target in (
        "/%00",
        "/\u00ff",
        "/a%0d%0ab",
        "/" + "x" * 60_000,
        "/pay",
        "/pay/",
        "/pay/%00",
        "/gateways/%00/notice",
    ):
        assert (await walker.send("GET", target)).status in (404, 405)
    assert await walker.rows() == before


async def test_the_form_of_the_checkout_with_what_nobody_sends(walker: Walker) -> None:
    body = {"amount": 5000, "payment_method": "card", "redirect_url": "https://shop.example/back?a=%00&b=%ff"}
    funded = await walker.send("POST", "/api/wallet/fund", _json(body), walker.keys["networkdatasub"])
    page = "/pay/" + funded.json["data"]["payment_url"].partition("/pay/")[2]
    before = await walker.rows()
    for text in TEXTS:
        for form in (f"decision={text}", f"decision=pay&method={text}", f"decision=&method=card&{text}=1", text):
            assert (await walker.send("POST", page, form.encode())).status == 422
    for kind in CONTENT_TYPES:
        for raw in BODIES:
            assert (await walker.send("POST", page, raw, {"content-type": kind.decode("latin-1")})).status == 422
    assert await walker.rows() == before
    assert (await walker.send("POST", page, b"decision=pay&%00=%ff&method=card")).status in (303, 422)
    went = await walker.send("POST", page, b"decision=pay&unknown=%00&method=card")
    assert (went.status, (went.header("location") or "").isprintable()) == (303, True)
    for header in HEADERS:
        given = {
            "accept": header.decode("latin-1"),
            "referer": header.decode("latin-1"),
            "cookie": header.decode("latin-1"),
        }
        assert (await walker.send("GET", page, headers=given)).status == 200


async def test_notices_of_gateways_that_are_no_gateways(walker: Walker) -> None:
    before = await walker.rows()
    for gateway in ("sandbox", "paystack", "%00", "%ff"):
        for raw in [*BODIES, b"x" * 300_000]:
            for header in HEADERS:
                signed = {
                    "x-paystack-signature": header.decode("latin-1"),
                    "x-sandbox-signature": header.decode("latin-1"),
                }
                reply = await walker.send("POST", f"/gateways/{gateway}/notice", raw, signed)
                assert reply.status in (401, 404, 413)
    assert await walker.rows() == before
