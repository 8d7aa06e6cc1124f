"""The vendors of our connectors at the level of HTTP, in virtual time, each with a book that tells what was really delivered.

A far side stands in the network's place as an httpx transport, so that the real connector makes the requests and reads the
answers. It goes on whatever happens to the worker that called: what is on its way arrives. It may lose, delay, repeat, garble
and answer nonsense; what it promises by its document holds: an answer that the document defines is true, a repeated reference
delivers once where the vendor says so, and no request arrives later than the vendor's time (`latest_s`) after it was sent.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

import telvend.providers.described
from telvend.kit.secret import Secret
from telvend.provider_tables import ProviderSettings

SENDING: ContextVar[int] = ContextVar("sending")
"""The order that the worker's call is for: some vendors are sent nothing that would tell."""

JSON: Final = {"content-type": "application/json"}
FOREVER_S: Final = 1e7
CALLBACK_SECRET: Final = Secret("a-secret-of-callbacks")

Chaos = Callable[[], Awaitable[None]]
"""A place where the worker may die or stand still."""

_EXAMPLES: Final = Path(telvend.providers.described.__file__).parent / "examples"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Fate(Enum):
    """What became of a purchase that was taken."""

    CREATED = auto()
    """Not confirmed: nothing is delivered before that, and it may be closed instead."""
    CLOSED = auto()
    PENDING = auto()
    DELIVERED = auto()
    FAILED = auto()
    REVERSED = auto()


class Fault(Enum):
    """What goes wrong with one request. The numbers are chances in a thousand, of a purchase and of a question."""

    NO_CONNECTION = (12, 10)
    LOST = (25, 15)
    LATE = (30, 0)
    REPEATED = (20, 0)
    PROXY_ERROR = (10, 15)
    ANSWER_LOST = (30, 10)
    RESET = (15, 10)
    SLOW = (20, 10)
    SERVER_ERROR = (20, 15)
    GARBAGE = (15, 15)
    REDIRECT = (5, 5)
    UNDOCUMENTED = (10, 5)
    TOO_MANY = (8, 8)
    NO_FLOAT = (8, 0)

    def __init__(self, of_purchases: int, of_questions: int) -> None:
        self.of_purchases = of_purchases
        self.of_questions = of_questions


def _drawn(chances: Sequence[int]) -> list[Fault | None]:
    """One entry for each of a thousand rolls."""
    drawn = [fault for fault, chance in zip(Fault, chances, strict=True) for _ in range(chance)]
    return [*drawn, *[None] * (1000 - len(drawn))]


_OF_PURCHASES: Final = _drawn([fault.of_purchases for fault in Fault])
_OF_QUESTIONS: Final = _drawn([fault.of_questions for fault in Fault])

GARBAGE: Final = (
    (200, b"<html><h1>It works!</h1></html>", {"content-type": "text/html"}),
    (200, b'{"status": "comp', JSON),
    (200, b"\xff\xfe\x00", JSON),
    (200, b'{"status": "completed", "code": "000", "success": true}', JSON),
    (200, b"[]", JSON),
    (204, b"", {}),
)


@dataclass(slots=True)
class Entry:
    """One purchase in a vendor's book. `shown_from_s`: questions do not find it earlier."""

    number: int
    order_id: int
    reference: str
    phone: str
    form: dict[str, Any]
    created_s: float
    shown_from_s: float
    fate: Fate = Fate.PENDING
    told: bool = False
    """An answer has said that it was delivered: it is not reversed any more."""


@dataclass(slots=True)
class Purchase:
    """What a request asks for: a purchase with the caller's `reference`, or "" where the vendor takes none."""

    reference: str
    phone: str
    form: dict[str, Any]
    face_minor: int = 0


class Forbidden(Exception):
    """A purchase was sent that the operator does not let a vendor have."""


SHUT_AFTER_S: Final = 90.0
"""What was chosen before a vendor was switched off may still leave its worker for so long."""

Answer = tuple[int, Any]
"""A status and a body, as JSON."""

Post = Callable[["FarSide", "Callback"], None]
"""Takes what a vendor, or somebody who pretends to be it, posts to us."""


class Genuine(Enum):
    """Who posts a callback."""

    VENDOR = auto()
    FORGER = auto()
    """Without the secret: nothing of it is taken."""
    LIAR = auto()
    """With the secret: its callback is taken, and what it says is false."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A body that is posted to us, by whom, and how long it is under way."""

    body: Any
    by: Genuine
    after_s: float


