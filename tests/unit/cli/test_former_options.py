"""Options that were renamed: both names work, and the one of before is told of."""

from typer.testing import CliRunner

from telvend.cli import app
from telvend.cli.former_options import FORMER_NAMES, notices


def test_each_name_of_before_is_told_of_once_with_the_name_of_now() -> None:
    given = ["subscriber", "set", "0241234567", "--usable-until=2027-01-01", "--usable-until", "2027-01-02"]
    assert notices(given) == ["--usable-until is now --active-until, and gone in the next version."]
    assert notices(["subscriber", "set", "0241234567", *FORMER_NAMES]) == []


def test_the_help_shows_both_names() -> None:
    wide = {"COLUMNS": "200"}
    shown = "".join(
        CliRunner().invoke(app, [*command, "--help"], env=wide).stdout
        for command in (("subscriber", "add"), ("subscriber", "set"), ("refill-profile", "set"))
    )
    for now, before in FORMER_NAMES.items():
        assert now in shown
        assert before in shown
