"""`telvend funding`: money that comes through gateways, and what of it waits for a person."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from telvend.approvals.model import WaitsForSecondPerson
from telvend.cli.approvals import waiting_output
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import first, more_after, page
from telvend.cli.who import By, ByWhereMoneyMoves, user_of_machine
from telvend.errors import InvalidInput
from telvend.funding.claims.model import Claim, ClaimState
from telvend.funding.claims.service import ALL as ALL_CLAIMS
from telvend.funding.model import Funding, FundingState
from telvend.kit.money import Money

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.funding.service import FundingHistory

app = typer.Typer()

# What asks for `shop.fundings` completes the shop first: they stand on every vendor there is.

Reference = Annotated[str, typer.Argument(help="Our reference (FND-…).")]


def _data(funding: Funding) -> dict[str, Any]:
    return {
        "id": funding.id,
        "reference": funding.reference,
        "reseller_id": funding.reseller_id,
        "mode": funding.mode,
        "gateway": funding.gateway,
        "method": funding.method,
        "amount": funding.amount.decimal,
        "currency": funding.amount.currency.code,
        "state": funding.state,
        "attention": funding.attention,
        "gateway_reference": funding.gateway_reference,
        "channel": funding.channel,
        "bank": funding.bank,
        "balance_before": funding.balance_before.decimal,
        "balance_after": funding.balance_after.decimal,
        "payment_url": funding.payment_url,
        "asked": funding.asked,
        "asked_at": funding.asked_at,
        "notices": funding.notices,
        "created_at": funding.created_at,
        "expires_at": funding.expires_at,
        "completed_at": funding.completed_at,
    }


@command(app, "list")
async def list_fundings(
    shop: "Shop",
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    state: Annotated[FundingState | None, typer.Option(help="Only in this state.")] = None,
    attention: Annotated[bool, typer.Option("--attention", help="Only what a person has to look at.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this funding's number, downwards.")
    ] = None,
) -> Output:
    """List fundings, newest first."""
    await shop.complete()
    reseller_id = (await shop.resellers.find(email)).id if email else None

    async def fetch(before: int | None, count: int) -> list[Funding]:
        return await shop.fundings.list_fundings(
            reseller_id=reseller_id, state=state, attention=attention, before=before, limit=count
        )

    fundings = await fetch(before, limit)
    more = await more_after(fundings, limit, lambda funding: funding.id, fetch)
    rows = [
        (
            f.id,
            f.reference,
            time_text(f.created_at),
            f.gateway,
            f.mode,
            f.amount.decimal,
            f.amount.currency.code,
            f"{f.state}, look at it" if f.attention else str(f.state),
        )
        for f in fundings
    ]
    columns = ("number", "reference", f"begun ({zone_name()})", "gateway", "mode", "amount", "", "state")

    return Output(
        {"fundings": [_data(funding) for funding in fundings], "next": more.following, **more.left_off},
        show=page(columns, rows, "There are no such fundings.", more),
    )


@command(app, "show")
async def show(shop: "Shop", reference: Reference) -> Output:
    """One funding: what its gateway sent by itself, and what was noted."""
    await shop.complete()
    history = await shop.fundings.history(reference)
    data = _data(history.funding) | {
        "notices_received": [_notice(notice) for notice in history.notices],
        "notes": [{"at": at, "text": text} for at, text in history.notes],
        "voids": [_void(one, history.funding) for one in history.voids],
    }
    return Output(data, show=lambda console: _print(console, history))


@command(app, "check")
async def check(shop: "Shop", reference: Reference) -> Output:
    """Ask the gateway now, and do what follows from its answer."""
    await shop.complete()
    funding = await shop.fundings.check(reference)
    sentence = f"{funding.reference} is {funding.state}."
    if funding.attention:
        sentence += f" Something does not fit: telvend funding show {funding.reference}"
    return Output(_data(funding), sentence)


@command(app, "resolve")
async def resolve(
    shop: "Shop",
    reference: Reference,
    note: Annotated[str, typer.Option(help="What you found out and did; kept with the funding.")],
) -> Output:
    """Say what was decided about a funding that does not fit. One that is pending fails. Moves no money."""
    await shop.complete()
    try:
        funding = await shop.fundings.resolve(reference, note)
    except InvalidInput as error:
        raise InvalidInput("note", error.problem) from None
    return Output(_data(funding), f"{funding.reference} is {funding.state}, and nobody has to look at it.")


@command(app, "void")
async def void(
    shop: "Shop",
    reason: Annotated[str, typer.Option(help="Why; kept with the void.")],
    by: Annotated[str, typer.Option(metavar="WHO", help="Who decided it; kept with the void.")],
    reference: Annotated[str | None, typer.Argument(help="Our reference (FND-…), or --all-play.")] = None,
    all_play: Annotated[bool, typer.Option("--all-play", help="All play money in all live wallets.")] = False,
) -> Output:
    """Take out of live wallets what a pretending gateway put in, never below zero; what was spent of it is written off."""
    if (reference is not None) is all_play:
        raise typer.BadParameter("give either the reference of one funding or --all-play")
    play_money = shop.play_money
    voided = await (play_money.void_all(reason, by) if reference is None else play_money.void(reference, reason, by))
    data = {
        "voided": [
            {
                "reference": one.funding.reference,
                "email": one.funding.email,
                "currency": one.taken.currency.code,
                "taken": one.taken.decimal,
                "spent": one.spent.decimal,
                "left": one.left.decimal,
            }
            for one in voided
        ]
    }
    nothing = "There is no play money in live wallets." if reference is None else f"{reference} was voided before."
    rows = [
        (row["reference"], row["email"], row["taken"], row["spent"], row["left"], row["currency"])
        for row in data["voided"]
    ]
    columns = ("funding", "reseller", "taken out", "was spent", "in open sales", "")

    def show(console: "Console") -> None:
        table("", columns, rows, nothing)(console)
        if any(one.left.minor for one in voided):
            console.print("\nWhat is in open sales is still play money. Run this again when they are final.")

    return Output(data, show=show)


ClaimNumber = Annotated[int, typer.Argument(min=1, max=2**62, help="The number of the claim.")]


def _claim_data(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "reseller_id": claim.reseller_id,
        "gateway": claim.gateway,
        "reference": claim.reference,
        "amount": claim.amount.decimal,
        "currency": claim.amount.currency.code,
        "note": claim.note,
        "by": claim.by_whom,
        "state": claim.state,
        "made_at": claim.made_at,
        "paid": None if claim.paid is None else claim.paid.decimal,
        "gateway_reference": claim.gateway_reference,
        "funding": claim.funding,
        "proposal": claim.proposal_id,
        "answer": claim.answer,
        "settled_by": claim.settled_by,
        "settled_at": claim.settled_at,
    }


@command(app, "claims")
async def claims(
    shop: "Shop",
    settled: Annotated[bool, typer.Option("--all", help="Also those that are settled.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Where to go on.")] = None,
) -> Output:
    """List payments that resellers say they have made and that no wallet has, newest first."""
    await shop.complete()
    states = ALL_CLAIMS if settled else (ClaimState.OPEN, ClaimState.WAITING)

    async def fetch(before: int | None, count: int) -> "Sequence[Claim]":
        return await shop.claims.listed(states, before=before, limit=count)

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda one: one.id, fetch)
    emails = await shop.resellers.emails({one.reseller_id for one in found})
    rows = [
        (c.id, time_text(c.made_at), emails[c.reseller_id], c.amount.decimal, c.amount.currency, c.gateway, c.reference, c.state)
        for c in found
    ]  # fmt: skip
    columns = ("number", f"made ({zone_name()})", "reseller", "claimed", "", "gateway", "payment", "state")
    listed = [_claim_data(one) | {"email": emails[one.reseller_id]} for one in found]
    data = {"claims": listed, "next": more.following, **more.left_off}
    return Output(data, show=page(columns, rows, "No payment is claimed.", more))


@command(app, "settle")
async def settle(shop: "Shop", number: ClaimNumber, by: ByWhereMoneyMoves = None) -> Output:
    """Ask the gateway about a claim, and credit what it says was paid, once. Nothing is credited on the reseller's word.

    What is above `second_person_above` waits for a second person: nothing moves, and the exit code is 3.
    """
    await shop.complete()
    try:
        claim = await shop.claims.settle(number, by_whom=by or user_of_machine())
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    what = f"funding {claim.funding}" if claim.funding else f"{claim.paid}"
    return Output(_claim_data(claim), f"Claim {claim.id} is credited: {what}.")


@command(app, "refuse")
async def refuse(
    shop: "Shop",
    number: ClaimNumber,
    reason: Annotated[str, typer.Option(help="Why; the reseller reads it.")],
    by: By = None,
) -> Output:
    """Refuse a claim. The reseller reads why, and may claim the payment again."""
    await shop.complete()
    claim = await shop.claims.refuse(number, reason, by_whom=by or user_of_machine())
    return Output(_claim_data(claim), f"Claim {claim.id} is refused.")


@command(app, "strays")
async def strays(
    shop: "Shop", limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 50
) -> Output:
    """What gateways sent about nothing of ours, newest first: money may have come that no wallet has."""
    await shop.complete()
    found, more = await first(limit, shop.fundings.stray_notices)
    rows = [
        (
            time_text(one["last_at"]),
            one["gateway"],
            _clean(one["event"]),
            one["times"],
            _clean(one["concern"]),
            _in_words(_kept(one)),
        )
        for one in found
    ]
    return Output(
        {"notices": [{"gateway": one["gateway"]} | _notice(one) for one in found], **more.left_off},
        show=page(
            (f"last ({zone_name()})", "gateway", "event", "times", "why", "it said"), rows, "There are none.", more
        ),
    )


def _notice(notice: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: notice[name] for name in ("event", "concern", "times", "received_at", "last_at")}
    return told | {"kept": _kept(notice)}


def _void(row: Mapping[str, Any], funding: Funding) -> dict[str, Any]:
    currency = funding.amount.currency
    return {
        "reference": row["reference"],
        "at": row["created_at"],
        "taken": Money(row["taken_minor"], currency).decimal,
        "spent": Money(row["spent_minor"], currency).decimal,
        "reason": row["reason"],
        "by": row["by_whom"],
    }


def _kept(notice: Mapping[str, Any]) -> dict[str, Any]:
    """What was kept of a notice's body: no names, addresses or tokens of payers (gateways/contract.py)."""
    return msgspec.json.decode(notice["kept"], type=dict[str, Any])


