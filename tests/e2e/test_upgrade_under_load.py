"""The version before beside this one on one database, while purchases come in: upgraded, both selling, the old one stopped."""

import subprocess
import sys
import tarfile
import threading
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx
import pytest

from telvend.database import migrations
from tests.e2e.guides.page import ROOT
from tests.e2e.shop import Shop, purchase, wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

BEFORE: Final = {"0030": "d4fb338", "0038": "a03644a"}
"""The last commits of the two schemas before this one; tests/data/upgrades has dumps of them."""


class Buyer:
    """Buys one bundle after the other from whoever is named at the moment, and keeps every answer."""

    def __init__(self, key: str, name: str) -> None:
        self.at: list[str] = []
        self.sold: dict[str, str] = {}
        self.refused: list[tuple[str, int, str]] = []
        self._key, self._name = key, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._buy)

    def __enter__(self) -> "Buyer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _buy(self) -> None:
        number = 0
        with httpx.Client(headers={"x-api-key": self._key}, timeout=30) as client:
            while not self._stop.is_set():
                number += 1
                reference = f"{self._name}-{number}"
                url = self.at[number % len(self.at)]
                try:
                    answer = client.post(f"{url}/api/v1/purchase", json=purchase("0241230000", reference))
                except httpx.HTTPError:
                    self.refused.append((reference, 0, url))  # A connection of a server that was being stopped.
                    continue
                if answer.status_code == 200:
                    self.sold[reference] = answer.json()["reference"]
                elif answer.status_code != 503:
                    self.refused.append((reference, answer.status_code, answer.text))


def old_code(folder: Path, commit: str) -> Path:
    """The source of an earlier version, from the history of this checkout."""
    archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder / "src"


@pytest.mark.parametrize("version", BEFORE)
def test_old_and_new_sell_side_by_side_while_the_schema_is_brought_up(version: str, tmp_path: Path) -> None:
    source = old_code(tmp_path, BEFORE[version])
    old, new = Shop(tmp_path / "old"), Shop(tmp_path / "new")
    for shop in (old, new):
        shop.data_dir.mkdir(mode=0o700)
    old.settings |= {"PYTHONPATH": str(source)}
    old.program = [sys.executable, "-m", "telvend"]
    try:
        old.start()
        assert old.sql("select version_num from alembic_version") == [(version,)]
        furnish(old, source)
        key = run_old(old, source, "key", "add", "ama@example.com", "--api", "netpluse", "--purchase-limit", "100000")
        url = run_old(old, source, "db", "url")
        new.settings |= {"TELVEND_DATABASE_URL": url}
        with Buyer(key, "a") as first, Buyer(key, "b") as second:
            for buyer in (first, second):
                buyer.at.append(old.url)
            wait_for(
                lambda: len(first.sold) > 20 and len(second.sold) > 20, 30, f"the old version sells: {first.refused}"
            )
            new.start()
            assert old.sql("select version_num from alembic_version") == [(migrations.known()[-1],)]
            upgraded_at = len(first.sold)
            wait_for(lambda: len(first.sold) > upgraded_at + 20, 30, "the old version goes on after the upgrade")
            for buyer in (first, second):
                buyer.at.append(new.url)
            both = len(second.sold)
            wait_for(lambda: len(second.sold) > both + 60, 60, "both versions sell")
            for buyer in (first, second):
                buyer.at[:] = [new.url]
            both = len(second.sold)
            wait_for(lambda: len(second.sold) > both + 20, 60, "the new version sells alone")
        unfinished = {reference for buyer in (first, second) for reference, status, _ in buyer.refused if status == 0}
        assert [one for buyer in (first, second) for one in buyer.refused if one[1]] == []
        old.wait_until_final(60)
        found = dict(old.sql("select client_reference, reference from orders where state = 'delivered'"))
        sold = first.sold | second.sold
        assert sold.items() <= found.items()
        assert found.keys() - sold.keys() <= unfinished
        checked = subprocess.run(
            [sys.executable, "-m", "telvend", "ledger", "check", "--full", "--json"],
            env=new.environment(TELVEND_DATABASE_URL=url), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout
        assert new.stop() == 0
    finally:
        new.end()
        old.end()


def furnish(shop: Shop, source: Path) -> None:
    run_old(shop, source, "user", "add", "ama@example.com", "--name", "Ama", "--phone", "0241234567")
    run_old(shop, source, "wallet", "credit", "ama@example.com", "100000", "GHS", "--reference", "cash-1")


def run_old(shop: Shop, source: Path, *words: str) -> str:
    """Run a command of the earlier version; the last thing that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "telvend", *words], env=shop.environment(PYTHONPATH=str(source)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[0].split()[-1]
