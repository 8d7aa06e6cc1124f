"""Fixtures of the tests against a database: commands that nobody's settings reach."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs


@pytest.fixture
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("TELVEND_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def data_dir(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own, where commands keep their keys."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    # In this process nobody has said where logs go; a command by itself says so.
    with capture_logs():
        yield folder
