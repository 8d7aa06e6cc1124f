"""The figures that each report shows of a row, on the command line and in the console."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from telvend.ledger.model import TransferKind

Told = Mapping[str, Callable[[Any], Any]]
"""The columns of a report: what each says of a row. Whole minor units come as `Minor`."""


class Minor(int):
    """Minor units of the row's currency."""


SOLD: Final[Told] = {
    "sold": lambda s: s.sold,
    "amount": lambda s: Minor(s.sold_minor),
    "failed": lambda s: s.failed,
    "refunds": lambda s: s.refunds,
    "refunded": lambda s: Minor(s.refunded_minor),
}
EARNED: Final[Told] = {
    "sold": lambda s: s.sold,
    "amount": lambda s: Minor(s.sold_minor),
    "cost": lambda s: Minor(s.cost_minor),
    "refunded": lambda s: Minor(s.refunded_minor),
    "written_off": lambda s: Minor(s.written_off_minor),
    "margin": lambda s: Minor(s.margin_minor),
}
OUTCOMES: Final[Told] = {
    "delivered": lambda s: s.sold,
    "failed": lambda s: s.failed,
    "delivered_percent": lambda s: percent(s.sold, s.sold + s.failed),
    "amount": lambda s: Minor(s.sold_minor),
    "released": lambda s: Minor(s.released_minor),
}
FLOATS: Final[Told] = {
    "opening": lambda h: Minor(h.opening_minor),
    "cost": lambda h: Minor(
        h.of(TransferKind.COST, TransferKind.LOSS, TransferKind.LATE_COST, TransferKind.LATE_RETURN)
    ),
    "closing": lambda h: Minor(h.closing_minor),
}
WALLETS: Final[Told] = {
    "opening": lambda h: Minor(h.opening_minor),
    "credits": lambda h: Minor(h.of(TransferKind.CREDIT)),
    "sales": lambda h: Minor(h.of(TransferKind.HOLD)),
    "releases": lambda h: Minor(h.of(TransferKind.RELEASE)),
    # With what provisional credits have brought in and not taken back.
    "refunds": lambda h: Minor(h.of(TransferKind.REFUND, TransferKind.PROVISIONAL_CREDIT, TransferKind.REVERSAL)),
    "debits": lambda h: Minor(h.of(TransferKind.DEBIT)),
    "voids": lambda h: Minor(h.of(TransferKind.VOID)),
    "closing": lambda h: Minor(h.closing_minor),
}
PROVISIONAL: Final[Told] = {
    "opening": lambda h: Minor(-h.opening_minor),
    "given": lambda h: Minor(-h.of(TransferKind.PROVISIONAL_CREDIT)),
    "reversed": lambda h: Minor(h.of(TransferKind.REVERSAL)),
    "written_off": lambda h: Minor(h.of(TransferKind.CREDIT_WRITE_OFF)),
    "closing": lambda h: Minor(-h.closing_minor),
}


def percent(part: int, whole: int) -> Decimal | None:
    """A share in percent, with two decimals; None of nothing."""
    return (Decimal(part * 100) / whole).quantize(Decimal("0.01")) if whole else None
