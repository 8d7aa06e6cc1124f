"""Fixtures of the tests against a database: subscribers, and commands without settings of the environment."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from telvend.database.connections import Database
from telvend.kit.money import GHS
from tests.store.subscribers import AMA, Room, rooms


@pytest.fixture
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of Telvend from the environment."""
    for name in [name for name in os.environ if name.startswith("TELVEND_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def data_dir(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own, where commands keep their keys."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    # In this process logging is not configured; a command by itself configures it.
    with capture_logs():
        yield folder


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    async with rooms(database, 1) as (made,):
        yield made


@pytest.fixture
async def ama(room: Room) -> Room:
    """The room, with one subscriber in it who has nothing."""
    await room.subscribers.add(AMA, tariff_plan="PulsePlus", currency=GHS)
    return room
