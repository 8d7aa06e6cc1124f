"""The vendors that sell the whole world, Reloadly and DT One, as far as our connectors see them. See vendor_doubles.py."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import httpx

from telvend.kit.numbering import national_form
from tests.contract.situations import Situation
from tests.vendor_doubles import Entry, VendorDouble, answer


def operator(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """An operator of Reloadly: airtime of Nigeria from NGN 50 to 50,000, paid for in USD."""
    return {
        "id": number,
        "operatorId": number,
        "name": name,
        "bundle": False,
        "data": False,
        "comboProduct": False,
        "pin": False,
        "supportsLocalAmounts": True,
        "denominationType": "RANGE",
        "senderCurrencyCode": "USD",
        "destinationCurrencyCode": "NGN",
        "minAmount": 0.11,
        "maxAmount": 110.5,
        "localMinAmount": 50,
        "localMaxAmount": 50000,
        "country": {"isoName": "NG", "name": "Nigeria"},
        "fx": {"rate": 452.5, "currencyCode": "NGN"},
        "logoUrls": ["https://s3.amazonaws.com/rld-operator/1.png"],
        "fixedAmounts": [],
        "fixedAmountsDescriptions": {},
        "localFixedAmounts": [],
        "localFixedAmountsDescriptions": {},
        "suggestedAmounts": [1, 2],
        "promotions": [],
    } | changes


MTN_DATA: Final = operator(
    646,
    "MTN Nigeria Data",
    data=True,
    denominationType="FIXED",
    minAmount=None,
    maxAmount=None,
    localMinAmount=None,
    localMaxAmount=None,
    fixedAmounts=[0.25, 0.67, 1.1],
    fixedAmountsDescriptions={"0.25": "100MB - 1 day", "0.67": "1GB - 30 days", "1.10": "1GB - 7 days + 500MB bonus"},
    localFixedAmounts=[100, 300, 500],
    localFixedAmountsDescriptions={
        "100.00": "100MB, 1 Day",
        "300.00": "1 GB for 30 days",
        "500.00": "1GB + 500MB, 30 days",
    },
)
OPERATORS: Final = [
    operator(341, "MTN Nigeria"),
    operator(342, "Airtel Nigeria", denominationType="FIXED", localFixedAmounts=[100, 300.5], localMinAmount=None),
    operator(340, "9Mobile (Etisalat) Nigeria", supportsLocalAmounts=False),
    operator(344, "Glo Nigeria"),
    operator(345, "Glo Nigeria Flexi"),
    operator(150, "MTN Ghana", country={"isoName": "GH"}, destinationCurrencyCode="GHS"),
    operator(347, "MTN Nigeria PIN", pin=True),
    MTN_DATA,
]


@dataclass
class ReloadlyDouble(VendorDouble):
    """Reloadly as its reference has it. Its tokens end after `token_lasts_s`, or when a test says so (`end_tokens`)."""

    CLIENT_ID: ClassVar = "double-client"
    CLIENT_SECRET: ClassVar = "double-secret"

    token_lasts_s: float = 86400.0
    tokens: int = 0
    hides_from_report: bool = False
    _token_ends_s: float = float("-inf")

    def end_tokens(self) -> None:
        """Revoke the token that was given last."""
        self._token_ends_s = float("-inf")

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/topups") or not self._lets_in(request):
            return None
        assert request.headers["accept"] == "application/com.reloadly.topups-v1+json"
        form = json.loads(request.content)
        return national_form(f"+{form['recipientPhone']['number']}"), form["customIdentifier"], form

    def _lets_in(self, request: httpx.Request) -> bool:
        known = request.headers.get("authorization") == f"Bearer token-{self.tokens}"
        return known and self.clock.monotonic() < self._token_ends_s

    def state(self, entry: Entry) -> httpx.Response:
        return answer(200, self.transaction(entry), "application/com.reloadly.topups-v1+json;charset=utf-8")

    def transaction(self, entry: Entry) -> dict[str, Any]:
        settled = self.settled(entry)
        return {
            "transactionId": 4602843 + entry.number,
            "status": ("REFUNDED" if entry.refused else "SUCCESSFUL") if settled else "PROCESSING",
            "operatorTransactionId": "7297929551:OrderConfirmed",
            "customIdentifier": entry.reference,
            "recipientPhone": int(entry.request["recipientPhone"]["number"]),
            "countryCode": entry.request["recipientPhone"]["countryCode"],
            "operatorId": entry.request["operatorId"],
            "operatorName": "MTN Nigeria",
            "discount": 0.02,
            "discountCurrencyCode": "USD",
            "requestedAmount": 0.67,
            "requestedAmountCurrencyCode": "USD",
            "deliveredAmount": entry.request["amount"],
            "deliveredAmountCurrencyCode": "NGN",
            "transactionDate": "2026-01-01 00:00:00",
            "pinDetail": None,
            "balanceInfo": {"oldBalance": 100.0, "newBalance": 99.35, "cost": 0.65, "currencyCode": "USD"},
        }

    def repeated(self, _entry: Entry) -> httpx.Response:
        return error(400, "CUSTOM_IDENTIFIER_ALREADY_USED")

    def refuses(self) -> httpx.Response:
        return error(400, "INVALID_RECIPIENT_PHONE")

    def refuses_elsewhere(self) -> httpx.Response:
        return error(400, "INSUFFICIENT_BALANCE")

    def undocumented(self, entry: Entry) -> httpx.Response:
        return answer(200, self.transaction(entry) | {"status": "QUEUED"})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return self._token(json.loads(request.content))
        if not self._lets_in(request):
            return error(401, "TOKEN_EXPIRED")
        path = request.url.path
        if path == "/accounts/balance":
            return answer(200, {"balance": 5000.239, "currencyCode": "USD", "currencyName": "US Dollar"})
        if path.startswith("/operators/countries/"):
            assert dict(request.url.params) == {
                "includeBundles": "false",
                "includeData": "false",
                "includePin": "false",
            }
            country = path.rpartition("/")[2]
            return answer(200, [one for one in OPERATORS if one["country"]["isoName"] == country])
        if path.startswith("/operators/"):
            found = [one for one in OPERATORS if str(one["operatorId"]) == path.rpartition("/")[2]]
            return answer(200, found[0]) if found else error(404, "OPERATOR_NOT_FOUND")
        if path == "/topups/reports/transactions":
            if "page" in request.url.params:
                return self.page(request)
            wanted = request.url.params["customIdentifier"]
            rows = [self.transaction(entry) for entry in self.book if entry.reference == wanted]
            return answer(200, {"content": [] if self.hides_from_report else rows, "totalElements": len(rows)})
        for entry in self.book:
            if path == f"/topups/{4602843 + entry.number}/status":
                inside = self.transaction(entry)
                return answer(200, {"code": None, "message": None, "status": inside["status"], "transaction": inside})
        return answer(404, {"status": 404, "error": "Not Found", "message": "No message available", "path": path})

    def page(self, request: httpx.Request) -> httpx.Response:
        """A page of the report, newest first."""
        number, size = int(request.url.params["page"]), int(request.url.params["size"])
        rows = [self.transaction(entry) for entry in reversed(self.book)]
        shown = rows[(number - 1) * size : number * size]
        pages = max(1, -(-len(rows) // size))
        return answer(200, {"content": shown, "totalElements": len(rows), "totalPages": pages})

    def _token(self, form: dict[str, Any]) -> httpx.Response:
        if (form["client_id"], form["client_secret"]) != (self.CLIENT_ID, self.CLIENT_SECRET):
            return error(401, "INVALID_CREDENTIALS")
        assert form["grant_type"] == "client_credentials"
        self.tokens += 1
        self._token_ends_s = self.clock.monotonic() + self.token_lasts_s
        token = {"access_token": f"token-{self.tokens}", "scope": "developer", "token_type": "Bearer"}
        return answer(200, token | {"expires_in": self.token_lasts_s})


def error(status: int, code: str) -> httpx.Response:
    """An error of Reloadly."""
    words = {"timeStamp": "2026-01-01 00:00:00", "message": code.capitalize(), "path": "/topups", "errorCode": code}
    return answer(status, words | {"infoLink": None, "details": []})


def product(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A product of DT One: airtime of MTN Nigeria from NGN 50 to 50,000, paid for in USD."""
    return {
        "id": number,
        "name": name,
        "description": name,
        "type": "RANGED_VALUE_RECHARGE",
        "service": {"id": 1, "name": "Mobile", "subservice": {"id": 11, "name": "Airtime"}},
        "operator": {"id": 1604, "name": "MTN Nigeria", "country": {"iso_code": "NGA", "name": "Nigeria"}},
        "validity": None,
        "required_debit_party_identifier_fields": None,
        "required_credit_party_identifier_fields": [["mobile_number"]],
        "required_sender_fields": None,
        "required_beneficiary_fields": None,
        "required_statement_identifier_fields": None,
        "required_additional_identifier_fields": None,
        "accepted_calculation_modes": ["SOURCE_AMOUNT", "DESTINATION_AMOUNT"],
        "source": {"unit_type": "CURRENCY", "unit": "USD", "amount": {"min": 0.1, "max": 110}},
        "destination": {"unit_type": "CURRENCY", "unit": "NGN", "amount": {"min": 50, "max": 50000, "increment": 1}},
        "prices": {"wholesale": {"unit_type": "CURRENCY", "unit": "USD", "amount": {"min": 0.1, "max": 105}, "fee": 0}},
        "benefits": [{"type": "CREDITS", "unit_type": "CURRENCY", "unit": "NGN", "amount": {"base": {"min": 50}}}],
    } | changes


