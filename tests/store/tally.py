"""Counting what many were told at once."""

from collections.abc import Sequence
from typing import Any


def kinds(answers: Sequence[Any]) -> dict[str, int]:
    """How many answers there are of each kind; a replay is one of its own."""
    counted: dict[str, int] = {}
    for answer in answers:
        name = "replayed" if getattr(answer, "replayed", False) else type(answer).__name__
        counted[name] = counted.get(name, 0) + 1
    return counted
