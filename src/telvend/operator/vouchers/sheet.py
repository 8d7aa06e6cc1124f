"""A sheet of vouchers to print and cut: one HTML file with cards in a grid, and nothing that is fetched from elsewhere.

It is written piece by piece, so that a million cards need no more memory than one:

    head(amount), card(...) for each voucher, TAIL
"""

from datetime import datetime, timedelta
from html import escape
from typing import Final

from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.operator.vouchers.model import NewVoucher
from telvend.operator.vouchers.pins import spaced

_STYLE: Final = """
@page { size: A4; margin: 10mm }
* { box-sizing: border-box }
body { margin: 0; background: #fff; color: #000; font: 10pt/1.3 system-ui, sans-serif }
header { padding: 4mm; font-size: 11pt }
header p { margin: 1mm 0; max-width: 160mm }
main { display: grid; grid-template-columns: repeat(3, 1fr) }
article { break-inside: avoid; outline: .3pt dashed #888; padding: 3.5mm 4mm; height: 39.5mm;
  display: flex; flex-direction: column; justify-content: space-between }
.top { display: flex; justify-content: space-between; align-items: baseline; gap: 2mm }
.amount { font-size: 17pt; font-weight: 700; white-space: nowrap }
.what { font-size: 8pt; text-transform: uppercase; letter-spacing: .08em; color: #555 }
.pin { font: 700 12pt/1 ui-monospace, "DejaVu Sans Mono", monospace; text-align: center; white-space: nowrap;
  padding: 3mm 0; border: .8pt solid #000; border-radius: 2mm }
.small { font-size: 7.5pt; color: #333; display: flex; justify-content: space-between; white-space: nowrap }
.play { color: #a00 }
@media print { header { display: none } }
@media screen { body { max-width: 210mm; margin: 6mm auto; padding: 0 6mm } }
""".strip()

TAIL: Final = "</main>\n</body>\n</html>\n"


def head(amount: Money) -> str:
    """Everything before the first card. What stands above the cards on a screen is not printed."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex, nofollow">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Vouchers of {escape(str(amount))}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<header>
<p><strong>Vouchers of {escape(str(amount))}.</strong> Print on A4 at 100 %, and cut along the dashes.</p>
<p>Whoever reads this file can load them. Destroy it when they are printed; it cannot be made again.</p>
</header>
<main>
"""


def card(voucher: NewVoucher, amount: Money, mode: Mode, expires_at: datetime | None) -> str:
    """One voucher."""
    # The end is the first moment in which it cannot be loaded any more; what people read is the last day.
    until = f"<span>until {expires_at - timedelta(microseconds=1):%d %b %Y}</span>" if expires_at is not None else ""
    what = '<span class="what play">play money</span>' if mode is Mode.TEST else '<span class="what">airtime</span>'
    return (
        f'<article><div class="top"><span class="amount">{escape(str(amount))}</span>{what}</div>'
        f'<div class="pin">{spaced(voucher.pin.reveal())}</div>'
        f'<div class="small"><span>serial {voucher.serial}</span>{until}</div></article>\n'
    )
