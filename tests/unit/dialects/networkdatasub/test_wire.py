"""What we render against what the document prints: the same names in the same order, the same JSON types, the same formats.

The records are made so that they say what the examples say; where they cannot (our references, our addresses), the format
is compared.
"""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.authorities.contract import Gender, Record
from telvend.authorities.contract import VerificationKind as IdentityKind
from telvend.catalog.model import Airtime, CatalogueSnapshot, Network, Product
from telvend.dialects.contract import Request, Response
from telvend.dialects.networkdatasub import wire
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.errors import InsufficientBalance, ProductUnavailable
from telvend.funding.model import Funding, FundingState
from telvend.gateways.contract import Method
from telvend.identity.model import NotConfigured, Opened, Price, Verification, VerificationResult
from telvend.identity.model import VerificationState as CheckState
from telvend.kit.allowance import AllowanceKind as Allowance
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.orders.model import Attempt, AttemptState, Order, OrderState, Placement
from telvend.resellers.model import Profile
from telvend.wallets.model import Summary, Transaction, TransactionKind, TransactionStatus

EXAMPLES = Path(__file__).parents[3] / "wire" / "networkdatasub"
_encode = msgspec.json.Encoder(decimal_format="number").encode

NAIRA = 100
ID = UUID(int=1)
SNAPSHOT = CatalogueSnapshot.of(
    1,
    networks := [
        Network(
            number, "NG", code, name, True,
            datetime(2023, 1, 15, tzinfo=UTC), datetime(2025, 4, 10, 8, 30, tzinfo=UTC),
        )
        for number, (code, name) in enumerate(
            (("mtn", "MTN"), ("airtel", "Airtel"), ("glo", "Glo"), ("9mobile", "9Mobile")), 1
        )
    ],
    products := [
        Product(
            f"P{number}", "NG", network.code, "data", type_, size, 30, Money(price * NAIRA, NGN), Money(1, NGN), True,
            number, network.id,
        )
        for number, (network, type_, size, price) in enumerate(
            [
                (networks[0], "SME", "1GB", 300),
                (networks[0], "SME", "2GB", 500),
                (networks[0], "SME", "5GB", 1000),
                (networks[0], "Direct", "20GB", 7000),
                (networks[0], "Corporate", "30GB", 8000),
                (networks[1], "Direct", "1GB", 800),
                (networks[1], "Corporate", "1GB", 400),
                (networks[2], "Direct", "1GB", 430),
                (networks[3], "Direct", "1GB", 490),
                (networks[3], "SME", "1GB", 150),
            ],
            1,
        )
    ],
    (),
    [
        Airtime(90 + n.id, f"A{n.id}", n.id, "NG", n.code, Money(5000, NGN), Money(5000000, NGN), 9700, True)
        for n in networks
    ],
    [
        (1, "wazodata", "mtn-ng"), (1, "mobilesix", "MTN"), (1, "telitab", "MTN"),
        (2, "wazodata", "airtel-ng"), (2, "mobilesix", "AIRTEL"), (2, "telitab", "AIRTEL"),
    ],
)  # fmt: skip
PROFILE = Profile(
    id=ID, number=1, email="[email\xa0protected]", name="John Doe", phone="+2348012345678",
    created_at=datetime(2024, 10, 15, 8, 45, 12, tzinfo=UTC), address="123 Main Street, Lagos", gender="Male",
    date_of_birth=date(1990, 1, 1), email_verified=True, phone_verified=True, id_verified=False, avatar_token="f" * 64,
)  # fmt: skip
FUNDED = datetime(2025, 4, 1, 12, 30, 45, tzinfo=UTC)
SOLD = datetime(2025, 5, 15, 8, 30, 45, tzinfo=UTC)
SALE = Transaction(
    id=456, reference="DATA-XYZ123", kind=TransactionKind.ORDER, credit=False, amount=Money(300 * NAIRA, NGN),
    status=TransactionStatus.COMPLETED, before=Money(5300 * NAIRA, NGN), after=Money(5000 * NAIRA, NGN), service="data",
    description="MTN Data Purchase - 1GB", created_at=SOLD, updated_at=datetime(2025, 5, 15, 8, 30, 50, tzinfo=UTC),
    facts={"subscriber": "+2348012345678", "network": "mtn", "size": "1GB", "product_id": 1, "face": Money(1, NGN)},
)  # fmt: skip
CREDITED = datetime(2025, 5, 10, 14, 22, 18, tzinfo=UTC)
CREDIT = Transaction(
    id=455, reference="FND-ABC789", kind=TransactionKind.CREDIT, credit=True, amount=Money(2000 * NAIRA, NGN),
    status=TransactionStatus.COMPLETED, before=Money(0, NGN), after=Money(2000 * NAIRA, NGN), service="funding",
    description="Wallet funding via Bank Transfer", created_at=CREDITED, updated_at=CREDITED,
    facts={"payment_method": "bank_transfer", "bank_name": "First Bank", "payment_reference": "TRF12345"},
)  # fmt: skip
ATTEMPT = Attempt(
    456, 1, "wazodata", "T-1", AttemptState.DELIVERED, 0, "Data purchase successful", "PRV-12345", SOLD, SOLD
)
BASE = "https://networkdatasub.com"


