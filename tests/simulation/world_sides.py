"""The far sides of those who sell the whole world, Reloadly and DT One, and MTN itself. See far_sides.py."""

from typing import Any, Final

import httpx

from telvend.kit.secret import Secret
from tests.simulation.far_sides import (
    CALLBACK_SECRET,
    Answer,
    Entry,
    FarSide,
    Fate,
    Fault,
    Purchase,
    TelvendAsMadapi,
    json_of,
    last_of,
    settings_of,
)
from tests.world_doubles import bundle, operator, product

NGN_DATA: Final = operator(
    646,
    "MTN Nigeria Data",
    data=True,
    denominationType="FIXED",
    localFixedAmounts=[300, 500],
    localFixedAmountsDescriptions={"300.00": "1GB - 30 days", "500.00": "2GB - 30 days"},
)
OPERATORS: Final = [operator(341, "MTN Nigeria"), operator(344, "Glo Nigeria"), NGN_DATA]
PRODUCTS: Final = [
    product(3100, "MTN Nigeria 50 to 50000"),
    bundle(3101, "1GB, 30 days", 1, "GB", 30),
    bundle(3103, "2GB, 30 days", 2, "GB", 30),
]


class ReloadlySide(FarSide):
    """Reloadly: tokens that end at any time, a reference that is no key, and a report that may lag for most of an hour."""

    latest_s = 3_480.0
    guard_s = 120.0
    deduplicates = False
    calls_back = True
    settings = settings_of(
        "reloadly",
        client_id=Secret("the-client"),
        client_secret=Secret("the-client-secret"),
        callback_secret=CALLBACK_SECRET,
    )
    token = 1

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if (request.method, request.url.path) != ("POST", "/topups"):
            return None
        form = json_of(request)
        form["authorization"] = request.headers.get("authorization")
        form["service"] = "data" if form["operatorId"] == 646 else "airtime"
        return Purchase(form["customIdentifier"], f"0{form['recipientPhone']['number'][3:]}", form)

    def _take(self, purchase: Purchase, order_id: int, called_s: float, fault: Fault | None) -> Answer:
        if self.faulty and self._dice.random() < 0.02:
            self.token += 1
        if purchase.form["authorization"] != f"Bearer token-{self.token}":
            self.heard["token ended"] += 1
            return self._error(401, "TOKEN_EXPIRED")
        return super()._take(purchase, order_id, called_s, fault)

    def name_of(self, entry: Entry) -> str:
        return str(4_602_843 + entry.number)

    def state(self, entry: Entry) -> Answer:
        return 200, self._transaction(entry)

    def _transaction(self, entry: Entry) -> dict[str, Any]:
        status = {Fate.DELIVERED: "SUCCESSFUL", Fate.PENDING: "PROCESSING", Fate.FAILED: "FAILED"}
        return {
            "transactionId": int(self.name_of(entry)),
            "status": status.get(entry.fate, "REFUNDED"),
            "customIdentifier": entry.reference,
            "recipientPhone": int(entry.form["recipientPhone"]["number"]),
            "countryCode": entry.form["recipientPhone"]["countryCode"],
            "operatorName": "MTN Nigeria",
            "balanceInfo": {"cost": 0.65, "currencyCode": "USD"},
        }

    def callback_of(self, entry: Entry) -> Any:
        inside = self._transaction(entry)
        data = inside if self._dice.random() < 0.5 else {"transaction": inside}
        return {"type": "airtime_transaction.status", "data": data}

    def fate_of_undone(self) -> Fate:
        return self._dice.choice([Fate.FAILED, Fate.REVERSED])

    def repeated(self, entry: Entry) -> Answer:
        self._deliver(entry)  # Nobody prints what a repeated identifier is answered: it buys once more.
        return self.shown(entry)

    def answer(self, request: httpx.Request) -> Answer:
        path = request.url.path
        if path == "/oauth/token":
            return 200, {"access_token": f"token-{self.token}", "token_type": "Bearer", "expires_in": 86_400}
        if request.headers.get("authorization") != f"Bearer token-{self.token}":
            return self._error(401, "TOKEN_EXPIRED")
        if path.startswith("/operators/countries/"):
            return 200, OPERATORS[:2]
        if path.startswith("/operators/"):
            return 200, next(one for one in OPERATORS if str(one["operatorId"]) == last_of(request))
        if path == "/topups/reports/transactions":
            entry = self.found(request.url.params["customIdentifier"])
            rows = [] if entry is None else [self._transaction(entry)]
            return 200, {"content": rows, "totalElements": len(rows), "totalPages": 1}
        entry = self.found(path.split("/")[2])
        if entry is None:
            return 404, {"status": 404, "error": "Not Found", "message": "No message available", "path": path}
        inside = self._transaction(entry)
        return 200, {"code": None, "message": None, "status": inside["status"], "transaction": inside}

    def _error(self, status: int, code: str) -> Answer:
        return status, {"timeStamp": "2026-01-01 00:00:00", "message": code, "path": "/topups", "errorCode": code}

    def not_let_in(self) -> Answer:
        return self._error(401, self._dice.choice(["INVALID_TOKEN", "INVALID_CREDENTIALS"]))

    def no_float(self) -> Answer:
        return self._error(400, "INSUFFICIENT_BALANCE")

    def bad_number(self) -> Answer:
        return self._error(400, "INVALID_RECIPIENT_PHONE")

    def too_soon(self) -> Answer:
        return self._error(400, "PHONE_RECENTLY_RECHARGED")

    def down(self) -> Answer:
        code = self._dice.choice(["OPERATOR_NOT_IN_SERVICE", "TRANSACTION_CANNOT_BE_PROCESSED_AT_THE_MOMENT"])
        return self._error(400, code)

    def unknown(self) -> Answer:
        return self._error(400, "SOMETHING_NEW")

    def undocumented(self, body: Any) -> Any:
        return body | {"status": "QUEUED", "errorCode": "SOMETHING_NEW"} if isinstance(body, dict) else {}


