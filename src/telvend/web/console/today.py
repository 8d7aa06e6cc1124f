"""The first page: what a person must act on, then the day in figures; the pages of what to do; the search."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from telvend.desk.model import ADVICE, Hit, Kind, Topic
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.routing import BreakerState, ProviderState
from telvend.kit.money import Currency, Money
from telvend.orders.overview.model import Outcomes, Today
from telvend.orders.overview.service import DAYS
from telvend.people.model import Visitor
from telvend.upstreams.model import Standing
from telvend.web.console.frame import Console
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Link, Listing, State, Value
from telvend.web.shell.formats import date_text, money_text

HREF: Final = {
    Kind.ORDER: "/console/orders/",
    Kind.FUNDING: "/console/funding/",
    Kind.RESELLER: "/console/resellers/",
    Kind.VOUCHER: "/console/vouchers/",
    Kind.SUBSCRIBER: "/console/subscribers/",
}
_WORDS: Final = {
    Kind.ORDER: "Orders",
    Kind.FUNDING: "Fundings",
    Kind.RESELLER: "Resellers",
    Kind.VOUCHER: "Vouchers",
    Kind.SUBSCRIBER: "Subscribers",
}


def pages(console: Console) -> list[Route]:
    """The first page and what it leads to."""
    own = _Pages(console)
    return [
        console.page("/console", Right.LOOK, own.today),
        console.page("/console/todo/{topic}", Right.LOOK, own.todo),
        console.page("/console/search", Right.LOOK, own.search),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def today(self, request: Request, visitor: Visitor) -> Response:
        attended = await self._desk.attention.now()
        today = await self._desk.overview.today()
        held = attended.held()
        return self._console.render(
            request, visitor, "console/today.html", matters=attended.matters, today=today,
            currencies=[(currency, found, held.get(currency)) for currency, found in _currencies(today, held)],
            charts=[(currency, _days(today, currency)) for currency, _ in _currencies(today, held)],
            networks=_networks(today), providers=_providers(today, attended.standings),
        )  # fmt: skip

    async def todo(self, request: Request, visitor: Visitor) -> Response:
        word = request.path_params["topic"]
        if word not in set(Topic):
            raise NotFound("Page")
        topic = Topic(word)
        attended = await self._desk.attention.now()
        found = [one for one in attended.matters if one.topic is topic]
        findings = [
            one
            for one in await self._desk.attention.findings()
            if one.advice and any(one.text.startswith(m.text) for m in found)
        ]
        return self._console.render(
            request, visitor, "console/todo.html", advice=ADVICE[topic], matters=found, findings=findings
        )

    async def search(self, request: Request, visitor: Visitor) -> Response:
        text = " ".join(request.query_params.get("q", "").split())
        try:
            hits = await self._desk.search.find(text)
        except InvalidInput:
            hits = []
        if len(hits) == 1:
            return RedirectResponse(_href(hits[0]), 303)
        listings = [(_WORDS[kind], _listing(kind, [hit for hit in hits if hit.kind is kind])) for kind in Kind]
        return self._console.render(
            request, visitor, "console/search.html", q=text[:128] if text.isprintable() else "",
            listings=[(words, listing) for words, listing in listings if listing.rows],
        )  # fmt: skip


def _href(hit: Hit) -> str:
    return f"{HREF[hit.kind]}{hit.key}"


def _listing(kind: Kind, hits: Sequence[Hit]) -> Listing:
    rows: list[Sequence[Value]] = [
        (Link(_href(hit), hit.title), hit.text, State(hit.state) if hit.state else None) for hit in hits
    ]
    return Listing(_WORDS[kind], [Column(_WORDS[kind][:-1]), Column("What"), Column("State")], rows)


def _currencies(today: Today, held: object) -> list[tuple[Currency, Outcomes]]:
    """The currencies of the day, or those in which something is held or was sold before."""
    found = dict(today.by_currency())
    for currency in [*(held if isinstance(held, dict) else ()), *(one.currency for one in today.days)]:
        found.setdefault(currency, Outcomes())
    return sorted(found.items(), key=lambda item: item[0].code)


def _days(today: Today, currency: Currency) -> list[tuple[str, int, str]]:
    """The bars of a chart: each day's label, amount and text."""
    sold: dict[date, int] = {one.day: one.sold.minor for one in today.days if one.currency == currency}
    days = [today.day - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return [(date_text(day), sold.get(day, 0), money_text(Money(sold.get(day, 0), currency))) for day in days]


def _percent(found: Outcomes) -> Value:
    return None if found.success_percent is None else f"{found.success_percent:g} %"


def _networks(today: Today) -> Listing:
    rows: list[Sequence[Value]] = [
        (
            f"{network} ({country})", found.delivered, found.failed, found.open, _percent(found),
            Money(found.sold_minor, currency), Money(found.margin_minor, currency),
        )
        for (country, network, currency), found in today.by_network().items()
    ]  # fmt: skip
    columns = [
        Column("Network"), Column("Delivered", True), Column("Failed", True), Column("Open", True), Column("Success", True),
        Column("Sales", True), Column("Margin", True),
    ]  # fmt: skip
    return Listing(
        "Networks", columns, rows, empty="No orders today", advice="The first order of the day appears here."
    )


def _providers(today: Today, standings: dict[str, Standing]) -> Listing:
    by_name: dict[str, Outcomes] = {}
    for (name, _), found in today.by_provider().items():
        whole = by_name.setdefault(name, Outcomes())
        whole.delivered += found.delivered
        whole.failed += found.failed
        whole.open += found.open
    rows: list[Sequence[Value]] = []
    for name, standing in standings.items():
        found = by_name.pop(name, Outcomes())
        amount = None if standing.float is None or standing.float.amount is None else standing.float.amount
        rows.append(
            (Link(f"/console/providers/{name}", name), state_of(standing), found.delivered, _percent(found), amount)
        )
    rows += [
        (name, State("gone", tone="plain"), found.delivered, _percent(found), None) for name, found in by_name.items()
    ]
    columns = [
        Column("Provider"),
        Column("State"),
        Column("Delivered", True),
        Column("Success", True),
        Column("Float", True),
    ]
    return Listing("Providers", columns, rows, empty="No providers", advice="The settings name those that deliver.")


def state_of(standing: Standing) -> State:
    """How a provider stands, in a word."""
    if standing.state is not ProviderState.ON:
        return State(str(standing.state), {"off": "Off", "drain": "Draining"}[str(standing.state)], "bad")
    if standing.health.state is BreakerState.OPEN:
        return State("resting", tone="wait")
    if standing.float is not None and standing.float.low:
        return State("low float", tone="wait")
    if standing.health.state is None:
        return State("no process", tone="plain")
    return State("sells")
