"""Vendors as far as our connectors see them, and how they misbehave: time-outs, garbage, redirects, 5xx, half of an answer.

A double keeps its own book of what it has delivered. What it does with a purchase depends on the recipient's number, which the
test has given a `Situation`; numbers without one are served. It stands in the network's place as an httpx transport.
"""

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from telvend.providers.over_http import ProviderReply
from tests.clocks import FakeClock
from tests.contract.situations import Situation

JSON: Final = "application/json"
SETTLES_S: Final = 3.0

GARBAGE: Final = (
    httpx.Response(200, text="<html><h1>It works!</h1></html>", headers={"content-type": "text/html"}),
    httpx.Response(200, text='{"status": "comp', headers={"content-type": JSON}),
    httpx.Response(302, headers={"location": "/login"}),
    httpx.Response(200, text='{"status": "completed", "code": "000", "success": true}', headers={"content-type": JSON}),
    httpx.Response(200, content=b"\xff\xfe\x00", headers={"content-type": JSON}),
    httpx.Response(200, content=b"[" * 100_000, headers={"content-type": JSON}),
    httpx.Response(204),
)
"""Answers that mean nothing. What is larger than an answer may be is played over TCP, tests/unit/providers."""


def answer(status: int, body: Any, content_type: str = JSON) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(body).encode(), headers={"content-type": content_type})


def reply(status: int, body: Any, content_type: str = JSON) -> ProviderReply:
    """What a connector's wire reads; `body` as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderReply(status, content, {"content-type": content_type})


@dataclass
class Entry:
    """One purchase in a double's book."""

    number: int
    reference: str
    phone: str
    request: dict[str, Any]
    created_s: float
    refused: bool = False
    settles_at_s: float = 0.0
    deliveries: int = 0


@dataclass
class VendorDouble(ABC):
    """See the head of this file. A vendor says how its purchases, answers and questions look."""

    clock: FakeClock = field(default_factory=FakeClock)
    situations: dict[str, Situation] = field(default_factory=dict)
    book: list[Entry] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[httpx.Request] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        bought = self.purchase_of(request)
        if bought is None:
            return self.other(request)
        await self.open.wait()
        phone, reference, form = bought
        situation = self.situations.get(phone, Situation.DELIVERS)
        if situation is Situation.NO_CONNECTION:
            raise httpx.ConnectError("refused", request=request)
        known = next((entry for entry in self.book if reference and entry.reference == reference), None)
        if known is not None:
            return self.repeated(known)
        number = next(self._numbers)
        entry = Entry(number, reference or f"own-{number}", phone, form, self.clock.monotonic())
        return self._play(situation, entry, request)

    def _play(self, situation: Situation, entry: Entry, request: httpx.Request) -> httpx.Response:
        gives = {
            Situation.DELIVERS,
            Situation.DELIVERS_THEN_SILENCE,
            Situation.DELIVERS_THEN_GARBAGE,
            Situation.DELIVERS_THEN_SERVER_ERROR,
            Situation.UNDOCUMENTED,
        }
        if situation in gives:
            entry.deliveries += 1
            self.book.append(entry)
        match situation:
            case Situation.DELIVERS:
                return self.state(entry)
            case Situation.DELIVERS_LATER | Situation.REFUSES_LATER:
                entry.settles_at_s = self.clock.monotonic() + SETTLES_S
                entry.refused = situation is Situation.REFUSES_LATER
                self.book.append(entry)
                return self.state(entry)
            case Situation.REFUSES:
                return self.refuses()
            case Situation.REFUSES_ELSEWHERE:
                return self.refuses_elsewhere()
            case Situation.DELIVERS_THEN_SILENCE | Situation.SILENCE:
                raise httpx.ReadTimeout("silence", request=request)
            case Situation.DELIVERS_THEN_GARBAGE | Situation.GARBAGE:
                return GARBAGE[entry.number % len(GARBAGE)]
            case Situation.DELIVERS_THEN_SERVER_ERROR | Situation.SERVER_ERROR:
                return answer(502, {"error": "bad gateway", "success": False, "code": "016"})
            case _:
                return self.undocumented(entry)

    def settled(self, entry: Entry) -> bool:
        """Whether it is final; what settles late is delivered by the first who looks."""
        if self.clock.monotonic() < entry.settles_at_s:
            return False
        if not entry.deliveries and not entry.refused:
            entry.deliveries = 1
        return True

    def delivered(self, phone: str) -> int:
        return sum(entry.deliveries for entry in self.book if entry.phone == phone and self.settled(entry))

    # What a vendor says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        """The number, the caller's reference (or "") and the form, where the request is a purchase."""

    @abstractmethod
    def state(self, entry: Entry) -> httpx.Response:
        """The answer to a purchase that was taken, as it stands now."""

    @abstractmethod
    def repeated(self, entry: Entry) -> httpx.Response:
        """The answer to a purchase whose reference is taken."""

    @abstractmethod
    def refuses(self) -> httpx.Response: ...

    @abstractmethod
    def refuses_elsewhere(self) -> httpx.Response: ...

    @abstractmethod
    def undocumented(self, entry: Entry) -> httpx.Response: ...

    @abstractmethod
    def other(self, request: httpx.Request) -> httpx.Response:
        """The answer to anything that is no purchase."""


