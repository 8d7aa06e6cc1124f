"""What all commands share: their options, how amounts are printed, and how a command ends."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import msgspec
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from telvend.cli import app
from telvend.cli.common import Output, emit, json_text, table
from telvend.kit.secret import Secret


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(name: str, group: Any) -> Iterator[tuple[str, click.Command]]:
        for word, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(f"{name}{word} ", command)
            else:
                yield f"{name}{word}", command

    return below("", typer.main.get_command(app))


# These go on until they are stopped, and have no object to print at their end.
SERVING = {"serve", "work", "demo", "_worker"}
EVERY = {name: command for name, command in commands() if name not in SERVING}


@pytest.mark.parametrize("name", EVERY)
def test_every_command_takes_the_common_options_after_its_own(name: str) -> None:
    options = {option for parameter in EVERY[name].params for option in parameter.opts}
    assert {"--data-dir", "--database-url", "--json"} <= options


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_says_what_it_is(name: str) -> None:
    assert EVERY[name].help
    for parameter in EVERY[name].params:
        assert getattr(parameter, "help", None), (name, parameter.name)


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["user", "nothing"], ["user", "add"], ["user", "add", "a@b.co", "--name", "A"], ["key", "add", "a@b.co"],
     ["key", "add", "a@b.co", "--api", "fax"], ["wallet", "credit", "a@b.co", "-5", "GHS", "--reference", "r"],
     ["wallet", "credit", "a@b.co", "5", "GHS"], ["order", "list", "--state", "lost"], ["order", "list", "--limit", "0"],
     ["order", "list", "--before", "9" * 30], ["product", "import", "/nowhere.csv"], ["--nothing", "settings"],
     ["serve", "--workers", "0"], ["serve", "--port", "65536"], ["order", "resolve", "1", "--note", "x"],
     ["product", "list", "--limit", "9" * 30]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_and_nothing_on_stdout(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_amounts_are_exact_numbers_and_odd_values_are_text() -> None:
    text = json_text(
        {
            "balance": Decimal("4.10"), "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "id": UUID(int=1),
            "key": Secret("np_live_x"), "none": None, "large": Decimal("99999999999999.99"),
        }
    )  # fmt: skip
    assert '"balance":4.10' in text
    assert '"large":99999999999999.99' in text
    assert "np_live" not in text
    assert "\n" not in text
    assert msgspec.json.decode(text)["at"] == "2026-01-02T03:04:05Z"


def test_an_output_ends_with_its_exit_code_and_json_wins_over_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        emit(Output({"ok": False}, "It is not.", exit_code=1), as_json=True)
    assert ended.value.exit_code == 1
    emit(Output({"ok": True}, "It is."), as_json=False)
    assert capsys.readouterr().out == '{"ok":false}\nIt is.\n'


def printed(*rows: tuple[object, ...]) -> str:
    console = Console(file=io.StringIO(), width=60)
    table("", ("name", "amount"), rows, "There is nothing.")(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_table_shows_texts_as_they_are() -> None:
    # A reseller called like a colour must not paint the table.
    shown = printed(("[red]Kofi[/red]", Decimal("4.50")), ("[/]", Decimal("1000.00")), (None, Decimal(0)))
    assert "[red]Kofi[/red]" in shown
    assert "[/]" in shown
    amounts = [line.rstrip()[-7:] for line in shown.splitlines()[1:]]
    assert amounts == ["   4.50", "1000.00", "      0"]


def test_an_empty_table_is_a_sentence() -> None:
    assert printed() == "There is nothing.\n"