def order(kind: str, number: int, face: int, placed: datetime, state: OrderState = OrderState.DELIVERED) -> Order:
    return Order(
        id=number, reference=f"{kind[:4].upper()}-{number}-abcdef", reseller_id=ID, dialect="networkdatasub",
        mode=Mode.LIVE, client_reference=None, fingerprint="", wallet_id=1, position=1, kind=kind, country="NG",
        network="mtn", product_id=2, product="P2", size="2GB", validity_days=30, subscriber="+2348012345678",
        face=Money(face, NGN), price=Money(face, NGN), cost=Money(1, NGN), state=state,
        balance_after=Money(0, NGN), created_at=placed, updated_at=placed,
    )  # fmt: skip


def purchase(
    kind: str, number: int, face: int, placed: datetime, balance: int, state: OrderState = OrderState.DELIVERED
) -> Response:
    made = order(kind, number, face, placed, state)
    return wire.purchase_answer(Placement(made, False, 0.0), made, Money(balance, NGN), kind.title())


FUNDING = Funding(
    id=7, reference="FND-7-abcdef", reseller_id=ID, wallet_id=1, mode=Mode.LIVE, gateway="sandbox", method=Method.CARD,
    amount=Money(5000_00, NGN), redirect_url=None, state=FundingState.PENDING, attention=False,
    payment_url=f"{BASE}/pay/x", gateway_reference=None, channel="", bank="", position=1, balance_before=Money(0, NGN),
    balance_after=Money(0, NGN), asked=0, asked_at=None, notices=0, created_at=SOLD,
    expires_at=datetime(2025, 5, 20, 15, 30, 45, tzinfo=UTC), updated_at=SOLD, completed_at=None,
)  # fmt: skip
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
NIN_RECORD = Record(
    first_name="John", middle_name="Doe", last_name="Smith", date_of_birth=date(1990, 1, 1), gender=Gender.MALE,
    mobile="08012345678", address="123 Main Street", town="Ikeja", lga="Ikeja", state="Lagos",
    issue_date=date(2025, 5, 18), photo=PIXEL, signature=PIXEL,
)  # fmt: skip
BVN_RECORD = Record(
    first_name="John", middle_name="Smith", last_name="Doe", date_of_birth=date(1990, 1, 1), gender=Gender.MALE,
    mobile="08012345678", email="[email\xa0protected]", photo=PIXEL,
)  # fmt: skip
NUMBER = Secret("12345678901")
VERIFIED = datetime(2025, 5, 18, 12, tzinfo=UTC)


def check(
    kind: IdentityKind, number: int, price: int, state: CheckState = CheckState.VERIFIED, balance: int = 0
) -> Verification:
    return Verification(
        id=number, reference=f"{kind.upper()}-{number}-abcdef", reseller_id=ID, key_id=ID, dialect="networkdatasub",
        mode=Mode.LIVE, client_reference=None, wallet_id=1, position=1, kind=kind, card_type="standard", provider=None,
        force_new=False, use_real_api=False, source="personas", reused_id=None, price=Money(price, NGN),
        cost=Money(0, NGN), state=state, text="", before=Money(0, NGN), after=Money(balance, NGN),
        expires_at=datetime(2026, 5, 18, 12, tzinfo=UTC), purged_at=None, created_at=VERIFIED, updated_at=VERIFIED,
    )  # fmt: skip


