"""`telvend order`: the sales, and the ones that wait for a person."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import MAXYEAR, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer
from typer.core import TyperCommand

from telvend.approvals.model import WaitsForSecondPerson
from telvend.cli.approvals import ByAnother, confirmed_output, proposal_data, proposal_text, waiting_output
from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, command, table, time_text, zone, zone_name
from telvend.cli.listing import AsCsv, LimitOrAll, more_after, page, pages, print_csv
from telvend.cli.who import WhoDecided
from telvend.errors import InvalidInput
from telvend.fulfilment.provisional.model import CreditState
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.orders.model import Order, OrderFilter, OrderState

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.approvals.model import Proposal
    from telvend.bootstrap import Shop
    from telvend.corrections.model import Refund
    from telvend.fulfilment.provisional.model import EnteredReport, ProvisionalCredit
    from telvend.orders.records import OrderHistory

app = typer.Typer()

AnyReference = Annotated[
    str,
    typer.Argument(metavar="REF", help="Our reference (NPAPI-…), the order's number, or the caller's own reference."),
]
OfEmail = Annotated[str | None, typer.Option(help="Whose order it is, where several callers have the same reference.")]


_COLUMNS: Final = (
    "id", "reference", "client_reference", "reseller_id", "email", "api", "mode", "country", "network", "product", "size",
    "subscriber", "price", "cost", "currency", "state", "created_at", "updated_at",
)  # fmt: skip


def _data(order: Order, email: str) -> dict[str, Any]:
    return {
        "id": order.id,
        "reference": order.reference,
        "client_reference": order.client_reference,
        "reseller_id": order.reseller_id,
        "email": email,
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
    shop: "Shop",
    as_json: bool,
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    state: Annotated[list[OrderState] | None, typer.Option(help="Only in this state; may be repeated.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="Only for this mobile number."), NUMBER] = None,
    reference: Annotated[
        str | None, typer.Option(help="Only under this reference: ours, or one that a caller has given.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Only from this day on, in the shop's zone."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Only up to this day, which is included."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Only of this network, in any case.")] = None,
    product: Annotated[str | None, typer.Option(help="Only of the product with this code.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Only real, or only play orders.")] = None,
    limit: LimitOrAll = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this order's number, downwards.")
    ] = None,
    as_csv: AsCsv = False,
) -> Output | None:
    """List orders, newest first, with who bought."""
    if since is not None and until is not None and until < since:
        raise InvalidInput("until", "must not be before --since")
    wanted = OrderFilter(
        reseller_id=(await shop.resellers.find(email)).id if email else None,
        mode=mode,
        states=tuple(state) if state else None,
        subscriber=subscriber,
        reference=reference,
        since=None if since is None else _midnight(since),
        until=None if until is None or until.year == MAXYEAR else _midnight(until + timedelta(days=1)),
        networks=None if network is None else await shop.catalogue.network_codes(network),
        product=product,
    )

    async def fetch(before: int | None, count: int) -> list[Order]:
        return await shop.order_records.list_orders(wanted, before=before, limit=count)

    async def told(orders: Sequence[Order]) -> list[dict[str, Any]]:
        emails = await shop.resellers.emails({order.reseller_id for order in orders})
        return [_data(order, emails[order.reseller_id]) for order in orders]

    if as_csv and not as_json:
        parts = pages(limit, before, _number, fetch)
        await print_csv(_COLUMNS, (await told(part) async for part in parts))
        return None
    count = 50 if limit is None else limit
    orders = await fetch(before, count)
    more = await more_after(orders, count, _number, fetch)
    listed = await told(orders)
    data = {"orders": listed, "next": more.following, **more.left_off}
    rows = [
        (
            o.id,
            o.reference,
            time_text(o.created_at),
            told["email"],
            o.network,
            o.size,
            o.subscriber,
            o.price.decimal,
            o.price.currency.code,
            o.state,
        )
        for o, told in zip(orders, listed, strict=True)
    ]
    columns = (
        "number", "reference", f"placed ({zone_name()})", "bought by", "network", "size", "subscriber", "price", "", "state",
    )  # fmt: skip
    return Output(data, show=page(columns, rows, "There are no such orders.", more))


def _number(order: Order) -> int:
    return order.id


def _midnight(day: datetime) -> datetime:
    """When this day begins, in the shop's zone."""
    return day.replace(tzinfo=zone())


