"""What a story is made of: a table of steps, columns that are read after each, and verbs that steps are recognised by."""

import re
from collections.abc import Awaitable, Callable, Sequence

Verbs = Sequence[tuple[str, Callable[..., Awaitable[None]]]]
"""A step that a pattern matches whole is done by its verb, which is given the groups."""


def steps_of(story: str) -> tuple[list[str], list[list[str]]]:
    """The heading and the rows of a story; cells are two blanks apart, and those that are missing at the end are empty."""
    head, *rows = [re.split(r" {2,}", line.strip()) for line in story.strip().splitlines()]
    return head, [row + [""] * (len(head) - len(row)) for row in rows]


async def do(verbs: Verbs, step: str) -> None:
    """Raises ValueError for a step that nobody knows."""
    for pattern, verb in verbs:
        if match := re.fullmatch(pattern, step):
            await verb(*match.groups())
            return
    raise ValueError(f"Nobody knows how to {step!r}.")


def require_same(went: list[list[str]], told: list[list[str]]) -> None:
    """Raises AssertionError with the table as it really went."""
    if table(went) != table(told):
        raise AssertionError(f"It went like this:{table(went)}\ninstead of:{table(told)}")


def table(rows: list[list[str]]) -> str:
    """Rows as a story prints them: the first column to the left, amounts to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = (
        "   ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n" + "\n".join(lines)
