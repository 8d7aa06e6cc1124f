"""Orders: the list, one with its time-line, the review queue, and what waits for a second person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.approvals.model import Proposal, ProposalState, how_it_ended
from telvend.desk.order_file import OrderFile
from telvend.errors import InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.ledger.model import Entry, TransferKind
from telvend.orders.browsing import Browsed
from telvend.orders.model import Attempt, Order, OrderFilter, OrderState
from telvend.orders.story import LaterMoney, Reader, story_of
from telvend.people.model import Visitor
from telvend.web.console.frame import (
    PAGE,
    Console,
    as_csv,
    begins,
    choices,
    day_of,
    ends,
    from_to,
    leading,
    number_of,
    text_of,
)
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, figures, routes_of
from telvend.web.shell.formats import money_text, time_text
from telvend.web.shell.paths import number_in_path

_AT_ONCE: Final = 1000
_OPEN: Final = (OrderState.ACCEPTED, OrderState.DELIVERING, OrderState.WAITING, OrderState.REVIEW)
_MOST_OF_A_NUMBER: Final = 5000

_COLUMNS: Final = (
    Column("Placed"), Column("Reference"), Column("Reseller"), Column("What"), Column("Number"),
    Column("Price", True), Column("State"),
)  # fmt: skip
_CSV: Final = (
    *(Column(title) for title in ("placed", "reference", "client reference", "reseller", "mode", "country", "network",
    "product", "size", "number", "price", "cost", "currency", "state")),
)  # fmt: skip


def pages(console: Console) -> list[Route]:
    """The pages of orders."""
    own = _Pages(console)
    return [
        console.page("/console/orders", Right.LOOK, own.listed),
        console.page("/console/orders.csv", Right.LOOK, own.csv),
        console.page("/console/review", Right.LOOK, own.review),
        console.page("/console/orders/{reference}", Right.LOOK, own.one),
        console.page("/console/approvals", Right.LOOK, own.approvals),
        *(routes_of(console, verb) for verb in own.verbs()),
        *(routes_of(console, verb) for verb in own.of_proposals()),
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of an order's story."""

    at: datetime
    title: str
    text: str = ""
    tone: str = ""


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    # Lists --------------------------------------------------------------------------------------------------------------

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        problem = ""
        try:
            found = await self._wanted(request, number_of(request, "before"), PAGE)
        except (InvalidInput, NotFound) as error:
            found, problem = Browsed([]), str(error)
        orders, older = found.orders, found.older
        lead = ""
        if found.looked_back_to is not None:
            back_to = time_text(found.looked_back_to, visitor.person.zone)
            lead = f"Looked back to {back_to}. There may be more before: Older looks further."
        listing = Listing(
            "Orders",
            _COLUMNS,
            await self._rows(orders),
            filters=_filters(),
            newer=leading(request, before=None) if number_of(request, "before") is not None else "",
            older=leading(request, before=older) if older is not None else "",
            csv=leading(request, before=None).replace("/console/orders", "/console/orders.csv", 1),
            empty="No such orders",
            advice=problem or "Nothing was sold that fits. Clear the filters to see every order.",
        )
        return self._console.list(request, visitor, "Orders", listing, lead=lead)

    async def csv(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - every page gets it
        await self._filter(request)

        async def fetch(place: int | None) -> tuple[Sequence[Sequence[Value]], int | None]:
            found = await self._wanted(request, place, _AT_ONCE)
            orders = found.orders
            emails = await self._desk.resellers.emails({order.reseller_id for order in orders})
            rows = [
                (
                    o.created_at, o.reference, o.client_reference, emails[o.reseller_id], o.mode, o.country, o.network, o.product,
                    o.size, o.subscriber, o.price, o.cost, o.price.currency.code, o.state,
                )
                for o in orders
            ]  # fmt: skip
            return rows, found.older

        return await as_csv("orders.csv", _CSV, fetch)

    async def review(self, request: Request, visitor: Visitor) -> Response:
        """What a person decides, oldest first."""
        after = number_of(request, "after") or 0
        orders = await self._desk.overview.in_review(after, PAGE + 1)
        older = orders[PAGE - 1].id if len(orders) > PAGE else None
        listing = Listing(
            "Orders in review",
            _COLUMNS,
            await self._rows(orders[:PAGE]),
            newer=leading(request, after=None) if after else "",
            older=leading(request, after=older) if older is not None else "",
            empty="Nothing waits for a decision",
            advice="Orders come here when asking the provider has not settled them.",
        )
        lead = "The price of these orders is held. Open one, look at what the provider has said, and decide."
        actions = [("/console/todo/review", "What to do"), ("/console/approvals", "Approvals")]
        return self._console.list(request, visitor, "Review", listing, lead=lead, actions=actions)

    async def _wanted(self, request: Request, before: int | None, count: int) -> Browsed:
        """The orders of a page."""
        wanted = await self._filter(request)
        search = text_of(request, "search")
        if not search:
            return await self._desk.orders.browse(wanted, before=before, limit=count)
        orders = _fitting(await self._found(search), wanted, before)
        return Browsed(orders[:count], orders[count - 1].id if len(orders) > count else None)

    async def _found(self, text: str) -> list[Order]:
        number = _number(text)
        if number is not None:
            return await self._desk.order_search.of_number(number, limit=_MOST_OF_A_NUMBER)
        return await self._desk.order_search.named(text, limit=_MOST_OF_A_NUMBER)

    async def _filter(self, request: Request) -> OrderFilter:
        """Raises InvalidInput, NotFound (no such reseller)."""
        state, mode, email = (
            text_of(request, "state"),
            text_of(request, "mode"),
            text_of(request, "reseller", longest=254),
        )
        states: tuple[OrderState, ...] | None = None
        if state == "open":
            states = _OPEN
        elif state in set(OrderState):
            states = (OrderState(state),)
        network = text_of(request, "network")
        return OrderFilter(
            reseller_id=(await self._desk.resellers.find(email)).id if email else None,
            mode=Mode(mode) if mode in set(Mode) else None,
            states=states,
            since=begins(day_of(request, "from"), self._console.zone),
            until=ends(day_of(request, "to"), self._console.zone),
            networks=await self._desk.catalogue.network_codes(network) if network else None,
        )

    async def _rows(self, orders: Sequence[Order]) -> list[Sequence[Value]]:
        emails = await self._desk.resellers.emails({order.reseller_id for order in orders})
        return [
            (
                o.created_at,
                Link(f"/console/orders/{o.reference}", o.reference),
                emails[o.reseller_id],
                f"{o.network} {o.size or o.kind}{' (test)' if o.mode is Mode.TEST else ''}",
                o.subscriber,
                o.price,
                State(o.state),
            )
            for o in orders
        ]

    # One of them --------------------------------------------------------------------------------------------------------

    async def one(self, request: Request, visitor: Visitor) -> Response:
        file = await self._file(request)
        order = file.history.order
        email = (await self._desk.resellers.emails({order.reseller_id}))[order.reseller_id]
        reseller = await self._desk.resellers.find(email)
        steps, meaning = story(file)
        return self._console.render(
            request, visitor, "console/order.html", order=order, file=file, reseller=reseller, steps=steps, meaning=meaning,
            facts=_facts(order, reseller.number, reseller.name), attempts=_attempts(order, file.history.attempts),
            money_lines=_money(file.entries), waiting=[p for p in file.proposals if p.state is ProposalState.WAITING],
            sentence=sentence_of(order, file), state=State(order.state),
        )  # fmt: skip

    async def _file(self, request: Request) -> OrderFile:
        return await self._desk.order_files.of(request.path_params["reference"])

    async def _order(self, request: Request) -> Order:
        return (await self._desk.orders.history(request.path_params["reference"])).order

    def verbs(self) -> Iterable[Verb[Order]]:
        """What is done with an order."""
        desk, base = self._desk, "/console/orders/{reference}"

        def back(order: Order) -> str:
            return f"/console/orders/{order.reference}"

        def key(order: Order) -> str:
            return order.reference

        async def requery_preview(order: Order, given: Given) -> Preview:  # noqa: ARG001
            if order.state.final:
                raise InvalidInput("", f"{order.reference} is {order.state}: there is nothing to ask about")
            lines = figures(state=State(order.state), held=order.price, moves_now="Nothing")
            text = "The provider is asked what became of it. Its answer settles the order, as it would by itself."
            return Preview(lines, text, before={"state": order.state})

        async def requery(order: Order, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.review.requery_now(order.reference)
            return "The provider is being asked. Load the page again in a moment."

        async def resolve_preview(order: Order, given: Given) -> Preview:
            delivered = given["outcome"] == "delivered"
            if order.state not in (OrderState.WAITING, OrderState.REVIEW):
                raise InvalidInput(
                    "", f"{order.reference} is {order.state}; only what waits or is in review is decided by hand"
                )
            balance = await self._balance(order)
            return Preview(
                [
                    ("Order", f"{order.network} {order.size or order.kind} for {order.subscriber}"),
                    ("State", f"{order.state} → {'delivered' if delivered else 'failed'}"),
                    ("Held now", order.price),
                    ("Sold", order.price if delivered else None),
                    ("Back to the wallet", None if delivered else order.price),
                    ("Second person", self._asks(order)),
                ],
                "This is final: neither the provider's answer nor a person changes it later."
                if delivered
                else "The wallet gets its money back. If the order was delivered after all, it was delivered for nothing.",
                before={"state": order.state, "held": str(order.price)},
                after={"state": given["outcome"], "price": str(order.price)},
                moment=figures(wallet=balance),
            )

        async def resolve(order: Order, given: Given, visitor: Visitor) -> str:
            delivered = given["outcome"] == "delivered"
            await desk.review.resolve(
                order.reference, delivered=delivered, text=given.reason, by_whom=visitor.person.email
            )
            return f"{order.reference} is {given['outcome']}."

        async def refund_preview(order: Order, given: Given) -> Preview:  # noqa: ARG001
            if order.state is not OrderState.DELIVERED:
                raise InvalidInput("", f"{order.reference} is {order.state}; only a delivered order is refunded")
            if await desk.corrections.refund_of(order.id) is not None:
                raise InvalidInput("", f"{order.reference} was refunded before")
            balance = await self._balance(order)
            return Preview(
                figures(
                    back_to_the_wallet=order.price, loss_of_the_shop=order.price,
                    second_person=self._asks(order),
                ),
                "The order stays delivered. The shop bears the loss: what the provider got is not taken back.",
                before={"refunded": False},
                after={"refunded": str(order.price)},
                moment=figures(wallet=balance),
            )  # fmt: skip

        async def refund(order: Order, given: Given, visitor: Visitor) -> str:
            done = await desk.corrections.refund(order.id, reason=given.reason, by_whom=visitor.person.email)
            return f"{done.amount} went back. The wallet holds {done.balance}."

        async def lend_preview(order: Order, given: Given) -> Preview:  # noqa: ARG001
            if await desk.provisional.of_order(order.id) is not None:
                raise InvalidInput("", f"{order.reference} had a provisional credit before")
            balance = await self._balance(order)
            return Preview(
                figures(lent_to_the_wallet=order.price, still_held=order.price, second_person=self._asks(order)),
                "The order stays as it is. When it fails the credit is taken back; when it was delivered the shop bears it.",
                after={"lent": str(order.price)},
                moment=figures(wallet=balance),
            )

        async def lend(order: Order, given: Given, visitor: Visitor) -> str:
            done = await desk.provisional.give(order.id, reason=given.reason, by_whom=visitor.person.email)
            if done.again:
                return "It had a provisional credit before. Nothing has moved now."
            return f"{done.credit.amount} is lent. The wallet holds {done.balance}."

        on = On("order", self._order, key, back)
        outcome = Field(
            "outcome", "Outcome", "select", options=(("", "Choose"), ("delivered", "Delivered"), ("failed", "Failed")),
            hint="What you found out at the provider. An order that merely takes long has not failed.",
        )  # fmt: skip
        return (
            Verb(
                path=f"{base}/requery", right=Right.ASK, title="Ask the provider again", button="Ask now", what="order.requery",
                preview=requery_preview, perform=requery, needs_reason=False, first=True, on=on,
            ),
            Verb(
                path=f"{base}/resolve", right=Right.DECIDE, title="Resolve the order", button="Confirm", what="order.resolve",
                preview=resolve_preview, perform=resolve, fields=(outcome,), first=True, danger=True, on=on,
            ),
            Verb(
                path=f"{base}/refund", right=Right.MONEY, title="Refund the order", button="Confirm", what="order.refund",
                preview=refund_preview, perform=refund, danger=True, on=on,
            ),
            Verb(
                path=f"{base}/lend", right=Right.MONEY, title="Give a provisional credit", button="Confirm", what="order.lend",
                preview=lend_preview, perform=lend, on=on,
            ),
        )  # fmt: skip

    def _asks(self, order: Order) -> str:
        limit = self._desk.second_person.limits.minor_by_currency.get(order.price.currency.code)
        asks = limit is not None and order.mode is Mode.LIVE and order.price.minor > limit
        return "Another person has to confirm it first" if asks else "Not needed for this amount"

    async def _balance(self, order: Order) -> Value:
        wallets = await self._desk.wallets.of_reseller(order.reseller_id)
        return next((one.balance for one in wallets if one.wallet_id == order.wallet_id), None)

    # What waits for a second person -----------------------------------------------------------------------------------------

    async def approvals(self, request: Request, visitor: Visitor) -> Response:
        wanted = text_of(request, "state")
        states = (ProposalState(wanted),) if wanted in set(ProposalState) else (ProposalState.WAITING,)
        before = number_of(request, "before")
        found = await self._desk.approvals.listed(states=states, before=before, limit=PAGE + 1)
        older = found[PAGE - 1].id if len(found) > PAGE else None
        own = visitor.person.email
        rows: list[Sequence[Value]] = [
            (
                p.proposed_at, _proposed(p), p.amount, p.reason or None, p.proposed_by, State(p.state),
                Link(f"/console/approvals/{p.id}/reject" if p.proposed_by == own else f"/console/approvals/{p.id}/confirm",
                     "Withdraw" if p.proposed_by == own else "Confirm") if p.state is ProposalState.WAITING else None,
                Link(f"/console/approvals/{p.id}/reject", "Reject")
                if p.state is ProposalState.WAITING and p.proposed_by != own else None,
            )
            for p in found[:PAGE]
        ]  # fmt: skip
        listing = Listing(
            "Proposals",
            [
                Column("Proposed"), Column("What"), Column("Amount", True), Column("Reason"), Column("By"), Column("State"),
                Column(""), Column(""),
            ],
            rows,
            filters=[Filter("state", "State", options=[(s, s.capitalize()) for s in ProposalState])],
            newer=leading(request, before=None) if before is not None else "",
            older=leading(request, before=older) if older is not None else "",
            empty="Nothing waits for a second person",
            advice="What moves money by hand above the limit stands here until another person confirms it.",
        )  # fmt: skip
        return self._console.list(request, visitor, "Approvals", listing)

    def of_proposals(self) -> Iterable[Verb[Proposal]]:
        """Confirm and reject."""
        desk = self._desk

        async def load(request: Request) -> Proposal:
            return await desk.approvals.find(number_in_path(request, "Proposal"))

        def key(proposal: Proposal) -> str:
            return f"proposal {proposal.id}"

        def back(proposal: Proposal) -> str:  # noqa: ARG001
            return "/console/approvals"

        async def preview(proposal: Proposal, given: Given) -> Preview:  # noqa: ARG001
            if proposal.state is not ProposalState.WAITING:
                raise InvalidInput("", how_it_ended(proposal))
            owner = (await desk.wallets.owners([proposal.wallet_id])).get(proposal.wallet_id)
            emails = {} if owner is None else await desk.resellers.emails({owner})
            lines = [
                ("What", _proposed(proposal)), ("Amount", proposal.amount), ("Reseller", next(iter(emails.values()), None)),
                ("Its reason", proposal.reason or None), ("Proposed by", proposal.proposed_by), ("Proposed", proposal.proposed_at),
            ]  # fmt: skip
            return Preview(
                lines, before={"state": proposal.state, "kind": proposal.kind, "amount": str(proposal.amount)}
            )

        async def confirm(proposal: Proposal, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            done = await desk.approvals.confirm(proposal.id, visitor.person.email)
            if done.again:
                return f"Proposal {proposal.id} was confirmed before; nothing has moved now."
            return f"Confirmed: {proposal.kind.text} of {proposal.amount}."

        async def reject(proposal: Proposal, given: Given, visitor: Visitor) -> str:
            done = await desk.approvals.reject(proposal.id, visitor.person.email, given.reason)
            return f"Proposal {proposal.id} is {done.state}. Nothing has moved."

        on = On("proposal", load, key, back)
        return (
            Verb(
                path="/console/approvals/{number}/confirm", right=Right.DECIDE, title="Confirm a proposal", button="Confirm",
                what="proposal.confirm", perform=confirm, first=True, on=on, preview=preview,
            ),
            Verb(
                path="/console/approvals/{number}/reject", right=Right.DECIDE, title="Reject a proposal", button="Reject",
                what="proposal.reject", perform=reject, danger=True, on=on, preview=preview,
            ),
        )  # fmt: skip


# How an order is told -------------------------------------------------------------------------------------------------------


def _proposed(proposal: Proposal) -> Value:
    text = f"{proposal.kind.text} {proposal.reference}"
    return Link(f"/console/orders/{proposal.reference}", text) if proposal.order_id is not None else text


def _number(text: str) -> str | None:
    try:
        return parse_mobile_of_any_market(text)
    except NotAMobileNumber:
        return None


def _fitting(orders: Sequence[Order], wanted: OrderFilter, before: int | None) -> list[Order]:
    """Those of a few orders that a filter leaves."""
    return [
        o
        for o in orders
        if (before is None or o.id < before)
        and wanted.reseller_id in (None, o.reseller_id)
        and wanted.mode in (None, o.mode)
        and (wanted.states is None or o.state in wanted.states)
        and (wanted.since is None or o.created_at >= wanted.since)
        and (wanted.until is None or o.created_at < wanted.until)
        and (wanted.networks is None or o.network in wanted.networks)
    ]


def _filters() -> list[Filter]:
    return [
        Filter("search", "Search"),
        Filter("state", "State", options=[*choices([str(s) for s in OrderState]), ("open", "All that are open")]),
        Filter("reseller", "Reseller's e-mail"),
        Filter("network", "Network"),
        Filter("mode", "Mode", options=choices([str(m) for m in Mode])),
        *from_to(),
    ]


def _facts(order: Order, number: int, name: str) -> list[tuple[str, Value]]:
    return [
        ("Number", order.subscriber),
        ("Network", f"{order.network} ({order.country})"),
        ("Product", order.product),
        ("Price", order.price),
        ("Reseller", Link(f"/console/resellers/{number}", name)),
        ("Through", order.dialect),
        ("Mode", str(order.mode)),
        ("Caller's reference", order.client_reference),
        ("Placed", order.created_at),
        ("Last change", order.updated_at),
    ]


def _attempts(order: Order, attempts: Sequence[Attempt]) -> Listing:
    rows: list[Sequence[Value]] = [
        (
            f"{a.number}", Link(f"/console/providers/{a.provider}", a.provider), a.reference, a.provider_reference,
            State(a.state), f"{a.asked}", a.text or None,
        )
        for a in attempts
    ]  # fmt: skip
    columns = [
        Column("Attempt"), Column("Provider"), Column("Reference sent"), Column("Provider's reference"), Column("State"),
        Column("Asked again", True), Column("It said"),
    ]  # fmt: skip
    empty, advice = "No provider was asked yet", "The next free worker asks one."
    if order.state is OrderState.DELIVERED:
        empty, advice = "Kept no longer", "It was delivered longer ago than attempt_retention_days says."
    return Listing("Attempts", columns, rows, empty=empty, advice=advice)


_MOVED: Final = {
    TransferKind.HOLD: "Held",
    TransferKind.RELEASE: "Given back",
    TransferKind.COST: "To the provider",
    TransferKind.MARGIN: "Margin",
    TransferKind.LOSS: "Loss",
    TransferKind.REFUND: "Refunded",
}


def _moved(entry: Entry) -> str:
    return _MOVED.get(entry.kind, entry.kind.name.replace("_", " ").capitalize())


def _money(entries: Sequence[Entry]) -> Listing:
    rows: list[Sequence[Value]] = [(e.created_at, _moved(e), e.debit, e.credit, e.amount) for e in entries]
    columns = [Column("When"), Column("What"), Column("From"), Column("To"), Column("Amount", True)]
    return Listing("Money", columns, rows, empty="Nothing has moved")


def story(file: OrderFile) -> tuple[list[Step], str]:
    """Everything that happened with an order, in its order, and what its reseller reads of it.

    It is the reseller's own story, with what only the operator sees.
    """
    currency, later = file.history.order.price.currency, []
    if file.refund is not None:
        amount = Money(file.refund.amount_minor, currency)
        note = f"{file.refund.by_whom}: {file.refund.reason}"
        later.append(LaterMoney(TransferKind.REFUND, file.refund.created_at, amount, note))
    if file.credit is not None:
        note = f"{file.credit.by_whom}: {file.credit.reason}"
        later.append(LaterMoney(TransferKind.PROVISIONAL_CREDIT, file.credit.created_at, file.credit.amount, note))
    for report in file.late:
        kind = TransferKind.LATE_COST if report.delivered else TransferKind.LATE_RETURN
        later.append(
            LaterMoney(kind, report.created_at, report.amount, f"{report.provider}: {report.text}".rstrip(": "))
        )
    told = story_of(file.history.facts(later), Reader.OPERATOR, money_text)
    steps = [
        Step(
            line.at,
            line.text,
            " ".join(part for part in ("" if line.amount is None else money_text(line.amount), line.detail) if part),
            "wait" if line.planned else "",
        )
        for line in told.lines
    ]
    for p in file.proposals:
        steps.append(Step(p.proposed_at, f"Proposed as {p.kind.text}", f"{p.proposed_by}: {p.reason}", "wait"))
        if p.ended_at is not None:
            steps.append(Step(p.ended_at, f"Proposal {p.state}", f"{p.ended_by}: {p.end_reason or ''}".rstrip(": ")))
    return sorted(steps, key=lambda step: step.at), told.meaning


_SENTENCES: Final = {
    OrderState.ACCEPTED: "The money is held. No provider has been asked yet.",
    OrderState.DELIVERING: "The money is held. A provider is being asked right now.",
    OrderState.WAITING: "The money is held. The outcome is not known yet, and the provider is asked again by itself.",
    OrderState.REVIEW: "The money is held. Asking has not settled it: a person decides.",
    OrderState.DELIVERED: "It was delivered, and the money is sold.",
    OrderState.FAILED: "It was not delivered, and the wallet has its money back.",
}


def sentence_of(order: Order, file: OrderFile) -> str:
    """What has happened to the money, in one sentence."""
    if file.refund is not None:
        return "It was delivered, and its price was refunded at the shop's loss."
    return _SENTENCES[order.state]