class DTOneSide(FarSide):
    """DT One: what is created delivers when it is confirmed, unless it is cancelled before. Whichever comes first counts."""

    latest_s = 180.0
    calls_back = True
    settings = settings_of(
        "dtone", api_key=Secret("the-key"), api_secret=Secret("the-api-secret"), callback_secret=CALLBACK_SECRET
    )

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        path = request.url.path
        if request.method != "POST" or path.endswith("/cancel"):
            return None
        if path.endswith("/confirm"):
            number = path.split("/")[-2]
            entry = self.book[number]
            return Purchase("", entry.phone, {"confirms": number})
        form = json_of(request)
        form["service"] = "airtime" if form["product_id"] == 3100 else "data"
        return Purchase(form["external_id"], f"0{form['credit_party_identifier']['mobile_number'][4:]}", form)

    def _sent(self, purchase: Purchase) -> None:
        if "confirms" not in purchase.form:
            super()._sent(purchase)

    def _take(self, purchase: Purchase, order_id: int, called_s: float, fault: Fault | None) -> Answer:
        if "confirms" not in purchase.form:
            return super()._take(purchase, order_id, called_s, fault)
        entry = self.book[purchase.form["confirms"]]
        if self.locked_out:
            self._struck(order_id)
            return self.not_let_in()
        if fault is Fault.TOO_MANY:
            return self.too_many()
        if entry.fate is Fate.CLOSED:
            self.heard["confirmed too late"] += 1
            return self._errors(400, 1007005)
        if entry.fate is not Fate.CREATED:
            return self._errors(400, 1007002)
        entry.fate = Fate.PENDING
        return super()._accept(entry, fault)

    def _accept(self, entry: Entry, _fault: Fault | None) -> Answer:
        entry.fate = Fate.CREATED
        return 201, self._transaction(entry)

    def repeated(self, _entry: Entry) -> Answer:
        return self._errors(400, 1007001)

    def name_of(self, entry: Entry) -> str:
        return str(10_000_000 + entry.number)

    def state(self, entry: Entry) -> Answer:
        return 200, self._transaction(entry)

    def _transaction(self, entry: Entry) -> dict[str, Any]:
        number, word = {
            Fate.CREATED: (1, "CREATED"),
            Fate.CLOSED: (4, "CANCELLED"),
            Fate.PENDING: (5, "SUBMITTED"),
            Fate.DELIVERED: (7, "COMPLETED"),
            Fate.REVERSED: (8, "REVERSED"),
            Fate.FAILED: (9, "DECLINED"),
        }[entry.fate]
        return {
            "id": int(self.name_of(entry)),
            "external_id": entry.reference,
            "creation_date": self.created(entry),
            "status": {"id": number * 10_000, "message": word, "class": {"id": number, "message": word}},
            "product": {"id": entry.form["product_id"], "name": "a product"},
            "prices": {"wholesale": {"unit_type": "CURRENCY", "unit": "USD", "amount": 0.65, "fee": 0}},
            "credit_party_identifier": entry.form["credit_party_identifier"],
        }

    def callback_of(self, entry: Entry) -> Any:
        return self._transaction(entry)

    def answer(self, request: httpx.Request) -> Answer:
        path = request.url.path
        if path.endswith("/cancel"):
            return self._cancel(self.book[path.split("/")[-2]])
        if path.endswith("/products"):
            return 200, PRODUCTS
        if "/products/" in path:
            return 200, next(one for one in PRODUCTS if str(one["id"]) == last_of(request))
        if path.endswith("/transactions"):
            entry = self.found(request.url.params["external_id"])
            return 200, [] if entry is None else [self._transaction(entry)]
        entry = self.found(last_of(request))
        return self._errors(404, 1008004) if entry is None else self.state(entry)

    def _cancel(self, entry: Entry) -> Answer:
        if entry.fate is Fate.CLOSED:
            return self._errors(400, 1007005)
        if entry.fate is not Fate.CREATED:
            return self._errors(400, 1007007)
        entry.fate = Fate.CLOSED
        self.heard["cancelled"] += 1
        return 200, self._transaction(entry)

    def _errors(self, status: int, code: int) -> Answer:
        return status, {"errors": [{"code": code, "message": f"error {code}"}]}

    def not_let_in(self) -> Answer:
        return self._errors(401, 1000401)

    def no_float(self) -> Answer:
        return self._errors(400, 1006001)

    def bad_number(self) -> Answer:
        return self._errors(400, 1005003)

    def too_many(self) -> Answer:
        return self._errors(429, 1000429)

    def down(self) -> Answer:
        return self._errors(400, 1003001)

    def unknown(self) -> Answer:
        return self._errors(400, 1009503)

    def undocumented(self, _body: Any) -> Any:
        return {"status": {"id": 60_000, "message": "QUEUED", "class": {"id": 6, "message": "QUEUED"}}}


class MTNSide(TelvendAsMadapi):
    """MTN itself: an id that comes twice buys twice, nothing is said about a refill, and "not found" means nothing."""

    latest_s = 114.0
    deduplicates = False
    calls_back = True
    settings = settings_of(
        "madapi",
        client_id=Secret("the-key"),
        client_secret=Secret("the-secret"),
        callback_secret=CALLBACK_SECRET,
    )

    def repeated(self, entry: Entry) -> Answer:
        self._deliver(entry)
        return self.shown(entry)

    def callback_of(self, entry: Entry) -> Any:
        if entry.form["service"] == "airtime":
            return None
        return self._subscription(entry) | {"transactionId": entry.reference}

    def answer(self, request: httpx.Request) -> Answer:
        if "/refills/" in request.url.path:
            return 404, {"status": 404, "error": "Not Found", "message": "no route", "path": request.url.path}
        if "/subscriptions/" not in request.url.path:
            return super().answer(request)
        entry = self.found(last_of(request))
        if entry is None:
            return self._error(404, "1000")
        return (202 if entry.fate is Fate.PENDING else 200), self._subscription(entry)
