"""`telvend refill`: what was loaded, by whom, and what it turned into."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.kit.mode import Mode
from telvend.operator.refills.model import OPERATOR, Refill, RefillKind
from telvend.operator.refills.service import LARGEST_PAGE, Given
from telvend.operator.subscribers.balances.amounts import amount_text

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()


def _data(refill: Refill) -> dict[str, Any]:
    return {
        "id": refill.id,
        "reference": refill.reference,
        "transaction_id": refill.transaction_id,
        "sent_id": refill.sent_id,
        "reseller_id": None if refill.reseller_id == OPERATOR else refill.reseller_id,
        "api": refill.dialect,
        "mode": refill.mode,
        "kind": refill.kind,
        "msisdn": refill.msisdn,
        "profile": refill.profile,
        "amount": refill.amount.decimal,
        "currency": refill.amount.currency.code,
        "capped": refill.capped,
        "serial": refill.serial,
        "balance_before": None if refill.before is None else refill.before.decimal,
        "balance_after": None if refill.after is None else refill.after.decimal,
        "created_at": refill.created_at,
    }


def _called(refill: Refill) -> str:
    """What the partner called it."""
    return refill.sent_id or refill.transaction_id


def _paid_by(refill: Refill) -> str:
    return f"voucher {refill.serial}" if refill.serial is not None else "wallet"


@command(app, "list")
async def list_refills(
    shop: "Shop",
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="Only for this mobile number."), NUMBER] = None,
    kind: Annotated[RefillKind | None, typer.Option(help="Only by voucher, or only paid from wallets.")] = None,
    transaction: Annotated[
        str | None, typer.Option(help="Only under this transactionId, as it was sent or as it was echoed.")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Only real, or only play refills.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_PAGE, help="How many to show.")] = 50,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this refill's number, downwards.")
    ] = None,
) -> Output:
    """List refills, newest first."""
    reseller_id = (await shop.resellers.find(email)).id if email else None

    async def fetch(before: int | None, count: int) -> list[Refill]:
        return await shop.refills.listed(
            reseller_id=reseller_id,
            mode=mode,
            msisdn=subscriber,
            kind=kind,
            transaction_id=transaction,
            before=before,
            limit=count,
        )

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda refill: refill.id, fetch)
    rows = [
        (
            r.id,
            r.reference,
            time_text(r.created_at),
            r.mode,
            r.msisdn,
            r.amount.decimal,
            r.amount.currency.code,
            _paid_by(r),
            _called(r) if r.reseller_id != OPERATOR else "by the operator",
        )
        for r in found
    ]
    columns = (
        "number",
        "reference",
        f"at ({zone_name()})",
        "mode",
        "subscriber",
        "amount",
        "",
        "paid by",
        "transaction",
    )

    return Output(
        {"refills": [_data(refill) for refill in found], "next": more.following, **more.left_off},
        show=page(columns, rows, "There are no such refills.", more),
    )


@command(app, "show")
async def show(
    shop: "Shop", reference: Annotated[str, typer.Argument(help="Our reference (RFL-…) or the refill's number.")]
) -> Output:
    """One refill: when, by whom, and what it turned into."""
    refill, given = await shop.refills.history(reference)
    data = _data(refill) | {
        "gave": [
            {"kind": one.kind, "name": one.name, "amount": one.amount, "expires_at": one.expires_at} for one in given
        ]
    }
    who = "the operator"
    if refill.reseller_id != OPERATOR:
        who = (await shop.resellers.profile(refill.reseller_id)).email
    return Output(data, show=lambda console: _print(console, refill, given, who))


def _print(console: "Console", refill: Refill, given: list[Given], who: str) -> None:
    console.print(f"[bold]{refill.reference}[/bold]  {refill.kind}, {refill.mode}", highlight=False)
    console.print(
        f"{refill.amount} for {refill.msisdn}, {time_text(refill.created_at)} {zone_name()}, by {who} under {_called(refill)}",
        markup=False,
    )
    if refill.serial is not None:
        console.print(f"paid by voucher {refill.serial}")
    else:
        console.print(f"paid from the wallet: {refill.before} → {refill.after}")
    if refill.capped:
        console.print("Some days did not fit under the maximum.")
    currency = refill.amount.currency
    rows = [
        (
            one.name,
            amount_text(one.kind, one.amount, currency),
            "never" if one.expires_at is None else time_text(one.expires_at),
        )
        for one in given
    ]
    console.print()
    table(f"By profile {refill.profile}", ("bucket", "gave", f"ends ({zone_name()})"), rows, "Nothing.")(console)