async def _find(shop: "Shop", reference: str, email: str | None) -> tuple[Order, str]:
    """The order that people call so, and the e-mail address of who bought it."""
    reseller_id = (await shop.resellers.find(email)).id if email else None
    order = await shop.order_records.named(reference, reseller_id)
    return order, (await shop.resellers.emails({order.reseller_id}))[order.reseller_id]


class PlaceCommand(TyperCommand):
    """`order place` takes one purchase by its options, or a list of them; what goes with the other is wrong usage."""

    _ONE: ClassVar = {"product": "--product", "deliver_to": "--to", "reference": "--reference", "amount": "--amount"}
    _NEEDED: ClassVar = {"product": "--product", "deliver_to": "--to", "email": "--email", "reference": "--reference"}
    _LIST: ClassVar = {
        "dry_run": "--dry-run", "yes": "--yes", "batch": "--batch", "result": "--result", "wait": "--wait",
        "repeats": "--repeats",
    }  # fmt: skip

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        left = super().parse_args(ctx, args)
        if ctx.resilient_parsing:
            return left
        given = {name for name, value in ctx.params.items() if value}
        if ctx.params["csv"] is not None:
            for name, option in self._ONE.items():
                if ctx.params[name] is not None:
                    raise typer.BadParameter(f"{option} does not go with --csv, whose rows say it.", ctx)
            return left
        for name, option in self._LIST.items():
            if name in given:
                raise typer.BadParameter(f"{option} goes with --csv only.", ctx)
        for name, option in self._NEEDED.items():
            if ctx.params[name] is None:
                raise typer.BadParameter(f"{option} is needed for one purchase; --csv sells a list.", ctx)
        return left


@command(app, "place", cls=PlaceCommand)
async def place(
    shop: "Shop",
    product: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="The product's code. Needed without --csv, as are --to, --email and --reference."
        ),
    ] = None,
    deliver_to: Annotated[
        str | None,
        typer.Option("--to", metavar="RECIPIENT", help="Who receives it: a mobile number, a meter number."),
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="The reseller whose wallet pays; with --csv, for the rows that name nobody.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Yours; the same one again buys nothing and shows the order.")
    ] = None,
    amount: Annotated[
        str | None, typer.Option(help="In whole units, such as 1000 or 4.5, of what is sold by amount.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="live, or test: from the play wallet.")] = Mode.LIVE,
    csv: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="FILE",
            help="Sell a list instead: columns product, to, and amount, reference, email, note where they are wanted.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the list and add it up; sell nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Sell the list without asking. Without a terminal nobody is asked.")
    ] = False,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the list is called; without it, as its file. Rows without a reference are sold once under each name.",
        ),
    ] = None,
    repeats: Annotated[
        bool,
        typer.Option(
            "--repeats",
            help="Also rows without a reference that ask for the same as another one, or as a sale by hand within 24 hours.",
        ),
    ] = False,
    result: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write what has become of each row; without it, FILE.result.csv."),
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="How long to wait for the list's deliveries.")
    ] = 0,
) -> Output:
    """Place one order, wait for its delivery and show the receipt. A running server delivers; without one it stays accepted.

    With --csv, place the orders of a list, each row exactly once however often the command is given. Every row is checked before
    anything is sold.
    """
    if csv is not None:
        from telvend.cli.order_lists import ListRequest, place_list

        return await place_list(shop, ListRequest(csv, email, mode, batch, result, wait, dry_run, yes, repeats))
    # Not without these: PlaceCommand has seen to it.
    return await _place_one(shop, product or "", deliver_to or "", email or "", reference or "", amount, mode)


async def _place_one(
    shop: "Shop", product: str, deliver_to: str, email: str, reference: str, amount: str | None, mode: Mode
) -> Output:
    from telvend.cli.receipts import print_receipt, reader_named
    from telvend.orders.model import COUNTER
    from telvend.orders.receipts import receipt_of

    await shop.watch.look()  # The catalogue, and whether anything may be sold.
    caller = await shop.resellers.caller_without_key(email, COUNTER, mode)
    orders = shop.orders
    orders.start()
    placement = await shop.counter.place(
        caller, code=product, recipient=deliver_to, amount=amount, client_reference=reference
    )
    order = await orders.settled(placement.order, shop.settings.delivery_wait_s)
    receipt = await receipt_of(lambda: shop.payloads, order, reader_named("order place"))
    data = {
        "reference": order.reference,
        "client_reference": order.client_reference,
        "state": order.state,
        "replayed": placement.replayed,
        "receipt": None if receipt is None else receipt.data(),
    }

    def show(console: "Console") -> None:
        console.print(f"{order.reference} is {order.state}.", markup=False)
        if receipt is not None:
            print_receipt(console, receipt)

    return Output(data, show=show)


