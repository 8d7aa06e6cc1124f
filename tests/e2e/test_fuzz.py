"""Ten thousand generated requests over the OpenAPI document, and bytes that are no requests at all: never a 5xx.

The document is read from the running server. Each operation gets values of its own schema, of other types, near
misses and junk, in its body, its path, its query and its headers. Every answer has to be one that the document lists,
in its shape.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from typing import Any
from urllib.parse import quote_from_bytes

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import Shop, purchase
from tests.e2e.wire import Wire

REQUESTS = {"netpluse": 4_000, "networkdatasub": 3_000, "madapi": 3_000}
AT_ONCE = 50
# Not in the document, because they are HTTP's own: unknown path and wrong method (a path may turn into another).
ALWAYS = {404, 405}
# How MADAPI answers unknown paths: as its gateway does, which is no operation of the document.
GATEWAY = {"timestamp", "status", "error", "message", "path"}

# Without these hardly any purchase would get as far as the money.
LIKELY = {
    "network": ["MTN", "mtn", "Telecel"],
    "phoneNumber": ["0241230000", "+233 24-123-0000", "0241234567"],
    "capacity": ["1GB", "2GB"],
    "reference": ["fuzz-1", "fuzz-2", "fuzz/3"],
    "phone": ["08031230000", "+234 803-123-0000"],
    "amount": [100, 50, 100.5, 1000.25, 49.99],
    "plan_id": [1, 2, 3, 999_999],
    "payment_method": ["card", "ussd"],
    "redirect_url": ["https://shop.example/back", None],
    "nin": ["12345678901", "70123456789", "70123450404"],
    "bvn": ["12345678901", "70123450407"],
    "card_type": ["standard", "premium"],
    "provider": ["idpass", "mobilsix"],
    "id": ["1", "2"],
    "customerId": ["2348099000001", "+2348099000001", "08099000001", "2348099000003"],
    "receivingCustomerId": ["2348099000002", "08099000002"],
    "productCode": ["AYO_SWC", "NG-MTN-SME-1GB-30D", "refill", "FRI"],
    "product": ["AYO_SWC"],
    "transactionType": ["TRANSFER", "AIRTIME"],
    "refillType": ["voucher", "voucherless", "Voucher Base"],
    "refillProfileId": ["DB00"],
    "transactionAmount": ["1", "100", "0", "1.5"],
    "voucherActivationCode": ["1234567890123456", "123"],
    "transactionId": ["FUZZ-0001", "FUZZ-0002", "FUZZ+/=3"],
    "planId": ["PulsePlus"],
    "state": ["ACTIVE", "BLOCKED"],
}
# What may stand in a header without being another one.
HEADERS = ["", "x", "fuzz-1", "FUZZ-0001", "TX-20261122-000017", "x" * 300, "a b;c", "\xe9\xff"]
QUERIES = {
    "/api/transactions": [
        "page=2&per_page=1", "type=credit&status=completed", "type=debit&start_date=2025-01-01&end_date=2999-01-01",
        "page=0", "per_page=51", "status=%00", "start_date=%FF", "page=99999999999999999999", "type[]=x",
    ],
    "/api/data-plans": ["network=mtn", "network=MTN&type=sme", "network=%20", "network=glo&type=%E2%80%A8"],
}  # fmt: skip
NEAR_MISSES = [
    "MTN", "mtn", "Telecel", "AirtelTigo", "1GB", "2GB", "1gb", "0241230000", "+233241230000", "233 24-123-0000", "0302123456",
    "", " ", "null", "0", "-1", "1e999", "NaN", "\x00", "\u2028", "é" * 64, "x" * 65, "'; drop table orders; --", "%00", "../..",
    "NPAPI-1-aaaaaa", "NPAPI-99999999999999999-aaaaaa", "NPAPI-9223372036854775808-aaaaaa",
]  # fmt: skip
texts = st.sampled_from(NEAR_MISSES) | st.text(max_size=70)
junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), texts, st.lists(texts, max_size=2),
    st.dictionaries(texts, texts, max_size=2),
)  # fmt: skip


@st.composite
def weighted(draw: st.DrawFn, *choices: tuple[int, st.SearchStrategy[Any]]) -> Any:
    """One of the strategies, each as often as its weight says; `one_of` would go by how many there are inside each."""
    return draw(draw(st.sampled_from([strategy for weight, strategy in choices for _ in range(weight)])))


def of_schema(document: dict[str, Any], schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Mostly what the schema allows, sometimes anything else. Knows what our documents use."""
    if "$ref" in schema:
        return of_schema(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], name)
    if "anyOf" in schema:
        return st.one_of([of_schema(document, choice, name) for choice in schema["anyOf"]])
    if "if" in schema and "type" not in schema:
        choices = ({**schema["if"], **schema["then"]}, schema["else"])
        return st.one_of([of_schema(document, choice, name) for choice in choices])
    if schema["type"] == "object":
        fields = {field: of_schema(document, its, field) for field, its in schema["properties"].items()}
        parts = st.fixed_dictionaries({}, optional=fields | {"another": junk})
        return weighted((4, st.fixed_dictionaries(fields)), (1, parts))
    allowed = {
        "string": texts,
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(-(2**70), 2**70),
        "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70),
    }[schema["type"]]
    likely = st.sampled_from(LIKELY[name]) if name in LIKELY else allowed
    return weighted((6, likely), (1, allowed), (1, junk))


