"""Compares the output that a guide prints with the output that came.

Every printed line must have come, in the printed order; lines between them may be left out. Runs of spaces count as one. What
is different each time may be different, as long as it looks alike:

    2026-11-22 17:49:14, 2026-11-22T19:14:23.464095Z, 2026-11-22     times and dates
    64 passed, 134 deselected in 4.14s                               how many tests there are, how long something took
    NPAPI-2-nbke06, FND-1026-xmrpyp                                  our references
    2eb3c527-f5fe-43fb-a099-ba324418e3d8, d982678eb951-4             identifiers
    np_live_CBrn...nb80, bcafd997dd622040af66                        keys, tokens, and everything random of 20 letters and more
    7510 2813 5131 0420                                              PINs
    "id":1026, a number before a reference                           numbers of rows
    …                                                                whatever stands in its place; a line that begins with it
                                                                     stands for lines that were left out

A reference, identifier, key or PIN stands for the same thing on the whole page: where it is printed again, in output or in a
command, the one that came in its place is meant, as a reader would put it there.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_SAME_EVERYWHERE: Final = {
    "uuid": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "sequence": r"\b[0-9a-f]{12}-[0-9a-f]+\b",
    "reference": r"\b[A-Z]{2,6}-\d+-[0-9a-z]{6}\b",
    "key": r"\b[a-z]{2,4}_(?:live|test)_[0-9A-Za-z.]+",
    "pin": r"\b\d{4} \d{4} \d{4} \d{4}\b",
    "random": r"\b(?=[A-Za-z]*\d)[0-9A-Za-z]{20,}\b",
}
_DIFFERENT: Final = {
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?Z?",
    "date": r"\b\d{4}-\d\d-\d\d\b",
    "tests": r"\b\d+(?= passed\b)|\b\d+(?= deselected\b)",
    "took": r"\b\d+\.\d+ ?s\b",
    "row": r'^\d+(?= (?:simulator )?[A-Z]{2,6}-\d+-)|(?<="id":)\d+|(?<="verification_id":)\d+',
    "left_out": r"…",
}
_VOLATILE: Final = re.compile(
    "|".join(f"(?P<{name}>{shape})" for name, shape in (_DIFFERENT | _SAME_EVERYWHERE).items())
)
_SPACES: Final = re.compile(r"\s+")


@dataclass
class Known:
    """The values that came where the page prints others."""

    values: dict[str, str] = field(default_factory=dict)

    def put(self, text: str) -> str:
        """Return `text` with the printed values replaced by those that came."""
        for printed in sorted(self.values, key=len, reverse=True):
            text = text.replace(printed, self.values[printed])
        return text

    def learn(self, printed: str, came: str) -> None:
        if "..." not in printed:
            self.values[printed] = came
            self.values[printed.replace(" ", "")] = came.replace(" ", "")


@dataclass(frozen=True, slots=True)
class Missing:
    """The first printed line that has not come."""

    line: str


def compare(printed: str, came: list[str], known: Known, start: int = 0) -> int | Missing:
    """Look for the printed lines from line `start` on; return where the rest begins. Adds the values that came to `known`."""
    learned: list[tuple[str, str]] = []
    trial = Known(dict(known.values))
    place = start
    for line in printed.splitlines():
        line = _SPACES.sub(" ", line).strip()
        if not line or line.startswith("…"):
            continue
        pattern, names = _pattern(line, trial)
        for number in range(place, len(came)):
            found = re.fullmatch(pattern, _SPACES.sub(" ", came[number]).strip())
            if found:
                place = number + 1
                for name, value in zip(names, found.groups(), strict=True):
                    learned.append((name, value))
                    trial.learn(name, value)
                break
        else:
            return Missing(line)
    for name, value in learned:
        known.learn(name, value)
    return place


def _pattern(line: str, known: Known) -> tuple[str, list[str]]:
    """Return a pattern for the line that came, and the printed text of each of its groups."""
    names: list[str] = []
    pattern, place = "", 0
    for found in _VOLATILE.finditer(line):
        pattern += re.escape(known.put(line[place : found.start()]))
        place = found.end()
        kind, text = found.lastgroup or "", found[0]
        if kind == "left_out":
            pattern += ".*"
        elif kind in _DIFFERENT:
            pattern += f"(?:{_DIFFERENT[kind]})"
        elif text in known.values:
            pattern += re.escape(known.values[text])
        elif text in names:
            pattern += f"\\{names.index(text) + 1}"
        else:
            pattern += f"({_SAME_EVERYWHERE[kind]})"
            names.append(text)
    return pattern + re.escape(known.put(line[place:])), names
