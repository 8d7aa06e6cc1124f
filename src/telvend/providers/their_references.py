"""Which of our attempts each of a vendor's references belongs to, for vendors whose answers do not name ours."""

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 10_000


class TheirReferences:
    """The vendor's references that this process received for its purchases, in memory; the oldest are dropped.

    A reference stays with the first attempt that received it; a later answer with the same reference is ignored.
    """

    def __init__(self) -> None:
        self._theirs: OrderedDict[str, str] = OrderedDict()
        self._ours: dict[str, str] = {}

    def remember(self, ours: str, theirs: str) -> None:
        if theirs in self._ours or ours in self._theirs:
            return
        self._theirs[ours] = theirs
        self._ours[theirs] = ours
        if len(self._theirs) > _REMEMBERED:
            del self._ours[self._theirs.popitem(last=False)[1]]

    def of(self, ours: str) -> str:
        """Their reference of an attempt; empty where it is not known."""
        return self._theirs.get(ours, "")

    def owner(self, theirs: str) -> str | None:
        """The attempt that has their reference."""
        return self._ours.get(theirs)

    def but(self, ours: str) -> frozenset[str]:
        """The references that belong to other attempts."""
        return frozenset(self._ours) - {self.of(ours)}
