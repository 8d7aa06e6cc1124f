"""What is counted of wrong PINs."""

from typing import Final

from telvend.kit.metrics import Counter

WRONG_PINS: Final = Counter(
    "telvend_voucher_pin_limits_reached",
    "Limits of wrong voucher PINs in a row that were reached: a subscriber or a partner was locked, or a source sent as many.",
    "kind",
    formerly="telvend_wrong_pins_limit_reached",
)
"""`kind`: one `subscriber` or `partner` who was locked for wrong PINs, or one `source` that sent as many."""
