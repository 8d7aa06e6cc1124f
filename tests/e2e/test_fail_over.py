"""Fail-overs between two PostgreSQL servers: the shop sells on the new primary within seconds, and never on the old one."""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.replicated import Pair
from tests.e2e.shop import TELVEND, Shop, load, purchase, wait_for

ALL = ("kill", "freeze", "silence")
WITHIN_S = 5.0


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        yield made


@pytest.fixture
def shop(pair: Pair, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.settings = {"TELVEND_DATABASE_URL": pair.url, "TELVEND_SIMULATORS": "{simulator = {timeout_s = 0.5}}"}
    yield made
    made.end()


def furnished(shop: Shop, url: str) -> str:
    """Make a reseller with money. Return her key."""

    def command(*arguments: str) -> dict[str, str]:
        done = subprocess.run(
            [TELVEND, *arguments, "--json"],
            env=shop.environment(TELVEND_DATABASE_URL=url),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found

    command("user", "add", "ama@example.com", "--name", "Ama", "--phone", "0241234567")
    command("wallet", "credit", "ama@example.com", "1000000", "GHS", "--reference", "opening")
    unlimited = ("--read-limit", "1000000", "--purchase-limit", "1000000")
    return command("key", "add", "ama@example.com", "--api", "netpluse", *unlimited)["key"]


class Selling:
    """Purchases one after the other, each under its own reference, and which of them were answered as sold."""

    def __init__(self, shop: Shop, key: str) -> None:
        self._client = shop.client(key)
        self._numbers = itertools.count()
        self.sold: list[str] = []
        self.answers: set[int] = set()

    def close(self) -> None:
        self._client.close()

    def once(self) -> bool:
        """Try to sell. A refusal is 503, and nothing else."""
        reference = f"sale {next(self._numbers)}"
        try:
            answer = self._client.post("purchase", json=purchase("0245550001", reference), timeout=0.7)
        except httpx.HTTPError:
            return False
        self.answers.add(answer.status_code)
        if answer.status_code == 200:
            self.sold.append(reference)
        return answer.status_code == 200

    def until_sold(self) -> None:
        wait_for(self.once, 20, "sold")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("failures", "workers"),
    [(("freeze",), 2), pytest.param(ALL * 2, 1, marks=pytest.mark.soak)],
    ids=["once", "often"],
)
def test_the_shop_sells_on_the_new_primary_within_seconds_and_never_on_the_old_one(
    failures: tuple[str, ...], workers: int, pair: Pair, shop: Shop
) -> None:
    shop.start("--workers", str(workers), within_s=60)
    selling = Selling(shop, furnished(shop, pair.url))
    for how in failures:
        for _ in range(3):
            selling.until_sold()
        pair.fail(how)
        # The promotion takes a while, and purchases go on arriving.
        away_until = time.monotonic() + 4
        while time.monotonic() < away_until:
            selling.once()
            time.sleep(0.1)
        pair.promote()
        promoted_at, before = time.monotonic(), len(selling.sold)
        selling.until_sold()
        took_s = time.monotonic() - promoted_at
        print(f"{how}, the old primary is host {pair.other.name}: sold {took_s:.1f} s after the promotion")
        assert took_s < WITHIN_S * load(), f"{how}: {took_s:.1f} s"
        pair.thaw()
        for round_ in range(4):
            # New connections find two servers that both act as the primary.
            pair.primary.asks("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'telvend'")
            for _ in range(4):
                selling.once()
            selling.until_sold()
            if round_ == 2 and how == failures[-1]:
                assert shop.stop() == 0
                shop.start("--workers", str(workers), within_s=60)
        sold = selling.sold[before:]
        there = "select count(*) from orders where client_reference = any(array[{}])".format(
            ", ".join(f"'{s}'" for s in sold)
        )
        assert pair.primary.asks(there, "telvend") == len(sold)
        assert pair.other.asks(there, "telvend") == 0
        pair.join()
    assert selling.answers <= {200, 503}
    everything = "select count(*) from orders where client_reference = any(array[%s])" % ", ".join(  # noqa: UP031
        f"'{s}'" for s in selling.sold
    )
    assert pair.primary.asks(everything, "telvend") == len(selling.sold)
    assert "sales_halted" not in shop.log()
    selling.close()
