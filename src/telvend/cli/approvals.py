"""`telvend approval`: what waits for a second person; also the output of other commands whose act became a proposal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from telvend.approvals.model import WAITING, ActKind, Confirmed, Proposal, ProposalState, how_it_ended
from telvend.cli.common import Output, command, time_text, zone_name
from telvend.cli.listing import more_after, page

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()

EXIT_WAITING: Final = 3
"""The exit code of a command whose act waits for a second person: not done, and not refused."""

Number = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=2**62, help="The number of the proposal, as `approval list` prints it."),
]
ByAnother = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who confirms it: another person than the one who has proposed it.")
]

_KINDS: Final = {
    "credit": "credit", "debit": "debit", "refund": "refund", "delivered": "decide: delivered", "failed": "decide: failed",
    "provisional_credit": "provisional credit",
}  # fmt: skip


def proposal_data(proposal: Proposal, email: str) -> dict[str, Any]:
    """A proposal, for programs; `email` is whose wallet it concerns."""
    return {
        "id": proposal.id,
        "kind": proposal.kind,
        "state": proposal.state,
        "email": email,
        "reference": proposal.reference,
        "amount": proposal.amount.decimal,
        "currency": proposal.amount.currency.code,
        "mode": proposal.mode,
        "reason": proposal.reason,
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "expires_at": proposal.expires_at,
        "ended_by": proposal.ended_by,
        "ended_at": proposal.ended_at,
        "end_reason": proposal.end_reason or None,
    }


def _deed(proposal: Proposal) -> str:
    """Name the proposed act, as part of a sentence."""
    if proposal.kind in (ActKind.DELIVERED, ActKind.FAILED):
        return f"decision as {proposal.kind} of {proposal.reference}, {proposal.amount}"
    return f"{proposal.kind.text} of {proposal.amount}"


def proposal_text(proposal: Proposal) -> str:
    """A proposal in one line, for the history of its order."""
    reason = f": {proposal.reason}" if proposal.reason else ""
    text = f"proposed by {proposal.proposed_by}, as {_deed(proposal)}{reason}."
    if proposal.state is ProposalState.WAITING:
        return f"{text} {how_to_confirm(proposal)}"
    return f"{text} {how_it_ended(proposal)}"


def how_to_confirm(proposal: Proposal) -> str:
    """Tell how another person confirms a proposal."""
    what = f"approval confirm {proposal.id}" if proposal.order_id is None else f"order confirm {proposal.reference}"
    return f"Another person confirms it until {time_text(proposal.expires_at)} {zone_name()}: telvend {what} --by WHO"


async def waiting_output(shop: "Shop", proposal: Proposal) -> Output:
    """Return the output of a command whose act waits for a second person."""
    (email,) = await emails_of(shop, [proposal])
    text = (
        f"Nothing has moved yet: {proposal.amount} of {email} waits for a second person, as {proposal.proposed_by} has"
        f" proposed (proposal {proposal.id}).\n{how_to_confirm(proposal)}"
    )
    return Output({"state": WAITING, "approval": proposal_data(proposal, email)}, text, exit_code=EXIT_WAITING)


async def emails_of(shop: "Shop", proposals: Sequence[Proposal]) -> list[str]:
    """Return the e-mail addresses of the wallets' owners, in the order of the proposals."""
    owners = await shop.wallets.owners({proposal.wallet_id for proposal in proposals})
    emails = await shop.resellers.emails(set(owners.values()))
    return [emails[owners[proposal.wallet_id]] for proposal in proposals]


