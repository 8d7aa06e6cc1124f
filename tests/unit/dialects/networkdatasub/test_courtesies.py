"""The table of courtesies: each line is taken, has the answer of its printed twin, and stands in the reference."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.bootstrap import APIS
from telvend.catalog.model import CatalogueSnapshot, Network, Product
from telvend.dialects.networkdatasub.courtesies import TABLE, Part, number_in, read_form_body
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.dialects.openapi import document
from telvend.dialects.serving import DialectApp
from telvend.errors import BodyNotReadable, InsufficientBalance, NotAuthenticated
from telvend.kit.allowance import AllowanceKind, AllowanceVerdict
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.resellers.keyforms import KeyForms
from telvend.resellers.model import Caller
from tests.unit.asgi import Reply, request

KEY = {"authorization": "Token good"}
REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "networkdatasub.md"
EXAMPLES = Path(__file__).parents[3] / "wire" / "networkdatasub"
CODES = ("mtn", "airtel", "glo", "9mobile")
NETWORKS = [
    Network(number, "NG", code, code.upper(), active=True, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    for number, code in enumerate(CODES, start=1)
]
PLANS = [
    Product(
        code=f"NG-{network.code}-{size}",
        country="NG",
        network=network.code,
        kind="data",
        type=kind,
        size=size,
        validity_days=30,
        price=Money(price, NGN),
        cost=Money(price - 100, NGN),
        active=True,
        id=network.id * 10 + place,
        network_id=network.id,
    )
    for network in NETWORKS
    for place, (size, kind, price) in enumerate((("1GB", "SME", 300_00), ("2GB", "Direct", 550_50)))
]
GHANA = Network(9, "GH", "MTN", "MTN", active=True)
FOREIGN = Product(
    "GH-MTN-1GB", "GH", "MTN", "data", "", "1GB", 30, PLANS[0].price, PLANS[0].cost, active=True, id=90, network_id=9
)


class Shop:
    """networkdatasub over fakes. A purchase is written down and refused for want of money, so that nothing else happens."""

    base_url = ""

    def __init__(self) -> None:
        self.bought: list[dict[str, Any]] = []
        self.snapshot = CatalogueSnapshot.of(1, [*NETWORKS, GHANA], [*PLANS, FOREIGN])
        self.number = 4711
        services: Any = type("Services", (), {})()
        services.resellers = services.orders = services.catalogue = services.transactions = self
        services.public_url = "https://shop.example"
        self.app = DialectApp(NETWORKDATASUB, services, self)

    def hint_of(self, text: str) -> str:
        return KeyForms(APIS).hint_of(text)

    def cached(self, api: str, key: str) -> Caller | None:  # noqa: ARG002
        limits = {"read_limit": 60, "purchase_limit": 30}
        caller = Caller(UUID(int=1), 1, UUID(int=2), b"k", "networkdatasub", Mode.LIVE, wallets={"NGN": 7}, **limits)  # type: ignore[arg-type]
        return caller if key == "good" else None

    async def authenticate(self, api: str, key: str) -> Caller:  # noqa: ARG002
        raise NotAuthenticated

    async def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:  # noqa: ARG002
        return AllowanceVerdict(True, limit, limit, 7, 0)

    async def summary(self, wallet: int, currency: Any) -> Any:  # noqa: ARG002
        return type("Summary", (), {"balance": Money(500_000, NGN), "last_funded_at": None})()

    async def _buy(self, caller: Caller, **given: Any) -> None:  # noqa: ARG002
        self.bought.append(given)
        raise InsufficientBalance(given["plan"].price if "plan" in given else given["amount"], Money(0, NGN))

    buy_airtime = buy_plan = _buy

    async def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes, list[dict[str, Any]]]:
        """The answer, and what was bought."""
        self.bought.clear()
        sent = KEY | {name.replace("_", "-"): value for name, value in headers.items()}
        reply = await request(self.app, "POST", f"/api{path}", headers=sent, body=body)
        return reply.status, reply.body, list(self.bought)

    async def get(self, path: str, query: bytes = b"", **headers: str) -> Reply:
        return await request(self.app, "GET", f"/api{path}", headers=KEY | headers, query=query)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def as_json(fields: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    return json.dumps(fields).encode(), {"content_type": "application/json"}


def as_form(fields: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    return urlencode(fields).encode(), {"content_type": "application/x-www-form-urlencoded; charset=UTF-8"}


def as_multipart(fields: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """As PHP's curl sends an array of fields."""
    parts = [
        f'--d74496d6\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    body = "".join([*parts, "--d74496d6--\r\n"]).encode()
    return body, {"content_type": "multipart/form-data; boundary=d74496d6"}


WRITERS = (as_json, as_form, as_multipart)
PRINTED = {
    "/airtime/purchase": {"network": "mtn", "phone": "08031230000", "amount": 100},
    "/data/purchase": {"network": "mtn", "plan_id": 10, "phone": "08031230000"},
}


# Twins ------------------------------------------------------------------------------------------------------------------

_PHONES = ["08031230000", "+2348031230000", "234 803 123-0000", "0241234567", "", "x"]
_NAMES = {"phone": "phone_number", "plan_id": "data_plan_id"}


@st.composite
def twins(draw: st.DrawFn) -> tuple[str, dict[str, Any], bytes, dict[str, str]]:
    """A request as it is printed, right or wrong, and the same in spellings that are courtesies."""
    path = draw(st.sampled_from(sorted(PRINTED)))
    printed: dict[str, Any] = {"network": draw(st.sampled_from(CODES)), "phone": draw(st.sampled_from(_PHONES))}
    if path == "/airtime/purchase":
        printed["amount"] = draw(st.sampled_from([100, "100.50", 49, "x", 50_000]))
    else:
        printed["plan_id"] = draw(st.sampled_from([10, 20, 21, 41, 90, 999, "11", "one", 0]))
    if draw(st.booleans()):
        printed["reference"] = draw(st.sampled_from(["ORDER-1", "", "x" * 65]))
    for name in draw(st.sets(st.sampled_from(sorted(printed.keys() - {"network"})), max_size=1)):
        del printed[name]
    sent = {_NAMES.get(name, name) if draw(st.booleans()) else name: value for name, value in printed.items()}
    number = CODES.index(printed["network"]) + 1
    sent["network"] = draw(st.sampled_from([printed["network"], number, str(number), f" {number} "]))
    body, headers = draw(st.sampled_from(WRITERS))(sent)
    if draw(st.booleans()):
        headers = headers | {"authorization": draw(st.sampled_from(["Bearer good", "bearer  good", "token good"]))}
    return path, printed, body, headers


@given(twins())
async def test_a_request_in_the_spelling_of_a_courtesy_has_the_answer_of_its_printed_twin(
    twin: tuple[str, dict[str, Any], bytes, dict[str, str]],
) -> None:
    path, printed, body, headers = twin
    shop = Shop()
    assert await shop.post(path, body, **headers) == await shop.post(path, *as_json(printed)[:1])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["airtime-purchase-request", "data-purchase-request"])
