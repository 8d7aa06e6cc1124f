"""Few at a time, and not too many that wait."""

import asyncio

import pytest

from telvend.errors import Busy
from telvend.kit.turnstile import Budget, Turnstile


async def test_few_are_inside_some_wait_and_the_rest_are_told_to_come_back() -> None:
    turnstile = Turnstile(2, 3)
    gate = asyncio.Event()
    inside = most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with turnstile:
            inside += 1
            most = max(most, inside)
            await gate.wait()
            inside -= 1

    entering = [asyncio.create_task(enter()) for _ in range(7)]
    await asyncio.sleep(0.01)
    assert inside == 2
    assert sum(one.done() and isinstance(one.exception(), Busy) for one in entering) == 2
    # One that gives up waiting leaves its place to another.
    next(one for one in reversed(entering) if not one.done()).cancel()
    await asyncio.sleep(0)
    entering.append(asyncio.create_task(enter()))
    await asyncio.sleep(0.01)
    gate.set()
    ended = await asyncio.gather(*entering, return_exceptions=True)
    assert [type(one) for one in ended].count(type(None)) == 5
    assert most == 2
    async with turnstile:
        pass


def test_a_budget_ends_and_comes_back() -> None:
    budget = Budget(10)
    budget.take(6)
    with pytest.raises(Busy):
        budget.take(5)
    budget.take(4)
    budget.give_back(10)
    budget.take(10)
