"""Everything that has moved on the visitor's wallets: one table with filters, a CSV of it, and each transaction with its story."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from telvend.catalog.model import CURRENCY_BY_COUNTRY, CatalogueSnapshot
from telvend.errors import InvalidInput, NotFound
from telvend.kit.money import Currency, Money
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.spreadsheet import csv_cell
from telvend.ledger.model import TransferKind
from telvend.orders.model import Order
from telvend.orders.story import LaterMoney, Outcome, Story, story_of
from telvend.people.model import Visitor
from telvend.services import Services
from telvend.wallets.model import Listed, ListFilter, Transaction, TransactionKind, TransactionStatus
from telvend.web.portal.spending import (
    KIND_NAMES,
    every_wallet,
    network_name,
    order_of,
    shown_recipient,
    wallets_of,
    what_of,
)
from telvend.web.shell import Form, Shell, signed_in
from telvend.web.shell.formats import money_text, zone_of

PAGE: Final = 25
_EXPORTED_AT_ONCE: Final = 500
_EXPORTS: Final = 2
"""How many exports a process writes at a time; others wait."""
_OLDER: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}(?:-[0-9]{1,18}\.[0-9]{1,18}){0,7}", re.ASCII)
_LOOK_EVERY_S: Final = 3
_FIELDS: Final = ("from", "to", "type", "status", "search")

TYPES: Final[dict[str, tuple[str, frozenset[TransactionKind], tuple[str, ...] | None]]] = {
    "data": ("Data", frozenset({TransactionKind.ORDER}), ("data",)),
    "airtime": ("Airtime", frozenset({TransactionKind.ORDER, TransactionKind.REFILL}), ("airtime",)),
    "topup": ("Top-ups", frozenset({TransactionKind.FUNDING}), None),
    "identity": ("Identity checks", frozenset({TransactionKind.VERIFICATION}), None),
    "refund": ("Refunds", frozenset({TransactionKind.REFUND, TransactionKind.PROVISIONAL_CREDIT}), None),
    "credit": (
        "Credits and corrections",
        frozenset({TransactionKind.CREDIT, TransactionKind.DEBIT, TransactionKind.VOID, TransactionKind.REVERSAL}),
        None,
    ),
}
"""What the filter "Type" offers: its words, and what they mean."""

_COUNTRY_BY_CURRENCY: Final = {currency.code: country for country, currency in CURRENCY_BY_COUNTRY.items()}


def routes(shell: Shell, services: Services) -> list[BaseRoute]:
    """The pages of transactions."""
    pages = _Transactions(shell, services)
    return [
        shell.page("/transactions", get=signed_in(pages.table)),
        shell.page("/transactions.csv", get=signed_in(pages.export)),
        # A credit may be called anything, slashes included.
        shell.page("/transactions/{reference:path}", get=signed_in(pages.one)),
    ]


class _Transactions:
    def __init__(self, shell: Shell, services: Services) -> None:
        self._shell = shell
        self._services = services
        self._exports = asyncio.Semaphore(_EXPORTS)

    # The table ------------------------------------------------------------------------------------------------------------

    async def table(self, request: Request, visitor: Visitor) -> Response:
        form = Form({name: [request.query_params[name]] for name in _FIELDS if name in request.query_params})
        wallets = {w.wallet_id: w.balance.currency for w in await wallets_of(self._services, visitor)}
        wanted, reference = self._wanted(form, visitor)
        older = _older_in(request.query_params.get("older", ""))
        if form.errors:
            found = Listed([], None)
        elif reference:
            found = await self._named(wallets, visitor, reference)
        else:
            found = await self._services.transactions.listed(wallets, wanted, older=older, limit=PAGE)
        asked = {name: form.typed(name) for name in _FIELDS if form.typed(name)}
        query = urlencode(asked)
        return self._shell.render(
            request,
            "portal/transactions.html",
            status=422 if form.errors else 200,
            form=form,
            found=found.transactions,
            looked_back_to=found.looked_back_to,
            older=None
            if found.older is None
            else f"/transactions?{urlencode(asked | {'older': _older_text(found.older)})}",
            newest=f"/transactions?{query}" if older is not None and query else ("/transactions" if older else None),
            export=f"/transactions.csv?{query}" if query else "/transactions.csv",
            asked=bool(asked),
            types=[("", "All types"), *((name, words) for name, (words, _, _) in TYPES.items())],
            statuses=[("", "Any status"), *((status.value, status.value.capitalize()) for status in TransactionStatus)],
            number=_recipient_of,
            title=partial(title_of, self._services.catalogue.snapshot),
            path=path_of,
        )

    def _wanted(self, form: Form, visitor: Visitor) -> tuple[ListFilter, str]:
        """What the form asks for; a reference where the search is one. What is wrong becomes an error of the form."""
        kinds: frozenset[TransactionKind] | None = None
        services: tuple[str, ...] | None = None
        if chosen := form.text("type"):
            if chosen in TYPES:
                _, kinds, services = TYPES[chosen]
            else:
                form.error("type", "Choose a type of the list.")
        status = None
        if word := form.text("status"):
            if word in set(TransactionStatus):
                status = TransactionStatus(word)
            else:
                form.error("status", "Choose a status of the list.")
        start, end = _day(form, "from", visitor, 0), _day(form, "to", visitor, 1)
        search = form.text("search")
        recipient = None
        if search:
            try:
                recipient = parse_mobile_of_any_market(search)
            except NotAMobileNumber:
                # A search for a reference leaves every other filter aside.
                return ListFilter(), search
            sold = frozenset({TransactionKind.ORDER, TransactionKind.REFILL})
            kinds = sold if kinds is None else kinds & sold
        return ListFilter(kinds, services, status, recipient, start, end), ""

    async def _named(self, wallets: Mapping[int, Currency], visitor: Visitor, reference: str) -> Listed:
        """The transaction with this reference, ours or the caller's own."""
        found = await self._services.transactions.find_among(wallets, reference)
        if found is None:
            try:
                order = await self._services.order_records.named(reference, visitor.reseller_id)
            except (NotFound, InvalidInput):
                return Listed([], None)
            found = await self._services.transactions.find_among(wallets, order.reference)
        return Listed([] if found is None else [found], None)

    # The export -----------------------------------------------------------------------------------------------------------

    async def export(self, request: Request, visitor: Visitor) -> Response:
        form = Form({name: [request.query_params[name]] for name in _FIELDS if name in request.query_params})
        wallets = {w.wallet_id: w.balance.currency for w in await wallets_of(self._services, visitor)}
        wanted, reference = self._wanted(form, visitor)
        if form.errors:
            return self._shell.go(request, f"/transactions?{urlencode({n: form.typed(n) for n in _FIELDS})}")
        return StreamingResponse(
            self._rows(wallets, wanted, visitor, reference),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="transactions.csv"', "cache-control": "no-store"},
        )

    async def _rows(
        self, wallets: Mapping[int, Currency], wanted: ListFilter, visitor: Visitor, reference: str
    ) -> AsyncIterator[bytes]:
        # Spreadsheet programs read UTF-8 where this mark is.
        yield b"\xef\xbb\xbf" + _csv([EXPORT_COLUMNS])
        async with self._exports:
            if reference:
                found = await self._named(wallets, visitor, reference)
                yield _csv([_exported(one, visitor.person.zone) for one in found.transactions])
                return
            older: Mapping[int, int] | None = None
            while True:
                part = await self._services.transactions.listed(wallets, wanted, older=older, limit=_EXPORTED_AT_ONCE)
                yield _csv([_exported(one, visitor.person.zone) for one in part.transactions])
                if part.older is None:
                    return
                older = part.older

    # One of them ------------------------------------------------------------------------------------------------------------

    async def one(self, request: Request, visitor: Visitor) -> Response:
        reference = request.path_params["reference"]
        wallets = await every_wallet(self._services, visitor)
        found = await self._services.transactions.find_among(wallets, reference)
        if found is None:
            # The caller's own reference of an order.
            try:
                order = await order_of(self._services, visitor, reference)
            except InvalidInput as error:
                raise NotFound("Transaction") from error
            return self._shell.go(request, path_of(order.reference))
        if found.kind is TransactionKind.ORDER:
            return await self._order(request, visitor, found)
        waits = found.status is TransactionStatus.PENDING
        related = found.facts.get("order_reference")
        return self._shell.render(
            request,
            "portal/transaction.html",
            fragment="live",
            refresh_s=_LOOK_EVERY_S if waits else None,
            transaction=found,
            kind=KIND_NAMES[found.kind],
            facts=_facts(found),
            waits=waits,
            related=path_of(related) if related else None,
            pay=f"/topup/{found.reference}" if waits and found.kind is TransactionKind.FUNDING else None,
        )

    async def _order(self, request: Request, visitor: Visitor, found: Transaction) -> Response:
        order = await order_of(self._services, visitor, found.reference)
        story = await self._story(order)
        snapshot = self._services.catalogue.snapshot
        waits = story.outcome is Outcome.ON_ITS_WAY
        standing = found.status
        if standing is TransactionStatus.PENDING and not waits:
            # It was settled between the two looks, and the page does not look again.
            delivered = story.outcome is Outcome.DELIVERED
            standing = TransactionStatus.COMPLETED if delivered else TransactionStatus.FAILED
        return self._shell.render(
            request,
            "portal/sale.html",
            fragment="live",
            refresh_s=_LOOK_EVERY_S if waits else None,
            order=order,
            story=story,
            standing=standing,
            balance=found.after,
            what=what_of(snapshot, order),
            network=network_name(snapshot, order.country, order.network),
            number=shown_recipient(order.subscriber),
            waits=waits,
            again=self._again(order),
            receipt=f"/receipt/{order.reference}" if story.outcome is Outcome.DELIVERED else None,
            keep=f"/numbers?{urlencode({'phone': order.subscriber})}" if order.kind in ("data", "airtime") else None,
        )

    async def _story(self, order: Order) -> Story:
        """The story as its owner reads it, with what moved for it under other numbers."""
        history = await self._services.order_records.history(order.reference)
        later: list[LaterMoney] = []
        refund = await self._services.corrections.refund_of(order.id)
        currency = order.price.currency
        if refund is not None:
            later.append(LaterMoney(TransferKind.REFUND, refund.created_at, Money(refund.amount_minor, currency)))
        credit = await self._services.provisional.of_order(order.id)
        if credit is not None:
            later.append(LaterMoney(TransferKind.PROVISIONAL_CREDIT, credit.created_at, credit.amount))
        return story_of(history.facts(later), amount_text=money_text)

    def _again(self, order: Order) -> str | None:
        """Where the same is bought again; None for what is not sold on pages."""
        network = self._services.catalogue.snapshot.network(order.country, order.network)
        if order.kind not in ("data", "airtime") or network is None:
            return None
        query = {"phone": order.subscriber, "network": str(network.id), "kind": order.kind}
        query |= {"plan": order.product} if order.kind == "data" else {"amount": order.face.text}
        return f"/buy?{urlencode(query)}"


