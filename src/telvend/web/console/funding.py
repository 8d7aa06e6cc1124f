"""Money coming in: fundings, those that do not fit, payments without an owner."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput
from telvend.funding.model import Funding, FundingState
from telvend.funding.service import FundingHistory
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.people.model import Visitor
from telvend.web.console.frame import PAGE, Console, choices, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Given, On, Preview, Verb, figures, routes_of


def pages(console: Console) -> list[Route]:
    """The pages of fundings."""
    own = _Pages(console)
    return [
        console.page("/console/funding", Right.LOOK, own.listed),
        console.page("/console/funding/strays", Right.LOOK, own.strays),
        console.page("/console/funding/{reference}", Right.LOOK, own.one),
        *(routes_of(console, verb) for verb in own.verbs()),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before, state = number_of(request, "before"), text_of(request, "state")
        attention = state == "attention"
        found = await self._desk.fundings.list_fundings(
            state=FundingState(state) if state in set(FundingState) else None,
            attention=attention,
            before=before,
            limit=PAGE + 1,
        )
        emails = await self._desk.resellers.emails({one.reseller_id for one in found})
        rows: list[Sequence[Value]] = [
            (
                f.created_at, Link(f"/console/funding/{f.reference}", f.reference), emails[f.reseller_id], f.gateway,
                f"{f.method}{' (test)' if f.test else ''}", f.amount, State(f.state), "Look at it" if f.attention else None,
            )
            for f in found[:PAGE]
        ]  # fmt: skip
        listing = Listing(
            "Fundings",
            [
                Column("Begun"), Column("Reference"), Column("Reseller"), Column("Gateway"), Column("Method"),
                Column("Amount", True), Column("State"), Column(""),
            ],
            rows,
            filters=[
                Filter("state", "State", options=[*choices([str(s) for s in FundingState]), ("attention", "Does not fit")])
            ],
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No fundings",
            advice="What resellers pay through a gateway appears here.",
        )  # fmt: skip
        strays = len(await self._desk.fundings.stray_notices(100))
        actions = [
            ("/console/funding/claims", "Claims"),
            ("/console/funding/strays", f"Without an owner ({strays})"),
            ("/console/funding?state=attention", "Does not fit"),
        ]
        return self._console.list(request, visitor, "Funding", listing, actions=actions)

    async def strays(self, request: Request, visitor: Visitor) -> Response:
        found = await self._desk.fundings.stray_notices(200)
        rows: list[Sequence[Value]] = [
            (one["last_at"], one["gateway"], clean(one["event"]), one["times"], clean(one["concern"]), _kept(one))
            for one in found
        ]
        listing = Listing(
            "Payments without an owner",
            [
                Column("Last"),
                Column("Gateway"),
                Column("Event"),
                Column("Times", True),
                Column("Why"),
                Column("It said"),
            ],
            rows,
            empty="There are none",
            advice="Signed messages of gateways about payments that are none of ours appear here.",
        )
        actions = [("/console/todo/strays", "What to do"), ("/console/funding", "Back")]
        return self._console.list(request, visitor, "Payments without an owner", listing, actions=actions)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        history = await self._history(request)
        f = history.funding
        email = (await self._desk.resellers.emails({f.reseller_id}))[f.reseller_id]
        reseller = await self._desk.resellers.find(email)
        notices: list[Sequence[Value]] = [
            (n["received_at"], clean(n["event"]), n["times"], clean(n["concern"]), _kept(n)) for n in history.notices
        ]
        voids: list[Sequence[Value]] = [
            (
                v["created_at"], Money(v["taken_minor"], f.amount.currency), Money(v["spent_minor"], f.amount.currency),
                v["by_whom"], v["reason"],
            )
            for v in history.voids
        ]  # fmt: skip
        return self._console.render(
            request, visitor, "console/funding.html", funding=f, state=State(f.state),
            facts=[
                ("Amount", f.amount), ("Reseller", Link(f"/console/resellers/{reseller.number}", reseller.name)),
                ("Mode", str(f.mode)), ("Gateway", f.gateway), ("Method", str(f.method)),
                ("Gateway's reference", f.gateway_reference), ("Begun", f.created_at), ("To be paid until", f.expires_at),
                ("Credited", f.completed_at), ("Balance before", f.balance_before if f.completed_at else None),
                ("Balance after", f.balance_after if f.completed_at else None), ("Asked", f.asked), ("Asked last", f.asked_at),
            ],
            notices=Listing(
                "What the gateway sent",
                [Column("First"), Column("Event"), Column("Times", True), Column("Why"), Column("It said")],
                notices, empty="The gateway sent nothing by itself",
            ),
            voids=Listing(
                "Voids",
                [Column("When"), Column("Taken out", True), Column("Was spent", True), Column("By"), Column("Reason")],
                voids, empty="Nothing was voided",
            ),
            notes=[(at, clean(text)) for at, text in history.notes],
        )  # fmt: skip

    async def _history(self, request: Request) -> FundingHistory:
        return await self._desk.fundings.history(request.path_params["reference"])

    async def _funding(self, request: Request) -> Funding:
        return (await self._history(request)).funding

    def verbs(self) -> Iterable[Verb[Funding]]:
        """What is done with a funding."""
        desk, base = self._desk, "/console/funding/{reference}"
        on = On("funding", self._funding, lambda f: f.reference, lambda f: f"/console/funding/{f.reference}")

        async def check_preview(f: Funding, given: Given) -> Preview:  # noqa: ARG001
            if f.state is FundingState.COMPLETED:
                raise InvalidInput("", f"{f.reference} is completed: there is nothing to ask about")
            return Preview(
                figures(state=State(f.state), amount=f.amount),
                "The gateway is asked whether it was paid. Where it was, the wallet has the money at once.",
                before={"state": f.state},
            )

        async def check(f: Funding, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            done = await desk.fundings.check(f.reference)
            return f"{done.reference} is {done.state}."

        async def resolve_preview(f: Funding, given: Given) -> Preview:  # noqa: ARG001
            if f.state is FundingState.PENDING:
                then = "It fails: nobody waits for it any more."
            else:
                then = "It is taken off the list of what does not fit."
            return Preview(
                figures(amount=f.amount, moves_now="Nothing", state=State(f.state)),
                f"{then} Credit what is owed by hand, or pay it back at the gateway.",
                before={"state": f.state, "attention": f.attention},
                after={"attention": False},
            )

        async def resolve(f: Funding, given: Given, visitor: Visitor) -> str:
            done = await desk.fundings.resolve(f.reference, f"{visitor.person.email}: {given.reason}"[:500])
            return f"{done.reference} is {done.state}, and nobody has to look at it."

        async def void_preview(f: Funding, given: Given) -> Preview:  # noqa: ARG001
            if f.state is not FundingState.COMPLETED or f.mode is not Mode.LIVE:
                raise InvalidInput(
                    "", f"{f.reference} is {f.state} ({f.mode}): only play money in a live wallet is voided"
                )
            wallets = await desk.wallets.of_reseller(f.reseller_id)
            balance = next((one.balance for one in wallets if one.wallet_id == f.wallet_id), None)
            return Preview(
                figures(play_money_at_most=f.amount),
                "What a pretending gateway put in is taken out, never below zero; what was spent of it is written off.",
                before={"balance": str(balance)},
                after={"voided": str(f.amount)},
                moment=figures(wallet=balance),
            )

        async def void(f: Funding, given: Given, visitor: Visitor) -> str:
            done = await desk.play_money.void(f.reference, given.reason, visitor.person.email)
            if not done:
                return f"{f.reference} was voided before."
            return f"{done[0].taken} taken out, {done[0].spent} written off, {done[0].left} still in open sales."

        return (
            Verb(
                path=f"{base}/check", right=Right.ASK, title="Ask the gateway", button="Ask now", what="funding.check", on=on,
                preview=check_preview, perform=check, needs_reason=False, waits_outside=True, first=True,
            ),
            Verb(
                path=f"{base}/resolve", right=Right.DECIDE, title="Note what was decided", button="Confirm",
                what="funding.resolve", on=on, preview=resolve_preview, perform=resolve,
            ),
            Verb(
                path=f"{base}/void", right=Right.MONEY, title="Void play money", button="Void", what="funding.void", on=on,
                preview=void_preview, perform=void, danger=True,
            ),
        )  # fmt: skip


def _kept(notice: Mapping[str, Any]) -> str | None:
    kept = msgspec.json.decode(notice["kept"], type=dict[str, Any])
    return clean(", ".join(f"{name} {value}" for name, value in kept.items())) or None


def clean(text: str | None) -> str | None:
    """What gateways say, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text or "") or None