def checked(
    kind: IdentityKind, number: int, price: int, balance: int, state: CheckState = CheckState.VERIFIED
) -> Response:
    record = (NIN_RECORD if kind is NIN else BVN_RECORD) if state is CheckState.VERIFIED else None
    found = VerificationResult(check(kind, number, price, state, balance), NUMBER, record, replayed=False)
    return wire.checked_answer(kind, found, None if kind is NIN else "idpass")


NIN, BVN = IdentityKind.NIN, IdentityKind.BVN


def history(kind: IdentityKind, price: int) -> Response:
    rows = [wire.verification_row(kind, Opened(check(kind, 12345, price), NUMBER), 1)]
    return wire.ok(rows, f"{kind.upper()} verifications retrieved successfully")


def details(kind: IdentityKind, price: int) -> Response:
    opened = Opened(check(kind, 12345, price), NUMBER, NIN_RECORD if kind is NIN else BVN_RECORD)
    body = {"verification": wire.verification_row(kind, opened, 1), "details": wire.details(kind, opened)}
    return wire.ok(body, f"{kind.upper()} verification retrieved successfully")


def pricing(kind: IdentityKind, *lines: tuple[str, int, str]) -> Response:
    rows = [
        wire.price(Price(number, kind, card, Money(naira * NAIRA, NGN), True, text))
        for number, (card, naira, text) in enumerate(lines, 1)
    ]
    return wire.ok(rows, f"{kind.upper()} verification pricing retrieved successfully")


def no_money(required: int, available: int) -> Response:
    return wire.insufficient(
        "Insufficient wallet balance. Please fund your wallet to continue.",
        InsufficientBalance(Money(required * NAIRA, NGN), Money(available * NAIRA, NGN)),
    )


def paginated() -> dict[str, Any]:
    # The example prints two rows and says fifteen.
    rows = [wire.transaction_row(item, 1) for item in (SALE, CREDIT)]
    body = wire.paginated(rows, 75, 1, 15, f"{BASE}/api/transactions", "")
    assert body["to"] == 2
    return body | {"to": 15}


RENDERED = {
    "user": lambda: wire.ok(wire.user(PROFILE, Money(5000 * NAIRA, NGN))),
    "user-profile": lambda: wire.ok(wire.profile_body(PROFILE, Money(5000 * NAIRA, NGN), FUNDED, f"{BASE}/avatars/1")),
    "mobile-networks": lambda: wire.ok(
        [wire.network_line(n, BASE) for n in networks], "Mobile networks retrieved successfully"
    ),
    "networks": lambda: wire.ok(
        [wire.network_details(SNAPSHOT, n, BASE) for n in networks[:2]], "Networks retrieved successfully"
    ),
    "airtime-types": lambda: wire.ok(
        [wire.network_line(n, BASE) for n in networks], "Airtime types retrieved successfully"
    ),
    "data-networks": lambda: wire.ok(
        [wire.network_line(n, BASE) | {"data_types": wire.data_types(SNAPSHOT, n)} for n in networks],
        "Data networks retrieved successfully",
    ),
    "data-plans": lambda: wire.ok([wire.plan(p) for p in products[:3]], "Data plans retrieved successfully"),
    "airtime-purchase": lambda: purchase(
        "airtime", 123, 100_00, datetime(2025, 4, 15, 10, 30, tzinfo=UTC), 4900_00
    ),
    "airtime-purchase-too-little-money": lambda: wire.insufficient(
        "Failed to purchase airtime: Insufficient wallet balance",
        InsufficientBalance(Money(100_00, NGN), Money(50_00, NGN)),
    ),
    "data-purchase": lambda: purchase("data", 124, 500_00, datetime(2025, 4, 15, 11, 30, tzinfo=UTC), 4400_00),
    "wallet-balance": lambda: wire.ok(
        wire.wallet_balance(123, 1, Money(5000_00, NGN), FUNDED), "Wallet balance retrieved successfully"
    ),
    "wallet-summary": lambda: wire.ok(
        wire.wallet_summary(
            123,
            Summary(Money(5000_00, NGN), Money(15000_00, NGN), Money(10000_00, NGN), 25, SOLD, FUNDED),
            [SALE, CREDIT],
        ),
        "Wallet summary retrieved successfully",
    ),
    "transactions": lambda: wire.ok(paginated(), "Transactions retrieved successfully"),
    "transaction": lambda: wire.ok(
        wire.transaction_details(SALE, 1, wire.delivery(ATTEMPT, products[0])),
        "Transaction details retrieved successfully",
    ),
    "wallet-fund": lambda: wire.ok(wire.funding(FUNDING), "Funding request initiated successfully"),
    "nin-pricing": lambda: pricing(
        NIN,
        ("standard", 100, "Standard verification"),
        ("regular", 150, "Regular verification"),
        ("premium", 200, "Premium verification with enhanced features"),
    ),
    "bvn-pricing": lambda: pricing(
        BVN,
        ("standard", 300, "Standard BVN verification"),
        ("premium", 500, "Premium BVN verification with enhanced data"),
    ),
    "nin": lambda: checked(NIN, 12345, 100_00, 5000_00),
    "bvn": lambda: checked(BVN, 123, 300_00, 9700_00),
    "nin-too-little-money": lambda: no_money(100, 50),
    "bvn-too-little-money": lambda: no_money(300, 100),
    "nin-history": lambda: history(NIN, 100_00),
    "bvn-history": lambda: history(BVN, 300_00),
    "nin-details": lambda: details(NIN, 100_00),
    "bvn-details": lambda: details(BVN, 300_00),
}  # fmt: skip
# Ours to choose: how a reference is made, where pictures are, what no provider tells us.
OURS = re.compile(r"reference|transaction_id|logo|avatar|payment_url|bundle_remaining")
_FORMATS = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    re.compile(r"\d{4}-\d\d-\d\d"),
    re.compile(r"\d+\.\d\d"),
    re.compile(r"https?://.*"),
)


