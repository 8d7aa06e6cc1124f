"""What an audit reports."""

from dataclasses import dataclass
from datetime import datetime

SEAL_RULE = "the checkpoint of the audit is as it was sealed"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that breaks an invariant, in one sentence with the numbers."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the audit says. `rules` is everything that was looked at, `findings` what does not hold.

    `since`: the checkpoint that it took up from; None where everything was recomputed, `why` says for what reason.
    `everything_at`: when everything was recomputed last, and held. `oldest_at`: where tables are too large to be read each time,
    since when each of their pages has been read again.
    """

    rules: tuple[str, ...]
    findings: tuple[Violation, ...]
    transfers: int
    orders: int
    since: datetime | None = None
    why: str = ""
    everything_at: datetime | None = None
    oldest_at: datetime | None = None

    @property
    def ok(self) -> bool:
        return not self.findings