async def test_a_printed_example_and_its_twin_buy_the_same(shop: Shop, name: str, writer: Any) -> None:
    example = json.loads((EXAMPLES / f"{name}.json").read_text())
    path, printed = example["endpoint"].removeprefix("POST "), example["request"]
    if "plan_id" in printed:
        printed["plan_id"] = 10
    sent = {_NAMES.get(field, field): value for field, value in printed.items()} | {"network": 1}
    status, answer, bought = await shop.post(path, json.dumps(printed).encode())
    assert (status, len(bought)) == (400, 1)
    assert await shop.post(path, *writer(sent)[:1], **writer(sent)[1]) == (status, answer, bought)


# Fields and values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("network", [{}, {"network": 1}, {"network": "mtn"}])
async def test_todays_clients_buy_data_by_plan_and_number_alone(shop: Shop, writer: Any, network: Any) -> None:
    body, headers = writer({"data_plan_id": 11, "phone_number": "08031230000"} | network)
    _, _, (bought,) = await shop.post("/data/purchase", body, **headers)
    assert (bought["network"].code, bought["plan"].id, bought["subscriber"]) == ("mtn", 11, "+2348031230000")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"data_plan_id": 90, "phone": "08031230000"}, {"plan_id": "is not a data plan"}),  # of Ghana
        ({"data_plan_id": 999, "phone": "08031230000"}, {"plan_id": "is not a data plan"}),
        ({"data_plan_id": 21, "network": 1, "phone": "08031230000"}, {"plan_id": "is not a plan of MTN"}),
        # The printed name of the field needs the network, as it is printed.
        ({"plan_id": 11, "phone": "08031230000"}, {"network": "field is required"}),
        ({"phone": "08031230000"}, {"network": "field is required", "plan_id": "field is required"}),
    ],
)
async def test_a_plan_that_is_not_there_is_refused(shop: Shop, fields: Any, wrong: dict[str, str]) -> None:
    status, body, bought = await shop.post("/data/purchase", json.dumps(fields).encode())
    assert (status, bought) == (422, [])
    assert json.loads(body)["errors"] == {name: [f"The {name} {problem}."] for name, problem in wrong.items()}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"phone_number": "08031230001"}, {"phone", "phone_number"}),
        ({"phone_number": "x"}, {"phone", "phone_number"}),
        ({"data_plan_id": 11}, {"plan_id", "data_plan_id"}),
        ({"data_plan_id": "ten"}, {"plan_id", "data_plan_id"}),
    ],
)
async def test_both_names_of_a_field_with_different_values_are_both_named(
    shop: Shop, more: dict[str, Any], named: set[str]
) -> None:
    status, body, bought = await shop.post("/data/purchase", json.dumps(PRINTED["/data/purchase"] | more).encode())
    assert (status, set(json.loads(body)["errors"]), bought) == (422, named, [])


