"""Lists that may be long: how many more there are, and in which words."""

from collections.abc import Sequence

import pytest

from telvend.cli.listing import COUNTED, NextPage, first, more_after, pages


def numbers(of: int) -> list[int]:
    return list(range(of, 0, -1))


async def below(everything: Sequence[int], before: int | None, count: int) -> list[int]:
    return [number for number in everything if before is None or number < before][:count]


@pytest.mark.parametrize(
    ("there_are", "limit", "more"),
    [(0, 5, 0), (4, 5, 0), (5, 5, 0), (6, 5, 1), (COUNTED + 5, 5, COUNTED), (9999, 5, COUNTED)],
)
async def test_what_is_left_off_is_counted(there_are: int, limit: int, more: int) -> None:
    everything = numbers(there_are)

    async def fetch(before: int | None, count: int) -> list[int]:
        return await below(everything, before, count)

    shown = await fetch(None, limit)
    found = await more_after(shown, limit, lambda number: number, fetch)
    assert found.count == more
    assert found.following == (shown[-1] if more else None)
    some, found = await first(limit, lambda count: fetch(None, count))
    assert (list(some), found.count) == (shown, more)
    assert found.left_off == ({"more": more} if more else {})


def test_the_line_below_a_table() -> None:
    assert NextPage(0).text == ""
    assert NextPage(3).text == "3 more: --limit"
    assert NextPage(999, "--before", 7).text == "999 more: --before 7"
    assert NextPage(COUNTED, "--after", "A1").text == "1,000 or more: --after A1"


@pytest.mark.parametrize("limit", [None, 1, 999, 1000, 1001, 2500, 5000])
async def test_all_of_a_list_comes_once_and_in_order(limit: int | None) -> None:
    everything = numbers(2500)
    got = [
        number
        async for part in pages(limit, None, lambda number: number, lambda before, n: below(everything, before, n))
        for number in part
    ]
    assert got == everything[:limit]