@st.composite
def requests(draw: st.DrawFn, document: dict[str, Any]) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A method, a target, a body and headers."""
    path = draw(st.sampled_from(sorted(document["paths"])))
    operations, template = document["paths"][path], path
    method = draw(st.sampled_from([*operations] * 6 + ["get", "post", "head", "put"]))
    operation = operations.get(method, {})
    queries, headers = [], {}
    for parameter in operation.get("parameters", []):
        name, where = parameter["name"], parameter["in"]
        if where == "header":
            if draw(st.booleans()):
                headers[name] = draw(st.sampled_from(HEADERS))
            continue
        likely = st.sampled_from(LIKELY.get(name) or parameter["schema"].get("enum") or ["1", "true"])
        value = draw(weighted((2, likely), (2, texts), (1, st.binary(max_size=30))))
        value = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        if where == "path":
            path = path.replace(f"{{{name}}}", quote_from_bytes(value, safe=""))
        elif draw(st.booleans()):
            queries.append(f"{name}={quote_from_bytes(value, safe='')}")
    body = None
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        schema = content["schema"]
        meant = of_schema(document, schema).map(lambda value: json.dumps(value).encode())
        body = draw(
            weighted((6, meant), (1, junk.map(lambda value: json.dumps(value).encode())), (1, st.binary(max_size=60)))
        )
    queries.append(draw(st.sampled_from(["", "", "a=1&a=2", "%FF", "reference=x", *QUERIES.get(template, [])])))
    query = "?" + "&".join(filter(None, queries)) if any(queries) else draw(st.sampled_from(["", "?"]))
    extra = draw(
        st.sampled_from([{}, {}, {"content-type": "text/plain"}, {"accept": "image/png"}, {"range": "bytes=1-"}])
    )
    return method.upper(), path.replace("{", "%7B").replace("}", "%7D") + query, body, extra | headers


@pytest.mark.timeout(180)
@pytest.mark.parametrize("dialect", REQUESTS)
async def test_generated_requests_are_all_answered_as_the_document_says(shop: Shop, keys: Keys, dialect: str) -> None:
    async with Wire(shop.port) as wire:
        document = (await wire.request("GET", f"/openapi/{dialect}.json")).json()
    generated = generate(document, REQUESTS[dialect])
    mine = await credentials(shop, keys, dialect)
    seen: Counter[int] = Counter()
    started = time.monotonic()
    waiting = iter(generated)

    async def send() -> None:
        async with Wire(shop.port) as wire:
            for method, target, body, headers in waiting:
                reply = await wire.request(method, target, body, mine | headers)
                seen[reply.status] += 1
                complaint = complain(document, method, target, reply.status, reply.body)
                assert complaint is None, f"{complaint}: {method} {target} {body!r} -> {reply}"
                assert reply.headers["x-request-id"]

    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    assert sum(seen.values()) == len(generated) >= REQUESTS[dialect]
    # Otherwise the generator would only have knocked at one door.
    assert {200, 400, 404, 405} | {"networkdatasub": {409, 422}, "netpluse": {409}, "madapi": {403}}[
        dialect
    ] <= seen.keys()
    print(f"{dict(seen)} in {time.monotonic() - started:.0f} s")


async def credentials(shop: Shop, keys: Keys, dialect: str) -> dict[str, str]:
    """A key of somebody with a million of the market's money, and whom the requests speak of."""
    if dialect == "netpluse":
        return {"x-api-key": keys.ama}
    unlimited = ["--read-limit", PLENTY, "--purchase-limit", PLENTY]
    commands = [["wallet", "credit", "ama@example.com", PLENTY, "NGN", "--reference", "fuzz"]]
    if dialect == "madapi":
        commands += [
            ["subscriber", "add", f"+23480990000{number:02d}", "--tariff-plan", "PulsePlus", "--currency", "NGN"]
            for number in (1, 2)
        ]
    commands.append(["key", "add", "ama@example.com", "--api", dialect, *unlimited])
    key = (await asyncio.to_thread(shop.several, commands))[-1]["key"]
    return {"x-api-key": key} if dialect == "madapi" else {"authorization": f"Token {key}"}


