"""Renamed options. A former name works for one more version, with a notice."""

from collections.abc import Iterable
from typing import Final

FORMER_NAMES: Final = {
    "--active-days": "--usable-days",
    "--grace-days": "--reachable-days",
    "--active-until": "--usable-until",
    "--grace-until": "--reachable-until",
}


def named(option: str) -> tuple[str, str]:
    """Return the names to declare an option with, the current one first."""
    return option, FORMER_NAMES[option]


def notices(arguments: Iterable[str]) -> list[str]:
    """Return a sentence for each former name among the arguments of a command."""
    given = {argument.partition("=")[0] for argument in arguments}
    return [
        f"{before} is now {now}, and gone in the next version."
        for now, before in FORMER_NAMES.items()
        if before in given
    ]
