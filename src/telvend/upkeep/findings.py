"""The findings of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    """Works, and should be changed."""
    FAILURE = "failure"
    """Would lose money, or stops sales: `telvend doctor` ends with exit code 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at; `text` is one sentence; `advice` says what to do, empty where all is well."""

    check: str
    level: Level
    text: str
    advice: str = ""
