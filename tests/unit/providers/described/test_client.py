"""The connector `http` as a whole: requests with their types, previews, references, settings, and what a lost answer is."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from telvend.config import ProviderSettings
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.secret import Secret
from telvend.providers.connectors import connect
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.described.client import Described
from telvend.providers.described.examples import example
from telvend.providers.described.model import ReferenceRule, steps_of
from telvend.providers.described.reader import read_document
from telvend.providers.reading import value_at
from telvend.providers.upstream import BalanceUnavailable, ConnectorRefused, RequestPreview, Upstream
from tests.clocks import FakeClock
from tests.contract.provider_rigs import EXAMPLES, delivery_in_nigeria, delivery_to
from tests.contract.situations import Situation
from tests.contract.test_provider import FIRST_ANSWER
from tests.described_doubles import EasyAccessDouble, HusmodataDouble, MobilesixDouble, TelitabDouble, WazodataDouble
from tests.unit.providers.described.test_reader import DOCUMENTS, GOOD, STRANGE, paths, spoilt
from tests.vendor_doubles import GARBAGE

DATA: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-1")
AIRTIME: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-2", "airtime")
SECRET: Final = "s3cret/of+the shop"


class Line:
    """A network that answers every request in the same way, and keeps what was sent."""

    def __init__(self, answer: httpx.Response | Exception | None = None) -> None:
        self.answer = answer or httpx.Response(200, json={"status": "done", "id": 1})
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def made(folder: Path, text: str = GOOD, line: Line | None = None, **changes: Any) -> Upstream:
    (folder / "acme.toml").write_text(text)
    keys = {"connector": "http", "file": str(folder / "acme.toml"), "api_key": Secret(SECRET)} | changes
    return connect("acme", ProviderSettings(**keys), FakeClock(), transport=httpx.MockTransport(line or Line()))


def seen(upstream: Upstream, delivery: Delivery = DATA) -> RequestPreview:
    preview = upstream.preview(delivery)
    assert isinstance(preview, RequestPreview)
    return preview


PLAIN: Final = replace(DATA, provider_code="77")


async def test_a_request_is_what_the_file_says(tmp_path: Path) -> None:
    line = Line()
    upstream = made(tmp_path, line=line)
    assert await upstream.deliver(PLAIN) == Delivered("1")
    [request] = line.seen
    assert (request.method, str(request.url)) == ("POST", "https://api.acme.example/buy")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["api-key"] == SECRET
    assert json.loads(request.content) == {"ref": "AT-7H2K-1", "net": "MTN", "plan": "77", "to": "08031234567"}
    await upstream.requery(replace(PLAIN, reference="AT/7?"))
    assert line.seen[1].url.raw_path == b"/orders/AT%2F7%3F"
    assert line.seen[1].content == b""
    await upstream.balance()
    assert (line.seen[2].method, line.seen[2].url.path) == ("GET", "/balance")


async def test_a_float_is_asked_for_without_what_only_a_delivery_has(tmp_path: Path) -> None:
    line = Line(httpx.Response(200, json={"float": 5}))
    text = GOOD.replace('api-key = "{api_key}"', 'api-key = "{api_key}"\nfor = "{phone:national}"\nkey = "{reference}"')
    assert await made(tmp_path, text, line).balance() == Money(500, NGN)
    assert {"for", "key"} & set(line.seen[0].headers) == set()
    assert line.seen[0].headers["api-key"] == SECRET


BODY: Final = """[purchase.airtime]
url = "/air/{phone:digits}?n={network}"
[purchase.airtime.headers]
X-Reference = "{reference}"
[purchase.airtime.body]
r = "{reference}"
text = "{amount:decimal} {amount:minor}"
decimal = "{amount:decimal}"
number = "{amount:decimal:number}"
major = "{amount:major}"
minor = "{amount:minor}"
minor_text = "{amount:minor:text}"
cost = "{cost:minor}"
constant = [true, 1, 1.50, { deep = "{phone:e164}" }, "{{literal}}"]

