"""`telvend order`: the sales, and the ones that wait for a person."""

from typing import Annotated, Any, Final

import typer
from rich.console import Console

from telvend.bootstrap import Shop
from telvend.cli.arguments import NUMBER
from telvend.cli.frame import Output, command, table, time_text
from telvend.cli.listing import more_after, page, pages, print_csv
from telvend.ledger.model import Mode
from telvend.orders.model import Order, State
from telvend.orders.service import OrderHistory

app = typer.Typer(name="order", help="The sales.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(help="Our reference (NPAPI-…) or the order's number.")]


_COLUMNS: Final = (
    "id", "reference", "client_reference", "reseller_id", "api", "mode", "country", "network", "product", "size",
    "subscriber", "price", "cost", "currency", "state", "created_at", "updated_at",
)  # fmt: skip


def _data(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "reference": order.reference,
        "client_reference": order.client_reference,
        "reseller_id": order.reseller_id,
        "api": order.dialect,
        "mode": order.mode,
        "country": order.country,
        "network": order.network,
        "product": order.product,
        "size": order.size,
        "subscriber": order.subscriber,
        "price": order.price.decimal,
        "cost": order.cost.decimal,
        "currency": order.price.currency.code,
        "state": order.state,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
    }


@command(app, "list")
async def list_orders(
    shop: Shop,
    as_json: bool,
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    state: Annotated[list[State] | None, typer.Option(help="Only in this state; may be repeated.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="Only for this mobile number."), NUMBER] = None,
    mode: Annotated[Mode | None, typer.Option(help="Only real, or only play orders.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="How many to show; 50 without, and all with --csv.")
    ] = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this order's number, downwards.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
) -> Output | None:
    """List orders, newest first."""
    reseller_id = (await shop.services.resellers.find(email)).id if email else None

    async def fetch(before: int | None, count: int) -> list[Order]:
        return await shop.services.orders.list_orders(
            reseller_id=reseller_id, mode=mode, states=state or None, subscriber=subscriber, before=before, limit=count
        )

    if as_csv and not as_json:
        parts = pages(limit, before, _number, fetch)
        await print_csv(_COLUMNS, ([_data(order) for order in part] async for part in parts))
        return None
    count = 50 if limit is None else limit
    orders = await fetch(before, count)
    more = await more_after(orders, count, _number, fetch)
    data = {"orders": [_data(order) for order in orders], "next": more.following, **more.left_off}
    rows = [
        (
            o.id,
            o.reference,
            time_text(o.created_at),
            o.network,
            o.size,
            o.subscriber,
            o.price.decimal,
            o.state,
        )
        for o in orders
    ]
    columns = ("number", "reference", "placed (UTC)", "network", "size", "subscriber", "price", "state")
    return Output(data, show=page(columns, rows, "There are no such orders.", more))


def _number(order: Order) -> int:
    return order.id


@command(app, "show")
async def show(shop: Shop, reference: Reference) -> Output:
    """One order: what was asked of whom, what they said, and where the money went."""
    history = await shop.services.orders.history(reference)
    return Output(history_data(history), show=lambda console: print_history(console, history))


def history_data(history: OrderHistory) -> dict[str, Any]:
    """An order with its attempts, ledger entries and notes, for programs."""
    return _data(history.order) | {
        "attempts": [
            {
                "number": attempt.number,
                "provider": attempt.provider,
                "reference": attempt.reference,
                "state": attempt.state,
                "asked": attempt.asked,
                "text": attempt.text,
                "started_at": attempt.started_at,
                "finished_at": attempt.finished_at,
            }
            for attempt in history.attempts
        ],
        "entries": [
            {
                "kind": entry.kind.name.lower(),
                "debit": entry.debit,
                "credit": entry.credit,
                "amount": entry.amount.decimal,
                "currency": entry.amount.currency.code,
                "at": entry.created_at,
            }
            for entry in history.entries
        ],
        "notes": [{"at": at, "text": text} for at, text in history.notes],
    }


def print_history(console: Console, history: OrderHistory) -> None:
    """An order with its attempts, ledger entries and notes, for people."""
    order = history.order
    console.print(f"[bold]{order.reference}[/bold]  {order.state}", highlight=False)
    console.print(
        f"{order.network} {order.size} for {order.subscriber}, {order.price}, placed {order.created_at:%F %T} UTC"
    )
    if order.client_reference:
        console.print(f"the caller's reference: {order.client_reference}", markup=False)
    attempts = [(a.number, a.provider, a.reference, a.state, a.asked, a.text) for a in history.attempts]
    console.print()
    table(
        "Attempts", ("", "provider", "reference", "state", "asked", "they said"), attempts, "No provider was asked yet."
    )(console)
    entries = [
        (entry.kind.name.lower(), entry.debit, entry.credit, entry.amount.decimal, entry.amount.currency.code)
        for entry in history.entries
    ]
    console.print()
    table("Ledger", ("entry", "from", "to", "amount", ""), entries, "Nothing has moved.")(console)
    for at, text in history.notes:
        console.print(f"\n{at:%F %T} UTC: {text}", markup=False)


@command(app, "resolve")
async def resolve(
    shop: Shop,
    reference: Reference,
    delivered: Annotated[bool, typer.Option("--delivered/--failed", help="What you found out.")],
    note: Annotated[str, typer.Option(help="How you found out; kept with the order.")],
) -> Output:
    """Decide an order that nobody could settle: post its hold, or give the money back."""
    await shop.review.resolve(reference, delivered=delivered, text=note)
    return await _after(shop, reference)


@command(app, "ask")
async def ask(shop: Shop, reference: Reference) -> Output:
    """Have the provider asked again, now."""
    await shop.review.ask_again(reference)
    return await _after(shop, reference)


async def _after(shop: Shop, reference: str) -> Output:
    order = (await shop.services.orders.history(reference)).order
    return Output(_data(order), f"{order.reference} is {order.state}.")