@command(app, "show")
async def show(shop: "Shop", reference: AnyReference, email: OfEmail = None) -> Output:
    """One order: who bought it, what was asked of whom, what they said, where the money went, and the receipt.

    That a token or PIN was shown is noted, with the user of this machine.
    """
    from telvend.cli.receipts import print_receipt, reader_named
    from telvend.orders.receipts import receipt_of

    order, bought_by = await _find(shop, reference, email)
    file = await shop.order_files.of(order.reference)
    history, refund, credit, late = (
        replace(file.history, entries=list(file.entries)),
        file.refund,
        file.credit,
        file.late,
    )
    proposals = file.proposals
    receipt = await receipt_of(lambda: shop.payloads, order, reader_named("order show"))
    proposals = await shop.approvals.of_order(order.id)
    data = history_data(history, bought_by) | {
        "refund": None if refund is None else _refund_data(refund, order, proposals),
        "approvals": [proposal_data(proposal, bought_by) for proposal in proposals],
        "provisional_credit": None if credit is None else _credit_data(credit),
        "late_reports": [_late_data(report) for report in late],
        "receipt": None if receipt is None else receipt.data(),
    }
    readings = []
    if receipt is not None and receipt.kind.payload is not None:
        readings = await shop.payloads.readings(order.id)
        data["readings"] = [{"at": at, "by": reader} for at, reader in readings]

    def printed(console: "Console") -> None:
        print_history(console, history, bought_by)
        if refund is not None:
            console.print(
                f"\n{time_text(refund.created_at)} {zone_name()}: refunded by {refund.by_whom}: {refund.reason}"
                f" ({refund.our_reference})",
                markup=False,
            )
        for proposal in proposals:
            console.print(f"\n{time_text(proposal.proposed_at)} {zone_name()}: {proposal_text(proposal)}", markup=False)
        if credit is not None:
            console.print(
                f"\n{time_text(credit.created_at)} {zone_name()}: provisional credit by {credit.by_whom}: {credit.reason}"
                f" ({credit.our_reference}, {credit.state.replace('_', ' ')})",
                markup=False,
            )
        for report in late:
            said = "delivered" if report.delivered else "not delivered"
            console.print(
                f"\n{time_text(report.created_at)} {zone_name()}: attempt {report.attempt} is {said}, says {report.provider}"
                f" after a person had decided; {report.amount} is a write-off",
                markup=False,
            )
        if receipt is not None:
            print_receipt(console, receipt)
        for at, reader in readings:
            console.print(f"\n{time_text(at)} {zone_name()}: shown to {reader}", markup=False)

    return Output(data, show=printed)


def _refund_data(refund: "Refund", order: Order, proposals: "Sequence[Proposal]") -> dict[str, Any]:
    confirmed_by = next((proposal.ended_by for proposal in proposals if proposal.cause == refund.id), None)
    return {
        "reference": refund.our_reference,
        "amount": Money(refund.amount_minor, order.price.currency).decimal,
        "currency": order.price.currency.code,
        "reason": refund.reason,
        "by": refund.by_whom,
        "confirmed_by": confirmed_by,
        "at": refund.created_at,
    }


def _credit_data(credit: "ProvisionalCredit") -> dict[str, Any]:
    return {
        "id": credit.id,
        "reference": credit.our_reference,
        "order": credit.order,
        "order_state": credit.order_state,
        "state": credit.state,
        "amount": credit.amount.decimal,
        "currency": credit.amount.currency.code,
        "reason": credit.reason,
        "by": credit.by_whom,
        "at": credit.created_at,
    }


def _late_data(report: "EnteredReport") -> dict[str, Any]:
    return {
        "id": report.id,
        "order": report.order,
        "order_state": report.order_state,
        "attempt": report.attempt,
        "provider": report.provider,
        "delivered": report.delivered,
        "amount": report.amount.decimal,
        "currency": report.amount.currency.code,
        "text": report.text,
        "at": report.created_at,
    }


