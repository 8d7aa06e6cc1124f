"""What the simulator's deliveries carry back, for the product kinds that carry something. One maker for each kind.

The texts follow from the reference: whoever asks again is told the same ones, also after the simulator was started anew, and its
book holds no secret. `markdown()` is the table of recipients that are served in a particular way.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from telvend.providers.contract import Delivery
from telvend.providers.simulator.book import Line

KEY_CHANGE: Final = "0020"
LATE: Final = "0021"
NEVER: Final = "0022"

TABLE: Final = (
    (KEY_CHANGE, "Electricity: two key change tokens (KCT1, KCT2) come before the credit."),
    (LATE, "Delivered, and what it carries back is there 3 s later, when asked."),
    (NEVER, "Delivered, and what it carries back never comes."),
)
"""What the last four digits of a recipient do, beside the table of numbers."""

_LATE_S: Final = 3.0
_MINOR_PER_UNIT: Final = 6831
"""What a kWh costs at the simulator, in any currency."""


def _digits(delivery: Delivery, what: str, count: int) -> str:
    seed = f"{delivery.reference} {what}".encode()
    return f"{int.from_bytes(hashlib.blake2b(seed, digest_size=16).digest(), 'big') % 10**count:0{count}d}"


def _tokens(delivery: Delivery) -> list[dict[str, str]]:
    tenths = delivery.face_value.minor * 10 // _MINOR_PER_UNIT
    credit = {"kind": "credit", "digits": _digits(delivery, "credit", 20), "units": f"{tenths // 10}.{tenths % 10}"}
    if not delivery.subscriber.endswith(KEY_CHANGE):
        return [credit]
    # In the wrong order, as some vendors send them.
    return [credit, *({"kind": kind, "digits": _digits(delivery, kind, 20)} for kind in ("KCT1", "KCT2"))]


def _pins(delivery: Delivery) -> list[dict[str, str]]:
    return [{"serial": f"SIM{_digits(delivery, 'serial', 9)}", "pin": _digits(delivery, "pin", 12)}]


_MAKER_BY_KIND: Final[dict[str, Callable[[Delivery], list[dict[str, str]]]]] = {
    "electricity": _tokens,
    "exam_pin": _pins,
}


def secrets_of(delivery: Delivery, line: Line, *, steered: bool) -> list[dict[str, str]] | None:
    """Return what a delivery that took place carries back; None where it carries nothing, or nothing yet."""
    make = _MAKER_BY_KIND.get(delivery.kind)
    if make is None:
        return None
    ending = delivery.subscriber[-4:] if steered else ""
    waited_s = (line.last_at - line.first_at).total_seconds()
    if ending == NEVER or (ending == LATE and waited_s < _LATE_S):
        return None
    return make(delivery)


def markdown() -> str:
    """The table for people, as the documentation prints it."""
    rows = (f"| `{ending}` | {sentence} |" for ending, sentence in TABLE)
    return "\n".join(("| recipient ends in | what happens |", "|---|---|", *rows)) + "\n"