def read(data: bytes) -> Any:
    return json.loads(data, parse_float=Decimal)


def compare(ours: Any, printed: Any, place: str) -> None:
    """Everything printed is there, in the printed order, and says the same; more may be there."""
    if OURS.search(place.rpartition(".")[2]):
        assert ours is None or kind_of(ours) == kind_of(printed), place
        return
    assert type(ours) is type(printed), place
    if isinstance(printed, dict):
        assert [name for name in ours if name in printed] == list(printed), place
        for name, value in printed.items():
            compare(ours[name], value, f"{place}.{name}")
    elif isinstance(printed, list) and not place.endswith("data_types"):
        assert len(ours) == len(printed), place
        for number, (own, value) in enumerate(zip(ours, printed, strict=True)):
            compare(own, value, f"{place}[{number}]")
    elif isinstance(printed, list):
        assert sorted(ours) == sorted(printed), place
    else:
        assert str(ours) == str(printed), place  # 5000.00 is not 5000.0 here.


def kind_of(value: Any) -> Any:
    if not isinstance(value, str):
        return type(value)
    return next((number for number, pattern in enumerate(_FORMATS) if pattern.fullmatch(value)), "text")


@pytest.mark.parametrize("name", RENDERED)
def test_what_we_render_is_what_the_document_prints(name: str) -> None:
    example = read((EXAMPLES / f"{name}.json").read_bytes())
    answer = RENDERED[name]()
    assert answer.status == example["status"]
    compare(read(_encode(answer.body)), example["response"], name)


def test_every_printed_answer_is_rendered_here() -> None:
    printed = {path.stem for path in EXAMPLES.glob("*.json") if not path.stem.startswith("error-")}
    assert RENDERED.keys() == {name for name in printed if not name.endswith("-request")}


# Purchases that do not end well ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [OrderState.ACCEPTED, OrderState.DELIVERING, OrderState.WAITING, OrderState.REVIEW])
def test_an_order_that_is_still_open_is_a_success_that_says_pending(state: OrderState) -> None:
    answer = purchase("airtime", 1, 100_00, SOLD, 0, state)
    body = read(_encode(answer.body))
    assert (answer.status, body["success"], body["data"]["status"]) == (200, True, "pending")
    assert body["data"]["transaction"]["status"] == "pending"
    assert "still being delivered" in body["message"]


def test_a_refused_order_is_a_400_with_its_transaction() -> None:
    answer = purchase("data", 1, 100_00, SOLD, 0, OrderState.FAILED)
    body = read(_encode(answer.body))
    assert (answer.status, body["success"], body["data"]["transaction"]["status"]) == (400, False, "failed")
    assert "refunded" in body["message"]


