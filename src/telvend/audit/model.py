"""The report of an audit."""

from dataclasses import dataclass
from datetime import datetime

SEAL_RULE = "the checkpoint of the audit is as it was sealed"


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of an invariant, in one sentence with the numbers."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit: `rules` are the invariants that were verified, `findings` their violations.

    `since`: the time of the checkpoint that it continued from; None for a full audit, whose reason is `why`.
    `everything_at`: the time of the last full audit without findings. `oldest_at`: for tables too large to be read in one audit,
    the start of the period in which each of their pages has been read.
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
