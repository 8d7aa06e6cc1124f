"""Whether this process sells.

    gate = SalesGate()
    gate.close("play money", "Live wallets hold play money.", modes={Mode.LIVE})
    gate.require_open(Mode.LIVE)      # raises SalesHalted
    gate.open("play money")

Every room that sells asks the gate inside its transaction: after the look-up of the reference, so that a repeated request
is still answered from its first sale, and before any money moves. Several causes may close it; it is open when none is left.
"""

from collections.abc import Collection
from typing import Final

from telvend.errors import SalesHalted
from telvend.kit.mode import Mode

ALL_MODES: Final = frozenset(Mode)


class SalesGate:
    """The causes for which sales are halted, each with one sentence for the operator and the modes that it halts."""

    def __init__(self) -> None:
        self._causes: dict[str, tuple[str, frozenset[Mode]]] = {}
        self._halted: frozenset[Mode] = frozenset()

    def close(self, cause: str, sentence: str, *, modes: Collection[Mode] = ALL_MODES) -> None:
        """Halt the sales of `modes`. A cause that is there already is replaced."""
        self._causes[cause] = (sentence, frozenset(modes))
        self._recompute()

    def open(self, cause: str) -> None:
        """Take one cause away; one that is not there is ignored."""
        if self._causes.pop(cause, None) is not None:
            self._recompute()

    def halts(self, mode: Mode) -> bool:
        """Return whether sales of this mode are halted."""
        return mode in self._halted

    def require_open(self, mode: Mode) -> None:
        """Raise SalesHalted where sales of this mode are halted."""
        if mode in self._halted:
            raise SalesHalted

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence for each cause, for start-up, readiness and the doctor."""
        return tuple(sentence for sentence, _ in self._causes.values())

    def _recompute(self) -> None:
        self._halted = frozenset(mode for _, modes in self._causes.values() for mode in modes)