@command(app, "list")
async def list_proposals(
    shop: "Shop",
    state: Annotated[
        list[ProposalState] | None, typer.Option(help="Only in this state; may be repeated; else what waits.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="In whatever state.")] = False,
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this proposal, downwards.")] = None,
) -> Output:
    """List what waits for a second person, newest first."""
    wallet_ids = None
    if email is not None:
        reseller = await shop.resellers.find(email)
        wallet_ids = [wallet.wallet_id for wallet in await shop.wallets.of_reseller(reseller.id)]
    states = tuple(ProposalState) if every else tuple(state) if state else (ProposalState.WAITING,)

    async def fetch(before: int | None, count: int) -> list[Proposal]:
        return await shop.approvals.listed(states=states, wallet_ids=wallet_ids, before=before, limit=count)

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda proposal: proposal.id, fetch)
    emails = await emails_of(shop, found)
    data = [proposal_data(proposal, email) for proposal, email in zip(found, emails, strict=True)]
    rows = [
        (
            p.id,
            _KINDS[p.kind],
            email,
            p.reference,
            p.amount.decimal,
            p.amount.currency.code,
            p.proposed_by,
            p.reason,
            time_text(p.expires_at),
            p.state if p.ended_by is None else f"{p.state} by {p.ended_by}",
        )
        for p, email in zip(found, emails, strict=True)
    ]
    columns = (
        "number",
        "what",
        "of",
        "reference",
        "amount",
        "",
        "proposed by",
        "why",
        f"until ({zone_name()})",
        "state",
    )
    return Output(
        {"approvals": data, "next": more.following, **more.left_off},
        show=page(
            columns, rows, "Nothing waits for a second person." if not (every or state) else "There are none.", more
        ),
    )


@command(app, "show")
async def show(shop: "Shop", number: Number) -> Output:
    """One proposal: who wants what, why, and how it stands."""
    proposal = await shop.approvals.find(number)
    (email,) = await emails_of(shop, [proposal])

    def printed(console: "Console") -> None:
        console.print(f"[bold]Proposal {proposal.id}[/bold]  {proposal.state}", highlight=False)
        console.print(
            f"{_deed(proposal)}, for {email} ({proposal.mode}), under {proposal.reference}",
            markup=False,
        )
        console.print(f"{time_text(proposal.proposed_at)} {zone_name()}: {proposal_text(proposal)}", markup=False)

    return Output(proposal_data(proposal, email), show=printed)


@command(app, "confirm")
async def confirm(shop: "Shop", number: Number, by: ByAnother) -> Output:
    """Do what another person has proposed, once. Again it only says so."""
    return await confirmed_output(shop, await shop.approvals.confirm(number, by))


@command(app, "reject")
async def reject(
    shop: "Shop",
    number: Number,
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who refuses it, or takes back what is their own.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the proposal.")],
) -> Output:
    """Refuse what another person has proposed, or withdraw what is your own. No money moves; it cannot be confirmed any more."""
    proposal = await shop.approvals.reject(number, by, reason)
    (email,) = await emails_of(shop, [proposal])
    return Output(proposal_data(proposal, email), how_it_ended(proposal))


async def confirmed_output(shop: "Shop", confirmed: Confirmed) -> Output:
    """Return the output of a confirmation: both names, and the wallet's balance."""
    proposal = confirmed.proposal
    reseller_id = (await shop.wallets.owners([proposal.wallet_id]))[proposal.wallet_id]
    email = (await shop.resellers.emails({reseller_id}))[reseller_id]
    (balance,) = (
        wallet.balance
        for wallet in await shop.wallets.of_reseller(reseller_id)
        if wallet.wallet_id == proposal.wallet_id
    )
    data = {
        "approval": proposal_data(proposal, email),
        "again": confirmed.again,
        "balance": balance.decimal,
        "currency": balance.currency.code,
        "mode": proposal.mode,
    }
    told = f"{_deed(proposal)}, proposed by {proposal.proposed_by}"
    if confirmed.again:
        when = time_text(proposal.ended_at or proposal.proposed_at)
        text = f"The {told}, was confirmed before, {when} {zone_name()} by {proposal.ended_by}. Nothing has moved now."
    else:
        text = f"Done: {told}, confirmed by {proposal.ended_by}. The wallet of {email} holds {balance}."
    return Output(data, text)
