"""The product kinds: what can be sold. A new kind is a file of this package and its name in `KINDS`; docs/howto/add-a-product-kind.md."""

from typing import Final

from telvend.catalog.kinds.airtime import AIRTIME
from telvend.catalog.kinds.data import DATA
from telvend.catalog.kinds.electricity import ELECTRICITY
from telvend.catalog.kinds.exam_pin import EXAM_PIN
from telvend.catalog.kinds.model import Payload, PayloadForm, ProductKind
from telvend.errors import InvariantBroken

KINDS: Final = {kind.name: kind for kind in (DATA, AIRTIME, ELECTRICITY, EXAM_PIN)}
"""Every product kind, by its name."""

WITH_PAYLOAD: Final = frozenset(name for name, kind in KINDS.items() if kind.payload is not None)
"""The names of the kinds whose deliveries carry something back."""


def kind_of(name: str) -> ProductKind:
    """Return the kind of this name. Raises InvariantBroken: names come from our own tables."""
    if name not in KINDS:
        raise InvariantBroken(f"there is no product kind {name}")
    return KINDS[name]


__all__ = ["KINDS", "WITH_PAYLOAD", "Payload", "PayloadForm", "ProductKind", "kind_of"]
