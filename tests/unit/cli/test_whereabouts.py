"""Commands in the wrong folder: they create nothing, leave nothing behind, and say where a shop is."""

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telvend.cli import app, whereabouts
from tests.unit.cli.test_common import EVERY


@pytest.fixture(autouse=True)
def logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that serves sends the logs of the whole process elsewhere, also for the tests that come later."""
    monkeypatch.setattr("telvend.cli.supervisor.configure_logs", lambda _: None)


# Every command that needs no argument, so that it would begin; and some that would change something.
ARGUMENTS = {
    name: name.split()
    for name, command in EVERY.items()
    if not any(parameter.required for parameter in command.params)
    # A service is installed where there is no shop yet.
    and name not in ("settings", "simulator table", "provider example", "doctor", "install-service")
}
ARGUMENTS |= {
    "user add": ["user", "add", "a@b.co", "--name", "A", "--phone", "0241234567"],
    "upgrade --check": ["upgrade", "--check"],
    "work": ["work"],
    "order place": ["order", "place", "--product", "X", "--to", "1", "--email", "a@b.co", "--reference", "r"],
}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing is served, and a user who has nothing."""
    for name in [name for name in os.environ if name.startswith("TELVEND_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(whereabouts, "served_folders", list)
    monkeypatch.setattr(whereabouts, "_OF_THE_GUIDE", tmp_path / "var")
    monkeypatch.chdir(tmp_path)


def make_shop(folder: Path) -> Path:
    (folder / "postgres").mkdir(parents=True)
    (folder / "secret").mkdir()
    return folder


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_command_creates_no_shop_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*ARGUMENTS[name], "--data-dir", str(tmp_path / "wrong")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"telvend: There is no shop in {tmp_path}/wrong; only `telvend serve` and `telvend demo` open one.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_leaves_nothing_behind_either(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path / "wrong")])
    assert result.stdout  # It looks at the machine, shop or no shop.
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_stays_empty(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert CliRunner().invoke(app, ["order", "list", "--data-dir", str(folder)]).exit_code == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", ["environment", "default", "demo", "here", "guide", "served"])
def test_a_shop_that_is_somewhere_else_is_named(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: dict[str, Any] = {
        "environment": tmp_path / "named", "default": tmp_path / "share/telvend", "demo": tmp_path / "share/telvend-demo",
        "here": tmp_path / ".demo", "guide": tmp_path / "var", "served": tmp_path / "served",
    }  # fmt: skip
    shop = make_shop(places[where])
    if where == "environment":
        monkeypatch.setenv("TELVEND_DATA_DIR", str(shop))
    if where == "served":
        monkeypatch.setattr(whereabouts, "served_folders", lambda: [shop])
    result = CliRunner().invoke(app, ["order", "list", "--data-dir", str(tmp_path / "wrong")])
    assert result.stderr.endswith(f" A shop was found in {shop}: use --data-dir {shop}\n")


def test_several_shops_are_all_named(tmp_path: Path) -> None:
    first, second = make_shop(tmp_path / "share/telvend"), make_shop(tmp_path / ".demo")
    result = CliRunner().invoke(app, ["order", "list", "--data-dir", str(tmp_path / "wrong")])
    assert result.stderr.endswith(f" Shops were found in {first}, {second}: name one with --data-dir.\n")
