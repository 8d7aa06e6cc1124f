"""The registry of dialects that `test_dialect.py` runs over. To add one: a line in `DIALECTS`, examples in tests/wire/."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telvend.dialects.contract import Dialect
from telvend.dialects.madapi import refusals as madapi
from telvend.dialects.madapi.routes import MADAPI
from telvend.dialects.netpluse import wire as netpluse
from telvend.dialects.netpluse.routes import NETPLUSE
from telvend.dialects.networkdatasub import wire as networkdatasub
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.errors import TelvendError

WIRE: Final = Path(__file__).parent.parent / "wire"


@dataclass(frozen=True, slots=True)
class Registered:
    """A dialect, its table of errors, and where the examples of its document are."""

    dialect: Dialect
    error_table: Mapping[type[TelvendError], Any]
    examples: Path
    documented_statuses: frozenset[int]
    """What the document's own table of codes lists; each has an example."""
    error_shapes: frozenset[type[Any]] = frozenset()
    """What errors look like, where that depends on what was asked for."""


DIALECTS: Final = {
    "madapi": Registered(
        MADAPI,
        madapi.ERROR_TABLE,
        WIRE / "madapi",
        frozenset({200, 201, 202, 207, 400, 401, 403, 404, 405, 500, 503}),
        madapi.SHAPES,
    ),
    "netpluse": Registered(
        NETPLUSE, netpluse.ERROR_TABLE, WIRE / "netpluse", frozenset({200, 400, 401, 402, 404, 409, 429, 500})
    ),
    "networkdatasub": Registered(
        NETWORKDATASUB,
        networkdatasub.ERROR_TABLE,
        WIRE / "networkdatasub",
        frozenset({200, 400, 401, 404, 422, 429, 500}),
    ),
}