def _in_words(kept: Mapping[str, Any]) -> str:
    return _clean(", ".join(f"{name} {value}" for name, value in kept.items()))


def _print(console: "Console", history: "FundingHistory") -> None:
    funding = history.funding
    console.print(f"[bold]{funding.reference}[/bold]  {funding.state}")
    console.print(
        f"{funding.amount} ({funding.mode}) by {funding.method} through {funding.gateway},"
        f" begun {time_text(funding.created_at)} {zone_name()}, to be paid until {time_text(funding.expires_at)} {zone_name()}"
    )
    if funding.completed_at is not None:
        console.print(
            f"credited {time_text(funding.completed_at)} {zone_name()}, balance {funding.balance_before} → {funding.balance_after};"
            f" the gateway's reference: {_clean(funding.gateway_reference)}",
            markup=False,
        )
    elif funding.payment_url is not None:
        console.print(f"to be paid at {_clean(funding.payment_url)}", markup=False, soft_wrap=True)
    if funding.attention:
        console.print("Something does not fit. When it is decided: telvend funding resolve … --note …")
    notices = [
        (time_text(n["received_at"]), _clean(n["event"]), n["times"], _clean(n["concern"])) for n in history.notices
    ]
    console.print()
    table(
        "Notices", (f"first ({zone_name()})", "event", "times", "why"), notices, "The gateway sent nothing by itself."
    )(console)
    for row in history.voids:
        void = _void(row, funding)
        console.print(
            f"\n{time_text(void['at'])} {zone_name()}: voided by {void['by']}: {void['reason']};"
            f" {void['taken']} taken out, {void['spent']} was spent ({void['reference']})",
            markup=False,
        )
    for at, text in history.notes:
        console.print(f"\n{time_text(at)} {zone_name()}: {_clean(text)}", markup=False)


def _clean(text: str | None) -> str:
    """What gateways say, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text or "")
