"""What every sale has: a kind, the key that its caller knows it by, a fingerprint, and what it holds."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from telvend.errors import InvariantBroken
from telvend.kit.money import Money


class SaleKind(StrEnum):
    """What is sold. The letters stand in the view `sale` and in the wallet's list, and never change."""

    ORDER = "o"
    """A provider delivers it later."""
    VERIFICATION = "v"
    """An authority answers while the caller waits."""
    REFILL = "r"
    """Our own network credits it in the same transaction."""


SaleKey = tuple[UUID, str, str, str]
"""What a caller knows a sale by: reseller, dialect, mode, the caller's reference. Unique over everything that is sold."""


def fingerprint_of(*parts: str) -> str:
    """Return what a request asks for, in one text: never its price or spelling. Equal for two requests that are the same."""
    return "/".join(parts)


class HeldSale(msgspec.Struct, frozen=True, gc=False):
    """A sale whose price is held. `position` is its place in the wallet's list; `after` is what the wallet can still spend."""

    number: int
    reference: str
    position: int
    after: Money


_NO_DIALECTS: Final[frozenset[str]] = frozenset()


class KindsByDialect:
    """Which kinds of sale each dialect sells, so that a reference is not looked for where nothing else can hold it.

        kinds = KindsByDialect()
        kinds.declare("netpluse", {SaleKind.ORDER})
        kinds.selling_only(SaleKind.ORDER)      # {"netpluse"}

    A dialect that is not declared may sell everything: its references are looked for in every kind. A kind that a dialect
    has sold once stays declared, since its references stay taken.
    """

    def __init__(self) -> None:
        self._declared: dict[str, frozenset[SaleKind]] = {}
        self._only: dict[SaleKind, frozenset[str]] = {}

    def declare(self, dialect: str, kinds: Collection[SaleKind]) -> None:
        """Declare all kinds that a dialect sells. None is the same as not declaring it."""
        self._declared[dialect] = frozenset(kinds)
        self._only = {
            kind: frozenset(name for name, sold in self._declared.items() if sold == {kind}) for kind in SaleKind
        }

    def selling_only(self, kind: SaleKind) -> frozenset[str]:
        """Return the dialects that are declared to sell this kind and no other."""
        return self._only.get(kind, _NO_DIALECTS)

    def require_declared(self, dialect: str, kind: SaleKind) -> None:
        """Raise InvariantBroken where a declared dialect sells what it has not declared: others do not look for it."""
        declared = self._declared.get(dialect)
        if declared and kind not in declared:
            raise InvariantBroken(f"dialect {dialect} sells {kind.name.lower()}, which it does not declare")
