"""The story of an order in words: what happened when, what is to come, and what it means for the customer. No database.

    story = story_of(StoryFacts(order, attempts, entries, due_at), reader=Reader.RESELLER)
    story.meaning          "Charged, not delivered yet. Do not refund your customer: it may still arrive."
    story.lines            held, sent, asked again, next question at …

A reseller and the operator read the same story. The operator's has more lines and more in each: which provider, under which
reference, what it said, and how the price was divided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from telvend.kit.money import Money
from telvend.ledger.model import Entry, TransferKind
from telvend.orders.model import Attempt, AttemptState, Order, OrderState


class Reader(StrEnum):
    """Who reads a story."""

    RESELLER = "reseller"
    OPERATOR = "operator"


class Outcome(StrEnum):
    """How an order stands for its customer, in one word."""

    ON_ITS_WAY = "on its way"
    """Charged, and not delivered as far as anybody knows."""
    DELIVERED = "delivered"
    NOT_DELIVERED = "not delivered"
    """Definitely not, and nothing was taken."""


@dataclass(frozen=True, slots=True)
class LaterMoney:
    """Money that moved because of an order under a number of its own: a refund, a provisional credit, or the reversal of one.

    `note` is the operator's: the reason and the name.
    """

    kind: TransferKind
    at: datetime
    amount: Money
    note: str = ""


@dataclass(frozen=True, slots=True)
class StoryFacts:
    """Everything that is known of an order. `due_at`: when it is looked at next; None where nothing is planned.

    `notes` are what people have written about it, `later` is money that moved for it under other numbers.
    """

    order: Order
    attempts: Sequence[Attempt] = ()
    entries: Sequence[Entry] = ()
    due_at: datetime | None = None
    notes: Sequence[tuple[datetime, str]] = ()
    later: Sequence[LaterMoney] = ()


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One line of a time-line. `planned`: it is to come. `detail` is empty for a reseller."""

    at: datetime
    text: str
    amount: Money | None = None
    detail: str = ""
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """The time-line, oldest first, and what it means. `meaning` says whether the customer may be refunded."""

    outcome: Outcome
    meaning: str
    lines: tuple[StoryLine, ...]


_DO_NOT_REFUND: Final = "Charged, not delivered yet. Do not refund your customer: it may still arrive."


def story_of(facts: StoryFacts, reader: Reader = Reader.RESELLER, amount_text: Callable[[Money], str] = str) -> Story:
    """Tell the story of an order as `reader` may see it. `amount_text` writes the amounts that stand in sentences."""
    lines = [
        *_money_lines(facts, reader),
        *(line for attempt in facts.attempts for line in _attempt_lines(facts, attempt, reader)),
        *_review_lines(facts),
    ]
    if reader is Reader.OPERATOR:
        lines += [StoryLine(at, "Note", detail=text) for at, text in facts.notes]
    # Python's sort is stable: what happened in one moment stays in the order of cause and effect.
    lines.sort(key=lambda line: line.at)
    planned = _planned(facts)
    return Story(_outcome(facts.order), _meaning(facts, amount_text), (*lines, *([planned] if planned else ())))


def _outcome(order: Order) -> Outcome:
    if not order.state.final:
        return Outcome.ON_ITS_WAY
    return Outcome.DELIVERED if order.state is OrderState.DELIVERED else Outcome.NOT_DELIVERED


def _meaning(facts: StoryFacts, amount_text: Callable[[Money], str]) -> str:
    order = facts.order
    price = amount_text(order.price)
    refund = next((money for money in facts.later if money.kind is TransferKind.REFUND), None)
    match order.state:
        case OrderState.DELIVERED if refund is not None:
            return f"Delivered. The shop has given {amount_text(refund.amount)} back to your wallet all the same."
        case OrderState.DELIVERED:
            return "Delivered. Your customer has it."
        case OrderState.FAILED:
            return f"Not delivered. {price} is back in your wallet: you can refund your customer, or buy it again."
        case OrderState.REVIEW:
            meaning = f"Nobody could say yet whether it was delivered; a person is finding out. {_DO_NOT_REFUND}"
        case OrderState.ACCEPTED:
            meaning = f"Paid, and about to be sent. {_DO_NOT_REFUND}"
        case _:
            meaning = f"{_standing(facts)} {_DO_NOT_REFUND}"
    if any(money.kind is TransferKind.PROVISIONAL_CREDIT for money in facts.later):
        meaning += f" Because it takes so long, {price} has been lent to your wallet."
    return meaning


