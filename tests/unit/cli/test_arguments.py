"""Telephone numbers that commands take: read as the APIs read them, in every command, before it begins."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telvend.cli import app
from telvend.cli.arguments import parsed_msisdn
from telvend.errors import InvalidInput
from telvend.kit.phone import use_prefixes
from tests.unit.cli.test_common import EVERY

# What a parameter is called that takes a number of somebody's telephone.
NUMBERS = re.compile(r"(msisdn|phone|subscriber|sender|receiver|recipient|to|customer)", re.ASCII)


def with_a_number() -> Iterator[Any]:
    for name, command in EVERY.items():
        for parameter in command.params:
            if NUMBERS.fullmatch(parameter.name or ""):
                yield pytest.param(name, command, parameter.name, id=f"{name} {parameter.name}")


def value_of(parameter: Any) -> str:
    """Something that this parameter takes."""
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return str(getattr(choices[0], "value", choices[0]))
    return "0241234567" if NUMBERS.fullmatch(parameter.name) else "1"


@pytest.mark.parametrize(("name", "command", "number"), [*with_a_number()])
def test_every_number_that_a_command_takes_is_read_before_it_begins(
    name: str, command: Any, number: str, tmp_path: Path
) -> None:
    given: dict[str, str] = {}
    words = name.split()
    for parameter in command.params:
        if parameter.required or parameter.name == number:
            value = "12" if parameter.name == number else value_of(parameter)
            given[parameter.name] = value
            if parameter.param_type_name == "option":
                flag = getattr(parameter, "is_flag", False)
                words += [parameter.opts[0]] if flag else [parameter.opts[0], value]
            else:
                words.append(value)
    result = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path / "none")])
    assert result.stderr.startswith(f"telvend: {number}: This is not a mobile number."), result.output
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_search_sees_the_commands_that_take_numbers() -> None:
    found = {parameter.values[0] for parameter in with_a_number()}
    assert {"order list", "refill list", "simulator book", "user add", "subscriber show", "voucher commit"} <= found


@pytest.mark.parametrize(
    ("text", "home", "number"),
    [
        ("0241234567", "", "+233241234567"),
        ("233241234567", "", "+233241234567"),
        ("+233 24-123 4567", "", "+233241234567"),
        ("08031234567", "", "+2348031234567"),
        ("0821234567", "ZA", "+27821234567"),
        ("0241234567", "NG", "+233241234567"),
        ("0241234567", "XX", "+233241234567"),
        ("+27821234567", "", "+27821234567"),
    ],
)
def test_numbers_are_read_as_the_apis_read_them(text: str, home: str, number: str) -> None:
    assert parsed_msisdn(text, home=home) == number


@pytest.mark.parametrize("text", ["", "12", "abc", "0" * 40, "0821234567", "+233\u0662\u0664"])
def test_what_is_no_number_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="subscriber: This is not a mobile number"):
        parsed_msisdn(text, "subscriber")


def test_bytes_that_are_no_letters_are_refused_in_one_sentence(tmp_path: Path) -> None:
    arguments = [
        "user",
        "add",
        "a@b.co",
        "--name",
        "\udcff",
        "--phone",
        "0241234567",
        "--data-dir",
        str(tmp_path / "none"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.stderr == "telvend: name: is not text in the encoding of this terminal\n"
    assert result.exit_code == 1


def test_commands_read_numbers_by_the_added_prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_NUMBER_PREFIXES", '{NG = ["0918"]}')
    arguments = ["order", "list", "--subscriber", "0918 123 4567", "--data-dir", str(tmp_path)]
    try:
        added = CliRunner().invoke(app, arguments)
        monkeypatch.delenv("TELVEND_NUMBER_PREFIXES")
        unknown = CliRunner().invoke(app, arguments)
    finally:
        use_prefixes({})
    assert "mobile number" not in added.output
    assert "not a mobile number" in unknown.output


def test_settings_show_the_prefixes_as_they_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        found = CliRunner().invoke(app, ["settings", "--json", "--data-dir", str(tmp_path)])
        (line,) = [line for line in json.loads(found.stdout)["settings"] if line["name"] == "number_prefixes"]
        return str(line["value"])

    assert shown() == ""
    text = '{NG = ["0918"], GH = ["0250", "0255"]}'
    monkeypatch.setenv("TELVEND_NUMBER_PREFIXES", text)
    assert shown() == text