def bundle(number: int, name: str, amount: float, unit: str, days: int, **changes: Any) -> dict[str, Any]:
    """A bundle of DT One."""
    size = {"base": amount, "promotion_bonus": 0, "total_excluding_tax": amount, "total_including_tax": amount}
    fixed: dict[str, Any] = {
        "type": "FIXED_VALUE_RECHARGE",
        "service": {"id": 1, "name": "Mobile", "subservice": {"id": 13, "name": "Data"}},
        "validity": {"unit": "DAY", "quantity": days},
        "source": {"unit_type": "CURRENCY", "unit": "USD", "amount": 0.7},
        "destination": {"unit_type": "CURRENCY", "unit": "NGN", "amount": 300},
        "benefits": [{"type": "DATA", "unit_type": "DATA", "unit": unit, "amount": size}],
    }
    return product(number, name, **fixed | changes)


PRODUCTS: Final = [
    product(3100, "MTN Nigeria 50 to 50000"),
    bundle(3101, "1GB, 30 days", 1024, "MB", 30),
    bundle(3102, "1GB, 7 days", 1, "GB", 7),
    bundle(3103, "2GB, 30 days", 2, "GB", 30),
    bundle(3104, "2GB, 30 days, night", 2048, "MB", 30),
    bundle(3105, "5GB for a named sender", 5, "GB", 30, required_sender_fields=[["last_name", "first_name"]]),
    product(3106, "MTN Nigeria PIN", type="RANGED_VALUE_PIN_PURCHASE"),
    product(
        3200,
        "Airtel Nigeria 300",
        type="FIXED_VALUE_RECHARGE",
        operator={"id": 1605, "name": "Airtel Nigeria", "country": {"iso_code": "NGA", "name": "Nigeria"}},
        destination={"unit_type": "CURRENCY", "unit": "NGN", "amount": 300},
    ),
    product(
        3300, "MTN Ghana", operator={"id": 9, "name": "MTN Ghana", "country": {"iso_code": "GHA", "name": "Ghana"}}
    ),
]
_CLASSES: Final = {
    1: "CREATED",
    2: "CONFIRMED",
    3: "REJECTED",
    4: "CANCELLED",
    5: "SUBMITTED",
    7: "COMPLETED",
    8: "REVERSED",
    9: "DECLINED",
}