def title_of(snapshot: CatalogueSnapshot, found: Transaction) -> str:
    """What a line of a table is called: "MTN 1GB"."""
    if found.kind is not TransactionKind.ORDER or found.service not in ("data", "airtime"):
        return found.description
    country = _COUNTRY_BY_CURRENCY[found.amount.currency.code]
    name = network_name(snapshot, country, found.facts["network"])
    return f"{name} {found.facts['size'] if found.service == 'data' else 'airtime'}"


def path_of(reference: str) -> str:
    """The page of the transaction with this reference."""
    return f"/transactions/{quote(reference, safe='')}"


def _recipient_of(transaction: Transaction) -> str:
    return shown_recipient(str(transaction.facts.get("subscriber", "")))


def _facts(found: Transaction) -> list[tuple[str, Any]]:
    """What is particular to a transaction that is no order, for people."""
    names = {
        "payment_method": "Payment method",
        "bank_name": "Bank",
        "payment_reference": "Payment reference",
        "card_type": "Kind of check",
        "order_reference": "For order",
        "funding_reference": "For top-up",
        "subscriber": "Number",
    }
    words = {"card": "Card", "bank_transfer": "Bank transfer", "ussd": "USSD"}
    shown = []
    for name, label in names.items():
        value = found.facts.get(name)
        if value:
            text = shown_recipient(str(value)) if name == "subscriber" else words.get(str(value), str(value))
            shown.append((label, text))
    return shown