# Numbers ---------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**15))
def test_a_number_is_exact_and_whole_ones_have_no_decimals(minor: int) -> None:
    text = _encode(wire.number(Money(minor, NGN))).decode()
    assert Decimal(text) * 100 == minor
    assert ("." in text) is (minor % 100 != 0)
    assert "E" not in text.upper()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 5, 15, 8, 30, 45, tzinfo=UTC), "2025-05-15T08:30:45.000000Z"),
        (datetime(2025, 5, 15, 8, 30, 45, 1, tzinfo=UTC), "2025-05-15T08:30:45.000001Z"),
        (None, None),
    ],
)
def test_a_moment_has_six_decimals_and_a_z(moment: datetime | None, text: str | None) -> None:
    assert wire.stamp(moment) == text


# The paginator ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 250))
def test_the_paginator_adds_up(total: int, per_page: int, page: int) -> None:
    everything = list(range(total))
    rows = everything[(page - 1) * per_page : page * per_page]
    body = wire.paginated(rows, total, page, per_page, "p", "")
    last = body["last_page"]
    assert last == max(1, len(range(0, total, per_page)))
    assert (body["first_page_url"], body["last_page_url"]) == ("p?page=1", f"p?page={last}")
    if rows:
        # `from` and `to` count from one.
        assert (everything[body["from"] - 1], everything[body["to"] - 1]) == (rows[0], rows[-1])
    else:
        assert (body["from"], body["to"]) == (None, None)
    assert body["next_page_url"] == (f"p?page={page + 1}" if page * per_page < total else None)
    assert body["prev_page_url"] == (f"p?page={page - 1}" if page > 1 else None)
    assert (body["current_page"], body["per_page"], body["total"], body["path"]) == (page, per_page, total, "p")


def test_every_link_keeps_the_filter() -> None:
    body = wire.paginated([1], 3, 2, 1, "https://shop/api/transactions", "per_page=1&type=credit")
    links = [body[name] for name in ("first_page_url", "prev_page_url", "next_page_url", "last_page_url")]
    assert links == [f"https://shop/api/transactions?per_page=1&type=credit&page={number}" for number in (1, 1, 3, 3)]


def test_what_a_provider_said_is_told_in_codes_of_http() -> None:
    told = wire.delivery(replace(ATTEMPT, state=AttemptState.REFUSED, provider_reference=None), None)
    assert (told["provider_reference"], told["provider_response"]["code"], told["validity"]) == ("T-1", 400, None)
    assert wire.delivery(replace(ATTEMPT, state=AttemptState.UNKNOWN), None)["provider_response"]["code"] == 202
    assert wire.delivery(None, products[0])["provider_response"] is None


@pytest.mark.parametrize(
    ("state", "status"),
    [(CheckState.NOT_ON_RECORD, 404), (CheckState.BLOCKED, 400), (CheckState.UNAVAILABLE, 503)],
)
def test_a_check_without_a_record_says_that_it_cost_nothing(state: CheckState, status: int) -> None:
    answer = checked(NIN, 1, 100_00, 0, state)
    body = read(_encode(answer.body))
    assert (answer.status, body["success"], "data" in body) == (status, False, False)
    assert "not charged" in body["message"]
    assert (b"retry-after" in dict(answer.headers)) is (status == 503)


def test_what_is_not_on_sale_says_so_and_what_is_not_configured_says_that() -> None:
    gone = wire.error_answer(ProductUnavailable("glo", "#12"))
    assert (gone.status, gone.body.message) == (400, "This is not on sale for glo right now.")
    missing = wire.error_answer(NotConfigured(NIN, None))
    assert missing.status == 400
    assert "use_real_api" in missing.body.message


@pytest.mark.parametrize("route", wire.TOO_LITTLE_MONEY)
def test_too_little_money_reads_as_the_document_prints_it_for_the_route(route: str) -> None:
    paid = {endpoint.path for endpoint in NETWORKDATASUB.endpoints if endpoint.allowance is Allowance.PURCHASE}
    assert paid - {"/wallet/fund"} == wire.TOO_LITTLE_MONEY.keys()
    asked = Request("POST", f"/api{route}", route, b"", {}, "http", "127.0.0.1", b"r-1", "", "")
    error = InsufficientBalance(Money(100_00, NGN), Money(50_00, NGN))
    assert wire.error_answer(error, asked) == wire.insufficient(wire.TOO_LITTLE_MONEY[route], error)
    assert wire.error_answer(error) == wire.insufficient("Insufficient wallet balance", error)
