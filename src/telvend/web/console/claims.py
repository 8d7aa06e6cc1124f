"""Claims: payments that resellers say they have made and that no wallet has. Asked about at the gateway, then credited or refused."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.errors import InvalidInput
from telvend.funding.claims.model import Claim, ClaimState, told
from telvend.funding.claims.service import ALL
from telvend.funding.model import Funding
from telvend.gateways.contract import Paid, Word
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.people.model import Visitor
from telvend.web.console.frame import PAGE, Console, choices, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Given, On, Preview, Verb, figures, routes_of
from telvend.web.shell.paths import number_in_path

STATES: Final = {
    ClaimState.OPEN: State("open", "To be settled", "wait"),
    ClaimState.WAITING: State("waiting", "Second person", "wait"),
    ClaimState.CREDITED: State("credited", "Credited", "good"),
    ClaimState.REFUSED: State("refused", "Refused", "bad"),
}


def pages(console: Console) -> list[Route]:
    """The pages of claims. They stand before those of fundings, whose references would take them."""
    own = _Pages(console)
    return [
        console.page("/console/funding/claims", Right.LOOK, own.listed),
        console.page("/console/funding/claims/{number}", Right.LOOK, own.one),
        *(routes_of(console, verb) for verb in own.verbs()),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before, state = number_of(request, "before"), text_of(request, "state")
        states = (ClaimState(state),) if state in set(ClaimState) else ALL
        found = await self._desk.claims.listed(states, before=before, limit=PAGE + 1)
        emails = await self._desk.resellers.emails({one.reseller_id for one in found})
        rows: list[Sequence[Value]] = [
            (
                Link(f"/console/funding/claims/{c.id}", f"Claim {c.id}"), STATES[c.state], c.made_at, emails[c.reseller_id],
                c.amount, c.gateway, c.reference,
            )
            for c in found[:PAGE]
        ]  # fmt: skip
        listing = Listing(
            "Claims",
            [
                Column("Claim"), Column("State"), Column("Made"), Column("Reseller"), Column("Claimed", True), Column("Gateway"),
                Column("Payment"),
            ],
            rows,
            filters=[Filter("state", "State", options=choices([str(one) for one in ClaimState]))],
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No claims",
            advice="A payment that a reseller has made and that is in no wallet is claimed in the portal and appears here.",
        )  # fmt: skip
        actions = [("/console/todo/claims", "What to do"), ("/console/funding", "Fundings")]
        return self._console.list(request, visitor, "Claims", listing, actions=actions)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        claim = await self._claim(request)
        email = (await self._desk.resellers.emails({claim.reseller_id}))[claim.reseller_id]
        reseller = await self._desk.resellers.find(email)
        rivals = await self._desk.claims.rivals(claim)
        emails = await self._desk.resellers.emails({one.reseller_id for one in rivals})
        proposal = claim.state is ClaimState.WAITING and claim.proposal_id is not None
        facts: list[tuple[str, Value]] = [
            ("Reseller", Link(f"/console/resellers/{reseller.number}", reseller.name)), ("Made", claim.made_at),
            ("By", claim.by_whom), ("Gateway", claim.gateway), ("Payment", claim.reference), ("Claimed", claim.amount),
            ("Note", claim.note or None), ("Paid, as the gateway said", claim.paid),
            ("The gateway's own name of it", claim.gateway_reference),
            ("Funding", Link(f"/console/funding/{claim.funding}", claim.funding) if claim.funding else None),
            ("Proposal", Link(f"/console/approvals/{claim.proposal_id}/confirm", f"{claim.proposal_id}") if proposal else None),
            ("Settled by", claim.settled_by), ("Settled", claim.settled_at), ("The reseller reads", claim.answer or None),
        ]  # fmt: skip
        return self._console.render(
            request, visitor, "console/claim.html", claim=claim, state=STATES[claim.state],
            facts=[(label, value) for label, value in facts if value is not None],
            rivals=Listing(
                "Others who claim this payment",
                [Column("Claim"), Column("State"), Column("Made"), Column("Reseller"), Column("Claimed", True)],
                [
                    (Link(f"/console/funding/claims/{c.id}", f"Claim {c.id}"), STATES[c.state], c.made_at, emails[c.reseller_id], c.amount)
                    for c in rivals
                ],
            ),
        )  # fmt: skip

    async def _claim(self, request: Request) -> Claim:
        return await self._desk.claims.find(number_in_path(request, "Claim"))

    def verbs(self) -> Iterable[Verb[Claim]]:
        """Credit a claim; refuse it."""
        desk, base = self._desk, "/console/funding/claims/{number}"
        on = On("claim", self._claim, lambda c: f"claim {c.id}", lambda c: f"/console/funding/claims/{c.id}")

        async def credit_preview(c: Claim, given: Given) -> Preview:  # noqa: ARG001
            found = await desk.claims.look(c)
            amount = await desk.claims.require_creditable(c, found)
            wallets = await desk.wallets.of_reseller(c.reseller_id)
            balance = next(
                (w.balance for w in wallets if w.mode is Mode.LIVE and w.balance.currency == amount.currency), None
            )
            rivals = [one for one in await desk.claims.rivals(c) if one.reseller_id != c.reseller_id]
            warning = ""
            if rivals:
                warning = "Another reseller claims this payment too. Be sure whose it is: it is credited once."
            elif amount != c.amount:
                warning = "This is not what was claimed. What the gateway has received is credited."
            return Preview(
                figures(gateway_says=_says(found), claimed=c.amount, credit=amount, payment=c.reference),
                "The gateway is asked once more, and what it says was paid goes into the reseller's live wallet, once. Above the limit"
                " for one person it becomes a proposal that another person confirms.",
                warning,
                before={"state": c.state, "claimed": str(c.amount)},
                after={"credit": str(amount), "payment": c.reference, "gateway": c.gateway},
                moment=figures(wallet=balance),
            )

        async def credit(c: Claim, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            done = await desk.claims.settle(c.id, by_whom=visitor.person.email)
            if done.funding is not None:
                return f"It was our funding {done.funding}, and the wallet has it."
            return f"{done.paid} was credited."

        async def refuse_preview(c: Claim, given: Given) -> Preview:
            if c.state is not ClaimState.OPEN:
                raise InvalidInput("", f"this claim is {STATES[c.state].words}: it cannot be refused")
            return Preview(
                figures(moves="Nothing", claimed=c.amount, the_reseller_reads=given.reason),
                "The reseller reads the reason, and may claim the payment again.",
                before={"state": c.state}, after={"state": "refused"},
            )  # fmt: skip

        async def refuse(c: Claim, given: Given, visitor: Visitor) -> str:
            await desk.claims.refuse(c.id, given.reason, by_whom=visitor.person.email)
            return "The claim is refused."

        return (
            Verb(
                path=f"{base}/credit", right=Right.MONEY, title="Credit a claim", button="Credit", what="claim.credit", on=on,
                preview=credit_preview, perform=credit, waits_outside=True, first=True,
                lead="The gateway is asked whether it was paid. Nothing is credited on the reseller's word.",
            ),
            Verb(
                path=f"{base}/refuse", right=Right.DECIDE, title="Refuse a claim", button="Refuse", what="claim.refuse", on=on,
                preview=refuse_preview, perform=refuse, danger=True, lead="The reseller reads the reason.",
            ),
        )  # fmt: skip


def _says(found: Funding | Word) -> Value:
    if isinstance(found, Funding):
        return f"our funding {found.reference} ({found.state})"
    if isinstance(found, Paid):
        try:
            return f"paid {Money(found.amount_minor, currency_of(found.currency))}"
        except ValueError:
            return told(found)
    return told(found)