def _standing(facts: StoryFacts) -> str:
    """What is known of an order that is under way."""
    last = facts.attempts[-1] if facts.attempts else None
    if last is None or last.state is AttemptState.STARTED:
        return "It is being sent."
    if last.state is AttemptState.ACCEPTED:
        return "The network has accepted it."
    if last.state is AttemptState.UNKNOWN:
        return "The network has not said whether it was delivered; it is asked again."
    return "It could not be sent so far, and is tried again."


_MONEY: Final = {
    TransferKind.HOLD: "Paid: held until it is delivered",
    TransferKind.RELEASE: "Given back to the wallet",
    TransferKind.REFUND: "Refunded to the wallet by the shop",
    TransferKind.PROVISIONAL_CREDIT: "Lent to the wallet while the outcome is unknown",
    TransferKind.REVERSAL: "The loan was taken back",
}
"""What moves on the wallet, for its owner."""

_HOUSE: Final = {
    TransferKind.COST: "Cost",
    TransferKind.MARGIN: "Margin",
    TransferKind.LOSS: "Loss: sold below cost",
    TransferKind.CREDIT_WRITE_OFF: "The loan was written off",
    TransferKind.LATE_COST: "Cost that the provider reported late",
    TransferKind.LATE_RETURN: "Cost that the provider does not take after all",
}
"""What moves between accounts of the house, for the operator."""


def _money_lines(facts: StoryFacts, reader: Reader) -> list[StoryLine]:
    lines = []
    for entry in facts.entries:
        detail = f"{entry.debit} to {entry.credit}" if reader is Reader.OPERATOR else ""
        if entry.kind in _MONEY:
            lines.append(StoryLine(entry.created_at, _MONEY[entry.kind], entry.amount, detail))
        elif reader is Reader.OPERATOR:
            text = _HOUSE.get(entry.kind, entry.kind.name.replace("_", " ").capitalize())
            lines.append(StoryLine(entry.created_at, text, entry.amount, detail))
    for money in facts.later:
        detail = money.note if reader is Reader.OPERATOR else ""
        if money.kind in _MONEY:
            lines.append(StoryLine(money.at, _MONEY[money.kind], money.amount, detail))
        elif reader is Reader.OPERATOR and money.kind in _HOUSE:
            lines.append(StoryLine(money.at, _HOUSE[money.kind], money.amount, detail))
    return lines


_ENDS: Final = {
    AttemptState.DELIVERED: "Delivered",
    AttemptState.REFUSED: "Refused by the network: not delivered",
    AttemptState.NOT_SENT: "The network was not reached: not delivered",
}


def _attempt_lines(facts: StoryFacts, attempt: Attempt, reader: Reader) -> list[StoryLine]:
    for_operator = reader is Reader.OPERATOR
    sent = f"{attempt.provider}, {attempt.reference}" if for_operator else ""
    if for_operator and attempt.provider_code:
        sent += f", as {attempt.provider_code}"
    again = " again" if attempt.number > 1 else ""
    lines = [StoryLine(attempt.started_at, f"Sent{again} to {facts.order.network}", detail=sent)]
    said = attempt.text if for_operator else ""
    if for_operator and attempt.provider_reference:
        said = f"{said} ({attempt.provider_reference})" if said else attempt.provider_reference
    ended_at = attempt.finished_at
    # Of the questions between, only the last one's time is kept.
    looked_at = max(attempt.started_at, ended_at or facts.order.updated_at)
    if attempt.resent:
        lines.append(StoryLine(looked_at, f"Sent once more under the same reference, {_times(attempt.resent)}"))
    if attempt.asked:
        lines.append(StoryLine(looked_at, f"Asked {facts.order.network} what became of it, {_times(attempt.asked)}"))
    if attempt.state in _ENDS:
        lines.append(StoryLine(ended_at or looked_at, _ENDS[attempt.state], detail=said))
    elif attempt.state is AttemptState.ACCEPTED:
        lines.append(StoryLine(looked_at, f"{facts.order.network} has accepted it", detail=said))
    elif attempt.state is AttemptState.UNKNOWN:
        lines.append(StoryLine(looked_at, "No clear answer yet", detail=said))
    return lines


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _review_lines(facts: StoryFacts) -> list[StoryLine]:
    if facts.order.state is not OrderState.REVIEW:
        return []
    return [StoryLine(facts.order.updated_at, "Handed to a person")]


def _planned(facts: StoryFacts) -> StoryLine | None:
    """What happens next, where a time is known. The due time of an order that is in hand is a lease, and says nothing."""
    if facts.due_at is None or facts.order.state is not OrderState.WAITING:
        return None
    asks = any(attempt.state.open for attempt in facts.attempts)
    text = f"Next question to {facts.order.network}" if asks else "Next try"
    return StoryLine(facts.due_at, text, planned=True)