[answer]
"""


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_values_have_the_type_that_the_file_asks_for(tmp_path: Path, face: int, cost: int) -> None:
    upstream = made(tmp_path, GOOD.replace("[answer]\n", BODY, 1))
    preview = seen(upstream, replace(AIRTIME, face_value=Money(face, NGN), cost=Money(cost, NGN)))
    major = Decimal(face) / 100
    body = json.loads(preview.body, parse_float=Decimal)
    assert body == {
        "r": "AT-7H2K-2",
        "text": f"{major:.2f} {face}",
        "decimal": f"{major:.2f}",
        "number": major,
        "major": major,
        "minor": face,
        "minor_text": str(face),
        "cost": cost,
        "constant": [True, 1, Decimal("1.50"), {"deep": "+2348031234567"}, "{literal}"],
    }
    assert f'"number":{major:.2f}' in preview.body
    assert isinstance(body["minor"], int)
    assert isinstance(body["major"], int) == (face % 100 == 0)
    assert preview.url == "https://api.acme.example/air/2348031234567?n=MTN"
    assert preview.headers["x-reference"] == "AT-7H2K-2"


@pytest.mark.parametrize("encoding", ["form", "query"])
def test_forms_and_queries_are_texts(tmp_path: Path, encoding: str) -> None:
    text = GOOD.replace('url = "/buy"', f'url = "/buy?v=1"\nencoding = "{encoding}"')
    text = text.replace(
        'net = "{network}"', 'net = "{network} & more=1"\nflag = true\nhow = 1.50\nvalidity = "{validity_days}"'
    )
    preview = seen(made(tmp_path, text), PLAIN)
    sent = preview.body if encoding == "form" else preview.url.partition("?v=1&")[2]
    assert parse_qsl(sent) == [
        ("ref", "AT-7H2K-1"), ("net", "MTN & more=1"), ("flag", "true"), ("how", "1.50"), ("validity", "30"),
        ("plan", "77"), ("to", "08031234567"),
    ]  # fmt: skip
    assert preview.headers.get("content-type") == ("application/x-www-form-urlencoded" if encoding == "form" else None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ('url = "/buy"', 'url = "/buy?key={api_key}"'),
        ('net = "{network}"', 'net = "{network} {api_key}"'),
        ('api-key = "{api_key}"', 'Authorization = "Basic {basic:api_key:api_key}"'),
        ('url = "/buy"', 'url = "/buy"\nencoding = "form"\nbody.k = "{api_key}"'),
    ],
)
async def test_a_secret_is_in_no_preview_and_in_no_outcome(tmp_path: Path, old: str, new: str) -> None:
    text = GOOD.replace('error = "code"', 'error = "code"\ntext = "text"')
    if "body.k" in new:
        text = text.replace("[purchase.data.body]\n", "").replace('url = "/buy"\n', 'url = "/buy"\nencoding = "form"\n')
        text = text.replace('ref = "', 'body.k = "{api_key}"\nbody.ref = "').replace("net =", "body.net =")
        text = text.replace("plan =", "body.plan =").replace("to = ", "body.to = ")
    else:
        text = text.replace(old, new, 1)
    line = Line(httpx.Response(200, json={"status": "failed", "text": f"key {SECRET} of 08031234567"}))
    upstream = made(tmp_path, text, line)
    preview = seen(upstream, PLAIN)
    shown = repr(preview)
    for spelling in (SECRET, "s3cret", "of+the", "of%2Bthe", "czNjcmV0"):
        assert spelling not in shown
        assert spelling not in unquote(shown)
    assert "********" in shown
    refused = await upstream.deliver(PLAIN)
    assert isinstance(refused, Refused)
    assert SECRET not in refused.text
    assert "31234567" not in refused.text
    sent = line.seen[0]
    assert "s3cret" in f"{unquote(str(sent.url))} {sent.headers} {sent.content!r}" or "czNjcmV0" in str(
        sent.headers.raw
    )


@pytest.mark.parametrize(
    ("delivery", "phrase"),
    [
        (delivery_to("+233241234567", "AT-1-1"), "sells no data of GH/MTN"),
        (replace(DATA, network="airtel"), "sells no data of NG/airtel"),
        (AIRTIME, "sells no airtime"),
        (DATA, "has no code at this provider"),
        (replace(PLAIN, face_value=Money(300, GHS)), "sells in NGN"),
    ],
)
async def test_what_cannot_be_said_is_refused_unsent(tmp_path: Path, delivery: Delivery, phrase: str) -> None:
    line = Line()
    upstream = made(tmp_path, line=line)
    for refused in (upstream.preview(delivery), await upstream.deliver(delivery)):
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.NOT_SOLD
        assert phrase in refused.text
    assert line.seen == []


def test_a_code_is_the_operators_then_the_files_then_made(tmp_path: Path) -> None:
    text = GOOD.replace("[reference]", '[products]\nNG-MTN-SME-1GB-30D = "file"\n\n[reference]')
    text = text.replace('url = "/buy"', 'url = "/buy"\nproduct = "{network}/{size}/{validity_days}/{type}"')
    upstream = made(tmp_path, text)
    assert json.loads(seen(upstream, PLAIN).body)["plan"] == "77"
    assert json.loads(seen(upstream).body)["plan"] == "file"
    assert json.loads(seen(upstream, replace(DATA, product="NG-MTN-OTHER")).body)["plan"] == "MTN/1GB/30/SME"
    refused = upstream.preview(replace(DATA, product="NG-MTN-OTHER", validity_days=None))
    assert isinstance(refused, Refused)
    assert "does not expire" in refused.text


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.ConnectError("no"), NotSent),
        (httpx.ConnectTimeout("no"), NotSent),
        (httpx.ReadTimeout("no"), Unknown),
        (httpx.WriteError("no"), Unknown),
        (httpx.RemoteProtocolError("no"), Unknown),
        *[(answer, Unknown) for answer in GARBAGE if answer.status_code != 200 or b"completed" not in answer.content],
        (httpx.Response(200, content=b"x" * (1024 * 1024 + 1)), Unknown),
    ],
)
async def test_a_lost_answer_is_never_an_outcome(
    tmp_path: Path, answer: httpx.Response | Exception, outcome: type[Any]
) -> None:
    upstream = made(tmp_path, line=Line(answer))
    assert isinstance(await upstream.deliver(PLAIN), outcome)
    assert isinstance(await upstream.requery(PLAIN), Unknown)
    assert isinstance(await upstream.balance(), BalanceUnavailable)


REFERENCES: Final = st.sampled_from([
    ReferenceRule(True, False, characters, length, prefix)
    for characters in ("dashes", "alphanumeric", "digits")
    for length in (20, 24, 40, 128)
    for prefix in ("", "12")
    if ReferenceRule(True, False, characters, length, prefix).fault is None
] + [ReferenceRule(True, False, "uuid", 64, "")])  # fmt: skip
ORDERS: Final = st.tuples(st.from_regex(r"[A-Z]{2,5}-[0-9]{1,4}(-[a-z0-9]{6})?", fullmatch=True), st.integers(1, 40))
FORMS: Final = {"dashes": r"[A-Za-z0-9-]+", "alphanumeric": r"[a-z0-9]+", "digits": r"[0-9]+", "uuid": r"[0-9a-f-]{36}"}


@given(REFERENCES, st.lists(ORDERS, min_size=2, max_size=20, unique=True))
def test_a_reference_differs_for_each_attempt_and_fits(rule: ReferenceRule, orders: list[tuple[str, int]]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first, _ = orders[0]
    assert len({rule.make(first, number, now) for number in range(1, 41)}) == 40
    made = [rule.make(order, number, now) for order, number in orders]
    assert len(set(made)) == len(orders)
    assert made == [rule.make(order, number, now) for order, number in orders]
    for reference in made:
        assert len(reference) <= rule.max_length
        assert reference.startswith(rule.prefix)
        assert re.fullmatch(FORMS[rule.characters], reference)


def test_traits_are_those_of_the_file_and_the_settings(tmp_path: Path) -> None:
    text = GOOD.replace(
        'country = "NG"', 'country = "NG"\ntimeout_s = 40\nconcurrency = 8\nrate_per_s = 2.5\nrepeat_guard_s = 30'
    )
    traits = made(tmp_path, text, rate_per_s=9.0, timeout_s=10.0, networks=("NG/MTN",), test=True, live=False).traits
    assert traits.timeout_s == 41
    assert (traits.concurrency, traits.rate_per_s, traits.repeat_guard_s) == (8, 2.5, 30)
    assert traits.networks == {("NG", "mtn")}
    assert (traits.live_mode, traits.test_mode, traits.kinds) == (False, True, {"data"})
    assert traits.settles_after_s == 600
    assert not traits.reference_is_key
    assert traits.reference("AT-7H2K", 1, datetime.now(UTC)) == "AT-7H2K-1"
    assert made(tmp_path, timeout_s=99.0, rate_per_s=3.0).traits.rate_per_s == 3
    key = made(tmp_path, GOOD.replace("max_length = 40", "is_key = true").replace("600", "0")).traits
    assert key.reference_is_key
    assert key.settles_after_s == key.timeout_s
    assert made(tmp_path, timeout_s=300.0, text=GOOD.replace("600", "60")).traits.settles_after_s == 602


def test_every_mistake_of_settings_and_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectorRefused, match="file: is missing"):
        connect("acme", ProviderSettings(connector="http"), FakeClock())
    with pytest.raises(ConnectorRefused) as caught:
        made(tmp_path, GOOD.replace("max_length = 40", "max_length = 4").replace("401", "500"))
    assert [str(problem).partition(" ")[0] for problem in caught.value.problems] == ["acme.toml:11", "acme.toml:39"]
    with pytest.raises(ConnectorRefused) as caught:
        made(
            tmp_path,
            GOOD.replace('base_url = "https://api.acme.example"\n', ""),
            api_key=None,
            client_id=Secret("x"),
            token_url="https://x.example",
        )
    assert {problem.where for problem in caught.value.problems} == {
        "api_key",
        "client_id",
        "token_url",
        "base_url",
    }
    with pytest.raises(ConnectorRefused, match="NG/airtel, which http does not serve; it serves NG/glo, NG/mtn"):
        made(tmp_path, networks=("NG/airtel",))


async def test_the_settings_say_where_a_sandbox_is(tmp_path: Path) -> None:
    assert seen(made(tmp_path, base_url="http://127.0.0.1:9/x/"), PLAIN).url == "http://127.0.0.1:9/x/buy"


def test_a_path_is_followed_and_executes_nothing() -> None:
    body = {"a": [{"b": {"c-d": 1}}], "__class__": None}
    assert value_at(body, steps_of("a[0].b.c-d")) == 1
    for text in ("a[1].b", "a.b", "a[0][0]", "b", "__class__", "a[0].b.c-d.e"):
        assert value_at(body, steps_of(text)) is None
    for text in ("", ".", "a..b", "a[-1]", "a[x]", "$.a", "a[]", "a b", "a[99999]", "é"):
        with pytest.raises(ValueError, match="must be a path"):
            steps_of(text)


async def test_whatever_is_accepted_can_be_shown_and_asked() -> None:
    """A file that is accepted may refuse a delivery; it raises nothing."""
    accepted = 0
    for document in DOCUMENTS[3:]:
        for path in paths(document):
            for value in (None, *STRANGE[::3]):
                description = read_document("x.toml", spoilt(document, path, value), {}).description
                if description is None:
                    continue
                accepted += 1
                upstream = Described(
                    "x",
                    description,
                    "https://x.example",
                    ProviderTraits(),
                    {key: Secret(SECRET) for key in description.secrets},
                    timeout_s=1,
                    transport=httpx.MockTransport(Line(httpx.Response(200, json={}))),
                )
                for delivery in (DATA, PLAIN, replace(AIRTIME, provider_code="7")):
                    preview = upstream.preview(delivery)
                    assert SECRET not in repr(preview)
                    assert isinstance(await upstream.deliver(delivery), Refused | Unknown)
                    assert isinstance(await upstream.requery(delivery), Unknown)
                assert not isinstance(await upstream.balance(), Money)
    assert accepted > 100


# The shipped examples ---------------------------------------------------------------------------------------------------

CREDENTIALS: Final = {
    "wazodata": (WazodataDouble, {"api_key": WazodataDouble.KEY}),
    "mobilesix": (MobilesixDouble, {"api_key": MobilesixDouble.KEY, "api_secret": MobilesixDouble.SECRET}),
    "telitab": (TelitabDouble, {"client_id": TelitabDouble.USER, "client_secret": TelitabDouble.PASSWORD}),
    "easyaccess": (EasyAccessDouble, {"api_key": EasyAccessDouble.KEY}),
    "husmodata": (HusmodataDouble, {"api_key": HusmodataDouble.KEY}),
}


def example_over_its_double(name: str) -> tuple[Upstream, Any]:
    double_of, keys = CREDENTIALS[name]
    double = double_of()
    settings = ProviderSettings(
        connector="http", file=str(EXAMPLES / f"{name}.toml"), **{key: Secret(value) for key, value in keys.items()}
    )
    return connect(name, settings, double.clock, transport=double.transport), double


@pytest.mark.parametrize("name", CREDENTIALS)
async def test_an_example_reads_the_float(name: str) -> None:
    upstream, _ = example_over_its_double(name)
    assert await upstream.balance() == Money(125050, NGN)


@pytest.mark.parametrize("name", ["wazodata", "mobilesix", "telitab", "easyaccess"])
async def test_an_example_says_what_was_taken(name: str) -> None:
    upstream, _ = example_over_its_double(name)
    delivery = replace(DATA, provider_code="51", reference=upstream.traits.reference("AT-7H2K", 1, datetime.now(UTC)))
    bought = await upstream.deliver(delivery)
    assert isinstance(bought, Delivered)
    assert bought.cost == Money(28500, NGN)
    assert await upstream.requery(delivery) == replace(bought, text="The order" if name == "wazodata" else "Delivered")


@pytest.mark.parametrize("situation", [one for one in Situation if one is not Situation.REFUSES_LATER])
async def test_husmodata_is_asked_by_its_own_number_and_a_lost_answer_stays_unknown(situation: Situation) -> None:
    upstream, double = example_over_its_double("husmodata")
    delivery = replace(DATA, provider_code="240")
    double.situations["08031234567"] = situation
    outcome = await upstream.deliver(delivery)
    assert isinstance(outcome, FIRST_ANSWER[situation])
    double.clock.pass_time(100_000)
    if isinstance(outcome, Delivered | Accepted):
        assert outcome.provider_reference is not None
        told = await upstream.requery(replace(delivery, provider_reference=outcome.provider_reference))
        assert told == Delivered(outcome.provider_reference, Money(28500, NGN), "Dear Customer, you have gifted 1GB")
    told = await upstream.requery(delivery)
    assert isinstance(told, Unknown)
    assert "cannot be asked" in told.text


def test_the_text_of_an_example_is_shipped() -> None:
    for name in CREDENTIALS:
        assert example(name) == (EXAMPLES / f"{name}.toml").read_text("utf-8")
