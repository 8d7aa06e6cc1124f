"""How the checks of the doctor are run, and the ones that need only the settings."""

from collections.abc import Sequence
from typing import Any

import pytest

from telvend.config import Settings
from telvend.errors import Busy
from telvend.upkeep import deployment, doctor
from telvend.upkeep.book import book
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def fine(_: Settings) -> Sequence[Finding]:
    return [Finding("fine", Level.OK, "All is well.")]


async def away(_: Settings) -> Sequence[Finding]:
    raise Busy


async def broken(_: Settings) -> Sequence[Finding]:
    raise ZeroDivisionError("hunter2")


async def test_a_check_that_raises_is_a_failure_and_the_others_are_looked_at() -> None:
    found = await doctor.look((away, broken, fine), Settings())
    assert [(one.check, one.level) for one in found] == [
        ("away", Level.FAILURE),
        ("broken", Level.FAILURE),
        ("fine", Level.OK),
    ]
    assert "hunter2" not in found[1].text
    assert doctor.failed(found)
    assert not doctor.failed([Finding("x", Level.WARNING, "Change it."), found[2]])


@pytest.mark.parametrize(
    ("host", "public_url", "level"),
    [
        ("127.0.0.1", "", Level.OK),
        ("::1", "", Level.OK),
        ("localhost", "", Level.OK),
        ("0.0.0.0", "", Level.WARNING),  # noqa: S104
        ("::", "", Level.WARNING),
        ("10.0.0.7", "", Level.WARNING),
        ("shop.example.com", "", Level.WARNING),
        ("0.0.0.0", "https://shop.example.com", Level.OK),  # noqa: S104
    ],
)
async def test_a_server_that_others_reach_should_know_its_address(host: str, public_url: str, level: Level) -> None:
    (found,) = await deployment.public_address(Settings(host=host, public_url=public_url))
    assert found.level is level
    assert bool(found.advice) is (level is not Level.OK)


@pytest.mark.parametrize(("halted", "level"), [(None, Level.OK), ("The sale 7 is missing.", Level.FAILURE)])
async def test_a_book_that_went_back_is_a_failure(halted: str | None, level: Level) -> None:
    shop = Examined(Settings(), Any, Any, halted)  # type: ignore[arg-type]
    (found,) = await book(shop)
    assert found.level is level
    assert (halted or "") in found.text
