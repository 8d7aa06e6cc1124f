"""`telvend wallet`: resellers' money."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from telvend.approvals.model import Proposal, WaitsForSecondPerson
from telvend.cli.approvals import waiting_output
from telvend.cli.arguments import parsed_amount, parsed_currency
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import AsCsv, more_after, page, pages, print_csv
from telvend.cli.who import ByWhereMoneyMoves, WhoDecided, user_of_machine
from telvend.errors import NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger.model import TransferKind
from telvend.wallets.model import StatementLine

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

Email = Annotated[str, typer.Argument(help="The reseller.")]
CurrencyCode = Annotated[str, typer.Argument(metavar="CURRENCY", help="GHS, NGN, …")]
InMode = Annotated[Mode, typer.Option(help="Real money or play money.")]

_WORDS = {
    TransferKind.HOLD: "order placed",
    TransferKind.RELEASE: "order failed, money back",
    TransferKind.CREDIT: "money in",
    TransferKind.VOID: "play money taken out",
    TransferKind.DEBIT: "taken back",
    TransferKind.REFUND: "order refunded",
    TransferKind.PROVISIONAL_CREDIT: "provisional credit",
    TransferKind.REVERSAL: "provisional credit taken back",
}


@command(app, "credit")
async def credit(
    shop: "Shop",
    email: Email,
    amount: Annotated[str, typer.Argument(help="In whole units, such as 50 or 4.50.")],
    currency: CurrencyCode,
    reference: Annotated[str, typer.Option(help="What names this credit; the same again credits nothing.")],
    by: WhoDecided = None,
    mode: InMode = Mode.LIVE,
) -> Output:
    """Put money into a wallet, once for each reference.

    What is above `second_person_above` waits for a second person: nothing moves, and the exit code is 3.
    """
    reseller = await shop.resellers.find(email)
    try:
        balance = await shop.credits.add(reseller.id, _amount(amount, currency), mode, reference, by_whom=by)
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    return _holds(reseller.email, balance, mode)


@command(app, "debit")
async def debit(
    shop: "Shop",
    email: Email,
    amount: Annotated[str, typer.Argument(help="In whole units, such as 50 or 4.50.")],
    currency: CurrencyCode,
    reference: Annotated[
        str, typer.Option(help="What names this debit; the same again debits nothing. May be that of the credit.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept with the debit.")],
    by: ByWhereMoneyMoves = None,
    mode: InMode = Mode.LIVE,
) -> Output:
    """Take back what was credited by mistake, once for each reference, and never more than the wallet holds.

    What is above `second_person_above` waits for a second person: nothing moves, and the exit code is 3.
    """
    reseller = await shop.resellers.find(email)
    try:
        balance = await shop.corrections.debit(
            reseller.id,
            _amount(amount, currency),
            mode,
            reference,
            reason=reason,
            by_whom=by or user_of_machine(),
            stated=bool(by),
        )
    except WaitsForSecondPerson as waits:
        return await waiting_output(shop, waits.proposal)
    return _holds(reseller.email, balance, mode)


def _amount(text: str, currency: str) -> Money:
    return parsed_amount(text, parsed_currency(currency))


def _holds(email: str, balance: Money, mode: Mode) -> Output:
    return Output(
        {"balance": balance.decimal, "currency": balance.currency.code, "mode": mode},
        f"The wallet of {email} holds {balance}.",
    )


@command(app, "show")
async def show(shop: "Shop", email: Email) -> Output:
    """Show what a reseller can spend."""
    reseller = await shop.resellers.find(email)
    wallets = await shop.wallets.of_reseller(reseller.id)
    rows = [(w.mode, w.balance.currency, w.balance.text, w.sequence) for w in wallets]
    return Output(
        {
            "wallets": [
                {
                    "id": w.wallet_id,
                    "mode": w.mode,
                    "currency": w.balance.currency.code,
                    "balance": w.balance.decimal,
                    "transfers": w.sequence,
                }
                for w in wallets
            ]
        },
        show=table("", ("mode", "currency", "balance", "transfers"), rows, "There are no wallets."),
    )


@command(app, "statement")
async def statement(
    shop: "Shop",
    as_json: bool,
    email: Email,
    currency: CurrencyCode,
    mode: InMode = Mode.LIVE,
    limit: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="How many transfers; 50 without, and all with --csv.")
    ] = None,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this transfer, downwards.")] = None,
    as_csv: AsCsv = False,
) -> Output | None:
    """Every movement on a wallet, newest first: holds and releases apart."""
    reseller = await shop.resellers.find(email)
    unit = parsed_currency(currency)

    async def fetch(before: int | None, count: int) -> list[StatementLine]:
        return await shop.wallets.statement(reseller.id, unit, mode, before=before, limit=count)

    async def told(lines: Sequence[StatementLine]) -> list[dict[str, Any]]:
        causes = list({line.cause for line in lines})
        references = await shop.transactions.references(causes)
        corrections = await shop.corrections.notes(causes) | await shop.provisional.notes(causes)
        givers = await shop.credits.givers(causes)
        approved = await shop.approvals.by_cause(causes)
        return [
            _data(line, references, corrections.get(line.cause), givers.get(line.cause), _approved(line, approved))
            for line in lines
        ]

    columns = ("sequence", "at", "what", "reference", "change", "balance", "about", "reason", "by", "confirmed_by")
    if as_csv and not as_json:
        parts = pages(limit, before, _sequence, fetch)
        await print_csv(columns, (await told(part) async for part in parts))
        return None
    count = 50 if limit is None else limit
    lines = await fetch(before, count)
    more = await more_after(lines, count, _sequence, fetch)
    data = await told(lines)
    rows = [
        (d["sequence"], time_text(d["at"]), d["what"], d["reference"], d["change"], d["balance"], _note(d))
        for d in data
    ]
    heads = ("sequence", f"at ({zone_name()})", "what", "reference", "change", "balance", "")
    return Output(
        {"statement": data, "next": more.following, **more.left_off},
        show=page(heads, rows, "Nothing has moved yet.", more, f"{reseller.email}, {currency.upper()} ({mode})"),
    )


def _sequence(line: StatementLine) -> int:
    return line.sequence


def _approved(line: StatementLine, approved: dict[int, Proposal]) -> Proposal | None:
    """Return the proposal whose confirmation made a line. The hold of a decided order has the same cause, but was there before."""
    return None if line.kind is TransferKind.HOLD else approved.get(line.cause)


def _data(
    line: StatementLine,
    references: dict[int, str],
    correction: Any,
    giver: tuple[str, str] | None,
    proposal: Proposal | None,
) -> dict[str, Any]:
    """`about` is the operator's reference of a debit or of a credit by somebody named, or the order of a refund."""
    about, by = giver or ("", "")
    return {
        "sequence": line.sequence,
        "at": line.created_at,
        "what": _WORDS[line.kind],
        "reference": references.get(line.cause, ""),
        "change": line.change.decimal,
        "balance": line.balance.decimal,
        "about": correction["reference"] if correction else about,
        "reason": correction["reason"] if correction else "",
        "by": correction["by_whom"] if correction else by or (proposal.proposed_by if proposal else ""),
        "confirmed_by": (proposal.ended_by or "") if proposal else "",
    }


