"""What is counted of wrong PINs."""

from typing import Final

from telvend.kit.metrics import Counter

WRONG_PINS: Final = Counter(
    "telvend_wrong_pins_limit_reached", "Limits of wrong PINs in a row that were reached.", "kind"
)
"""`kind`: one `subscriber` or `partner` who was locked for wrong PINs, or one `source` that sent as many."""
