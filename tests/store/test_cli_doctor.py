"""`telvend doctor` against a real database, against none, and against one that it cannot use."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from telvend import migrations
from tests.conftest import Server
from tests.store.test_cli import Shop


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that nobody uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


def levels(answer: Any) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in answer["findings"]}


def test_a_sound_shop_has_nothing_to_do(shop: Shop) -> None:
    answer = shop.data("doctor")
    assert answer["ok"] is True
    assert set(levels(answer).values()) == {"ok"}
    assert {"settings", "public address", "database", "schema", "wallets"} <= levels(answer).keys()
    assert all(finding["advice"] == "" for finding in answer["findings"])
    lines = shop.run("doctor").stdout.splitlines()
    assert len(lines) == len(answer["findings"])
    assert all(line.startswith("ok ") for line in lines)


def test_a_database_that_cannot_be_reached_is_a_finding_and_not_a_traceback(server: Server) -> None:
    for url in ("postgresql://x:hunter2@127.0.0.1:1/x", server.url("no_such_database"), "postgresql://x@[::1/x"):
        answer = Shop(url).data("doctor", code=1)
        assert answer["ok"] is False
        assert levels(answer)["database"] == "failure"
        assert levels(answer)["public address"] == "ok"
        assert "hunter2" not in str(answer)


def test_a_setting_that_cannot_be_is_a_finding(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_POOL_SIZE", "none")
    answer = shop.data("doctor", code=1)
    assert levels(answer) == {"settings": "failure"}
    assert "TELVEND_POOL_SIZE" in answer["findings"][0]["text"]


def test_where_no_shop_is_none_is_made(nowhere: Path) -> None:
    from typer.testing import CliRunner

    from telvend.cli import app

    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.stderr
    assert f"There is no shop at {nowhere} yet." in result.stdout
    assert not nowhere.exists()


def test_a_warning_does_not_end_with_exit_code_1(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_HOST", "10.0.0.7")
    answer = shop.data("doctor")
    assert levels(answer)["public address"] == "warning"


def test_a_schema_of_another_version_is_said_and_left_as_it_is(server: Server) -> None:
    asyncio.run(server.command("create database undoctored"))
    try:
        shop = Shop(server.url("undoctored"))
        assert levels(shop.data("doctor"))["schema"] == "warning"
        shop.execute("create table alembic_version (version_num text); insert into alembic_version values ('9999')")
        answer = shop.data("doctor", code=1)
        assert levels(answer)["schema"] == "failure"
        assert migrations.known()[-1] in str(answer)
    finally:
        asyncio.run(server.command("drop database undoctored with (force)"))


def test_a_wallet_unlike_its_last_transfer_is_a_failure(shop: Shop) -> None:
    email, _ = shop.sell("a")
    assert levels(shop.data("doctor"))["wallets"] == "ok"
    shop.execute("update wallet set balance_minor = balance_minor + 1 where currency = 'GHS' and sequence > 0")
    answer = shop.data("doctor", code=1)
    assert levels(answer)["wallets"] == "failure"
    assert email not in str(answer)