@dataclass
class Creation:
    """A transaction of DT One before it is confirmed."""

    id: int
    form: dict[str, Any]
    cancelled: bool = False

    @property
    def phone(self) -> str:
        return national_form(str(self.form["credit_party_identifier"]["mobile_number"]))


@dataclass
class DTOneDouble(VendorDouble):
    """DT One as its reference has it. The situations are about the confirmation; `creation` says what becomes of a creation."""

    API_KEY: ClassVar = "double-key"
    API_SECRET: ClassVar = "double-secret"

    creations: dict[str, Creation] = field(default_factory=dict)
    creation: httpx.Response | Exception | None = None
    """What a creation gets instead of its answer. The transaction is there all the same."""
    confirmation_lost: bool = False
    """The next confirmations do not arrive."""
    per_page: int = 4

    async def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/confirm"):
            await self.open.wait()  # What has become of the transaction by then decides.
        return await super().handle(request)

    def _lets_in(self, request: httpx.Request) -> bool:
        pair = base64.b64encode(f"{self.API_KEY}:{self.API_SECRET}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {pair}"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        path = request.url.path
        if request.method != "POST" or not path.endswith("/confirm") or not self._lets_in(request):
            return None
        found = self._creation(path.split("/")[-2])
        if found is None or found.cancelled or self.confirmation_lost:
            return None
        return found.phone, found.form["external_id"], found.form

    def _creation(self, number: str) -> Creation | None:
        return next((one for one in self.creations.values() if str(one.id) == number), None)

    def state(self, entry: Entry) -> httpx.Response:
        return answer(202, self.transaction(self.creations[entry.reference]))

    def repeated(self, _entry: Entry) -> httpx.Response:
        return errors(400, 1007002)

    def refuses(self) -> httpx.Response:
        return errors(400, 1005003)

    def refuses_elsewhere(self) -> httpx.Response:
        return errors(400, 1006001)

    def undocumented(self, entry: Entry) -> httpx.Response:
        body = self.transaction(self.creations[entry.reference])
        return answer(
            202, body | {"status": {"id": 60000, "message": "QUEUED", "class": {"id": 6, "message": "QUEUED"}}}
        )

    def transaction(self, creation: Creation) -> dict[str, Any]:
        reference = creation.form["external_id"]
        entry = next((entry for entry in self.book if entry.reference == reference), None)
        status = 4 if creation.cancelled else 1
        if entry is not None:
            status = (9 if entry.refused else 7) if self.settled(entry) else 5
        return {
            "id": creation.id,
            "external_id": reference,
            "creation_date": "2026-01-01T00:00:00.000000Z",
            "confirmation_expiration_date": "2026-01-01T01:00:00.000000Z",
            "status": {
                "id": status * 10000,
                "message": _CLASSES[status],
                "class": {"id": status, "message": _CLASSES[status]},
            },
            "operator_reference": None,
            "pin": None,
            "product": {"id": creation.form["product_id"], "name": "a product"},
            "prices": {"wholesale": {"unit_type": "CURRENCY", "unit": "USD", "amount": 0.65, "fee": 0}, "retail": None},
            "credit_party_identifier": creation.form["credit_party_identifier"],
            "a_field_that_was_added": {"without": "notice"},
        }

    def other(self, request: httpx.Request) -> httpx.Response:
        if not self._lets_in(request):
            return errors(401, 1000401)
        path = request.url.path.removeprefix("/v1")
        if request.method == "POST":
            return self._post(request, path)
        if path == "/balances":
            balance = {
                "id": 1,
                "unit_type": "CURRENCY",
                "unit": "USD",
                "available": 700.129,
                "holding": 5,
                "credit_limit": 0,
            }
            return answer(200, [balance])
        if path == "/products":
            return self._products(request)
        if path.startswith("/products/"):
            found = [one for one in PRODUCTS if str(one["id"]) == path.rpartition("/")[2]]
            return answer(200, found[0]) if found else errors(404, 1003001)
        if path == "/transactions" and "page" in request.url.params:
            return self.page(request)
        if path == "/transactions":
            creation = self.creations.get(request.url.params["external_id"])
            return answer(200, []) if creation is None else answer(200, [self.transaction(creation)])
        found_creation = self._creation(path.rpartition("/")[2])
        return errors(404, 1008004) if found_creation is None else answer(200, self.transaction(found_creation))

    def page(self, request: httpx.Request) -> httpx.Response:
        """A page of transactions, newest first."""
        number, size = int(request.url.params["page"]), int(request.url.params["per_page"])
        rows = [self.transaction(creation) for creation in reversed(self.creations.values())]
        page = answer(200, rows[(number - 1) * size : number * size])
        page.headers.update({"x-total": str(len(rows)), "x-total-pages": str(-(-len(rows) // size))})
        return page

    def _post(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == "/async/transactions":
            return self._create(request)
        creation = self._creation(path.split("/")[-2])
        if creation is None:
            return errors(404, 1008004)
        if path.endswith("/confirm"):
            if self.confirmation_lost:
                raise httpx.ReadTimeout("silence", request=request)
            return errors(400, 1007005)
        assert path.endswith("/cancel")
        if any(entry.reference == creation.form["external_id"] for entry in self.book):
            return errors(400, 1007007)
        if creation.cancelled:
            return errors(400, 1007005)
        creation.cancelled = True
        return answer(202, self.transaction(creation))

    def _create(self, request: httpx.Request) -> httpx.Response:
        form = json.loads(request.content)
        assert form["auto_confirm"] is False
        if form["external_id"] in self.creations:
            return errors(400, 1007001)
        creation = Creation(10_000_000 + next(self._numbers), form)
        match self.situations.get(creation.phone, Situation.DELIVERS):
            case Situation.NO_CONNECTION:
                raise httpx.ConnectError("refused", request=request)
            case Situation.REFUSES:
                return self.refuses()
            case Situation.REFUSES_ELSEWHERE:
                return self.refuses_elsewhere()
        self.creations[form["external_id"]] = creation
        if isinstance(self.creation, Exception):
            raise self.creation
        return self.creation or answer(201, self.transaction(creation))

    def _products(self, request: httpx.Request) -> httpx.Response:
        params = request.url.params
        rows = [one for one in PRODUCTS if one["operator"]["country"]["iso_code"] == params["country_iso_code"]]
        assert int(params["per_page"]) <= 100
        at = (int(params["page"]) - 1) * self.per_page
        page = answer(200, rows[at : at + self.per_page])
        page.headers["x-total-pages"] = str(-(-len(rows) // self.per_page))
        return page


def errors(status: int, *codes: int) -> httpx.Response:
    """Errors of DT One."""
    return answer(status, {"errors": [{"code": code, "message": f"error {code}"} for code in codes]})
