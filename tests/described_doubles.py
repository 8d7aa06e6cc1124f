"""Far sides of the shipped descriptions: each answers as its file says that it does, and misbehaves as every double does."""

import json
from abc import abstractmethod
from typing import Any, Final
from urllib.parse import parse_qs

import httpx

from telvend.kit.numbering import national_form
from tests.vendor_doubles import Entry, VendorDouble, answer


def form_of(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode(), strict_parsing=True).items()}


class DescribedDouble(VendorDouble):
    """`words`: what it says of what is done, under way and failed; `strange`: a word that nothing documents."""

    words: tuple[Any, Any, Any]
    strange: Any = "HELD"

    def word(self, entry: Entry) -> Any:
        done, under_way, failed = self.words
        return (failed if entry.refused else done) if self.settled(entry) else under_way

    def state(self, entry: Entry) -> httpx.Response:
        return answer(200, self.shown(entry, self.word(entry)))

    def repeated(self, entry: Entry) -> httpx.Response:
        return self.state(entry)

    def undocumented(self, entry: Entry) -> httpx.Response:
        return answer(200, self.shown(entry, self.strange))

    def found(self, reference: str) -> Entry | None:
        return next((entry for entry in self.book if entry.reference == reference), None)

    @abstractmethod
    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        """An order as its answers show it."""


class WazodataDouble(DescribedDouble):
    words = ("success", "processing", "failed")
    KEY: Final = "wz-secret-key"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if request.method != "POST" or request.url.path not in ("/v1/purchases", "/v1/airtime"):
            return None
        assert request.headers["authorization"] == f"Bearer {self.KEY}"
        form = json.loads(request.content)
        return form["phone"], form["reference"], form

    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        data = {"id": f"W{entry.number}", "reference": entry.reference, "status": word, "charged": "285.00"}
        return {"message": "The order", "data": data}

    def refuses(self) -> httpx.Response:
        return answer(422, {"message": "No such number", "error": {"code": "INVALID_PHONE"}})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(400, {"message": "Fund your wallet", "error": {"code": "insufficient_balance"}})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {self.KEY}":
            return answer(401, {"message": "Unauthorized"})
        if request.url.path == "/v1/balance":
            return answer(200, {"data": {"balance": "1250.50"}})
        entry = self.found(request.url.path.rpartition("/")[2])
        if entry is None:
            return answer(404, {"message": "Not found", "error": {"code": "purchase_not_found"}})
        return self.state(entry)


class MobilesixDouble(DescribedDouble):
    words = (2, 1, 9)
    strange = 5
    KEY: Final = "m6-key-secret"
    SECRET: Final = "m6-other-secret"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        assert (request.method, request.url.path) == ("POST", "/gateway.php")
        form = form_of(request)
        if not form["action"].startswith("buy-"):
            return None
        assert (request.headers["api-key"], request.headers["api-secret"]) == (self.KEY, self.SECRET)
        assert len(form["ref"]) == 20
        return national_form(f"+{form['msisdn']}"), form["ref"], form

    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        return {"code": "00", "state": word, "trx": 7000 + entry.number, "ref": entry.reference, "debited": 28500}

    def refuses(self) -> httpx.Response:
        return answer(200, {"code": "E10", "description": "MSISDN is wrong"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(200, {"code": "E20", "description": "Wallet is low"})

    def other(self, request: httpx.Request) -> httpx.Response:
        form = form_of(request)
        if form["action"] == "balance":
            return answer(200, {"code": "00", "balance": 125050})
        entry = self.found(form["ref"])
        if entry is None:
            return answer(200, {"code": "E44", "description": "No such transaction"})
        return answer(200, {"code": "00", "transaction": self.shown(entry, self.word(entry))})


class TelitabDouble(DescribedDouble):
    words = ("DONE", "QUEUED", "REJECTED")
    USER: Final = "telitab-user"
    PASSWORD: Final = "telitab-password"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/orders"):
            return None
        assert request.headers["authorization"] == httpx.BasicAuth(self.USER, self.PASSWORD)._auth_header
        order = json.loads(request.content)["order"]
        assert request.headers["idempotency-key"] == order["key"]
        return national_form(order["to"]), order["key"], order

    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        order = {
            "number": f"T-{entry.number}",
            "key": entry.reference,
            "history": [{"state": word}],
            "paid_kobo": 28500,
        }
        return {"order": order, "fault": None}

    def refuses(self) -> httpx.Response:
        return answer(400, {"fault": "BAD_MSISDN", "detail": "to is wrong"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(402, {"fault": "NO_CREDIT", "detail": "no credit"})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/account":
            return answer(200, {"kobo": 125050})
        entry = self.found(request.url.path.rpartition("/")[2])
        return answer(404, {"fault": "NO_ORDER"}) if entry is None else self.state(entry)


class EasyAccessDouble(DescribedDouble):
    """`success` in the answer to a purchase, `status` in that to a question; PHP calls its JSON text/html."""

    words = ("Successful", "Pending", "Failed")
    KEY: Final = "easy-access-token"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/api/data.php"):
            return None
        assert request.headers["authorizationtoken"] == self.KEY
        form = form_of(request)
        return form["mobileno"], form["client_reference"], form

    def state(self, entry: Entry) -> httpx.Response:
        success = {"Successful": "true", "Pending": "pending"}.get(self.word(entry), "false")
        return answer(200, {"success": success} | self.named(entry), "text/html; charset=UTF-8")

    def named(self, entry: Entry) -> dict[str, Any]:
        return {"transactionid": f"EA{entry.number}", "client_reference": entry.reference, "amount": 285}

    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        return {"success": "true", "status": word} | self.named(entry)

    def undocumented(self, entry: Entry) -> httpx.Response:
        return answer(200, {"success": "maybe"} | self.named(entry))

    def refuses(self) -> httpx.Response:
        return answer(200, {"success": "false", "error": "Invalid mobile number", "message": "Invalid mobile number"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(200, {"success": "false", "error": "Insufficient balance", "message": "Insufficient balance"})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/wallet_balance.php":
            return answer(200, {"success": "true", "balance": "1250.50"})
        assert request.url.path == "/api/query_transaction.php"
        entry = self.found(request.url.params["reference"])
        if entry is None:
            return answer(200, {"success": "false", "error": "Transaction not found"})
        return answer(200, self.shown(entry, self.word(entry)))


class HusmodataDouble(DescribedDouble):
    """It takes no reference: an order is found by its own number."""

    words = ("successful", "pending", "failed")
    KEY: Final = "husmo-token-1234"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/api/data/"):
            return None
        assert request.headers["authorization"] == f"Token {self.KEY}"
        form = json.loads(request.content)
        assert isinstance(form["plan"], int)
        assert isinstance(form["network"], int)
        assert form["Ported_number"] is True
        return form["mobile_number"], "", form

    def shown(self, entry: Entry, word: Any) -> dict[str, Any]:
        return {
            "id": 6093472 + entry.number,
            "network": entry.request["network"],
            "mobile_number": entry.phone,
            "plan": entry.request["plan"],
            "Status": word,
            "plan_amount": "285.0",
            "api_response": "Dear Customer, you have gifted 1GB",
        }

    def refuses(self) -> httpx.Response:
        return answer(200, {"Status": "failed", "api_response": "it failed"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(401, {"detail": "Invalid token."})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/user/":
            return answer(200, {"user": {"wallet_balance": "1250.5"}})
        wanted = request.url.path.rpartition("/")[2]
        for entry in self.book:
            if wanted == str(6093472 + entry.number):
                return self.state(entry)
        return answer(404, {"detail": "Not found."})