def generate(document: dict[str, Any], count: int) -> list[tuple[str, str, bytes | None, dict[str, str]]]:
    """So many requests, fresh ones each time. They are sent afterwards: a failure prints its request."""
    made: list[tuple[str, str, bytes | None, dict[str, str]]] = []

    @settings(
        max_examples=count // 20,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(requests(document), min_size=20, max_size=25))
    def gather(some: list[tuple[str, str, bytes | None, dict[str, str]]]) -> None:
        made.extend(some)

    gather()
    return made


def complain(document: dict[str, Any], method: str, target: str, status: int, body: bytes) -> str | None:
    """What is wrong with an answer; None when it is as the document says."""
    if status >= 500:
        return "a 5xx"
    path = template_of(document, target.partition("?")[0])
    errors = "ErrorBody" if "ErrorBody" in document["components"]["schemas"] else "Envelope"
    operation = document["paths"].get(path, {}).get(method.lower().replace("head", "get"), {"responses": {}})
    if method == "HEAD":
        return None if body == b"" else "a body"
    if status == 404 and json.loads(body).keys() >= GATEWAY:
        return None
    answer = operation["responses"].get(str(status))
    if answer is None:
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{errors}"}
        if status not in ALWAYS:
            return "a status that is not in the document"
    else:
        schema = answer["content"]["application/json"]["schema"]
    if status == 409 and list(json.loads(body)) == ["error"]:
        schema = {"$ref": "#/components/schemas/ErrorBody"}
    fits = jsonschema_rs.is_valid({**schema, "components": document["components"]}, json.loads(body))
    return None if fits else "another shape than the document's"


def template_of(document: dict[str, Any], path: str) -> str:
    """The path of the document that an address is one of, or the address itself."""
    if path in document["paths"]:
        return path
    patterns = {re.sub(r"\{[a-zA-Z]+\}", ".+", template): template for template in document["paths"] if "{" in template}
    return next((template for pattern, template in patterns.items() if re.fullmatch(pattern, path)), path)


BROKEN = [
    b"\x00" * 100,
    b"\xff" * 3000,
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nbroken\r\n\r\n",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nx-api-key: \x00\r\n\r\n",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nx-api-key : k\r\n\r\n",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 2000 + b"\r\n",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nx-a: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ncontent-length: 1x\r\n\r\n{",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    b"POST /api/v1/purchase HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
    b"CONNECT /api/v1/ping HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://elsewhere/api/v1/ping HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"GET /api/v1/order-status/%FF%00%C0%AF HTTP/1.0\r\n\r\n",
    b"GET * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


async def test_bytes_that_are_no_requests_are_400_in_json_or_silence(shop: Shop, keys: Keys) -> None:
    dice = random.Random(7)
    good = f"GET /api/v1/ping HTTP/1.1\r\nhost: x\r\nx-api-key: {keys.ama}\r\n\r\n".encode()
    bent = []
    for _ in range(300):
        bytes_ = bytearray(good)
        for _ in range(dice.randint(1, 5)):
            bytes_[dice.randrange(len(bytes_))] = dice.randrange(256)
        bent.append(bytes(bytes_))
    seen: Counter[str] = Counter()

    async def throw(raw: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        try:
            writer.write(raw)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(4096), 0.5)
        except (TimeoutError, ConnectionError):
            answer = b""  # It waits for the rest, or would not have it.
        finally:
            writer.transport.abort()
        status = answer[9:12].decode("latin-1")
        seen[status] += 1
        assert not status.startswith("5"), (raw[:200], answer)
        if status not in ("", "100", "200"):
            body = answer.partition(b"\r\n\r\n")[2]
            # A path that was bent may end with the other dialect, in whose shape it is then answered.
            assert list(json.loads(body)) in (["error"], ["success", "message"]), (raw[:200], answer)

    everything = iter([*BROKEN, *bent])

    async def throw_many() -> None:
        for raw in everything:
            await throw(raw)

    await asyncio.gather(*(throw_many() for _ in range(20)))
    print(dict(seen))
    # Nobody has noticed anything.
    async with Wire(shop.port, keys.ama) as wire:
        assert (await wire.buy(purchase(0))).status == 200
        assert (await wire.request("GET", "/api/v1/ping")).status == 200
