"""A receipt as a picture, to be passed on in a chat: drawn on the server, in a thread, and kept for a while.

The fonts come with the package, since ₦ and ₵ are missing in many. A picture has 16 colours, and some ten kilobytes.
"""

import asyncio
import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from telvend.kit.turnstile import Turnstile

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WIDTH: Final = 720
_EDGE: Final = 48
_KEPT: Final = 128
_MOST_LINES: Final = 40
_DRAWN_AT_ONCE: Final = (1, 64)

_PAPER: Final = "#ffffff"
_INK: Final = "#12201a"
_SOFT: Final = "#52625a"
_LINE: Final = "#dbe3de"
_ACCENT: Final = "#0b6b4f"


@dataclass(frozen=True, slots=True)
class ReceiptPicture:
    """What a picture shows: who sold, a heading, the large line, and facts as label and text."""

    seller: str
    heading: str
    large: str
    facts: tuple[tuple[str, str], ...]
    foot: str


class ReceiptPictures:
    """Draws pictures, one at a time, and keeps the last ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[ReceiptPicture, bytes] = OrderedDict()
        self._turnstile = Turnstile(*_DRAWN_AT_ONCE)

    async def png(self, receipt: ReceiptPicture) -> bytes:
        """Return the picture as PNG. Raises Busy where too many are being drawn."""
        found = self._kept.get(receipt)
        if found is not None:
            self._kept.move_to_end(receipt)
            return found
        async with self._turnstile:
            # Whoever waited before may have drawn it.
            known = self._kept.get(receipt)
            drawn = await asyncio.to_thread(draw, receipt) if known is None else known
        self._kept[receipt] = drawn
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return drawn


def draw(receipt: ReceiptPicture) -> bytes:
    """Draw a picture, as high as its lines need."""
    from PIL import Image, ImageDraw

    text, bold, large, small = _font(26), _font(26, bold=True), _font(50, bold=True), _font(21)
    inner = WIDTH - 2 * _EDGE
    facts = [(label, wrapped(value, bold, inner * 62 // 100)) for label, value in receipt.facts[:_MOST_LINES]]
    seller, headline = wrapped(receipt.seller, bold, inner), wrapped(receipt.large, large, inner)
    rows = sum(len(lines) * 38 + 22 for _, lines in facts)
    height = 150 + len(seller) * 36 + len(headline) * 62 + rows + 150
    image = Image.new("RGB", (WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, WIDTH, 12), fill=_ACCENT)
    y = 52
    for line in seller:
        pen.text((_EDGE, y), line, font=bold, fill=_INK)
        y += 36
    pen.text((_EDGE, y), receipt.heading, font=text, fill=_SOFT)
    y += 60
    for line in headline:
        pen.text((_EDGE, y), line, font=large, fill=_ACCENT)
        y += 62
    y += 24
    for label, lines in facts:
        pen.line((_EDGE, y, WIDTH - _EDGE, y), fill=_LINE, width=2)
        y += 12
        pen.text((_EDGE, y), label, font=text, fill=_SOFT)
        for line in lines:
            pen.text((WIDTH - _EDGE, y), line, font=bold, fill=_INK, anchor="ra")
            y += 38
        y += 10
    pen.line((_EDGE, y, WIDTH - _EDGE, y), fill=_LINE, width=2)
    pen.text((_EDGE, y + 26), receipt.foot, font=small, fill=_SOFT)
    image = image.crop((0, 0, WIDTH, min(height, y + 90)))
    out = io.BytesIO()
    image.quantize(16, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


@lru_cache(maxsize=16)
def _font(size: int, *, bold: bool = False) -> "FreeTypeFont":
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(io.BytesIO(files("telvend.web").joinpath("fonts", name).read_bytes()), size)


def wrapped(text: str, font: "FreeTypeFont", width: int) -> Sequence[str]:
    """Break a text into lines of at most this width, at blanks where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        tried = f"{line} {word}" if line else word
        if font.getlength(tried) <= width:
            line = tried
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width:
            fits = max(1, next(n for n in range(len(line), 0, -1) if n == 1 or font.getlength(line[:n]) <= width))
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line or not lines else lines
