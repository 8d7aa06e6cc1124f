"""What was opened is closed, whatever fails."""

import pytest

from telvend.kit.lifecycle import Lifecycle


class Component:
    def __init__(self, name: str, told: list[str], *, fails: str = "") -> None:
        self._name = name
        self._told = told
        self._fails = fails

    def start(self) -> None:
        self._tell("start")

    async def close(self) -> None:
        self._tell("close")

    def _tell(self, verb: str) -> None:
        self._told.append(f"{verb} {self._name}")
        if verb == self._fails:
            raise RuntimeError(f"{verb} {self._name}")


async def run(*components: Component) -> None:
    async with Lifecycle() as life:
        for component in components:
            life.runs(component)
        life.start()


async def test_starts_in_order_and_closes_in_the_reverse_one() -> None:
    told: list[str] = []
    async with Lifecycle() as life:
        life.runs(Component("a", told))
        life.opened(Component("b", told))
        life.runs(Component("c", told))
        life.start()
    assert told == ["start a", "start c", "close c", "close b", "close a"]


async def test_a_second_start_starts_only_what_has_come_since() -> None:
    told: list[str] = []
    async with Lifecycle() as life:
        life.runs(Component("a", told))
        life.start()
        life.starts(Component("b", told))
        life.start()
        assert told == ["start a", "start b"]


async def test_everything_is_closed_when_a_start_fails_also_what_was_not_started() -> None:
    told: list[str] = []
    with pytest.raises(RuntimeError, match="start b"):
        await run(Component("a", told), Component("b", told, fails="start"), Component("c", told))
    assert told == ["start a", "start b", "close c", "close b", "close a"]


async def test_a_close_that_fails_keeps_nobody_else_open_and_is_raised() -> None:
    told: list[str] = []
    with pytest.raises(RuntimeError, match="close b"):
        await run(Component("a", told), Component("b", told, fails="close"), Component("c", told))
    assert told[3:] == ["close c", "close b", "close a"]
