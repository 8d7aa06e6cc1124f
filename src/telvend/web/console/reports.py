"""Reports with their files, closing a month, the books and the trial balance."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.desk.jobs.model import JobKind
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import CURRENCIES, Money, currency_of
from telvend.ledger.model import AccountKind, AccountTotal
from telvend.people.model import Visitor
from telvend.reports.columns import EARNED, FLOATS, OUTCOMES, SOLD, WALLETS, Minor, Told
from telvend.reports.model import By, ClosedMonth, Month, ReportTable, RowKey
from telvend.reports.ranking.service import LAST_PAGE, Page, RankedPage
from telvend.web.console.frame import PAGE, Console, day_of, from_to, leading, number_of, text_of
from telvend.web.console.jobs import audit_listing, figure_lines, path_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Listing, Value, csv_file
from telvend.web.console.verbs import Field, Given, NotYet, On, Preview, Verb, routes_of
from telvend.web.shell import visitor_of

_MOST_ROWS: Final = 500
"""Rows of a page, where they are not resellers."""
_ORDER: Final = {False: "Who bought most stands first.", True: "Who held most at the end stands first."}


@dataclass(frozen=True, slots=True)
class Kind:
    """A report: its title, its figures, and what its rows may be."""

    title: str
    told: Told
    by: tuple[By, ...]
    account: AccountKind | None = None
    with_cost: bool = False


KINDS: Final = {
    "margin": Kind("Sales and margin", EARNED, tuple(By), with_cost=True),
    "sales": Kind("Sales", SOLD, tuple(By)),
    "outcomes": Kind("Delivered and failed", OUTCOMES, tuple(By)),
    "floats": Kind("Floats", FLOATS, (By.PROVIDER, By.DAY), AccountKind.PROVIDER),
    "wallets": Kind("Wallets", WALLETS, (By.RESELLER, By.DAY), AccountKind.WALLET),
}


def pages(console: Console) -> list[Route]:
    """The pages of reports and books."""
    own = _Pages(console)
    return [
        console.page("/console/reports", Right.LOOK, own.report, waits_outside=True),
        console.page("/console/reports.csv", Right.LOOK, own.csv, waits_outside=True),
        console.page("/console/reports/months", Right.LOOK, own.months),
        *(routes_of(console, verb) for verb in own.verbs()),
        console.page("/console/books", Right.LOOK, own.books),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    # Reports ------------------------------------------------------------------------------------------------------------

    async def report(self, request: Request, visitor: Visitor) -> Response:
        kind, by, _ = self._asked(request)
        title = KINDS[kind].title
        filters = [
            Filter("kind", "Report", options=[(name, one.title) for name, one in KINDS.items()]),
            Filter("by", "One row for each", options=[(str(one), str(one).capitalize()) for one in KINDS[kind].by]),
            Filter("mode", "Mode", options=[(str(one), str(one).capitalize()) for one in Mode]),
            *from_to(),
        ]
        number = min(number_of(request, "page") or 1, LAST_PAGE)
        try:
            first, last = await self._days(request)
            found = await self._page(request, first, last, number)
        except InvalidInput as error:
            listing = Listing(
                title, [], [], filters, empty="Choose other days", advice=f"{error.field} {error.problem}."
            )
            return self._console.list(request, visitor, "Reports", listing)
        if by is By.RESELLER:
            # That of the page first: a form shows the first one where none was asked for.
            codes = sorted({*found.totals, found.currency} - {""}, key=lambda code: (code != found.currency, code))
            filters.insert(2, Filter("currency", "Ranked in", options=[(code, code) for code in codes]))
        names = await self._names(found.rows)
        told = KINDS[kind].told
        summary: list[tuple[str, Value]] = []
        for code, value in found.totals.items():
            summary += [(f"{_words(name)} ({code})", figure) for name, figure in _figures(value, told, code).items()]
        listing = Listing(
            title,
            [Column(str(by).capitalize()), *(Column(_words(name), amount=True) for name in told)],
            [_row(key, by, names, value, told) for key, value in found.rows.items()],
            filters,
            newer=leading(request, page=number - 1 if number > 2 else None) if number > 1 else "",
            older=leading(request, page=number + 1) if found.has_more else "",
            beside=("Previous", "Next"),
            csv=leading(request, page=None, currency=None).replace("/console/reports", "/console/reports.csv", 1),
            empty="Nothing has moved in these days",
            advice="A sale counts in the day in which it became final.",
            summary=summary,
        )
        lead = f"{title}, {first} to {last} ({self._console.zone})."
        if by is By.RESELLER:
            lead += f" {_ORDER[KINDS[kind].account is not None]} The file has all of them, in every currency."
        actions = [("/console/reports/months", "Months"), ("/console/books", "Books")]
        return self._console.list(request, visitor, "Reports", listing, lead=lead, actions=actions)

    async def csv(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - every page gets it
        kind, by, _ = self._asked(request)
        first, last = await self._days(request)
        found = await self._whole(request, first, last)
        names, told = await self._names(found.rows), KINDS[kind].told

        async def parts() -> AsyncIterator[Sequence[Sequence[Value]]]:
            rows = []
            for key, value in found.rows.items():
                shown = _figures(value, told, key.currency)
                rows.append((_about(key, by, names), key.currency, *shown.values()))
            yield rows

        return csv_file(f"{kind}-{first}-{last}.csv", [str(by), "currency", *told], parts())

    def _asked(self, request: Request) -> tuple[str, By, Mode]:
        kind, by, mode = text_of(request, "kind"), text_of(request, "by"), text_of(request, "mode")
        if kind not in KINDS:
            kind = "margin"
        chosen = By(by) if by in set(By) and By(by) in KINDS[kind].by else KINDS[kind].by[0]
        return kind, chosen, Mode(mode) if mode in set(Mode) else Mode.LIVE

    async def _days(self, request: Request) -> tuple[date, date]:
        first, last = day_of(request, "from"), day_of(request, "to")
        today = await self._desk.reports.today()
        last = last or (today if first is None or first <= today else first)
        return first or last, last

    async def _page(self, request: Request, first: date, last: date, number: int) -> RankedPage[Any]:
        """A page of the report: resellers are ranked, other rows stand in their order. Raises InvalidInput, Busy."""
        kind, by, mode = self._asked(request)
        asked, ranked = KINDS[kind], self._desk.ranked_reports
        if by is By.RESELLER:
            code = text_of(request, "currency")
            page = Page(number, PAGE, code if code in CURRENCIES else "")
            if asked.account is not None:
                return await ranked.wallets(first, last, mode, page)
            return await ranked.sales(first, last, mode, page, with_cost=asked.with_cost)
        whole = await self._whole(request, first, last)
        begin, end = (number - 1) * _MOST_ROWS, number * _MOST_ROWS
        return RankedPage(dict(islice(whole.rows.items(), begin, end)), whole.totals, has_more=len(whole.rows) > end)

    async def _whole(self, request: Request, first: date, last: date) -> ReportTable[Any]:
        """Raises InvalidInput, Busy."""
        kind, by, mode = self._asked(request)
        asked, reports = KINDS[kind], self._desk.reports
        if asked.account is not None:
            return await reports.holdings(asked.account, first, last, [by], mode)
        return await reports.sales(first, last, [by], mode, with_cost=asked.with_cost)

    async def _names(self, rows: Iterable[RowKey]) -> Mapping[str, str]:
        ids = {UUID(key.reseller_id) for key in rows if key.reseller_id is not None}
        return {str(number): email for number, email in (await self._desk.resellers.emails(ids)).items()}

    # Months -------------------------------------------------------------------------------------------------------------

    async def months(self, request: Request, visitor: Visitor) -> Response:
        closed = await self._desk.reports.closed()
        rows: list[Sequence[Value]] = [
            (str(m.month), m.zone, m.transfers, m.closed_at, m.by_whom, m.digest[:12]) for m in reversed(closed)
        ]
        listing = Listing(
            "Months",
            [
                Column("Month"),
                Column("Zone"),
                Column("Transfers", True),
                Column("Closed"),
                Column("By"),
                Column("Digest"),
            ],
            rows,
            empty="No month is closed",
            advice="Close a month when it is over: its figures never change afterwards.",
        )
        actions = [("/console/reports/close", "Close a month"), ("/console/jobs", "Jobs"), ("/console/reports", "Back")]
        return self._console.list(request, visitor, "Months", listing, actions=actions)

    def verbs(self) -> Iterable[Verb[str]]:
        """Close a month; audit the books. Both are jobs; what they act on is the address of who asks."""
        desk = self._desk

        async def load(request: Request) -> str:
            visitor = visitor_of(request)
            return "" if visitor is None else visitor.person.email

        async def close_preview(by_whom: str, given: Given) -> Preview:
            month = Month.parse(given["month"])
            closed: list[ClosedMonth] = await desk.reports.closed()
            if any(one.month == month for one in closed):
                raise InvalidInput("month", f"{month} is closed already")
            if month.next > await desk.reports.today():
                raise InvalidInput("month", f"{month} is not over")
            # What counts in a month that is over does not change: the figures that were added up then are those of now.
            added_up = await desk.jobs.last_done(JobKind.FIGURES, str(month))
            if added_up is None or added_up.result is None:
                raise await self._adding_up(month, given, by_whom)
            figures = added_up.result["figures"]
            return Preview(
                [("Month", str(month)), *figure_lines(figures)],
                "Its figures are sealed and never change. What is corrected later stands in a later month. This runs in the"
                " background, in one transaction: it is closed whole or not at all.",
                after={"month": str(month), "figures": figures},
            )

        async def close(_: str, given: Given, visitor: Visitor) -> str:
            month = Month.parse(given["month"])
            return path_of(
                await desk.jobs.start(JobKind.CLOSE, str(month), by_whom=visitor.person.email, reason=given.reason)
            )

        async def audit_preview(_: str, given: Given) -> Preview:  # noqa: ARG001
            return Preview(
                [("Moves", "Nothing")],
                "What has changed since the last audit is recomputed, or everything. It runs in the background while the shop sells.",
            )

        async def audit(_: str, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            return path_of(await desk.jobs.start(JobKind.AUDIT, by_whom=visitor.person.email))

        def follow(request: Request, visitor: Visitor, said: object, given: Given) -> Response:  # noqa: ARG001
            return self._console.shell.go(request, str(said), "It has begun.")

        return (
            Verb(
                path="/console/reports/close",
                right=Right.CLOSE,
                title="Close a month",
                button="Close",
                what="month.close",
                on=On("month", load, lambda _: "", lambda _: "/console/reports/months"),
                preview=close_preview,
                perform=close,
                fields=(Field("month", "Month", hint="Such as 2026-11. It has to be over."),),
                danger=True,
                answer=follow,
            ),
            Verb(
                path="/console/books/audit",
                right=Right.CLOSE,
                title="Audit the books",
                button="Start",
                what="books.audit",
                on=On("books", load, lambda _: "", lambda _: "/console/books"),
                preview=audit_preview,
                perform=audit,
                needs_reason=False,
                answer=follow,
            ),
        )

    async def _adding_up(self, month: Month, given: Given, by_whom: str) -> NotYet:
        """Have the figures of a month added up, where that is not being done already. Raises InvalidInput while another month's are."""
        open_ = [one for one in await self._desk.jobs.opened() if one.kind is JobKind.FIGURES]
        job = open_[0] if open_ else None
        if job is None or job.subject != str(month):
            job = await self._desk.jobs.start(JobKind.FIGURES, str(month), by_whom=by_whom, reason=given.reason)
        return NotYet(path_of(job), "Nothing is closed yet: its figures are added up first.")

    # Books --------------------------------------------------------------------------------------------------------------

    async def books(self, request: Request, visitor: Visitor) -> Response:
        """The trial balance, as it was summed last, and the last audit that was run from here."""
        totals = await self._desk.totals()
        mode = Mode.TEST if text_of(request, "mode") == "test" else Mode.LIVE
        lines = trial_balance([one for one in totals if one.mode is mode])
        rows: list[Sequence[Value]] = [(name, debit, credit) for name, debit, credit in lines]
        listing = Listing(
            "Trial balance",
            [Column("Account"), Column("Debit", True), Column("Credit", True)],
            rows,
            [Filter("mode", "Mode", options=[(str(one), str(one).capitalize()) for one in Mode])],
            empty="Nothing has moved",
        )
        audited = await self._desk.jobs.last_done(JobKind.AUDIT)
        return self._console.render(
            request,
            visitor,
            "console/books.html",
            listing=listing,
            jobs=[one for one in await self._desk.jobs.opened() if one.kind is JobKind.AUDIT],
            audited=audited,
            audit=audit_listing(audited),
        )


