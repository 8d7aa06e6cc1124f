"""The registry of product kinds that `test_product_kind.py` runs over. To add one: write a case, and a line in `CASES`.

A case is what the suite has to know of a kind: recipients, what its deliveries carry back, and a product to sell.
"""

from dataclasses import dataclass, field
from typing import Any, Final

Items = list[dict[str, Any]]

TOKEN: Final = "02632054405982757802"
OTHER_TOKEN: Final = "00000000000000000001"


@dataclass(frozen=True)
class KindCase:
    """One product kind.

    `recipients`: spellings and how each is stored; `not_recipients`: what it cannot be. `payloads`: what a provider may say, and
    how it is kept; `not_payloads`: what it may not. `lines`: how a receipt shows the first payload. `recipient` with the simulator's
    four digits behind it receives `product`, sold for `amount` where it is sold by amount.
    """

    country: str
    product: str
    recipient: str
    recipients: dict[str, str]
    not_recipients: tuple[str, ...]
    amount: str | None = None
    payloads: tuple[tuple[Items, Items], ...] = ()
    not_payloads: tuple[Items, ...] = ()
    lines: list[tuple[str, str]] = field(default_factory=list)


_PHONES: Final = {"0241234567": "+233241234567", "233 24 123-4567": "+233241234567", "+233241234567": "+233241234567"}
_NO_PHONES: Final = ("", "hunter2", "0803123456", "45030012345", "024123456\n7")

CASES: Final = {
    "data": KindCase("GH", "GH-MTN-1GB-30D", "024123", _PHONES, _NO_PHONES),
    "airtime": KindCase("GH", "GH-MTN-AIRTIME", "024123", _PHONES, _NO_PHONES, amount="4.5"),
    "electricity": KindCase(
        "NG",
        "NG-IKEDC-PREPAID",
        "0450301",
        {"04503012345": "04503012345", "0450 3012-3456": "045030123456", "0450301234567": "0450301234567"},
        ("", "hunter2", "0450301234", "04503012345678", "0450301234x", "٠٤٥٠٣٠١٢٣٤٥", "04503012345\n"),
        amount="5000",
        payloads=(
            (
                [{"kind": "credit", "digits": "0263 2054 4059 8275 7802", "units": "16.6"}],
                [{"kind": "credit", "digits": TOKEN, "units": "16.6"}],
            ),
            (
                [
                    {"kind": "credit", "digits": TOKEN},
                    {"kind": "KCT2", "digits": "0000-0000-0000-0000-0001"},
                    {"kind": "KCT1", "digits": TOKEN, "units": ""},
                ],
                [
                    {"kind": "KCT1", "digits": TOKEN},
                    {"kind": "KCT2", "digits": OTHER_TOKEN},
                    {"kind": "credit", "digits": TOKEN},
                ],
            ),
        ),
        not_payloads=(
            [],
            [{"kind": "credit"}],
            [{"kind": "credit", "digits": "N/A"}],
            [{"kind": "credit", "digits": TOKEN[1:]}],
            [{"kind": "credit", "digits": int(TOKEN)}],
            [{"kind": "gift", "digits": TOKEN}],
            [{"kind": "KCT1", "digits": TOKEN}],
            [{"kind": "credit", "digits": TOKEN, "units": "lots"}],
        ),
        lines=[("token (credit)", "0263 2054 4059 8275 7802"), ("units", "16.6 kWh")],
    ),
    "exam_pin": KindCase(
        "NG",
        "NG-WAEC-RESULT",
        "0803123",
        {"08031234567": "+2348031234567", "234 803 123-4567": "+2348031234567"},
        ("", "hunter2", "0241234567", "04503012345"),
        payloads=(
            (
                [{"serial": " WRC182135250 ", "pin": "073820242210"}],
                [{"serial": "WRC182135250", "pin": "073820242210"}],
            ),
            (
                [{"serial": "000000001", "pin": "0000-0001"}, {"serial": "000000002", "pin": "0000-0002"}],
                [{"serial": "000000001", "pin": "0000-0001"}, {"serial": "000000002", "pin": "0000-0002"}],
            ),
        ),
        not_payloads=(
            [],
            [{"serial": "WRC182135250"}],
            [{"pin": "073820242210"}],
            [{"serial": "WRC182135250", "pin": ""}],
            [{"serial": "WRC182135250", "pin": "Pin : 073820242210"}],
            [{"serial": "WRC182135250", "pin": 73820242210}],
        ),
        lines=[("serial", "WRC182135250"), ("PIN", "073820242210")],
    ),
}