async def test_both_names_of_a_field_with_one_meaning_are_one_field(shop: Shop) -> None:
    more = {"phone_number": "+234 803 123 0000", "data_plan_id": "10"}
    _, _, (bought,) = await shop.post("/data/purchase", json.dumps(PRINTED["/data/purchase"] | more).encode())
    assert (bought["plan"].id, bought["subscriber"]) == (10, "+2348031230000")


@pytest.mark.parametrize("value", [0, 5, 9, -1, "0", "01", "1.0", "٣", "1e0", 10**30, "9" * 40])
async def test_a_number_that_is_no_networks_is_refused(shop: Shop, value: Any) -> None:
    """`01` too: other services of the country number their networks so, and differently."""
    body = PRINTED["/airtime/purchase"] | {"network": value}
    status, answer, bought = await shop.post("/airtime/purchase", json.dumps(body).encode())
    assert (status, bought) == (422, [])
    assert "is not a network code" in json.loads(answer)["errors"]["network"][0]


@pytest.mark.parametrize("value", [True, 1.0, [1], {"id": 1}])
async def test_what_is_neither_a_word_nor_a_number_is_no_network(shop: Shop, value: Any) -> None:
    body = PRINTED["/airtime/purchase"] | {"network": value}
    status, answer, _ = await shop.post("/airtime/purchase", json.dumps(body).encode())
    assert json.loads(answer)["errors"] == {"network": ["The network must be a string."]}
    assert status == 422


def test_only_a_field_of_the_table_has_numbers() -> None:
    assert number_in("network", "2") == number_in("network", 2) == 2
    assert number_in("phone", "2") is None


# Bodies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'"a=b"', b" {", b"{", b"null"])
@pytest.mark.parametrize("kind", ["", "application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_a_malformed_body_stays_400_whatever_it_says_it_is(shop: Shop, body: bytes, kind: str) -> None:
    status, answer, _ = await shop.post("/airtime/purchase", body, content_type=kind)
    # A form of no fields at all is a form, and all its fields are missing.
    expected = 422 if not body and kind == "application/x-www-form-urlencoded" else 400
    assert (status, json.loads(answer)["success"]) == (expected, False)


async def test_json_that_says_that_it_is_a_form_is_json(shop: Shop) -> None:
    """What curl sends with -d."""
    body = json.dumps(PRINTED["/airtime/purchase"] | {"note": "a=b"}).encode()
    _, _, bought = await shop.post("/airtime/purchase", body, content_type="application/x-www-form-urlencoded")
    assert len(bought) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"network=mtn",
        b'--x\r\nContent-Disposition: form-data; name="network"\r\n\r\nmtn\r\n',  # cut off
        b"--x\r\nContent-Disposition: form-data\r\n\r\nmtn\r\n--x--\r\n",
        b"--x\r\n\r\nmtn\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="network"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 101 + b"--x--\r\n",
        b'--x\r\nContent-Type: multipart/mixed; boundary=y\r\nContent-Disposition: form-data; name="a"\r\n\r\n--y--\r\n--x--\r\n',
    ],
)
async def test_a_multipart_body_that_is_none_is_400(shop: Shop, body: bytes) -> None:
    status, answer, _ = await shop.post("/airtime/purchase", body, content_type="multipart/form-data; boundary=x")
    assert (status, json.loads(answer)) == (400, {"success": False, "message": "The request body is not a valid form."})


async def test_a_multipart_body_without_a_boundary_is_400(shop: Shop) -> None:
    assert (await shop.post("/airtime/purchase", b"--x--", content_type="multipart/form-data"))[0] == 400


def test_the_file_of_a_form_is_no_field() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="phone"; filename="a"\r\n\r\n0803\r\n--x--\r\n'
    assert read_form_body(b"multipart/form-data; boundary=x", body) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("TRUE", True), ("false", False), ("0", False), ("", False), ("yes", "yes")],
)
def test_a_flag_in_a_form_is_one_of_laravels_words(text: str, value: Any) -> None:
    for writer in (as_form, as_multipart):
        body, headers = writer({"nin": "12345678901", "force_new": text})
        fields = read_form_body(headers["content_type"].encode(), body)
        assert fields == {"nin": "12345678901", "force_new": value}


