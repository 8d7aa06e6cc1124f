"""`telvend premium`: what cover costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, command, table
from telvend.kit.mode import Mode
from telvend.operator.premiums.model import Premium, Rate

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

Product = Annotated[str, typer.Argument(help="The product, such as AYO_SWC.")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="The transaction type, such as TRANSFER.")]


def _percent(basis_points: int) -> str:
    return f"{basis_points // 100}.{basis_points % 100:02d}"


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "product": rate.product,
        "type": rate.transaction_type,
        "currency": rate.floor.currency.code,
        "percent": _percent(rate.basis_points),
        "floor": rate.floor.decimal,
        "cap": None if rate.cap is None else rate.cap.decimal,
        "loyalty_percent": _percent(rate.loyalty_basis_points),
        "quote_valid_s": rate.quote_valid_s,
        "to_oneself": rate.to_oneself,
        "momo_only": rate.momo_only,
        "message": rate.message,
        "active": rate.active,
    }


def _premium(premium: Premium) -> dict[str, Any]:
    loyalty = premium.loyalty
    return {
        "reference": premium.reference,
        "product": premium.request.product,
        "type": premium.request.transaction_type,
        "mode": premium.request.mode,
        "sender": premium.request.sender,
        "receiver": premium.request.receiver,
        "amount": premium.request.amount.decimal,
        "currency": premium.request.amount.currency.code,
        "premium": premium.premium.decimal,
        "loyalty": (
            None if loyalty is None else {"generated": loyalty.generated.decimal, "balance": loyalty.balance.decimal}
        ),
        "message": premium.message,
        "expires_at": premium.expires_at,
    }


@command(app, "rates")
async def rates(
    shop: "Shop",
    product: Annotated[str | None, typer.Option(help="Only of this product.")] = None,
    currency: Annotated[str | None, typer.Option(metavar="C", help="Only in this currency.")] = None,
) -> Output:
    """List the rates, switched off or not."""
    found = await shop.premiums.rates(product=product, currency=currency)
    rows = [
        (
            rate.product,
            rate.transaction_type,
            rate.floor.currency,
            f"{_percent(rate.basis_points)} %",
            rate.floor.decimal,
            "" if rate.cap is None else rate.cap.text,
            f"{_percent(rate.loyalty_basis_points)} %",
            f"{rate.quote_valid_s} s",
            ", ".join(
                word
                for word, holds in (
                    ("to oneself too", rate.to_oneself),
                    ("mobile money only", rate.momo_only),
                    ("off", not rate.active),
                )
                if holds
            ),
        )
        for rate in found
    ]
    columns = ("product", "type", "currency", "of the amount", "at least", "at most", "loyalty", "quotes last", "")
    return Output({"rates": [_rate(rate) for rate in found]}, show=table("", columns, rows, "There are no such rates."))


@command(app, "set")
async def set_rate(
    shop: "Shop",
    product: Product,
    transaction_type: Type,
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="GHS, NGN, …")],
    percent: Annotated[str | None, typer.Option(help="How much of the amount: 2.5. A new rate needs it.")] = None,
    floor: Annotated[str | None, typer.Option(help="The least that it costs, in whole units.")] = None,
    cap: Annotated[str | None, typer.Option(help='The most that it costs; "" for no limit.')] = None,
    loyalty_percent: Annotated[
        str | None, typer.Option(help="Points for the sender, in percent of the amount.")
    ] = None,
    valid: Annotated[int | None, typer.Option(metavar="S", help="How many seconds a quote can be used.")] = None,
    to_oneself: Annotated[
        bool | None, typer.Option("--to-oneself/--to-others", help="Whether sender and receiver may be the same.")
    ] = None,
    momo_only: Annotated[
        bool | None, typer.Option("--momo-only/--for-all", help="Whether the sender must have mobile money.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="What the answer says, such as: Cover for 120 days.")] = None,
    active: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is in force.")] = None,
) -> Output:
    """Make a rate, or change what is given of one. Quotes that were given keep what they say."""
    rate = await shop.premiums.set_rate(
        product,
        transaction_type,
        currency,
        percent=percent,
        floor=floor,
        cap=cap,
        loyalty_percent=loyalty_percent,
        quote_valid_s=valid,
        to_oneself=to_oneself,
        momo_only=momo_only,
        message=message,
        active=active,
    )
    most = "" if rate.cap is None else f", at most {rate.cap}"
    force = "" if rate.active else ", switched off"
    return Output(
        _rate(rate),
        f"{rate.product} {rate.transaction_type} costs {_percent(rate.basis_points)} % of the amount, "
        f"at least {rate.floor}{most}{force}.",
    )


@command(app, "quote")
async def quote(
    shop: "Shop",
    email: Annotated[str, typer.Argument(help="The reseller who may use it.")],
    product: Product,
    transaction_type: Type,
    sender: Annotated[str, typer.Argument(help="Who pays: a subscriber's number."), NUMBER],
    receiver: Annotated[str, typer.Argument(help="Who is covered: a subscriber's number."), NUMBER],
    amount: Annotated[str, typer.Argument(help="What is sent, in whole units of the sender's currency.")],
    mode: Annotated[Mode, typer.Option(help="Real subscribers or play.")] = Mode.LIVE,
) -> Output:
    """Make a quote, which the reseller names as quoteId: once, until it expires."""
    reseller = await shop.resellers.find(email)
    premiums = shop.premiums
    premiums.start()
    try:
        made = await premiums.quote(
            reseller.id,
            mode,
            product=product,
            transaction_type=transaction_type,
            sender=sender,
            receiver=receiver,
            amount=amount,
        )
    finally:
        await premiums.close()
    rows = [
        ("reference", made.reference),
        ("premium", made.premium),
        ("points", "" if made.loyalty is None else made.loyalty.generated),
        ("points then", "cannot be read now" if made.loyalty is None else made.loyalty.balance),
        ("message", made.message),
        ("expires", made.expires_at.isoformat(timespec="seconds")),
    ]
    return Output(_premium(made), show=table("", ("", ""), rows, ""))