def trial_balance(totals: Sequence[AccountTotal]) -> list[tuple[str, Money | None, Money | None]]:
    """Accounts with their balance on its side, wallets in one line for each currency, and a line of totals that agree.

    What an account has received beyond what it has given is its credit balance.
    """
    lines: dict[tuple[str, str], int] = {}
    for one in totals:
        name = "wallets" if one.kind is AccountKind.WALLET else f"{one.kind} {one.owner}".replace("_", " ").strip()
        key = (one.total.currency.code, name)
        lines[key] = lines.get(key, 0) + one.total.minor
    found: list[tuple[str, Money | None, Money | None]] = []
    for code in sorted({code for code, _ in lines}):
        currency = currency_of(code)
        own = {name: minor for (of, name), minor in sorted(lines.items()) if of == code}
        for name, minor in own.items():
            amount = Money(abs(minor), currency)
            found.append(
                (f"{name.capitalize()} ({code})", amount if minor < 0 else None, amount if minor >= 0 else None)
            )
        debit = -sum(minor for minor in own.values() if minor < 0)
        credit = sum(minor for minor in own.values() if minor > 0)
        found.append((f"Total ({code})", Money(debit, currency), Money(credit, currency)))
    return found


# Rows -----------------------------------------------------------------------------------------------------------------------


def _words(name: str) -> str:
    return name.replace("_percent", " %").replace("_", " ").capitalize()


def _about(key: RowKey, by: By, names: Mapping[str, str]) -> Value:
    if by is By.DAY:
        return key.day
    if by is By.RESELLER:
        return None if key.reseller_id is None else names[key.reseller_id]
    return {By.NETWORK: key.network, By.PROVIDER: key.provider, By.PRODUCT: key.product}[by] or "–"


def _figures(value: Any, told: Told, code: str) -> dict[str, Value]:
    unit = currency_of(code)
    found: dict[str, Value] = {}
    for name, say in told.items():
        figure = say(value)
        found[name] = (
            Money(figure, unit)
            if isinstance(figure, Minor)
            else figure
            if figure is None or isinstance(figure, int)
            else f"{figure}"
        )
    return found


def _row(key: RowKey, by: By, names: Mapping[str, str], value: Any, told: Told) -> Sequence[Value]:
    return (_about(key, by, names), *_figures(value, told, key.currency).values())