def _day(form: Form, name: str, visitor: Visitor, days_later: int) -> datetime | None:
    """The midnight with which a day begins in the person's zone, `days_later` days after."""
    text = form.text(name)
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days_later)
    except (ValueError, OverflowError):
        form.error(name, "Enter a day such as 2026-11-28.")
        return None
    if not 2000 <= day.year <= 2200:
        form.error(name, "Enter a day between 2000 and 2200.")
        return None
    return datetime.combine(day, time(), zone_of(visitor.person.zone))


def _older_in(text: str) -> dict[int, int] | None:
    """Where a part begins, from its address; None for the first. It is only used for the visitor's own wallets."""
    if not _OLDER.fullmatch(text):
        return None
    return {int(wallet): int(position) for wallet, _, position in (one.partition(".") for one in text.split("-"))}


def _older_text(older: Mapping[int, int]) -> str:
    return "-".join(f"{wallet}.{position}" for wallet, position in older.items())


EXPORT_COLUMNS: Final = (
    "time", "reference", "type", "status", "currency", "amount", "balance_after", "number", "description",
)  # fmt: skip


def _exported(found: Transaction, zone: str) -> list[str]:
    sign = "" if found.credit else "-"
    return [
        found.created_at.astimezone(zone_of(zone)).strftime("%Y-%m-%d %H:%M:%S"),
        found.reference,
        KIND_NAMES[found.kind],
        found.status.value,
        found.amount.currency.code,
        f"{sign}{found.amount.text}",
        found.after.text,
        str(found.facts.get("subscriber", "")),
        found.description,
    ]


_AMOUNT: Final = EXPORT_COLUMNS.index("amount")


def _csv(rows: list[Any]) -> bytes:
    out = io.StringIO()
    # A negative amount is a number, and no formula.
    csv.writer(out, lineterminator="\r\n").writerows(
        [cell if at == _AMOUNT else csv_cell(cell) for at, cell in enumerate(row)] for row in rows
    )
    return out.getvalue().encode()