def history_data(history: "OrderHistory", email: str) -> dict[str, Any]:
    """An order with its attempts, ledger entries and notes, for programs; `email` is who bought it."""
    return _data(history.order, email) | {
        "attempts": [
            {
                "number": attempt.number,
                "provider": attempt.provider,
                "reference": attempt.reference,
                "provider_reference": attempt.provider_reference,
                "provider_code": attempt.provider_code,
                "state": attempt.state,
                "asked": attempt.asked,
                "resent": attempt.resent,
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


def print_history(console: "Console", history: "OrderHistory", email: str = "") -> None:
    """An order with its attempts, ledger entries and notes, for people; `email` is who bought it."""
    order = history.order
    console.print(f"[bold]{order.reference}[/bold]  {order.state}", highlight=False)
    console.print(
        f"{order.network} {order.size} for {order.subscriber}, {order.price}, placed {time_text(order.created_at)} {zone_name()}"
    )
    if email:
        console.print(f"bought by {email}", markup=False)
    if order.client_reference:
        console.print(f"the caller's reference: {order.client_reference}", markup=False)
    attempts = [(a.number, a.provider, a.reference, a.state, a.asked, a.text) for a in history.attempts]
    console.print()
    columns = ("", "provider", "reference", "state", "asked", "they said")
    nobody = "Kept no longer." if order.state is OrderState.DELIVERED else "No provider was asked yet."
    table("Attempts", columns, attempts, nobody)(console)
    entries = [
        (entry.kind.name.lower(), entry.debit, entry.credit, entry.amount.decimal, entry.amount.currency.code)
        for entry in history.entries
    ]
    console.print()
    table("Ledger", ("entry", "from", "to", "amount", ""), entries, "Nothing has moved.")(console)
    for at, text in history.notes:
        console.print(f"\n{time_text(at)} {zone_name()}: {text}", markup=False)


@command(app, "resolve")
async def resolve(
    shop: "Shop",
    reference: AnyReference,
    delivered: Annotated[bool, typer.Option("--delivered/--failed", help="What you found out.")],
    note: Annotated[str, typer.Option(help="How you found out; kept with the order.")],
    by: WhoDecided = None,
    email: OfEmail = None,
) -> Output:
    """Decide an order that nobody could settle: post its hold, or give the money back.

    What is above `second_person_above` waits for `order confirm`: nothing moves, and the exit code is 3.
    """
    order, _ = await _find(shop, reference, email)
    try:
        await shop.review.resolve(order.reference, delivered=delivered, text=note, by_whom=by)
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    return await _after(shop, order.reference)


@command(app, "confirm")
async def confirm(shop: "Shop", reference: AnyReference, by: ByAnother, email: OfEmail = None) -> Output:
    """Do what another person has proposed for an order: its decision, refund or provisional credit. Once; again it only says so."""
    order, _ = await _find(shop, reference, email)
    confirmed = await confirmed_output(shop, await shop.approvals.confirm_order(order.id, by))
    order, bought_by = await _find(shop, order.reference, None)
    return Output(_data(order, bought_by) | confirmed.data, f"{confirmed.text} {order.reference} is {order.state}.")


@command(app, "ask")
async def ask(shop: "Shop", reference: AnyReference, email: OfEmail = None) -> Output:
    """Have the provider asked again, now. Of a decision by hand too: what it says against it becomes a late report."""
    order, _ = await _find(shop, reference, email)
    await shop.review.requery_now(order.reference)
    after = await _after(shop, order.reference)
    if order.state.final:
        after.text += " A running server asks the provider once more; what it says against the decision: telvend order late-reports"
    return after


@command(app, "refund")
async def refund(
    shop: "Shop",
    reference: AnyReference,
    reason: Annotated[str, typer.Option(help="Why; kept with the refund.")],
    by: Annotated[str, typer.Option(metavar="WHO", help="Who decided it; kept with the refund.")],
    email: OfEmail = None,
) -> Output:
    """Give the price of a delivered order back to the wallet, once, at the shop's loss. Again it only says so.

    What is above `second_person_above` waits for `order confirm`: nothing moves, and the exit code is 3.
    """
    order, bought_by = await _find(shop, reference, email)
    try:
        done = await shop.corrections.refund(order.id, reason=reason, by_whom=by)
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    data = _data(order, bought_by) | {
        "refund": _refund_data(done.refund, order, await shop.approvals.of_order(order.id)),
        "again": done.again,
        "balance": done.balance.decimal,
    }
    if done.again:
        text = (
            f"{order.reference} was refunded before, {time_text(done.refund.created_at)} {zone_name()} by"
            f" {done.refund.by_whom}: {done.refund.reason}. Nothing has moved now."
        )
    else:
        text = f"{done.amount} of {order.reference} went back to {bought_by}, whose wallet holds {done.balance}."
    return Output(data, text)


@command(app, "credit")
async def credit(
    shop: "Shop",
    reference: AnyReference,
    reason: Annotated[str, typer.Option(help="Why; kept with the credit.")],
    by: Annotated[str, typer.Option(metavar="WHO", help="Who decided it; kept with the credit.")],
    email: OfEmail = None,
) -> Output:
    """Lend the price of an order whose outcome is unknown to its wallet, once. The order stays as it is.

    When it fails the credit is taken back, when it was delivered the shop bears it. Given again it only says so.
    What is above `second_person_above` waits for `order confirm`: nothing moves, and the exit code is 3.
    """
    order, bought_by = await _find(shop, reference, email)
    try:
        done = await shop.provisional.give(order.id, reason=reason, by_whom=by)
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    data = {"credit": _credit_data(done.credit), "again": done.again, "balance": done.balance.decimal}
    if done.again:
        text = (
            f"{order.reference} had a provisional credit before, {time_text(done.credit.created_at)} {zone_name()} by"
            f" {done.credit.by_whom} ({done.credit.reason}). It is {done.credit.state.replace('_', ' ')}. Nothing has moved now."
        )
    else:
        text = f"{done.credit.amount} for {order.reference} is lent to {bought_by}, whose wallet holds {done.balance}."
    return Output(data, text)


_CREDIT_COLUMNS: Final = (
    "id", "reference", "order", "order_state", "state", "amount", "currency", "reason", "by", "at",
)  # fmt: skip


@command(app, "credits")
async def list_credits(
    shop: "Shop",
    as_json: bool,
    state: Annotated[list[CreditState] | None, typer.Option(help="Only in this state; may be repeated.")] = None,
    limit: LimitOrAll = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this credit's number, downwards.")
    ] = None,
    as_csv: AsCsv = False,
) -> Output | None:
    """List provisional credits, newest first: what is lent to wallets for orders whose outcome is unknown."""

    async def fetch(before: int | None, count: int) -> list["ProvisionalCredit"]:
        return await shop.provisional.listed(state, before=before, limit=count)

    if as_csv and not as_json:
        parts = pages(limit, before, _id_of, fetch)
        await print_csv(_CREDIT_COLUMNS, ([_credit_data(one) for one in part] async for part in parts))
        return None
    count = 50 if limit is None else limit
    found = await fetch(before, count)
    more = await more_after(found, count, _id_of, fetch)
    data = {"credits": [_credit_data(one) for one in found], "next": more.following, **more.left_off}
    rows = [
        (
            one.id, one.our_reference, time_text(one.created_at), one.order, one.order_state, one.amount.decimal,
            one.amount.currency.code, one.state.replace("_", " "), one.by_whom,
        )
        for one in found
    ]  # fmt: skip
    columns = ("number", "credit", f"given ({zone_name()})", "order", "which is", "amount", "", "state", "by")
    return Output(data, show=page(columns, rows, "There are no such provisional credits.", more))


_LATE_COLUMNS: Final = (
    "id", "order", "order_state", "attempt", "provider", "delivered", "amount", "currency", "text", "at",
)  # fmt: skip


@command(app, "late-reports")
async def list_late_reports(
    shop: "Shop",
    as_json: bool,
    limit: LimitOrAll = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**62, help="Go on from this report's number, downwards.")
    ] = None,
    as_csv: AsCsv = False,
) -> Output | None:
    """List what providers said of attempts after a person had decided otherwise, newest first."""
    fetch = shop.provisional.late_reports
    if as_csv and not as_json:
        parts = pages(limit, before, _id_of, fetch)
        await print_csv(_LATE_COLUMNS, ([_late_data(one) for one in part] async for part in parts))
        return None
    count = 50 if limit is None else limit
    found = await fetch(before, count)
    more = await more_after(found, count, _id_of, fetch)
    data = {"reports": [_late_data(one) for one in found], "next": more.following, **more.left_off}
    rows = [
        (
            one.id, time_text(one.created_at), one.order, one.order_state, one.provider,
            "delivered" if one.delivered else "not delivered", one.amount.decimal, one.amount.currency.code,
        )
        for one in found
    ]  # fmt: skip
    columns = ("number", f"said ({zone_name()})", "order", "which is", "provider", "says", "written off", "")
    return Output(data, show=page(columns, rows, "No provider has said so.", more))


def _id_of(one: "ProvisionalCredit | EnteredReport") -> int:
    return one.id


async def _after(shop: "Shop", reference: str) -> Output:
    order, bought_by = await _find(shop, reference, None)
    return Output(_data(order, bought_by), f"{order.reference} is {order.state}.")