@given(
    st.binary(max_size=300), st.sampled_from([b"multipart/form-data; boundary=x", b"multipart/form-data; boundary="])
)
def test_any_bytes_are_a_form_or_refused(body: bytes, kind: bytes) -> None:
    for sent in (body, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + body + b"\r\n--x--\r\n"):
        try:
            fields = read_form_body(kind, sent)
        except BodyNotReadable:
            continue
        assert fields is None or all(isinstance(value, str) for value in fields.values())


# Addresses and the header ---------------------------------------------------------------------------------------------


async def test_the_wallet_is_the_balance(shop: Shop) -> None:
    short, printed = await shop.get("/wallet"), await shop.get("/wallet/balance")
    assert (short.status, short.body) == (200, printed.body)
    assert short.json["data"]["balance"] == "5000.00"


async def test_all_plans_are_those_of_every_network(shop: Shop) -> None:
    found = (await shop.get("/data/all-plans")).json["data"]
    assert [plan["id"] for plan in found["plans"]] == [10, 11, 20, 21, 30, 31, 40, 41]
    assert found["plans"][1] == {
        "id": 11, "plan_id": "11", "api_info": {"api_plan_id": "11"}, "network_id": 1,
        "network": {"id": 1, "name": "MTN", "code": "mtn"}, "name": "2GB (30 Days)", "plan_name": "2GB (30 Days)",
        "code": "2GB", "data_size": "2GB", "description": "2GB data valid for 30 days", "amount": 550.5,
        "price": {"amount": 550.5, "formatted": "₦550.50", "currency": "NGN"},
        "validity": {"days": 30, "formatted": "30 days"}, "type": {"name": "Direct", "code": "direct"},
        "status": {"code": "active", "name": "Active", "is_active": True},
    }  # fmt: skip
    assert found["pagination"] == {
        "current_page": 1, "per_page": 8, "total": 8, "total_pages": 1, "has_next_page": False, "has_prev_page": False,
    }  # fmt: skip
    assert found["summary"] == {
        "total_plans": 8, "active_plans": 8, "networks_count": 4, "average_price": float(Decimal("425.25")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "ids"),
    [(b"network=2", [20, 21]), (b"network=GLO", [30, 31]), (b"type=sme", [10, 20, 30, 40]), (b"network=4&type=x", [])],
)
async def test_all_plans_can_be_filtered(shop: Shop, query: bytes, ids: list[int]) -> None:
    found = (await shop.get("/data/all-plans", query)).json["data"]
    assert [plan["id"] for plan in found["plans"]] == ids


@pytest.mark.parametrize("network", ["1", "mtn"])
async def test_plans_are_found_by_the_networks_number(shop: Shop, network: str) -> None:
    found = (await shop.get("/data-plans", f"network={network}".encode())).json["data"]
    assert [plan["id"] for plan in found] == [10, 11]


@pytest.mark.parametrize("path", ["/data/all-plans", "/wallet"])
async def test_the_addresses_of_courtesies_need_a_key_and_the_right_method(shop: Shop, path: str) -> None:
    assert (await shop.get(path, authorization="Token bad")).status == 401
    refused = await request(shop.app, "POST", f"/api{path}", headers=KEY, body=b"{}")
    assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Bearer good", 200), ("BEARER good", 200), ("Token good", 200), ("Bearer bad", 401), ("Bearer", 401),
        ("Basic good", 401), ("good", 401), ("Bearer Token good", 401),
    ],
)  # fmt: skip
async def test_the_word_before_the_key(shop: Shop, value: str, status: int) -> None:
    assert (await shop.get("/data-plans", b"network=mtn", authorization=value)).status == status


# What is told of them -------------------------------------------------------------------------------------------------


def test_the_reference_has_the_table() -> None:
    section = REFERENCE.read_text("utf-8").partition("\n## Courtesies\n")[2].partition("\n## ")[0]
    rows = [tuple(re.split(r" \| ", line.strip("| "))) for line in section.splitlines() if line.startswith("| ")]
    told = [(str(line.part), f"`{line.taken}`", f"`{line.printed}`", line.about) for line in TABLE]
    assert rows[1:] == told


def test_no_document_lists_an_address_that_is_a_courtesy() -> None:
    made = document(NETWORKDATASUB, "0")
    addresses = {f"/api{line.taken}" for line in TABLE if line.part is Part.ADDRESS}
    assert addresses.isdisjoint(made["paths"])
    assert addresses == {f"/api{endpoint.path}" for endpoint in NETWORKDATASUB.courtesies}
    assert "courtesies" in made["info"]["description"]