class NetpluseDouble(VendorDouble):
    """Netpluse as its document has it; an order is found by either reference."""

    KEY: Final = "np_live_double"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/api/v1/purchase"):
            return None
        assert request.headers["x-api-key"] == self.KEY
        form = json.loads(request.content)
        return form["phoneNumber"], form["reference"], form

    def state(self, entry: Entry) -> httpx.Response:
        return answer(200, self._order(entry))

    def repeated(self, entry: Entry) -> httpx.Response:
        if self.clock.monotonic() - entry.created_s < 60:
            return answer(409, {"error": "Duplicate order"} | self._order(entry))
        return self.state(entry)

    def _order(self, entry: Entry) -> dict[str, Any]:
        # Deliveries process asynchronously; this vendor is quick where it can be.
        status = ("failed" if entry.refused else "completed") if self.settled(entry) else "processing"
        return {"reference": f"NPAPI-{entry.number}-abc", "status": status, "price": 4.5, "balance": 8.0}

    def refuses(self) -> httpx.Response:
        return answer(400, {"error": "phoneNumber must be a mobile number of Ghana"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(402, {"error": "Insufficient wallet balance"})

    def undocumented(self, entry: Entry) -> httpx.Response:
        return answer(200, self._order(entry) | {"status": "queued"})

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("x-api-key") != self.KEY:
            return answer(401, {"error": "Invalid API key"})
        if request.url.path == "/api/v1/packages":
            line = {"network": "MTN", "capacity": "1GB", "price": 4.5, "validity": "30 Days"}
            return answer(200, {"packages": [line]})
        if request.url.path == "/api/v1/balance":
            return answer(200, {"balance": 12.5, "currency": "GHS"})
        wanted = request.url.path.rpartition("/")[2]
        for entry in self.book:
            order = self._order(entry)
            if wanted in (entry.reference, order["reference"]):
                shown = {"network": entry.request["network"], "capacity": entry.request["capacity"]}
                times = {"createdAt": "2026-06-15T10:24:00.000Z"}
                return answer(200, {"reference": order["reference"]} | shown | {"status": order["status"]} | times)
        return answer(404, {"error": "Order not found"})


class VTpassDouble(VendorDouble):
    """VTpass as its documentation has it: what became of a purchase stands in `content.transactions.status`."""

    API_KEY: Final = "double-api-key"
    PUBLIC_KEY: Final = "PK_double"
    SECRET_KEY: Final = "SK_double"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if (request.method, request.url.path) != ("POST", "/api/pay"):
            return None
        assert (request.headers["api-key"], request.headers["secret-key"]) == (self.API_KEY, self.SECRET_KEY)
        form = json.loads(request.content)
        return form["phone"], form["request_id"], form

    def state(self, entry: Entry) -> httpx.Response:
        return answer(200, self._transaction(entry))

    def _transaction(self, entry: Entry) -> dict[str, Any]:
        status = ("failed" if entry.refused else "delivered") if self.settled(entry) else "pending"
        code = {"failed": "016", "delivered": "000", "pending": "099"}[status]
        amount = entry.request["amount"]
        content = {
            "status": status,
            "product_name": "MTN Airtime VTU",
            "unique_element": entry.phone,
            "amount": amount,
            "total_amount": amount * 0.97,
            "transactionId": f"1741607774456281029{entry.number}",
        }
        return {
            "code": code,
            "content": {"transactions": content},
            "response_description": "TRANSACTION SUCCESSFUL",
            "requestId": entry.reference,
            "amount": amount,
        }

    def repeated(self, _entry: Entry) -> httpx.Response:
        return answer(200, {"code": "014", "response_description": "REQUEST ID ALREADY EXIST"})

    def refuses(self) -> httpx.Response:
        return answer(200, {"code": "016", "response_description": "TRANSACTION FAILED"})

    def refuses_elsewhere(self) -> httpx.Response:
        return answer(200, {"code": "018", "response_description": "LOW WALLET BALANCE"})

    def undocumented(self, entry: Entry) -> httpx.Response:
        body = self._transaction(entry)
        body["content"]["transactions"]["status"] = "queued"
        return answer(200, body)

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/balance":
            if request.headers.get("public-key") != self.PUBLIC_KEY:
                return answer(200, {"code": "087", "response_description": "INVALID CREDENTIALS"})
            return answer(200, {"code": 1, "contents": {"balance": 5123.456}})
        assert (request.method, request.url.path) == ("POST", "/api/requery")
        wanted = json.loads(request.content)["request_id"]
        for entry in self.book:
            if entry.reference == wanted:
                return answer(200, self._transaction(entry) | {"code": "000"})
        return answer(200, {"code": "015", "response_description": "INVALID REQUEST ID"})


class NetworkDataSubDouble(VendorDouble):
    """networkdatasub as its document has it; with a `reference` in the purchase, as a Telvend serves it."""

    KEY: Final = "double-token"

    def purchase_of(self, request: httpx.Request) -> tuple[str, str, dict[str, Any]] | None:
        if request.method != "POST" or request.url.path not in ("/api/airtime/purchase", "/api/data/purchase"):
            return None
        assert request.headers["authorization"] == f"Token {self.KEY}"
        form = json.loads(request.content)
        return form["phone"], form.get("reference", ""), form | {"service": request.url.path.split("/")[2]}

    def state(self, entry: Entry) -> httpx.Response:
        status = self._status(entry)
        transaction = {
            "id": entry.number,
            "reference": self._reference(entry),
            "amount": self._amount(entry),
            "status": status,
            "created_at": self._created(entry),
        }
        data = {"transaction": transaction, "new_balance": 4400.0}
        if status == "failed":
            return answer(400, {"success": False, "message": "Failed to purchase data: refused", "data": data})
        return answer(200, {"success": True, "message": "Data purchased successfully", "data": data})

    def _status(self, entry: Entry) -> str:
        return ("failed" if entry.refused else "completed") if self.settled(entry) else "pending"

    def _reference(self, entry: Entry) -> str:
        return f"DATA-{entry.number}-xyz"

    def _amount(self, entry: Entry) -> int:
        return int(entry.request.get("amount", 300))

    def _created(self, entry: Entry) -> str:
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=entry.created_s)
        return created.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def repeated(self, entry: Entry) -> httpx.Response:
        return self.state(entry)

    def refuses(self) -> httpx.Response:
        message = "The phone must be a mobile number of Nigeria."
        return answer(422, {"success": False, "message": message, "errors": {"phone": [message]}})

    def refuses_elsewhere(self) -> httpx.Response:
        message = "Failed to purchase data: Insufficient wallet balance"
        data = {"required_amount": 300, "current_balance": 50}
        return answer(400, {"success": False, "message": message, "data": data})

    def undocumented(self, entry: Entry) -> httpx.Response:
        body = json.loads(self.state(entry).content)
        body["data"]["transaction"]["status"] = "queued"
        return answer(200, body)

    def row(self, entry: Entry) -> dict[str, Any]:
        """A line of the list of transactions."""
        service = entry.request["service"]
        return {
            "id": entry.number,
            "user_id": 1,
            "type": "debit",
            "amount": f"{self._amount(entry)}.00",
            "reference": self._reference(entry),
            "description": "MTN Data Purchase - 1GB",
            "status": self._status(entry),
            "meta": {
                "phone": entry.phone,
                "network": entry.request["network"],
                "plan": "1GB" if service == "data" else None,
                "service_type": service,
            },
            "created_at": self._created(entry),
        }

    def other(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Token {self.KEY}":
            return answer(401, {"success": False, "message": "Unauthenticated."})
        match request.url.path.removeprefix("/api"):
            case "/data-plans":
                return answer(200, {"success": True, "message": "", "data": PLANS})
            case "/wallet/balance":
                return answer(200, {"success": True, "message": "", "data": {"balance": "5000.00", "currency": "NGN"}})
            case "/transactions":
                return answer(200, {"success": True, "message": "", "data": self.page(request)})
        wanted = request.url.path.rpartition("/")[2]
        for entry in self.book:
            if wanted in (entry.reference, self._reference(entry)):
                return answer(200, {"success": True, "message": "", "data": self.row(entry)})
        return answer(404, {"success": False, "message": "Transaction not found"})

    def page(self, request: httpx.Request) -> dict[str, Any]:
        """The newest first, as everywhere."""
        number, size = int(request.url.params.get("page", "1")), int(request.url.params.get("per_page", "15"))
        rows = [self.row(entry) for entry in reversed(self.book)]
        shown = rows[(number - 1) * size : number * size]
        last = max(1, -(-len(rows) // size))
        return {"current_page": number, "data": shown, "last_page": last, "per_page": size, "total": len(rows)}


PLANS: Final = [
    {
        "id": 1,
        "network_id": 1,
        "name": "1GB (30 Days)",
        "code": "1GB",
        "amount": 300,
        "validity": "30 days",
        "type": "SME",
    },
    {
        "id": 2,
        "network_id": 1,
        "name": "2GB (30 Days)",
        "code": "2GB",
        "amount": 500,
        "validity": "30 days",
        "type": "SME",
    },
    {
        "id": 3,
        "network_id": 1,
        "name": "1GB (7 Days)",
        "code": "1GB",
        "amount": 780,
        "validity": "7 days",
        "type": "Direct",
    },
    {
        "id": 4,
        "network_id": 1,
        "name": "2GB (30 Days)",
        "code": "2GB",
        "amount": 780,
        "validity": "30 days",
        "type": "Corporate",
    },
]