class FarSide(ABC):
    """See the head of this file. A vendor says how its requests and answers look.

    `watch` hears of each order whose deliveries have changed; `struck` of each order that a fault has met.
    """

    settings: ProviderSettings
    deduplicates = True
    """Whether a request that arrives twice under one reference delivers once. Where it may not, none arrives twice here."""
    guard_s = 0.0
    calls_back = False
    """Whether it posts whatever becomes of a purchase; otherwise only what was stuck."""
    latest_s: float
    """How long a request may be under way, and a purchase hidden from questions, at the most: by the vendor's document."""
    kinds = frozenset({"data", "airtime"})

    def __init__(
        self,
        name: str,
        dice: random.Random,
        watch: Callable[[int], None],
        struck: Callable[[int], None],
    ) -> None:
        self.name = name
        self.faulty = True
        self.unreachable = False
        self.locked_out = False
        self.float_empty = False
        self.closed = False
        self.rough = 1
        """How many times as often a request goes wrong."""
        self.book: dict[str, Entry] = {}
        self.deliveries: Counter[int] = Counter()
        self.under_way = 0
        self.bad_numbers: set[str] = set()
        self.shut_since_s: float | None = None
        """Since when the operator lets it have nothing new; `off`: nor anything again."""
        self.off = False
        self.undone: set[int] = set()
        """Orders that it has plainly refused, and will not deliver."""
        self.hurried: set[int] = set()
        """Orders that it has refused because their numbers were served a moment ago."""
        self.heard: Counter[str] = Counter()
        """What has happened here, by name."""
        self.post: Post | None = None
        """Takes its callbacks, where the shop has an address for them."""
        self.written: dict[int, float] = {}
        """When the newest attempt of each order to be delivered here was written down."""
        self._references: set[str] = set()
        self._entries: dict[str, Entry] = {}
        self._served: dict[tuple[str, str], float] = {}
        self._dice = dice
        self._watch = watch
        self._struck = struck
        self._loop = asyncio.get_running_loop()

    # The wire -----------------------------------------------------------------------------------------------------------

    async def exchange(self, request: httpx.Request, chaos: Chaos, timeout_s: float) -> httpx.Response:
        """Take one request of a worker to the far side, and its answer back."""
        called_s = self._loop.time()
        order_id = SENDING.get()
        purchase = self.purchase_of(request)
        await chaos()
        if purchase is not None:
            self._sent(purchase)
        fault = self._fault(order_id, _OF_QUESTIONS if purchase is None else _OF_PURCHASES)
        if self.unreachable or fault is Fault.NO_CONNECTION:
            self._struck(order_id)
            if self._dice.random() < 0.5:
                raise httpx.ConnectError("connection refused", request=request)
            await asyncio.sleep(timeout_s)
            raise httpx.ConnectTimeout("no route", request=request)
        if fault is Fault.LOST:
            await asyncio.sleep(FOREVER_S)
        if fault is Fault.PROXY_ERROR:
            return self._server_error()
        answered: asyncio.Future[Answer] = self._loop.create_future()
        transit_s = self._dice.uniform(0.02, 0.4)
        latest_s = max(0.5, called_s + self.latest_s - self._loop.time())
        if fault is Fault.LATE:
            transit_s = self._dice.choice([self._dice.uniform(0.4, latest_s), latest_s])
        if purchase is None:
            self._loop.call_later(transit_s, self._ask, request, answered)
        else:
            if fault is Fault.REPEATED and self.deduplicates:
                # A proxy on the way got no answer, and sends it once more.
                self._send(transit_s, purchase, order_id, called_s, None, None)
                transit_s = self._dice.uniform(transit_s, latest_s)
            self._send(transit_s, purchase, order_id, called_s, answered, fault)
        await chaos()
        status, body = await answered
        return await self._returned(status, body, request, fault, chaos, timeout_s)

    def _sent(self, purchase: Purchase) -> None:
        """Hold a purchase that leaves against what the operator lets this vendor have.

        A vendor that drains may be sent again what was written down before, though the first worker died before it had sent it.
        """
        again = purchase.reference in self._references
        if purchase.reference:
            self._references.add(purchase.reference)
        self.heard["sent again" if again else "sent"] += 1
        if self.shut_since_s is None or self._loop.time() < self.shut_since_s + SHUT_AFTER_S:
            return
        if self.off or self.written[SENDING.get()] > self.shut_since_s + SHUT_AFTER_S:
            raise Forbidden(f"{self.name} is {'off' if self.off else 'draining'} and is sent {purchase.reference!r}")

    def _send(
        self,
        transit_s: float,
        purchase: Purchase,
        order_id: int,
        called_s: float,
        answered: "asyncio.Future[Answer] | None",
        fault: Fault | None,
    ) -> None:
        self.under_way += 1
        self._loop.call_later(transit_s, self._arrive, purchase, order_id, called_s, answered, fault)

    async def _returned(
        self, status: int, body: Any, request: httpx.Request, fault: Fault | None, chaos: Chaos, timeout_s: float
    ) -> httpx.Response:
        match fault:
            case Fault.ANSWER_LOST:
                await asyncio.sleep(FOREVER_S)
            case Fault.RESET:
                raise httpx.ReadError("reset by peer", request=request)
            case Fault.SLOW:
                await asyncio.sleep(self._dice.uniform(0, 1.3 * timeout_s))
            case Fault.SERVER_ERROR:
                return self._server_error()
            case Fault.GARBAGE:
                status, content, headers = self._dice.choice(GARBAGE)
                return httpx.Response(status, content=content, headers=headers)
            case Fault.REDIRECT:
                return httpx.Response(302, headers={"location": "/login"})
            case Fault.UNDOCUMENTED:
                status, body = self.unknown() if self._dice.random() < 0.5 else (status, self.undocumented(body))
            case _:
                await asyncio.sleep(self._dice.uniform(0.01, 0.2))
        await chaos()
        return httpx.Response(status, content=msgspec.json.encode(body), headers=JSON)

    def _server_error(self) -> httpx.Response:
        """A 5xx, with a body that would mean something under another status."""
        body = self._dice.choice([self.no_float()[1], self.unknown()[1], {"error": "bad gateway"}])
        return httpx.Response(self._dice.choice([500, 502, 503, 504]), content=msgspec.json.encode(body), headers=JSON)

    def _fault(self, order_id: int, rolls: list[Fault | None]) -> Fault | None:
        fault = rolls[self._dice.randrange(1000 // self.rough)] if self.faulty else None
        if fault is not None:
            self._struck(order_id)
            self.heard[fault.name] += 1
        return fault

    def _ask(self, request: httpx.Request, answered: "asyncio.Future[Answer]") -> None:
        if not answered.done():
            answered.set_result(self.not_let_in() if self.locked_out else self.answer(request))

    # The book -----------------------------------------------------------------------------------------------------------

    def _arrive(
        self,
        purchase: Purchase,
        order_id: int,
        called_s: float,
        answered: "asyncio.Future[Answer] | None",
        fault: Fault | None,
    ) -> None:
        self.under_way -= 1
        said = self._take(purchase, order_id, called_s, fault)
        if answered is not None and not answered.done():
            answered.set_result(said)
        self._watch(order_id)

    def _take(self, purchase: Purchase, order_id: int, called_s: float, fault: Fault | None) -> Answer:
        now = self._loop.time()
        known = self._entries.get(purchase.reference) if purchase.reference else None
        if self.locked_out and not (known is not None and fault is Fault.REPEATED):
            self._struck(order_id)
            return self.not_let_in()
        if known is not None:
            # Of a proxy's copy too: what answers one request is true of it.
            self.heard["repeated"] += 1
            return self.repeated(known)
        if fault is Fault.TOO_MANY:
            return self.too_many()
        if self.closed or self.float_empty or fault is Fault.NO_FLOAT:
            self._struck(order_id)
            return self.down() if self.closed else self.no_float()
        if purchase.phone in self.bad_numbers:
            return self.bad_number()
        key = (purchase.phone, request_kind(purchase.form))
        if self.guard_s and now - self._served.get(key, -FOREVER_S) < self.guard_s:
            self.heard["too soon"] += 1
            self.hurried.add(order_id)
            return self.too_soon()
        entry = self._enter(purchase, order_id, called_s, fault)
        self._served[key] = now
        return self._accept(entry, fault)

    def _accept(self, entry: Entry, fault: Fault | None) -> Answer:
        """Decide what becomes of a purchase that was taken."""
        roll = self._dice.randrange(100)
        if roll < 3:
            self._undo(entry)
            return self.shown(entry)
        if roll < 15:
            after_s = self._dice.choice([1.0, 5.0, 20.0, 90.0, 600.0, 7200.0])
            self._loop.call_later(after_s, self._turn, entry)
            self.under_way += 1
        else:
            self._deliver(entry)
        if fault in (Fault.ANSWER_LOST, Fault.RESET) and entry.fate is Fate.DELIVERED and self._dice.random() < 0.1:
            self._loop.call_later(self._dice.uniform(0, 3), self._reverse, entry)
            self.under_way += 1
            return self.unknown()
        self._tell(entry, stuck=False)
        return self.shown(entry)

    def _enter(self, purchase: Purchase, order_id: int, called_s: float, fault: Fault | None) -> Entry:
        number = len(self.book) + 1
        now = self._loop.time()
        shown_from_s = 0.0
        if fault is not None and self._dice.random() < 0.3:
            # Questions go to a replica that lags behind, no longer than the vendor's time.
            shown_from_s = self._dice.uniform(now, max(now, called_s + self.latest_s))
        entry = Entry(number, order_id, purchase.reference, purchase.phone, purchase.form, now, shown_from_s)
        self.book[self.name_of(entry)] = entry
        if purchase.reference:
            self._entries[purchase.reference] = entry
        return entry

    def _deliver(self, entry: Entry) -> None:
        entry.fate = Fate.DELIVERED
        self.deliveries[entry.order_id] += 1

    def _turn(self, entry: Entry) -> None:
        self.under_way -= 1
        if self._dice.random() < 0.75:
            self._deliver(entry)
        else:
            self._undo(entry)
        self._tell(entry, stuck=True)
        self._watch(entry.order_id)

    def _reverse(self, entry: Entry) -> None:
        """Take a delivery back of which nobody has been told."""
        self.under_way -= 1
        if not entry.told:
            entry.fate = Fate.REVERSED
            self.undone.add(entry.order_id)
            self.heard["reversed"] += 1
            self.deliveries[entry.order_id] -= 1
        self._tell(entry, stuck=True)
        self._watch(entry.order_id)

    def _undo(self, entry: Entry) -> None:
        entry.fate = self.fate_of_undone()
        self.undone.add(entry.order_id)

    def fate_of_undone(self) -> Fate:
        return Fate.FAILED

    # Callbacks ----------------------------------------------------------------------------------------------------------

    def _tell(self, entry: Entry, *, stuck: bool) -> None:
        """Post what has become of a purchase: early, late, out of order, twice, or not at all. Others post lies about it."""
        if self.post is None or not (stuck or self.calls_back):
            return
        dice = self._dice
        times = [dice.choice([0.0, 0.0, 1.5, 20.0, 400.0]) for _ in range(dice.choice([0, 1, 1, 1, 2, 3]))]
        body = self.callback_of(entry)
        told = [Callback(body, Genuine.VENDOR, after_s) for after_s in times]
        if dice.random() < 0.1:
            fate = dice.choice([Fate.DELIVERED, Fate.FAILED, Fate.PENDING])
            lie = self.callback_of(replace(entry, fate=fate))
            told.append(Callback(lie, dice.choice([Genuine.FORGER, Genuine.LIAR]), dice.choice([0.0, 2.0, 60.0])))
        for callback in told:
            if callback.body is not None:
                self.heard["called back" if callback.by is Genuine.VENDOR else callback.by.name] += 1
                self.post(self, callback)
        self.heard["called back again"] += len(times) > 1
        self.heard["called back early"] += not stuck and 0.0 in times

    def callback_of(self, _entry: Entry) -> Any:
        """The body that is posted about a purchase; None where nothing is."""
        return None

    def shown(self, entry: Entry) -> Answer:
        """The answer to a purchase that was taken, as it stands now."""
        entry.told |= entry.fate is Fate.DELIVERED
        return self.state(entry)

    def found(self, reference: str) -> Entry | None:
        """The purchase that a question finds by our reference or theirs."""
        entry = self._entries.get(reference) or self.book.get(reference)
        if entry is None or self._loop.time() < entry.shown_from_s:
            return None
        entry.told |= entry.fate is Fate.DELIVERED
        return entry

    def created(self, entry: Entry) -> str:
        moment = _START + timedelta(seconds=entry.created_s)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    # What a vendor says -------------------------------------------------------------------------------------------------

    @abstractmethod
    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        """The purchase that a request asks for; None for a question."""

    @abstractmethod
    def name_of(self, entry: Entry) -> str:
        """The vendor's own reference."""

    @abstractmethod
    def state(self, entry: Entry) -> Answer: ...

    @abstractmethod
    def answer(self, request: httpx.Request) -> Answer:
        """The answer to a question."""

    @abstractmethod
    def not_let_in(self) -> Answer: ...

    @abstractmethod
    def no_float(self) -> Answer: ...

    @abstractmethod
    def bad_number(self) -> Answer: ...

    @abstractmethod
    def unknown(self) -> Answer:
        """An answer by which nobody knows whether a purchase was taken."""

    def repeated(self, entry: Entry) -> Answer:
        return self.shown(entry)

    def too_many(self) -> Answer:
        return self.no_float()

    def down(self) -> Answer:
        return self.no_float()

    def too_soon(self) -> Answer:
        """The answer to a second purchase for a number within its guard; a vendor without one never gives it."""
        return self.too_many()

    @abstractmethod
    def undocumented(self, body: Any, /) -> Any:
        """The body with a status that no document has."""


def request_kind(form: dict[str, Any]) -> str:
    return str(form.get("serviceID", form.get("service", "")))


def json_of(request: httpx.Request) -> Any:
    return msgspec.json.decode(request.content)


def last_of(request: httpx.Request) -> str:
    return request.url.path.rpartition("/")[2]


def settings_of(connector: str, **options: Any) -> ProviderSettings:
    return ProviderSettings(connector=connector, concurrency=64, **options)


class NetpluseSide(FarSide):
    """Netpluse itself: a reference is a key, and finds its order."""

    kinds = frozenset({"data"})
    latest_s = 900.0
    settings = settings_of("netpluse", api_key=Secret("np_live_x"))

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method != "POST":
            return None
        form = json_of(request)
        return Purchase(form["reference"], form["phoneNumber"], form)

    def name_of(self, entry: Entry) -> str:
        return f"NPAPI-{entry.number}-abc"

    def _status(self, entry: Entry) -> str:
        return {Fate.DELIVERED: "completed", Fate.PENDING: "processing"}.get(entry.fate, "failed")

    def state(self, entry: Entry) -> Answer:
        return 200, {"reference": self.name_of(entry), "status": self._status(entry), "price": 4.5, "balance": 8.0}

    def repeated(self, entry: Entry) -> Answer:
        if self._loop.time() - entry.created_s >= 60:
            return self.shown(entry)
        shown = self.shown(entry)[1] if self._dice.random() < 0.5 else {}
        return 409, {"error": "Duplicate order"} | shown

    def answer(self, request: httpx.Request) -> Answer:
        if request.url.path == "/api/v1/packages":
            line = {"network": "MTN", "capacity": "1GB", "price": 4.5, "validity": "30 Days"}
            return 200, {"packages": [line]}
        entry = self.found(last_of(request))
        if entry is None:
            return 404, {"error": "Order reference does not exist"}
        shown = {"network": entry.form["network"], "capacity": entry.form["capacity"]}
        return 200, {"reference": self.name_of(entry), "status": self._status(entry)} | shown

    def not_let_in(self) -> Answer:
        return 401, {"error": "Invalid API key"}

    def no_float(self) -> Answer:
        return 402, {"error": "Insufficient wallet balance"}

    def bad_number(self) -> Answer:
        return 400, {"error": "phoneNumber must be a mobile number of Ghana"}

    def too_many(self) -> Answer:
        return 429, {"error": "Too many requests"}

    def down(self) -> Answer:
        return 500, {"error": "Unexpected error"}

    def unknown(self) -> Answer:
        return 500, {"error": "Unexpected error"}

    def undocumented(self, body: Any) -> Any:
        return body | {"status": "queued"}


class TelvendAsNetpluse(NetpluseSide):
    """A Telvend that speaks like Netpluse: it takes more purchases a second, and is believed sooner."""

    latest_s = 114.0
    settings = settings_of("netpluse", api_key=Secret("np_live_x"), base_url="https://another.example")


class TelvendAsMadapi(FarSide):
    """A Telvend that speaks MADAPI: tokens, a reference that is a key, and a 404 that says when nothing was sold under it."""

    latest_s = 114.0
    settings = settings_of(
        "madapi", client_id=Secret("mtn_live_x"), client_secret=Secret("the-secret"), base_url="https://another.example"
    )

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method not in ("PATCH", "POST") or request.url.path.startswith("/v1/"):
            return None
        form = json_of(request)
        airtime = request.method == "PATCH"
        phone = request.url.path.split("/")[3]
        return Purchase(
            request.headers["transactionid"], f"0{phone[3:]}", form | {"service": "airtime" if airtime else "data"}
        )

    def name_of(self, entry: Entry) -> str:
        return f"SUB-{entry.number}-abcdef"

    def state(self, entry: Entry) -> Answer:
        if entry.form["service"] == "airtime" and entry.fate is Fate.DELIVERED:
            return 200, self._refill(entry)
        if entry.fate is Fate.DELIVERED:
            return 201, self._subscription(entry)
        return (202, self._subscription(entry)) if entry.fate is Fate.PENDING else self._error(400, "5001")

    def _refill(self, entry: Entry) -> dict[str, Any]:
        data = {"amount": entry.form["transactionAmount"], "currencyCode": "NGN"}
        told = {"statusCode": "0000", "statusMessage": "Success", "sequenceNo": f"x-{entry.number}", "data": data}
        return told | {"transactionReference": entry.reference}

    def _subscription(self, entry: Entry) -> dict[str, Any]:
        code, status = {Fate.DELIVERED: ("0000", "Active"), Fate.PENDING: ("1004", "Pending")}.get(
            entry.fate, ("5001", "Failed")
        )
        return {
            "subscriptionId": entry.form.get("subscriptionId"),
            "status": status,
            "amountCharged": "250.00",
            "correlationId": self.name_of(entry),
            "transactionReference": entry.reference,
            "statusCode": code,
            "statusMessage": "words",
        }

    def _error(self, status: int, code: str, **more: Any) -> Answer:
        return status, {"statusCode": code, "statusMessage": "words", "supportMessage": "words"} | more

    def answer(self, request: httpx.Request) -> Answer:
        if request.url.path.startswith("/v1/oauth"):
            return 200, {"access_token": "a-token", "token_type": "BearerToken", "expires_in": "1800"}
        entry = self.found(last_of(request))
        if entry is not None and entry.form["service"] == "airtime" and entry.fate is Fate.FAILED:
            entry = None  # A refill that was refused leaves its id free.
        elif entry is None and last_of(request) in self._entries:
            return self._error(503, "3000")  # A replica that lags behind does not say that an id is free.
        if entry is None:
            return self._error(404, "1000", transactionIdFree=True, transactionReference=last_of(request))
        if entry.form["service"] == "airtime":
            return self._refill_told(entry)
        return (202 if entry.fate is Fate.PENDING else 200), self._subscription(entry)

    def _refill_told(self, entry: Entry) -> Answer:
        return (200, self._refill(entry)) if entry.fate is Fate.DELIVERED else self._error(503, "3000")

    def not_let_in(self) -> Answer:
        return self._error(401, "4000")

    def no_float(self) -> Answer:
        return self._error(403, "6001")

    def bad_number(self) -> Answer:
        return self._error(404, "1000")

    def too_many(self) -> Answer:
        return self._error(429, "1013")

    def down(self) -> Answer:
        return self._error(503, "3000")

    def unknown(self) -> Answer:
        return self._error(503, "3000")

    def undocumented(self, body: Any) -> Any:
        return body | {"statusCode": "7777"}


class VTpassSide(FarSide):
    """VTpass: a `request_id` is not answered twice, one purchase of a number in thirty seconds."""

    latest_s = 594.0
    settings = settings_of(
        "vtpass",
        api_key=Secret("the-api-key"),
        public_key=Secret("PK_x"),
        secret_key=Secret("SK_x"),
        callback_secret=CALLBACK_SECRET,
    )
    guard_s = 30.0

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if not request.url.path.endswith("/pay"):
            return None
        form = json_of(request)
        return Purchase(form["request_id"], form["phone"], form)

    def name_of(self, entry: Entry) -> str:
        return f"17416077744562810{entry.number}"

    def state(self, entry: Entry) -> Answer:
        status = {
            Fate.DELIVERED: "delivered",
            Fate.PENDING: self._dice.choice(["pending", "initiated"]),
            Fate.FAILED: "failed",
            Fate.REVERSED: "reversed",
        }[entry.fate]
        code = {Fate.DELIVERED: "000", Fate.PENDING: "099", Fate.FAILED: "016", Fate.REVERSED: "040"}[entry.fate]
        return 200, self._transaction(entry, status, code)

    def _transaction(self, entry: Entry, status: str, code: str) -> dict[str, Any]:
        amount = entry.form["amount"]
        content = {
            "status": status,
            "product_name": "MTN",
            "unique_element": entry.phone,
            "amount": amount,
            "total_amount": amount * 0.97,
            "transactionId": self.name_of(entry),
        }
        return {
            "code": code,
            "content": {"transactions": content},
            "response_description": "TRANSACTION",
            "requestId": entry.reference,
            "amount": amount,
        }

    def callback_of(self, entry: Entry) -> Any:
        return {"type": "transaction-update", "data": self.state(entry)[1]}

    def fate_of_undone(self) -> Fate:
        return self._dice.choice([Fate.FAILED, Fate.REVERSED])

    def repeated(self, entry: Entry) -> Answer:
        return 200, {"code": "014", "response_description": "REQUEST ID ALREADY EXIST", "requestId": entry.reference}

    def answer(self, request: httpx.Request) -> Answer:
        wanted = json_of(request)["request_id"]
        entry = self.found(wanted)
        if entry is None:
            return 200, {"code": "015", "response_description": "INVALID REQUEST ID"}
        status, body = self.state(entry)
        return status, body | {"code": "000"}

    def not_let_in(self) -> Answer:
        return 200, {"code": "087", "response_description": "INVALID CREDENTIALS"}

    def no_float(self) -> Answer:
        return 200, {"code": "018", "response_description": "LOW WALLET BALANCE"}

    def bad_number(self) -> Answer:
        return 200, {"code": "016", "response_description": "TRANSACTION FAILED"}

    def down(self) -> Answer:
        return 200, {"code": self._dice.choice(["030", "034", "091"]), "response_description": "BILLER NOT REACHABLE"}

    def too_soon(self) -> Answer:
        return 200, {"code": "019", "response_description": "LIKELY DUPLICATE TRANSACTION"}

    def unknown(self) -> Answer:
        return 200, {"code": self._dice.choice(["083", "089", "777"]), "response_description": "SYSTEM ERROR"}

    def undocumented(self, body: Any) -> Any:
        return body | {"code": "512"}


PLANS: Final = [
    {"id": number, "network_id": 1, "name": size, "code": size, "amount": amount, "validity": "30 days", "type": "SME"}
    for number, size, amount in ((1, "1GB", 300), (2, "2GB", 500))
]


class NetworkDataSubSide(FarSide):
    """networkdatasub as it is printed: it knows no reference of ours, and shows a list of transactions."""

    latest_s = 300.0
    settings = settings_of("networkdatasub", api_key=Secret("the-token"))
    deduplicates = False

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method != "POST":
            return None
        form = json_of(request) | {"service": request.url.path.split("/")[-2]}
        return Purchase(form.get("reference", ""), form["phone"], form)

    def name_of(self, entry: Entry) -> str:
        return f"DATA-{entry.number}-xyz"

    def _status(self, entry: Entry) -> str:
        return {Fate.DELIVERED: "completed", Fate.PENDING: "pending"}.get(entry.fate, "failed")

    def _amount(self, entry: Entry) -> int:
        if "plan_id" in entry.form:
            return next(int(str(plan["amount"])) for plan in PLANS if plan["id"] == entry.form["plan_id"])
        return int(entry.form["amount"])

    def state(self, entry: Entry) -> Answer:
        transaction = {
            "id": entry.number,
            "reference": self.name_of(entry),
            "amount": self._amount(entry),
            "status": self._status(entry),
            "created_at": self.created(entry),
        }
        data = {"transaction": transaction, "new_balance": 4400.0}
        if entry.fate in (Fate.FAILED, Fate.REVERSED):
            return 400, {"success": False, "message": "Failed to purchase data: refused", "data": data}
        return 200, {"success": True, "message": "Data purchased successfully", "data": data}

    def _row(self, entry: Entry) -> dict[str, Any]:
        size = next((plan["code"] for plan in PLANS if plan["id"] == entry.form.get("plan_id")), None)
        return {
            "id": entry.number,
            "user_id": 1,
            "type": "debit",
            "amount": f"{self._amount(entry)}.00",
            "reference": self.name_of(entry),
            "description": "Purchase",
            "status": self._status(entry),
            "meta": {
                "phone": entry.phone,
                "network": entry.form["network"],
                "plan": size,
                "service_type": entry.form["service"],
            },
            "created_at": self.created(entry),
        }

    def answer(self, request: httpx.Request) -> Answer:
        path = request.url.path
        if path.endswith("/data-plans"):
            return 200, {"success": True, "message": "", "data": PLANS}
        if path.endswith("/transactions"):
            return 200, {"success": True, "message": "", "data": self._page(request)}
        entry = self.found(last_of(request))
        if entry is None:
            return 404, {"success": False, "message": "Transaction not found"}
        return 200, {"success": True, "message": "", "data": self._row(entry)}

    def _page(self, request: httpx.Request) -> dict[str, Any]:
        number, size = int(request.url.params["page"]), int(request.url.params["per_page"])
        now = self._loop.time()
        newest_first = [entry for entry in reversed(self.book.values()) if entry.shown_from_s <= now]
        shown = newest_first[(number - 1) * size : number * size]
        for entry in shown:
            entry.told |= entry.fate is Fate.DELIVERED
        last = max(1, -(-len(newest_first) // size))
        rows = [self._row(entry) for entry in shown]
        return {"current_page": number, "data": rows, "last_page": last, "per_page": size, "total": len(newest_first)}

    def not_let_in(self) -> Answer:
        return 401, {"success": False, "message": "Unauthenticated."}

    def no_float(self) -> Answer:
        message = "Failed to purchase data: Insufficient wallet balance"
        return 400, {"success": False, "message": message, "data": {"required_amount": 300, "current_balance": 50}}

    def bad_number(self) -> Answer:
        message = "The phone must be a mobile number of Nigeria."
        return 422, {"success": False, "message": message, "errors": {"phone": [message]}}

    def too_many(self) -> Answer:
        return 429, {"success": False, "message": "Too Many Attempts."}

    def down(self) -> Answer:
        return 500, {"success": False, "message": "Server Error"}

    def unknown(self) -> Answer:
        return 400, {"success": False, "message": "Failed to purchase data: time-out"}

    def undocumented(self, body: Any) -> Any:
        return body | {"success": "perhaps"}


class NetworkDataSubWithReference(NetworkDataSubSide):
    """A Telvend that speaks like networkdatasub: it takes our reference as a key."""

    latest_s = 114.0
    settings = settings_of(
        "networkdatasub", api_key=Secret("the-token"), caller_reference=True, base_url="https://another.example/api"
    )
    deduplicates = True


class Wazodata(FarSide):
    """The shipped description of Wazodata: it finds a purchase by our reference, which is no key."""

    latest_s = 294.0
    settings = settings_of("http", file=str(_EXAMPLES / "wazodata.toml"), api_key=Secret("the-bearer-token"))
    deduplicates = False

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method != "POST":
            return None
        form = json_of(request)
        return Purchase(form["reference"], form["phone"], form | {"service": last_of(request)})

    def name_of(self, entry: Entry) -> str:
        return f"W{entry.number}"

    def state(self, entry: Entry) -> Answer:
        status = {Fate.DELIVERED: "success", Fate.PENDING: "processing"}.get(entry.fate, "failed")
        data = {"id": self.name_of(entry), "reference": entry.reference, "status": status, "charged": 290.5}
        return 200, {"data": data, "message": status}

    def repeated(self, entry: Entry) -> Answer:
        self._deliver(entry)  # No key: the same reference once more is another purchase.
        return self.shown(entry)

    def answer(self, request: httpx.Request) -> Answer:
        entry = self.found(last_of(request))
        return self._error(404, "purchase_not_found") if entry is None else self.state(entry)

    def _error(self, status: int, code: str) -> Answer:
        return status, {"error": {"code": code}, "message": code}

    def not_let_in(self) -> Answer:
        return self._error(401, "unauthorized")

    def no_float(self) -> Answer:
        return self._error(400, "insufficient_balance")

    def bad_number(self) -> Answer:
        return self._error(400, "invalid_phone")

    def too_many(self) -> Answer:
        return self._error(429, "rate_limited")

    def down(self) -> Answer:
        return self._error(400, "plan_unavailable")

    def unknown(self) -> Answer:
        return self._error(400, "try_again")

    def undocumented(self, _body: Any) -> Any:
        return {"data": {"status": "queued"}, "message": "queued"}


class Telitab(FarSide):
    """The shipped description of Telitab: our reference is a key."""

    latest_s = 25.0
    settings = settings_of(
        "http",
        file=str(_EXAMPLES / "telitab.toml"),
        client_id=Secret("the-client-id"),
        client_secret=Secret("the-client-secret"),
    )

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method != "POST":
            return None
        form = json_of(request)["order"]
        return Purchase(form["key"], form["to"], form)

    def name_of(self, entry: Entry) -> str:
        return f"T{entry.number}"

    def state(self, entry: Entry) -> Answer:
        state = {Fate.DELIVERED: "DONE", Fate.PENDING: "QUEUED"}.get(entry.fate, "REJECTED")
        history = [{"state": state}, {"state": "QUEUED"}]
        return 200, {
            "order": {"number": self.name_of(entry), "key": entry.reference, "history": history, "paid_kobo": 29000}
        }

    def answer(self, request: httpx.Request) -> Answer:
        entry = self.found(last_of(request))
        return self._fault_of(404, "NO_ORDER") if entry is None else self.state(entry)

    def _fault_of(self, status: int, fault: str) -> Answer:
        return status, {"fault": fault, "detail": fault}

    def not_let_in(self) -> Answer:
        return self._fault_of(403, "NO_ENTRY")

    def no_float(self) -> Answer:
        return self._fault_of(402, "NO_CREDIT")

    def bad_number(self) -> Answer:
        return self._fault_of(400, "BAD_MSISDN")

    def unknown(self) -> Answer:
        return self._fault_of(400, "OUT_OF_ORDER")

    def undocumented(self, _body: Any) -> Any:
        return {"order": {"history": [{"state": "MAYBE"}]}}


class Husmodata(FarSide):
    """The shipped description of Husmodata: it is sent no reference, and is asked by its own."""

    kinds = frozenset({"data"})
    latest_s = 300.0
    settings = settings_of("http", file=str(_EXAMPLES / "husmodata.toml"), api_key=Secret("the-token"))
    deduplicates = False

    def purchase_of(self, request: httpx.Request) -> Purchase | None:
        if request.method != "POST":
            return None
        form = json_of(request)
        return Purchase("", form["mobile_number"], form)

    def name_of(self, entry: Entry) -> str:
        return f"{entry.number}"

    def state(self, entry: Entry) -> Answer:
        status = {Fate.DELIVERED: "successful", Fate.PENDING: "processing"}.get(entry.fate, "failed")
        return 200, {"id": entry.number, "Status": status, "mobile_number": entry.phone, "plan_amount": "290.0"}

    def answer(self, request: httpx.Request) -> Answer:
        entry = self.found(last_of(request))
        return (404, {"detail": "Not found."}) if entry is None else self.state(entry)

    def not_let_in(self) -> Answer:
        return 401, {"detail": "Invalid token."}

    def no_float(self) -> Answer:
        return 400, {"error": ["insufficient balance"]}

    def bad_number(self) -> Answer:
        return 200, {"Status": "failed", "api_response": "not a number of this network"}

    def unknown(self) -> Answer:
        return 200, {"Status": "maybe"}

    def undocumented(self, _body: Any) -> Any:
        return {"Status": "queued"}


class Link(httpx.AsyncBaseTransport):
    """One worker's way to a far side."""

    def __init__(self, side: FarSide, chaos: Chaos, timeout_s: float) -> None:
        self._side = side
        self._chaos = chaos
        self._timeout_s = timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._side.exchange(request, self._chaos, self._timeout_s)
