"""What holds for every command: lists that are whole or say what is left off, output that is lost, other people's environment."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telvend.database import migrations
from tests.conftest import Server
from tests.hostile import FOR_THE_EMBEDDED, HOSTILE
from tests.store.test_cli import EMAIL, Shop, one_object, sheet


@pytest.fixture(autouse=True)
def logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that serves sends the logs of the whole process elsewhere, also for the tests that come later."""
    monkeypatch.setattr("telvend.cli.supervisor.configure_logs", lambda _: None)


ODD_NAME = "Ọlá ₦"


@pytest.fixture
def shop(nobodys_settings: None, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))
    return Shop(database_url)


def process(*arguments: str, into: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command as a process of its own, in this environment. The address goes there too, which may hold a password."""
    if "--database-url" in arguments:
        at = arguments.index("--database-url")
        env["TELVEND_DATABASE_URL"] = arguments[at + 1]
        arguments = (*arguments[:at], *arguments[at + 2 :])
    words = [sys.executable, "-m", "telvend", *arguments]
    if into:
        words = ["/bin/sh", "-c", f'exec "$@" {into}', "sh", *words]
    # The fixtures have said where its data is, and nothing else.
    variables = dict(os.environ) | env
    return subprocess.run(words, env=variables, capture_output=True, timeout=100, check=False)


# Lists


def test_csv_is_whole_and_a_table_says_how_many_more_there_are(shop: Shop) -> None:
    sold = [shop.sell(*(f"ref-{n}" for n in range(20))) for _ in range(3)]
    orders = [order for _, some in sold for order in some]
    newest_first = [order.reference for order in orders][::-1]

    def of_sheet(*options: str) -> list[str]:
        return [row["reference"] for row in sheet(shop.run("order", "list", "--csv", *options).stdout)]

    assert of_sheet() == newest_first
    assert of_sheet("--limit", "3") == newest_first[:3]
    assert of_sheet("--before", str(orders[2].id)) == newest_first[-2:]
    assert of_sheet("--mode", "test") == []
    last_shown = orders[10].id
    assert shop.run("order", "list").stdout.endswith(f"\n10 more: --before {last_shown}\n")
    page = shop.data("order", "list")
    assert (len(page["orders"]), page["next"], page["more"]) == (50, last_shown, 10)
    page = shop.data("order", "list", "--limit", "60")
    assert (page["next"], "more" in page) == (None, False)
    assert "more" not in shop.run("order", "list", "--limit", "60").stdout
    statement = ("wallet", "statement", sold[0][0], "GHS")
    assert len(sheet(shop.run(*statement, "--csv").stdout)) == 21
    assert len(sheet(shop.run(*statement, "--csv", "--limit", "15").stdout)) == 15
    assert shop.run(*statement, "--limit", "15").stdout.endswith("\n6 more: --before 7\n")


def test_a_csv_is_read_some_at_a_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.cli.listing._AT_A_TIME", 4)
    _, orders = shop.sell(*(f"ref-{n}" for n in range(8)))
    for limit, expected in ((None, 8), (6, 6), (4, 4), (8, 8), (100, 8)):
        options = () if limit is None else ("--limit", str(limit))
        rows = sheet(shop.run("order", "list", "--csv", *options).stdout)
        assert [int(row["id"]) for row in rows] == [order.id for order in orders][::-1][:expected]


def test_an_order_is_found_by_every_spelling_of_its_number(shop: Shop) -> None:
    _, (order,) = shop.sell("ref-1")
    national = "0" + order.subscriber.removeprefix("+233")
    spellings = (order.subscriber, order.subscriber[1:], national, f"{national[:3]} {national[3:6]}-{national[6:]}")
    for text in spellings:
        found = shop.data("order", "list", "--subscriber", text)["orders"]
        assert [one["reference"] for one in found] == [order.reference], text
    assert shop.refused("order", "list", "--subscriber", "12").startswith("subscriber: This is not a mobile number.")


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("user", "list", "--limit", "1"), "2 more: --offset 1"),
        (("user", "list", "--limit", "1", "--offset", "1"), "1 more: --offset 2"),
        (("product", "list", "--limit", "2"), " more: --offset 2"),
        (("subscriber", "list", "--limit", "1"), "2 more: --after 1"),
        (("subscriber", "postings", "0241230001", "--limit", "1"), "1 more: --offset 1"),
        (("voucher", "batches", "--limit", "1"), "1 more: --before 2"),
        (("voucher", "list", "--limit", "3"), "2 more: --after "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_list_says_what_it_leaves_off(shop: Shop, arguments: tuple[str, ...], more: str) -> None:
    for n in range(1, 4):
        shop.run("user", "add", f"{n}@example.com", "--name", "A", "--phone", f"024123000{n}")
        shop.run("subscriber", "add", f"024123000{n}", "--tariff-plan", "T", "--currency", "GHS")
    for n in range(2):
        shop.run("subscriber", "grant", "0241230001", "1GB", "--days", "3", "--reference", f"r{n}")
    for count in ("2", "3"):
        shop.run("voucher", "issue", "--amount", "5", "--currency", "GHS", "--count", count)
    assert more in shop.run(*arguments).stdout
    assert shop.data(*arguments)["more"] >= 1


# Output that is lost


@pytest.mark.parametrize(
    ("env", "shell"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, ""),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ""),
        ({}, "> /dev/full"),
        ({}, ">&- 2>&-"),
        ({}, "| true"),
    ],
    ids=str,
)
def test_a_command_that_has_done_its_work_does_not_fail(shop: Shop, env: dict[str, str], shell: str) -> None:
    arguments = (
        "user",
        "add",
        EMAIL,
        "--name",
        ODD_NAME if not env.get("PYTHONUTF8") else "Ola",
        "--phone",
        "0241234567",
    )
    if shell == "| true":
        # The shell would wait for the reader only.
        reads, writes = os.pipe()
        os.close(reads)
        with os.fdopen(writes, "wb") as pipe:
            done = subprocess.run(
                [sys.executable, "-m", "telvend", *arguments, "--database-url", shop.url], stdout=pipe, stderr=subprocess.PIPE,
                timeout=100, check=False,
            )  # fmt: skip
    else:
        done = process(*arguments, "--database-url", shop.url, into=shell, **env)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in (done.stderr or b"")
    (user,) = shop.data("user", "list")["users"]
    assert user["email"] == EMAIL


def test_a_key_that_could_not_be_shown_is_said_to_be_lost(shop: Shop) -> None:
    shop.add_reseller()
    done = process("key", "add", EMAIL, "--api", "netpluse", "--database-url", shop.url, into="> /dev/full")
    assert done.returncode == 1
    (key,) = shop.data("key", "list", EMAIL)["keys"]
    assert done.stderr.decode().endswith(f"telvend key revoke {key['id']}, and make another one.\n")


def test_vouchers_that_could_not_be_printed_cannot_be_loaded(shop: Shop, tmp_path: Path) -> None:
    done = process(
        "voucher", "issue", "--amount", "5", "--currency", "GHS", "--count", "2", "--database-url", shop.url,
        into="> /dev/full", TELVEND_DATA_DIR=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 1
    assert b"so none of them can be loaded" in done.stderr
    (batch,) = shop.data("voucher", "batches")["batches"]
    assert batch["state"] == "unavailable"


def test_a_list_into_a_full_disk_ends_with_exit_code_1(shop: Shop) -> None:
    shop.sell("ref-1")
    for options in ((), ("--csv",), ("--json",)):
        done = process("order", "list", *options, "--database-url", shop.url, into="> /dev/full")
        assert (done.returncode, done.stderr) == (
            1, b"telvend: The output could not be written: No space left on device.\n",
        ), options  # fmt: skip


def test_an_import_that_was_only_tried_and_could_not_be_printed_ends_with_exit_code_1(
    shop: Shop, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text(shop.run("product", "list", "--csv").stdout)
    for options, code in ((("--dry-run",), 1), ((), 0)):
        done = process("product", "import", str(prices), *options, "--database-url", shop.url, into="> /dev/full")
        assert done.returncode == code, done.stderr


# Other people's environment


def test_nobody_elses_environment_reaches_a_command(shop: Shop) -> None:
    done = process("user", "list", "--json", "--database-url", shop.url, **HOSTILE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert one_object(done.stdout.decode())["users"] == []


def test_a_password_file_stays_for_a_database_that_is_named(shop: Shop, tmp_path: Path) -> None:
    before, _, after = shop.url.partition("://")[2].partition("@")
    user, _, password = before.partition(":")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:{user}:{password}\n")
    passwords.chmod(0o600)
    url = f"postgresql://{user}@{after}"
    done = process("user", "list", "--database-url", url, PGPASSFILE=str(passwords))
    assert (done.returncode, done.stderr) == (0, b"")
    done = process("user", "list", "--database-url", url, PGPASSWORD=password, HOME=str(tmp_path))
    assert done.returncode == 1
    assert b"asks for a password" in done.stderr


def test_nobody_elses_environment_reaches_an_embedded_shop(nobodys_settings: None, tmp_path: Path) -> None:
    # From nothing: initdb, the server, the migrations, a sale; then a command of its own.
    env = HOSTILE | FOR_THE_EMBEDDED | {"TELVEND_DATA_DIR": str(tmp_path / "data")}
    done = process("demo", "--once", "--data-dir", str(tmp_path / "data"), **env)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    done = process("order", "list", "--json", **env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert one_object(done.stdout.decode("iso-8859-9"))["orders"]


# Upgrades


@pytest.fixture
def old(server: Server, nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shop whose schema is a step behind this version's."""
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))
    asyncio.run(server.command("create database behind"))
    shop = Shop(server.url("behind"))
    before_last = migrations.known()[-2]
    for path in sorted((migrations.FOLDER / "sql").glob("*.sql")):
        if path.name[:4] <= before_last:
            shop.execute(path.read_text("utf-8"))
    shop.execute("create table alembic_version (version_num varchar(32) primary key)")
    shop.execute(f"insert into alembic_version values ('{before_last}')")
    yield shop
    asyncio.run(server.command("drop database behind with (force)"))