def _note(data: dict[str, Any]) -> str:
    text = ": ".join(filter(None, (data["about"], data["reason"])))
    if not data["by"]:
        return text
    names = f"by {data['by']}, confirmed by {data['confirmed_by']}" if data["confirmed_by"] else f"by {data['by']}"
    return f"{text} ({names})".strip()


@command(app, "alert")
async def alert(
    shop: "Shop",
    email: Email,
    currency: CurrencyCode,
    below: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole units, such as 50 or 4.50; 0 ends it.")],
    mode: InMode = Mode.LIVE,
) -> Output:
    """Send `wallet.low` to the reseller's endpoints when a wallet falls below an amount; at once where it is below already.

    One message for each dip: the next one follows money that has come in, or an hour.
    """
    reseller = await shop.resellers.find(email)
    threshold = _amount(below, currency)
    wallet_id = await _wallet_of(shop, reseller.id, threshold, mode)
    data = {"email": reseller.email, "currency": threshold.currency.code, "mode": mode}
    if not threshold.minor:
        await shop.webhooks.remove_threshold(wallet_id)
        return Output(data | {"below": None}, f"The {mode} wallet of {reseller.email} is not watched any more.")
    await shop.webhooks.set_threshold(wallet_id, threshold)
    text = f"{reseller.email} is told when the {mode} wallet falls below {threshold}."
    return Output(data | {"below": threshold.decimal}, text)


async def _wallet_of(shop: "Shop", reseller_id: UUID, amount: Money, mode: Mode) -> int:
    for wallet in await shop.wallets.of_reseller(reseller_id):
        if wallet.balance.currency == amount.currency and wallet.mode is mode:
            return wallet.wallet_id
    raise NotFound(f"A {mode} wallet in {amount.currency}")


@command(app, "alerts")
async def alerts(shop: "Shop", email: Email) -> Output:
    """List below which amounts a reseller is told of its wallets."""
    reseller = await shop.resellers.find(email)
    found = await shop.webhooks.thresholds(reseller.id)
    rows = [
        (
            one.mode,
            one.balance.currency,
            one.threshold.text,
            one.balance.text,
            time_text(one.told_at) if one.told_at else "",
        )
        for one in found
    ]
    return Output(
        {
            "alerts": [
                {
                    "mode": one.mode,
                    "currency": one.balance.currency.code,
                    "below": one.threshold.decimal,
                    "balance": one.balance.decimal,
                    "told_at": one.told_at,
                }
                for one in found
            ]
        },
        show=table("", ("mode", "currency", "below", "balance", f"told ({zone_name()})"), rows, "None is watched."),
    )
