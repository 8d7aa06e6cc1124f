"""Small pictures for people who do not exist: a portrait and a signature, drawn by us, as valid PNG files in base64."""

import base64
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from math import sin
from typing import Final

_WIDTH: Final = 48
_HEIGHT: Final = 60
_SKIN: Final = ((0x6B, 0x44, 0x2E), (0x4A, 0x2F, 0x21), (0x8D, 0x5A, 0x3C), (0x5A, 0x38, 0x27))
_CLOTHES: Final = ((0x1F, 0x6F, 0x50), (0x2B, 0x4C, 0x8C), (0x9C, 0x2F, 0x3A), (0xC7, 0x8A, 0x1B), (0x5C, 0x3A, 0x7E))
_WALL: Final = ((0xE6, 0xEE, 0xF2), (0xF2, 0xEC, 0xE0), (0xE4, 0xF0, 0xE6))


def portrait(seed: Sequence[int]) -> str:
    """Head and shoulders before a wall. `seed` (three numbers or more) chooses the colours."""
    colours = (_WALL[seed[0] % len(_WALL)], _SKIN[seed[1] % len(_SKIN)], _CLOTHES[seed[2] % len(_CLOTHES)])
    return _png(_head_and_shoulders(), colours)


@cache
def _head_and_shoulders() -> tuple[bytes, ...]:
    """0 is the wall, 1 the skin, 2 the clothes."""

    def colour(x: int, y: int) -> int:
        if (x - 24) ** 2 * 144 + (y - 24) ** 2 * 100 <= 14400:
            return 1
        if y >= 40 and (x - 24) ** 2 * 400 + (y - 60) ** 2 * 441 <= 176400:
            return 2
        return 0

    return tuple(bytes(colour(x, y) for x in range(_WIDTH)) for y in range(_HEIGHT))


def signature(seed: Sequence[int]) -> str:
    """A line by hand on white paper. `seed` (three numbers or more) chooses its swing."""
    lines = [bytearray(96) for _ in range(32)]
    for step in range(6 * 84):
        x = step / 6
        y = 16 + 6 * sin(x / (3 + seed[0] % 5)) + 5 * sin(x / (7 + seed[1] % 9) + seed[2])
        lines[round(y)][round(6 + x)] = 1
    return _png([bytes(line) for line in lines], ((0xFF, 0xFF, 0xFF), (0x1B, 0x2A, 0x5C)))


def _png(lines: Sequence[bytes], colours: Sequence[tuple[int, int, int]]) -> str:
    """Lines of indexes into `colours`. Source: PNG (Third Edition), W3C, sections 5 and 11."""
    header = struct.pack(">IIBBBBB", len(lines[0]), len(lines), 8, 3, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    palette = b"".join(bytes(colour) for colour in colours)
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data) for kind, data in ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", body), (b"IEND", b""))
    )
    return base64.b64encode(file).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
