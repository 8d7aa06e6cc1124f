"""Options that have another name now. The name of before goes on working for one version, with a notice."""

from collections.abc import Iterable
from typing import Final

FORMER_NAMES: Final = {
    "--active-days": "--usable-days",
    "--grace-days": "--reachable-days",
    "--active-until": "--usable-until",
    "--grace-until": "--reachable-until",
}


def named(option: str) -> tuple[str, str]:
    """Return the names that an option is declared with, its own first."""
    return option, FORMER_NAMES[option]


def notices(arguments: Iterable[str]) -> list[str]:
    """Return a sentence for each name of before among the arguments of a command."""
    given = {argument.partition("=")[0] for argument in arguments}
    return [
        f"{before} is now {now}, and gone in the next version."
        for now, before in FORMER_NAMES.items()
        if before in given
    ]