def test_only_upgrade_brings_the_schema_to_this_version(old: Shop) -> None:
    before_last, last = migrations.known()[-2:]
    for arguments in (("user", "list"), ("ledger", "check"), ("work",)):
        assert f"at revision {before_last} and this version of Telvend needs {last}" in old.refused(*arguments)
    checked = old.data("upgrade", "--check")
    assert (checked["schema"], checked["target"], checked["can_take_over"]) == (before_last, last, True)
    assert [step["revision"] for step in checked["steps"]] == [last]
    # Programs from before the table of steps start on no newer schema, whatever the steps let them do.
    assert checked["older_programs_start_again"] is (before_last >= migrations.NOTED_SINCE)
    text = old.run("upgrade", "--check").stdout
    assert f"schema {before_last} to {last}" in text
    assert migrations.steps()[-1].locks.split(",")[0] in text
    done = old.data("upgrade")
    assert (done["from"], done["schema"], done["steps"]) == (before_last, last, 1)
    assert "nothing to do" in old.run("upgrade").stdout
    assert old.data("user", "list") == {"users": []}
    assert "as it is" in old.run("upgrade", "--check").stdout


def test_a_check_says_that_this_version_cannot_take_a_shop_over(old: Shop) -> None:
    old.run("upgrade")
    old.execute("update alembic_version set version_num = '9999'")
    checked = old.data("upgrade", "--check", code=1)
    assert checked["can_take_over"] is False
    assert "9999" in checked["reason"]
    assert "cannot take this shop over" in old.run("upgrade", "--check", code=1).stdout
    assert "newer than this version" in old.refused("upgrade")


def test_a_check_names_who_would_be_in_the_way(old: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telvend.database.migrations.blockers._LONG_OPEN_S", 0)

    def reader(work: Callable[[], None]) -> None:
        async def inside(database: Any) -> None:
            async with database.transaction() as tx:
                await tx.fetchval("select count(*) from orders")
                await asyncio.to_thread(work)

        old.work(inside)

    said: list[str] = []
    reader(lambda: said.append(process("upgrade", "--check", "--database-url", old.url).stdout.decode()))
    assert "go on" in said[0]
    reader(lambda: said.append(str(migrations_in_the_way(old))))
    assert "select count(*) from orders" in said[1]


def migrations_in_the_way(shop: Shop) -> list[str]:
    from telvend.database.connections import Database
    from telvend.database.migrations.blockers import long_open

    async def look() -> list[str]:
        database = await Database.open(shop.url, pool_size=1)
        try:
            return [blocker.text for blocker in await long_open(database)]
        finally:
            await database.close()

    return asyncio.run(look())
