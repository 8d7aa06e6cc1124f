"""Reconciliations: what was compared with providers, and one of them line by line, with what to do about each line."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.kit.money import Money
from telvend.people.model import Visitor
from telvend.upstreams.reconciliation.leftovers import LeftoverLine, NextStep, resellers_in
from telvend.upstreams.reconciliation.model import Reconciled, Side
from telvend.web.console.frame import PAGE, Console, as_csv, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.shell.paths import number_in_path

SIDES: Final = {
    Side.ONLY_THERE: State("only there", "Only there", "bad"),
    Side.ONLY_HERE: State("only here", "Only here", "wait"),
    Side.DIFFERENT: State("different", "Different", "wait"),
}
MEANS: Final = {
    Side.ONLY_THERE: "Only there: the provider has delivered it, and our books do not know it or have it failed. Money lost.",
    Side.ONLY_HERE: "Only here: our books have delivered it, and the provider does not know it or says that it failed.",
    Side.DIFFERENT: "Different: known on both sides with another status, cost or number.",
}
WHAT_TO_DO: Final = {
    NextStep.REPEATED: "Ask the provider to pay all but one delivery back.",
    NextStep.TRIAL: "A trial, for which no wallet has paid: settle it with the provider.",
    NextStep.DECIDED: "A person decided otherwise: ask the provider once more from the order's page, or enter its word as a write-off.",
    NextStep.REFUND: "Ask the provider. Where the recipient has nothing, refund the order and claim its cost.",
    NextStep.CHARGE: "The recipient has it and the reseller the money back: debit the wallet where the reseller agrees.",
    NextStep.OTHER_ATTEMPT: "Another attempt was delivered too: ask the provider to pay this one back.",
    NextStep.RESOLVE: "Resolve the order as delivered, before it is delivered once more.",
    NextStep.WAIT: "Not settled there yet: reconcile again when it is.",
    NextStep.ASK: "Ask the provider from the order's page; decide the order where it stays open.",
    NextStep.NUMBER: "Delivered to another number than was bought for: ask the provider.",
    NextStep.COST: "Ask the provider, or enter the new cost in the catalogue.",
    NextStep.REFERENCES: "Compare the references with the provider.",
    NextStep.UNKNOWN_OPEN: "Not in our books, and not settled there: look at it in the statement.",
    NextStep.UNKNOWN: "Find who bought by the number, and debit the wallet; else ask the provider.",
}
_FILE_ROWS: Final = 2_000
_SHORT: Final = 24
_COLUMNS: Final = (
    "list", "what", "at", "reference", "provider_reference", "order", "email", "here", "there", "there_says", "times",
    "subscriber", "there_subscriber", "product", "amount", "cost", "charged", "difference", "currency", "next",
)  # fmt: skip


def pages(console: Console) -> list[Route]:
    """The pages of reconciliations."""
    own = _Pages(console)
    return [
        console.page("/console/reconciliations", Right.LOOK, own.listed),
        console.page("/console/reconciliations/{number}", Right.LOOK, own.one),
        console.page("/console/reconciliations/{number}/lines.csv", Right.LOOK, own.csv),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before = number_of(request, "before")
        provider = text_of(request, "provider")
        found = await self._desk.reconciliations.page(provider or None, before=before, limit=PAGE + 1)
        rows: list[Sequence[Value]] = [
            (
                Link(f"/console/reconciliations/{r.id}", f"{r.day} {r.provider}"), _result(r), r.matched, r.only_here,
                r.only_there, r.different, r.source, r.made_at, r.by_whom,
            )
            for r in found[:PAGE]
        ]  # fmt: skip
        listing = Listing(
            "Reconciliations",
            [
                Column("Day"),
                Column("Result"),
                Column("Matched", True),
                Column("Only here", True),
                Column("Only there", True),
                Column("Different", True),
                Column("From"),
                Column("Made"),
                Column("By"),
            ],
            rows,
            [Filter("provider", "Provider")],
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No day was reconciled yet",
            advice="“telvend reconcile PROVIDER --date DAY” compares a day with the provider's statement.",
        )
        return self._console.list(request, visitor, "Reconciliation", listing)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        """The lines of one, those first that may be money lost."""
        made = await self._made(request)
        side = _asked(request)
        after = number_of(request, "after") or 0
        found = await self._desk.reconciliations.lines(made.id, side=side, after=after, limit=PAGE + 1)
        base = f"/console/reconciliations/{made.id}"
        rows: list[Sequence[Value]] = [
            (
                SIDES[line.side], line.at,
                _reference(line),
                _recipient(line), _ours(line), _theirs(line), line.difference, WHAT_TO_DO[line.step],
            )
            for line in found[:PAGE]
        ]  # fmt: skip
        if side is not None:
            empty, advice = "No such lines", ""
        elif made.agrees:
            empty, advice = "Nothing is left over", "Both sides agree on everything."
        else:
            empty, advice = (
                "Its lines were not kept",
                "An older version has made it. Reconcile the day again to see them.",
            )
        listing = Listing(
            "Lines",
            [
                Column("Kind"), Column("When"), Column("Order, or reference"), Column("For"), Column("Ours"), Column("Theirs"),
                Column("Difference", True), Column("What to do"),
            ],
            rows,
            filters=[Filter("side", "Kind", options=[("", "All"), *((str(one), f"{SIDES[one].words}") for one in Side)])],
            newer=leading(request, after=None) if after else "",
            older=leading(request, after=found[PAGE - 1].number) if len(found) > PAGE else "",
            csv=leading(request, after=None).replace(base, f"{base}/lines.csv", 1) if rows else "",
            empty=empty,
            advice=advice,
            summary=_summary(made),
        )  # fmt: skip
        counts = [
            (made.only_there, Side.ONLY_THERE),
            (made.only_here, Side.ONLY_HERE),
            (made.different, Side.DIFFERENT),
        ]
        lead = " ".join(MEANS[one] for count, one in counts if count and side in (None, one))
        actions = [("/console/reconciliations", "All reconciliations"), ("/console/todo/reconciliation", "What to do")]
        title = f"{made.provider}, {made.day}"
        return self._console.list(request, visitor, title, listing, lead=lead, actions=actions)

    async def csv(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - every page gets it
        made = await self._made(request)
        side = _asked(request)

        async def fetch(after: int | None) -> tuple[Sequence[Sequence[Value]], int | None]:
            found = await self._desk.reconciliations.lines(made.id, side=side, after=after or 0, limit=_FILE_ROWS)
            emails = await self._desk.resellers.emails(resellers_in(found))
            rows = [_row(line, emails) for line in found]
            return rows, found[-1].number if len(found) == _FILE_ROWS else None

        name = f"reconciliation-{made.provider}-{made.day}.csv"
        return await as_csv(name, [Column(one) for one in _COLUMNS], fetch)

    async def _made(self, request: Request) -> Reconciled:
        return await self._desk.reconciliations.find(number_in_path(request, "Reconciliation"))


def _asked(request: Request) -> Side | None:
    side = text_of(request, "side")
    return Side(side) if side in set(Side) else None


def _result(made: Reconciled) -> State:
    return State("agrees", tone="good") if made.agrees else State("differs", tone="bad")


def _summary(made: Reconciled) -> list[tuple[str, Value]]:
    found: list[tuple[str, Value]] = [
        ("Result", _result(made)), ("Matched", made.matched), ("Only there", made.only_there), ("Only here", made.only_here),
        ("Different", made.different),
    ]  # fmt: skip
    for unit, costs in made.costs.items():
        found += [
            (f"Cost, ours ({unit.code})", Money(costs.ledger_minor, unit)),
            (f"Cost, theirs ({unit.code})", Money(costs.charged_minor, unit)),
            (f"They took more ({unit.code})", Money(costs.difference_minor, unit)),
        ]
    return [*found, ("From", made.source), ("Made", made.made_at), ("By", made.by_whom)]


def _reference(line: LeftoverLine) -> Value:
    if line.order:
        return Link(f"/console/orders/{line.order}", line.order)
    return _short(line.reference or line.provider_reference) or None


def _short(text: str) -> str:
    """What a statement says, as a table has room for; the file has all of it."""
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _recipient(line: LeftoverLine) -> Value:
    told = f"{_short(line.subscriber)} {_short(line.product)}".strip()
    if line.there_subscriber and line.here is not None and not line.subscriber.endswith(line.there_subscriber[-9:]):
        told = f"{told}; there {_short(line.there_subscriber)}"
    return told or None


def _ours(line: LeftoverLine) -> Value:
    if line.here is None:
        return "Not known"
    return str(line.here).capitalize() + ("" if line.cost is None else f", {line.cost}")


def _theirs(line: LeftoverLine) -> Value:
    if line.there is None:
        return "Not known"
    told = str(line.there).capitalize() + (f" {line.times} times" if line.times > 1 else "")
    told += "" if line.charged is None else f", {line.charged}"
    # Where the line begins with our own reference, theirs is still needed to ask them.
    return told + (
        f", as {_short(line.provider_reference)}" if line.provider_reference and (line.order or line.reference) else ""
    )


def _row(line: LeftoverLine, emails: Mapping[UUID, str]) -> Sequence[Value]:
    money = line.charged or line.amount or line.cost
    return (
        str(line.side), ", ".join(line.aspects), line.at, line.reference, line.provider_reference, line.order,
        emails.get(line.reseller_id, "") if line.reseller_id else "", str(line.here or ""), str(line.there or ""),
        line.there_says, line.times, line.subscriber, line.there_subscriber, line.product, line.amount, line.cost, line.charged,
        line.difference, "" if money is None else money.currency.code, WHAT_TO_DO[line.step],
    )  # fmt: skip
