"""A password on the command line is warned of, once, and never repeated."""

import pytest

from telvend.cli import secret_arguments
from telvend.cli.secret_arguments import warn_of_password

URL = "postgresql://shop:hunter2@db/shop"


@pytest.fixture(autouse=True)
def _untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_arguments, "_told", [])


@pytest.mark.parametrize(
    "arguments", [["telvend", "serve", "--database-url", URL], ["telvend", f"--database-url={URL}"]]
)
def test_a_password_among_the_arguments_is_warned_of_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        warn_of_password(URL, arguments)
    said = capsys.readouterr()
    assert said.err.count("TELVEND_DATABASE_URL") == 1
    assert (said.out, said.err.count("\n"), "hunter2" in said.err) == ("", 1, False)


@pytest.mark.parametrize(
    "url", ["postgresql://shop@db/shop", "postgresql:///shop?host=/run", "postgresql://shop@db/shop?passfile=/x", None]
)
def test_without_a_password_nothing_is_said(url: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_password(url, ["telvend", "--database-url", str(url)])
    assert capsys.readouterr().err == ""


def test_an_address_from_elsewhere_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_password(URL, ["telvend", "serve"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("url", ["postgresql://shop@db/x?password=hunter2", "postgresql://u:p@[::1/x"])
def test_a_password_is_seen_wherever_it_stands(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_password(url, ["telvend", "--database-url", url])
    assert "password" in capsys.readouterr().err
