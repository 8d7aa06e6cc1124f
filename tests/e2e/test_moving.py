"""`telvend database move`: into a PostgreSQL of one's own, killed at each step, and never two shops that sell."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from telvend.embedded_postgres.cluster import Cluster
from telvend.upkeep.moving.store import Target, refusal_of
from tests.e2e.conftest import Keys
from tests.e2e.shop import TELVEND, Shop, purchase, wait_for

EMAIL = "ama@example.com"


class Elsewhere:
    """A PostgreSQL of one's own, with as many databases as asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        with psycopg.connect(
            self._cluster.superuser_url.replace("/telvend?", f"/{database}?"), autocommit=True
        ) as done:
            cursor = done.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str, owner: str = "telvend") -> str:
        self.execute(f"create database {name} owner {owner}")
        return self._cluster.url.replace("/telvend?", f"/{name}?")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere") / "data"
    with Cluster(folder) as cluster:
        yield Elsewhere(cluster)
    shutil.rmtree(folder / "postgres")


@pytest.fixture
def shop(copied: Callable[[], Shop], elsewhere: Elsewhere) -> Iterator[Shop]:
    """A shop of one's own, that ends before the server that it was moved to."""
    made = copied()
    yield made
    made.end()


def sell(shop: Shop, key: str, reference: str) -> int:
    with shop.client(key) as client:
        return int(client.post("purchase", json=purchase(1, reference)).status_code)


def move(shop: Shop, url: str, failpoints: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TELVEND, "database", "move", "--json"],
        env=shop.environment(TELVEND_MOVE_TO=url, TELVEND_FAILPOINTS=failpoints),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def references(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("select client_reference from orders").fetchall()}


def old_database(shop: Shop) -> set[str]:
    """What was sold by the database that was left behind, which nothing of ours starts any more."""
    note = shop.data_dir / "moved.json"
    aside = note.rename(note.with_name("aside"))
    try:
        with Cluster(shop.data_dir) as cluster:
            found = references(cluster.superuser_url)
            with (
                psycopg.connect(cluster.url) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("update wallet set balance_minor = 0")
    finally:
        aside.rename(note)
    return found


def test_a_move_that_is_killed_leaves_one_shop_and_is_finished_by_the_next(
    shop: Shop, keys: Keys, elsewhere: Elsewhere
) -> None:
    url = elsewhere.database("one")
    shop.start()
    sold = {"m-0"}
    assert sell(shop, keys.ama, "m-0") == 200
    # Before the commit the shop is where it was, and goes on at once.
    for number, point in enumerate(("move.while_stopped", "move.after_copy"), 1):
        assert move(shop, url, f"{point}=kill").returncode == -signal.SIGKILL
        wait_for(lambda ref=f"m-{number}": sell(shop, keys.ama, ref) in (200, 409), 10, "it sells again")  # type: ignore[misc]
        sold.add(f"m-{number}")
    # The copy of the second attempt is complete, and sells nothing to whoever takes it for the shop.
    assert elsewhere.execute("select count(*) from book_halt where release is null", "one") == [(1,)]
    shop.wait_until_final()
    # After it the shop is in the new database, and whoever opens it finishes what is left.
    assert move(shop, url, "move.after_commit=kill").returncode == -signal.SIGKILL
    wait_for(shop.has_ended, 20, "the old server ends")
    assert sold <= references(url)
    shop.start(may_end=True)
    wait_for(shop.has_ended, 20, "the move is settled")
    assert "moved into another database" in shop.log()
    shop.start()
    assert sell(shop, keys.ama, "m-new") == 200
    assert "m-new" in references(url)
    again = move(shop, url)
    assert again.returncode == 0, again.stderr
    assert shop.telvend("ledger", "check", "--full")["ok"]
    assert shop.stop() == 0
    assert old_database(shop) == references(url) - {"m-new"}


@pytest.mark.soak
def test_a_shop_that_sells_is_moved_with_everything_that_was_sold(shop: Shop, keys: Keys, elsewhere: Elsewhere) -> None:
    url = elsewhere.database("two")
    shop.start("--workers", "2")
    assert sell(shop, keys.ama, "w-1") == 200
    shop.wait_until_final()
    before = shop.telvend("wallet", "show", EMAIL)
    # Killed between noting the new database and letting it sell.
    assert move(shop, url, "move.before_release=kill").returncode == -signal.SIGKILL
    wait_for(shop.has_ended, 20, "the old server ends")
    assert json.loads((shop.data_dir / "moved.json").read_text())["url"] == url
    assert (shop.data_dir / "moved.json").stat().st_mode & 0o777 == 0o600
    shop.start()
    assert shop.telvend("wallet", "show", EMAIL) == before
    assert sell(shop, keys.ama, "w-2") == 200
    # What is sold gets numbers that nobody has.
    (numbers,) = elsewhere.execute("select count(*), count(distinct id) from orders", "two")
    assert numbers[0] == numbers[1] == 2
    assert url.partition("@")[0].partition(":")[2] not in shop.run("settings").stdout
    elsewhere_again = move(shop, elsewhere.database("three"))
    assert "was moved to two at" in elsewhere_again.stderr


@pytest.mark.soak
def test_what_cannot_take_the_shop_is_refused_and_nothing_has_changed(
    shop: Shop, keys: Keys, elsewhere: Elsewhere
) -> None:
    shop.start()
    taken = elsewhere.database("taken")
    elsewhere.execute("create table theirs (a int)", "taken")
    assert "is not empty, and nothing was changed" in move(shop, taken).stderr
    not_ours = elsewhere.database("not_ours", "postgres")
    assert "may not make tables and schemas" in move(shop, not_ours).stderr
    nowhere = move(shop, "postgresql://x:hunter2@127.0.0.1:1/x")
    assert nowhere.stderr.startswith("telvend: The target cannot be used: ")
    assert "hunter2" not in nowhere.stderr
    assert "must begin with postgresql://" in move(shop, "mysql://x").stderr
    # The database of the shop itself.
    itself = json.loads((shop.data_dir / "server.json").read_text())["url"]
    assert "is not empty" in move(shop, itself).stderr
    assert not (shop.data_dir / "moved.json").exists()
    assert sell(shop, keys.ama, "still-here") == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"major": 14}, "is PostgreSQL 14: Telvend needs 15"),
        ({"standby": True}, "is a standby"),
        ({"encoding": "LATIN1"}, "make it with encoding 'UTF8'"),
        ({"creates_schemas": False}, "alter database shop owner to me"),
        ({"creates_tables": False}, "may not make tables"),
        ({}, None),
    ],
)
def test_a_target_is_looked_at(change: dict[str, Any], said: str | None) -> None:
    fine = {
        "major": 15, "standby": False, "encoding": "UTF8", "name": "shop", "role": "me", "creates_schemas": True,
        "creates_tables": True, "holds_tables": False,
    }  # fmt: skip
    refusal = refusal_of(Target(**(fine | change)), "shop at host")
    assert (refusal is None) if said is None else (said in str(refusal))


def test_the_data_directory_of_a_moved_shop_is_not_restored_over(tmp_path: Path) -> None:
    (tmp_path / "moved.json").write_text("{")
    (tmp_path / "moved.json").chmod(0o600)
    done = subprocess.run(
        [TELVEND, "shop", "status", "--data-dir", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
