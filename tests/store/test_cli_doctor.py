"""`telvend doctor` against a real database, against none, and against one that it cannot use."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from telvend.database import migrations
from telvend.upkeep import clock, machine, ports
from tests.conftest import Server
from tests.e2e.shop import load
from tests.store.test_cli import Shop


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that nobody uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("TELVEND_DATA_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def sound_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with which nothing is wrong; tests/unit/upkeep/ has the others."""
    monkeypatch.setattr(machine, "measure", lambda _: machine.Machine(4, 8 * machine.GIB, 4 * machine.GIB, 65536, True))
    monkeypatch.setattr(clock, "measure", lambda _: clock.Clock(True, 0.0))

    async def nobody(host: str, port: int, path: str) -> None:
        """Nobody listens."""

    monkeypatch.setattr(ports, "ask", nobody)


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


def levels(answer: Any) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in answer["findings"]}


def own_the_console(shop: Shop) -> None:
    shop.execute(
        "with owner as (insert into person (id, email, name, phone, zone, password, password_changed_at, created_at)"
        " values (gen_random_uuid(), 'o@b.co', 'O', '', 'UTC', '', now(), now()) returning id)"
        " insert into person_role select id, 'owner', now() from owner"
    )


def test_a_console_without_an_owner_and_emails_that_do_not_arrive_are_warnings(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = shop.data("doctor")
    assert (levels(answer)["console"], levels(answer)["e-mail"]) == ("warning", "ok")
    own_the_console(shop)
    shop.execute(
        "insert into email (kind, recipient, facts, state, failure, created_at) values ('test', 'a@b.co', '{}', 'failed', 'x', now())"
    )
    monkeypatch.setenv("TELVEND_SIGNUP", "open")
    monkeypatch.setenv("TELVEND_PUBLIC_URL", "https://shop.example")
    answer = shop.data("doctor")
    assert levels(answer)["console"] == "ok"
    advice = [one["advice"] for one in answer["findings"] if one["check"] == "e-mail"]
    assert len(advice) == 2
    assert "telvend email list" in advice[0]
    assert "smtp_host" in advice[1]


def test_a_sound_shop_has_nothing_to_do(shop: Shop) -> None:
    own_the_console(shop)
    answer = shop.data("doctor")
    assert answer["ok"] is True
    assert set(levels(answer).values()) == {"ok"}, answer
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


@pytest.mark.parametrize("made", [False, True])
def test_where_no_shop_is_none_is_made_and_that_is_a_failure(nowhere: Path, made: bool) -> None:
    from typer.testing import CliRunner

    from telvend.cli import app

    if made:
        nowhere.mkdir(mode=0o700)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1, result.stderr
    assert f"There is no shop in {nowhere}; only `telvend serve` and `telvend demo` open one." in result.stdout
    assert list(nowhere.iterdir()) == [] if made else not nowhere.exists()


def test_a_warning_does_not_end_with_exit_code_1(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_HOST", "10.0.0.7")
    answer = shop.data("doctor")
    assert levels(answer)["public address"] == "warning"


def test_a_paused_network_is_named_with_what_ends_the_pause(shop: Shop) -> None:
    shop.execute("insert into network (country, code, name) values ('NG', 'mtn', 'MTN'), ('GH', 'MTN', 'MTN')")
    shop.execute(
        "insert into network_pause (network_id, automatic, reason, by_whom)"
        " select id, country = 'NG', 'it is down', 'Esi' from network"
    )
    answer = shop.data("doctor")
    nigeria, ghana = (finding for finding in answer["findings"] if finding["check"] == "networks")
    assert ghana["level"] == nigeria["level"] == "warning"
    assert "MTN (NG) is paused since" in nigeria["text"]
    assert "when something is delivered" in nigeria["advice"]
    assert "MTN (GH) is paused since" in ghana["text"]
    assert ghana["advice"] == "Nothing lifts it but: telvend network resume MTN --country GH"


def test_a_schema_of_another_version_is_said_and_left_as_it_is(server: Server) -> None:
    asyncio.run(server.command("create database undoctored"))
    try:
        shop = Shop(server.url("undoctored"))
        assert levels(shop.data("doctor"))["schema"] == "warning"
        assert "`telvend serve` opens" in str(shop.data("doctor"))
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


def set_schema(shop: Shop, revision: str, oldest_reader: str | None = None) -> None:
    known = migrations.known()[-1]
    shop.execute(
        f"delete from schema_step where revision > '{known}'; update alembic_version set version_num = '{revision}'"
    )
    if revision > known:
        reader = "null" if oldest_reader is None else f"'{oldest_reader}'"
        shop.execute(
            f"insert into schema_step (revision, oldest_reader, program) values ('{revision}', {reader}, '9.9')"
        )


def test_an_older_schema_says_which_command_brings_it_up(shop: Shop) -> None:
    set_schema(shop, migrations.known()[-2])
    try:
        answer = shop.data("doctor")
    finally:
        set_schema(shop, migrations.known()[-1])
    (schema,) = (finding for finding in answer["findings"] if finding["check"] == "schema")
    assert schema["level"] == "warning"
    assert schema["advice"].startswith(
        "`telvend upgrade` brings it there, and so does the next start of `telvend serve`"
    )
    assert "wallets" not in levels(answer)


@pytest.mark.parametrize(("oldest_reader", "level", "looks_on"), [(None, "warning", True), ("9998", "failure", False)])
def test_a_newer_schema_is_a_failure_only_where_it_lets_this_version_not_go_on(
    shop: Shop, oldest_reader: str | None, level: str, looks_on: bool
) -> None:
    set_schema(shop, "9999", oldest_reader)
    try:
        answer = shop.data("doctor", code=int(level == "failure"))
    finally:
        set_schema(shop, migrations.known()[-1])
    assert levels(answer)["schema"] == level
    assert ("wallets" in levels(answer)) is looks_on


def test_files_that_others_may_read_are_found(shop: Shop, nowhere: Path) -> None:
    (nowhere / "secret").mkdir(parents=True, mode=0o700)
    nowhere.chmod(0o700)
    assert levels(shop.data("doctor"))["file permissions"] == "ok"
    (nowhere / "secret" / "voucher-key").touch(mode=0o644)
    (nowhere / "secret" / "voucher-key").chmod(0o644)
    answer = shop.data("doctor", code=1)
    assert levels(answer)["file permissions"] == "failure"


def test_a_key_that_the_database_was_written_with_and_is_missing_is_a_failure(shop: Shop, nowhere: Path) -> None:
    nowhere.mkdir(mode=0o700)
    answer = shop.data("doctor")
    assert (levels(answer)["identity master key"], levels(answer)["voucher key"]) == ("ok", "ok")
    shop.run("voucher", "issue", "--amount", "20", "--currency", "GHS", "--count", "1")
    assert levels(shop.data("doctor"))["voucher key"] == "ok"
    (nowhere / "secret" / "voucher-key").rename(nowhere / "elsewhere")
    answer = shop.data("doctor", code=1)
    assert levels(answer)["voucher key"] == "failure"
    assert "bring it back" in str(answer)
    (nowhere / "elsewhere").rename(nowhere / "secret" / "voucher-key")


def finding(answer: Any, check: str) -> Any:
    (found,) = (one for one in answer["findings"] if one["check"] == check)
    return found


def test_orders_that_nobody_delivers_are_a_failure(shop: Shop) -> None:
    shop.sell("a", "b")
    assert finding(shop.data("doctor"), "open orders")["text"].startswith("2 orders are under way, the oldest for ")
    shop.execute("update orders set created_at = now() - interval '11 minutes' where client_reference = 'a'")
    found = finding(shop.data("doctor", code=1), "open orders")
    assert found["level"] == "failure"
    assert "2 orders are paid and never tried, the oldest for 11 minutes" in found["text"]


def test_orders_that_wait_or_need_a_person_are_warnings(shop: Shop) -> None:
    shop.sell("a", "b")
    shop.execute(
        "update orders set state = 'waiting', created_at = now() - interval '5 hours' where client_reference = 'a'"
    )
    shop.execute("update orders set state = 'review', due_at = null where client_reference = 'b'")
    found = [one for one in shop.data("doctor")["findings"] if one["check"] == "open orders"]
    assert [one["level"] for one in found] == ["warning", "warning"]
    assert "1 order is waiting for a provider, the oldest for 5 hours" in found[0]["text"]
    assert "1 order is waiting for a person to decide" in found[1]["text"]


def test_the_age_and_the_result_of_the_last_audit_are_told(shop: Shop) -> None:
    shop.sell("a")
    assert finding(shop.data("doctor"), "audit")["level"] == "warning"
    shop.data("ledger", "check")
    assert finding(shop.data("doctor"), "audit")["text"].startswith("The books held at ")
    shop.execute("update audit_run set ended_at = now() - interval '3 days 1 hour'")
    assert "3 days ago" in finding(shop.data("doctor"), "audit")["text"]
    shop.execute("update wallet set balance_minor = balance_minor + 1 where currency = 'GHS' and sequence > 0")
    shop.data("ledger", "check", code=1)
    shop.execute("update wallet set balance_minor = balance_minor - 1 where currency = 'GHS' and sequence > 0")
    found = finding(shop.data("doctor", code=1), "audit")
    assert found["level"] == "failure"
    assert "violations" in found["text"]


def test_an_order_from_the_future_tells_of_a_clock_that_was_set_back(shop: Shop) -> None:
    shop.sell("a")
    shop.execute("update orders set created_at = now() + interval '10 minutes'")
    warned = [one for one in shop.data("doctor")["findings"] if one["check"] == "clock" and one["level"] == "warning"]
    assert "set back" in warned[0]["text"]


def test_a_growing_database_says_how_much_of_it_is_of_the_last_day(shop: Shop) -> None:
    shop.sell("a", "b")
    shop.execute("update orders set created_at = now() - interval '3 days' where client_reference = 'a'")
    shop.execute("analyze orders")
    assert "of the last day" in finding(shop.data("doctor", code=1), "disk growth")["text"]


def test_a_port_of_another_program_is_a_failure(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(host: str, port: int, path: str) -> bytes:
        return b"HTTP/1.1 200 OK\r\n\r\n<h1>It works!</h1>"

    monkeypatch.setattr(ports, "ask", other)
    found = finding(shop.data("doctor", code=1), "port")
    assert found["level"] == "failure"
    assert "ss -ltnp" in found["advice"]


def test_the_doctor_takes_less_than_three_seconds(shop: Shop) -> None:
    shop.sell("a")
    began = time.monotonic()
    shop.data("doctor")
    assert time.monotonic() - began < 3 * load()
