"""Vouchers: batches, single ones by serial, issuing and blocking; and the subscribers of our own network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.vouchers.model import Batch, NewVoucher, Voucher, VoucherState
from telvend.operator.vouchers.pins import spaced
from telvend.operator.vouchers.service import standing_of
from telvend.people.model import Visitor
from telvend.web.console.frame import PAGE, Console, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, amount_of, figures, routes_of

MOST_ON_A_PAGE: Final = 1000
"""Larger batches are issued with the command, which writes them to a file."""

_MARKS: Final = (VoucherState.DAMAGED, VoucherState.STOLEN, VoucherState.AVAILABLE)
_MODES: Final = tuple((str(mode), str(mode).capitalize()) for mode in Mode)


def pages(console: Console) -> list[Route]:
    """The pages of vouchers and subscribers."""
    own, subscribers = _Vouchers(console), _Subscribers(console)
    return [
        console.page("/console/vouchers", Right.LOOK, own.listed),
        *(routes_of(console, verb) for verb in own.of_none()),
        console.page("/console/vouchers/batches/{number}", Right.LOOK, own.batch),
        *(routes_of(console, verb) for verb in own.of_batches()),
        console.page("/console/vouchers/{serial}", Right.LOOK, own.one),
        *(routes_of(console, verb) for verb in own.of_one()),
        console.page("/console/subscribers", Right.LOOK, subscribers.listed),
        console.page("/console/subscribers/{msisdn}", Right.LOOK, subscribers.one),
    ]


class _Shown:
    """Where new vouchers go: onto one page, this once."""

    def __init__(self) -> None:
        self.vouchers: list[NewVoucher] = []

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        self.vouchers.extend(vouchers)

    async def finish(self) -> None:
        """They are in memory; the page follows at once."""


@dataclass(frozen=True, slots=True)
class BatchOf:
    """A batch, and how many of it were loaded."""

    batch: Batch
    used: int


class _Vouchers:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before = number_of(request, "before")
        serial = text_of(request, "serial", longest=20)
        if serial:
            after = str(max(0, int(serial) - 1)) if serial.isascii() and serial.isdigit() else serial
            found = await self._desk.vouchers.listed(after=after, limit=PAGE) if after.isdigit() else []
            listing = _vouchers(found)
        else:
            batches = await self._desk.vouchers.batches(before=before, limit=PAGE + 1)
            rows: list[Sequence[Value]] = [
                (
                    b.created_at,
                    Link(f"/console/vouchers/batches/{b.id}", f"Batch {b.id}"),
                    str(b.mode),
                    b.amount,
                    b.count,
                    used,
                    b.first_serial,
                    b.expires_at,
                    State(b.state, standing_of(b)),
                )
                for b, used in batches[:PAGE]
            ]
            listing = Listing(
                "Batches",
                [
                    Column("Issued"),
                    Column("Batch"),
                    Column("Mode"),
                    Column("Worth", True),
                    Column("Vouchers", True),
                    Column("Loaded", True),
                    Column("First serial"),
                    Column("Ends"),
                    Column("State"),
                ],
                rows,
                newer=leading(request, before=None) if before else "",
                older=leading(request, before=batches[PAGE - 1][0].id) if len(batches) > PAGE else "",
                empty="No vouchers were issued yet",
                advice="Issue some: their PINs are shown once.",
            )
        listing = _with_filters(listing)
        actions = [("/console/vouchers/issue", "Issue vouchers"), ("/console/vouchers/block", "Block by serial")]
        return self._console.list(request, visitor, "Vouchers", listing, actions=actions)

    async def batch(self, request: Request, visitor: Visitor) -> Response:
        found = await self._batch(request)
        after = text_of(request, "after", longest=20)
        vouchers = await self._desk.vouchers.listed(batch_id=found.batch.id, after=after or None, limit=PAGE + 1)
        listing = _vouchers(vouchers[:PAGE])
        b = found.batch
        summary: list[tuple[str, Value]] = [
            ("Worth", b.amount),
            ("Vouchers", b.count),
            ("Loaded", found.used),
            ("Profile", b.profile),
            ("Ends", b.expires_at),
            ("State", State(b.state, standing_of(b))),
        ]
        listing = Listing(
            listing.caption,
            listing.columns,
            listing.rows,
            summary=summary,
            newer=leading(request, after=None) if after else "",
            older=leading(request, after=vouchers[PAGE - 1].serial) if len(vouchers) > PAGE else "",
            empty="No vouchers",
        )
        actions = [(f"/console/vouchers/batches/{b.id}/stop", "Stop the batch"), ("/console/vouchers", "Back")]
        return self._console.list(request, visitor, f"Batch {b.id}", listing, actions=actions)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        v = await self._voucher(request)
        facts: list[tuple[str, Value]] = [
            ("State", State(v.state)),
            ("Worth", v.amount),
            ("Batch", Link(f"/console/vouchers/batches/{v.batch_id}", f"{v.batch_id}")),
            ("Mode", str(v.mode)),
            ("Profile", v.profile),
            ("Ends", v.expires_at),
            ("Reserved for", v.reservation),
            ("Reserved until", v.reserved_until),
            ("Loaded by", Link(f"/console/subscribers/{v.msisdn}", v.msisdn) if v.msisdn else None),
            ("Refill", v.refill),
            ("Last change", v.changed_at),
        ]
        return self._console.render(request, visitor, "console/voucher.html", voucher=v, facts=facts)

    async def _voucher(self, request: Request) -> Voucher:
        return await self._desk.vouchers.find(request.path_params["serial"])

    async def _batch(self, request: Request) -> BatchOf:
        text = request.path_params["number"]
        if text.isascii() and text.isdigit() and len(text) <= 15:
            for batch, used in await self._desk.vouchers.batches(before=int(text) + 1, limit=1):
                if batch.id == int(text):
                    return BatchOf(batch, used)
        raise NotFound("Batch")

    # Doing --------------------------------------------------------------------------------------------------------------

    def of_none(self) -> Iterable[Verb[None]]:
        """Issue; block a range of serials."""
        desk = self._desk

        async def load(_: Request) -> None:
            return None

        on: On[None] = On("voucher", load, lambda _: "", lambda _: "/console/vouchers")

        def read(given: Given) -> tuple[Money, int, Mode, datetime | None]:
            amount = amount_of(given["amount"], currency_of(given["currency"]))
            count = given["count"].replace(",", "")
            if amount.minor <= 0:
                raise InvalidInput("amount", "must be greater than zero")
            if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= MOST_ON_A_PAGE):
                raise InvalidInput(
                    "count",
                    f"must be from 1 to {MOST_ON_A_PAGE}; “telvend voucher issue” makes larger batches, into a file",
                )
            expires_at = None
            if given["expires"]:
                try:
                    day = date.fromisoformat(given["expires"])
                    expires_at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
                except (ValueError, OverflowError):
                    raise InvalidInput("expires", "must be a day such as 2027-01-31") from None
                if expires_at <= datetime.now(UTC):
                    raise InvalidInput("expires", "must be in the future")
            return amount, int(count), Mode(given["mode"]), expires_at

        async def issue_preview(_: None, given: Given) -> Preview:
            amount, count, mode, expires_at = read(given)
            last = await desk.vouchers.batches(limit=1)
            return Preview(
                figures(
                    vouchers=count,
                    worth_each=amount,
                    worth_in_all=Money(amount.minor * count, amount.currency),
                    mode=str(mode),
                    profile=given["profile"],
                    last_day=given["expires"] or None,
                    batches_before=last[0][0].id if last else 0,
                ),
                "Their PINs are shown on the next page, this once, and nowhere else. Print or save that page.",
                after={"count": count, "amount": str(amount), "mode": mode, "expires": expires_at},
            )

        async def issue(_: None, given: Given, visitor: Visitor) -> Sequence[NewVoucher]:  # noqa: ARG001
            amount, count, mode, expires_at = read(given)
            shown = _Shown()
            await desk.vouchers.issue(amount, count, shown, mode=mode, profile=given["profile"], expires_at=expires_at)
            return shown.vouchers

        def issued(request: Request, visitor: Visitor, vouchers: object, given: Given) -> Response:
            rows = (
                [(v.serial, spaced(v.pin.reveal())) for v in vouchers if isinstance(v, NewVoucher)]
                if isinstance(vouchers, list)
                else []
            )
            return self._console.render(
                request,
                visitor,
                "console/issued.html",
                rows=rows,
                amount=amount_of(given["amount"], currency_of(given["currency"])),
                expires=given["expires"],
                compress=False,
            )

        async def block_preview(_: None, given: Given) -> Preview:
            first, last = given["first"], given["last"] or given["first"]
            begin, end = _serial(first, "first"), _serial(last, "last")
            if not 0 <= end - begin < 1_000_000:
                raise InvalidInput("last", "must be no less than the first, and at most a million after it")
            found = await desk.vouchers.listed(after=str(begin - 1), limit=PAGE) if begin else []
            inside = [v for v in found if int(v.serial) <= end]
            return Preview(
                figures(
                    from_serial=first,
                    to_serial=last,
                    serials=end - begin + 1,
                    states_of_the_first=", ".join(sorted({str(v.state) for v in inside})) or "none there",
                    then=given["state"],
                ),
                "A voucher that was loaded stays loaded. One that is blocked cannot be loaded until it is marked available.",
                before={"states": sorted({str(v.state) for v in inside})},
                after={"state": given["state"], "to": last},
            )

        async def block(_: None, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            done = await desk.vouchers.mark(
                given["first"], given["last"] or given["first"], VoucherState(given["state"])
            )
            text = f"{done.changed} are {given['state']}."
            return f"{text} {done.used} had been loaded and stay so." if done.used else text

        yield Verb(
            path="/console/vouchers/issue",
            right=Right.VOUCHERS,
            title="Issue vouchers",
            button="Issue",
            what="voucher.issue",
            on=on,
            preview=issue_preview,
            perform=issue,
            answer=issued,
            fields=(
                Field("amount", "Amount", hint="What each is worth, in whole units.", numeric=True),
                Field("currency", "Currency", "select", options=(("NGN", "NGN"), ("GHS", "GHS"))),
                Field("count", "How many", numeric=True, start="10"),
                Field("profile", "Refill profile", start="DB00"),
                Field(
                    "expires",
                    "Last day",
                    "date",
                    required=False,
                    hint="On which they can be loaded (UTC); empty: no end.",
                ),
                Field("mode", "Mode", "select", options=_MODES),
            ),
        )
        yield Verb(
            path="/console/vouchers/block",
            right=Right.VOUCHERS,
            title="Block vouchers by serial",
            button="Confirm",
            what="voucher.mark",
            on=on,
            preview=block_preview,
            perform=block,
            danger=True,
            fields=(
                Field("first", "First serial", numeric=True),
                Field("last", "Last serial", hint="Empty: only the first.", required=False, numeric=True),
                Field("state", "State", "select", options=[(str(s), str(s).capitalize()) for s in _MARKS]),
            ),
        )

    def of_batches(self) -> Iterable[Verb[BatchOf]]:
        """Stop a batch."""
        desk = self._desk

        async def preview(one: BatchOf, given: Given) -> Preview:  # noqa: ARG001
            b = one.batch
            return Preview(
                figures(
                    batch=f"{b.id}", vouchers=b.count, loaded=one.used, cannot_be_loaded_any_more=b.count - one.used
                ),
                "None of it can be loaded any more, for good. What was loaded stays loaded.",
                before={"state": b.state},
                after={"state": "stopped"},
            )

        async def perform(one: BatchOf, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.vouchers.stop(one.batch.id, given.reason)
            return f"Batch {one.batch.id} is stopped."

        on = On(
            "batch",
            self._batch,
            lambda one: f"batch {one.batch.id}",
            lambda one: f"/console/vouchers/batches/{one.batch.id}",
        )
        return (
            Verb(
                path="/console/vouchers/batches/{number}/stop",
                right=Right.VOUCHERS,
                title="Stop a batch",
                button="Stop",
                what="voucher.stop",
                on=on,
                preview=preview,
                perform=perform,
                danger=True,
            ),
        )

    def of_one(self) -> Iterable[Verb[Voucher]]:
        """Block one voucher, or make it available again."""
        desk = self._desk

        async def preview(v: Voucher, given: Given) -> Preview:
            if v.state is VoucherState.USED:
                raise InvalidInput("", f"{v.serial} was loaded, and stays so")
            if str(v.state) == given["state"]:
                raise InvalidInput("state", f"is {v.state} already")
            return Preview(
                figures(serial=v.serial, worth=v.amount, state=f"{v.state} → {given['state']}"),
                before={"state": v.state},
                after={"state": given["state"]},
            )

        async def perform(v: Voucher, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.vouchers.mark(v.serial, v.serial, VoucherState(given["state"]))
            return f"{v.serial} is {given['state']}."

        on = On("voucher", self._voucher, lambda v: v.serial, lambda v: f"/console/vouchers/{v.serial}")
        return (
            Verb(
                path="/console/vouchers/{serial}/mark",
                right=Right.VOUCHERS,
                title="Mark a voucher",
                button="Confirm",
                what="voucher.mark",
                on=on,
                preview=preview,
                perform=perform,
                danger=True,
                fields=(Field("state", "State", "select", options=[(str(s), str(s).capitalize()) for s in _MARKS]),),
            ),
        )


def _serial(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidInput(field, "must be the digits of a serial")
    return int(text)


def _vouchers(found: Sequence[Voucher]) -> Listing:
    rows: list[Sequence[Value]] = [
        (Link(f"/console/vouchers/{v.serial}", v.serial), v.amount, State(v.state), str(v.mode), v.msisdn, v.changed_at)
        for v in found
    ]
    columns = [
        Column("Serial"),
        Column("Worth", True),
        Column("State"),
        Column("Mode"),
        Column("Loaded by"),
        Column("Last change"),
    ]
    return Listing("Vouchers", columns, rows, empty="No such vouchers")


def _with_filters(listing: Listing) -> Listing:
    return Listing(
        listing.caption,
        listing.columns,
        listing.rows,
        [Filter("serial", "From serial")],
        listing.newer,
        listing.older,
        empty=listing.empty,
        advice=listing.advice,
    )


class _Subscribers:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        after, mode = number_of(request, "after") or 0, text_of(request, "mode")
        number = text_of(request, "number", longest=32)
        found = await self._found(number, Mode(mode) if mode in set(Mode) else Mode.LIVE, after)
        rows: list[Sequence[Value]] = [
            (
                Link(f"/console/subscribers/{s.msisdn}{'?mode=test' if s.mode is Mode.TEST else ''}", s.msisdn),
                s.country,
                str(s.billing),
                s.tariff_plan,
                State(s.status),
                s.active_until,
                s.created_at,
            )
            for s in found[:PAGE]
        ]
        listing = Listing(
            "Subscribers",
            [
                Column("Number"),
                Column("Country"),
                Column("Billing"),
                Column("Tariff"),
                Column("State"),
                Column("Active until"),
                Column("Since"),
            ],
            rows,
            filters=[Filter("number", "Number"), Filter("mode", "Mode", options=_MODES)],
            newer=leading(request, after=None) if after else "",
            older=leading(request, after=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No subscribers",
            advice="Those of our own network appear here.",
        )
        return self._console.list(request, visitor, "Subscribers", listing)

    async def _found(self, number: str, mode: Mode, after: int) -> list[Subscriber]:
        if not number:
            return await self._desk.subscribers.listed(mode, after=after, limit=PAGE + 1)
        try:
            return [await self._desk.subscribers.find(mode, parse_mobile_of_any_market(number))]
        except (NotAMobileNumber, NotFound):
            return []

    async def one(self, request: Request, visitor: Visitor) -> Response:
        msisdn = request.path_params["msisdn"]
        mode = Mode.TEST if request.query_params.get("mode") == "test" else Mode.LIVE
        s = await self._desk.subscribers.find(mode, msisdn)
        buckets, now = await self._desk.subscribers.buckets(mode, msisdn)
        rows: list[Sequence[Value]] = [(b.name, str(b.kind), b.balance, b.reserved, b.expires_at) for b in buckets]
        facts: list[tuple[str, Value]] = [
            ("State", State(s.status)),
            ("Country", s.country),
            ("Currency", str(s.currency)),
            ("Billing", str(s.billing)),
            ("Tariff", s.tariff_plan),
            ("Language", s.language),
            ("Active until", s.active_until),
            ("Refillable until", s.grace_until),
            ("Since", s.created_at),
            ("As of", now),
        ]
        return self._console.render(
            request,
            visitor,
            "console/subscriber.html",
            subscriber=s,
            facts=facts,
            buckets=Listing(
                "Balances",
                [Column("Name"), Column("Kind"), Column("Balance", True), Column("Reserved", True), Column("Expires")],
                rows,
                empty="Nothing",
            ),
        )
