"""MTN's MADAPI as far as our connector sees it. See vendor_doubles.py.

As MTN it finds a subscription by the id that it was bought under, and says nothing of refills. As another Telvend (`telvend`) it
finds both, and says under which ids nothing was sold.
"""

import json
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx

from telvend.kit.numbering import national_form
from tests.vendor_doubles import Entry, VendorDouble, answer

WORDS = {
    "1000": (404, "Subscriber not found."),
    "1004": (202, "It is being carried out."),
    "1013": (429, "Customer request rate exceeded."),
    "3000": (503, "The backend timed out."),
    "4000": (401, "The token is not valid."),
    "5001": (400, "The request failed."),
    "6001": (403, "Insufficient funds."),
}


def error(code: str, **more: Any) -> httpx.Response:
    """An error in the general shape, with the code's own status."""
    status, words = WORDS[code]
    body = {
        "statusCode": code,
        "statusMessage": words,
        "supportMessage": words,
        "transactionId": "4711-7kq2xd-1",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "path": "/v2/customers/2348031234567/subscriptions",
        "method": "POST",
    }
    return answer(status, body | more)


@dataclass
class MadapiDouble(VendorDouble):
    """See the head of this file. Its tokens end after `token_lasts_s`, or when a test says so (`end_tokens`)."""

    CLIENT_ID: ClassVar = "mtn_live_double"
    CLIENT_SECRET: ClassVar = "double-secret"

    telvend: bool = False
    token_lasts_s: float = 3599.0
    tokens: int = 0
    _token_ends_s: float = float("-inf")

    def end_tokens(self) -> None:
        """Revoke the token that was given last."""
        self._token_ends_s = float("-inf")

    def _lets_in(self, request: httpx.Request) -> bool:
        known = request.headers.get("authorization") == f"Bearer token-{self.tokens}"
        return known and self.clock.monotonic() < self._token_ends_s

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        parts = request.url.path.split("/")
        kind = {("PATCH", "plans/refill"): "airtime", ("POST", "subscriptions"): "data"}.get(
            (request.method, "/".join(parts[4:]))
        )
        if kind is None or not self._lets_in(request):
            return None
        assert request.headers["x-api-key"] == self.CLIENT_ID
        form = json.loads(request.content)
        assert kind == "airtime" or form["beneficiaryId"] == parts[3]
        return (
            national_form(f"+{parts[3]}"),
            request.headers["transactionid"],
            form | {"kind": kind, "customer": parts[3]},
        )

    def state(self, entry: Entry) -> httpx.Response:
        if entry.request["kind"] == "airtime":
            return answer(200, self.refill(entry))
        if not self.settled(entry):
            return answer(202, self.subscription(entry) | {"statusCode": "1004"})
        if entry.refused:
            return error("5001")
        return answer(201, self.subscription(entry))

    def refill(self, entry: Entry) -> dict[str, Any]:
        data = {"amount": entry.request["transactionAmount"], "currencyCode": "NGN"}
        return {"statusCode": "0000", "statusMessage": "Success", "sequenceNo": f"88420{entry.number}", "data": data}

    def subscription(self, entry: Entry) -> dict[str, Any]:
        return {
            "subscriptionId": entry.request["subscriptionId"],
            "amountCharged": "285.00",
            "amountBefore": "5000.00",
            "amountAfter": "4715.00",
            "correlationId": f"C-{entry.number}",
            "statusCode": "0000",
            "statusMessage": "Success",
            "transactionId": entry.reference,
            "links": [],
        }

    def repeated(self, entry: Entry) -> httpx.Response:
        return self.state(entry)

    def refuses(self) -> httpx.Response:
        return error("1000")

    def refuses_elsewhere(self) -> httpx.Response:
        return error("6001")

    def undocumented(self, entry: Entry) -> httpx.Response:
        return answer(200, self.state(entry).json() | {"statusCode": "0009", "statusMessage": "Queued"})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/oauth/access_token":
            return self._token(request)
        if not self._lets_in(request):
            return error("4000")
        path = request.url.path
        wanted = path.rpartition("/")[2]
        found = next((entry for entry in self.book if wanted in (entry.reference, f"C-{entry.number}")), None)
        if "/status/" in path and found is not None:
            body = self.subscription(found) | {"transactionReference": found.reference}
            if not self.settled(found):
                return answer(202, body | {"statusCode": "1004"})
            return answer(200, body | ({"statusCode": "5001", "status": "Failed"} if found.refused else {}))
        if "/refills/" in path and self.telvend and found is not None:
            return answer(200, self.refill(found) | {"transactionReference": found.reference})
        free = {"transactionIdFree": True, "transactionReference": wanted} if self.telvend else {}
        return error("1000", **free)

    def _token(self, request: httpx.Request) -> httpx.Response:
        assert request.url.params["grant_type"] == "client_credentials"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert "authorization" not in request.headers
        form = parse_qs(request.content.decode())
        if form != {"client_id": [self.CLIENT_ID], "client_secret": [self.CLIENT_SECRET]}:
            return error("4000")
        self.tokens += 1
        self._token_ends_s = self.clock.monotonic() + self.token_lasts_s
        token = {
            "access_token": f"token-{self.tokens}",
            "token_type": "BearerToken",
            "expires_in": str(int(self.token_lasts_s)),
        }
        return answer(200, token)
