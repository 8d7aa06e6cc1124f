"""Whether a request repeats a sale, conflicts with one, or asks for a new one: decided by its reference."""

from collections.abc import Collection
from typing import Generic, TypeVar

from telvend.errors import ReferenceReused
from telvend.kit.mode import Mode
from telvend.sales.gate import SalesGate
from telvend.sales.model import SaleKey

Sale = TypeVar("Sale")


class References(Generic[Sale]):
    """The references of one transaction: the sales that hold them, with their fingerprints, and what it adds to them.

    `taken` are those that a sale of another kind holds.
    """

    def __init__(self, held: dict[SaleKey, tuple[Sale, str]], taken: Collection[SaleKey], gate: SalesGate) -> None:
        self._held = held
        self._taken = taken
        self._gate = gate

    def repeated(self, key: SaleKey | None, fingerprint: str, mode: Mode) -> Sale | None:
        """Return the sale that this request repeats; None when it asks for a new one. Asked before anything else is.

        Raises ReferenceReused (the reference is another request's or another kind's), SalesHalted (for a new one).
        """
        if key is not None:
            before = self._held.get(key)
            if before is not None:
                if before[1] != fingerprint:
                    raise ReferenceReused(key[3])
                return before[0]
            # Nearly always empty; to hash the key for it would cost as much as to look it up.
            if self._taken and key in self._taken:
                raise ReferenceReused(key[3])
        self._gate.require_open(mode)
        return None

    def is_free(self, key: SaleKey) -> bool:
        """Return whether no sale holds this reference."""
        return key not in self._held and key not in self._taken

    def add(self, key: SaleKey | None, fingerprint: str, sale: Sale) -> None:
        """Let a new sale hold its reference for the requests that follow in the same transaction."""
        if key is not None:
            self._held[key] = (sale, fingerprint)
