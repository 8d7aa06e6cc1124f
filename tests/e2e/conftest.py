"""Shops for the end-to-end tests: one that is only sold from, and fresh ones for whoever wants to kill something.

Setting a database up takes seconds, so it is done once; every shop begins as a copy of that one.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.shop import Shop

PLENTY = "1000000"


@dataclass(frozen=True)
class Keys:
    """What the furnished shop's resellers have. A 1 GB bundle of MTN costs 4.50.

    ama: 1,000,000.00, and the same to play with; kofi: 5.00; esi: 450.00, which is exactly 100 bundles.
    """

    ama: str
    ama_id: str
    ama_test: str
    ama_ordinary: str
    ama_ordinary_test: str
    ama_doomed: str
    ama_doomed_id: str
    kofi: str
    esi: str
    esi_second: str


@dataclass(frozen=True)
class Furnished:
    data_dir: Path
    keys: Keys


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    """A data directory with resellers, keys and money, whose server has been stopped."""
    shop = Shop(tmp_path_factory.mktemp("furnished") / "data")
    shop.data_dir.mkdir(mode=0o700)
    unlimited = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)

    def key(name: str, *options: str) -> list[str]:
        return ["key", "add", f"{name}@example.com", "--api", "netpluse", *options]

    def credit(name: str, amount: str, *options: str) -> list[str]:
        return ["wallet", "credit", f"{name}@example.com", amount, "GHS", "--reference", "opening", *options]

    try:
        shop.start("--no-fulfilment")
        made = shop.several(
            [
                *(
                    ["user", "add", f"{name}@example.com", "--name", name.title(), "--phone", phone]
                    for name, phone in (("ama", "0241234567"), ("kofi", "0241234568"), ("esi", "0241234569"))
                ),
                key("ama", *unlimited),
                key("ama", *unlimited, "--mode", "test"),
                key("ama"),
                key("ama", "--mode", "test"),
                key("ama", *unlimited),
                key("kofi", *unlimited),
                key("esi", *unlimited),
                key("esi", *unlimited),
                credit("ama", PLENTY),
                credit("ama", PLENTY, "--mode", "test"),
                credit("kofi", "5"),
                credit("esi", "450"),
            ]
        )
        assert shop.stop() == 0
    finally:
        shop.end()
    ama, *_ = made[:3]
    keys = made[3:11]
    return Furnished(
        shop.data_dir,
        Keys(
            ama=keys[0]["key"],
            ama_id=ama["id"],
            ama_test=keys[1]["key"],
            ama_ordinary=keys[2]["key"],
            ama_ordinary_test=keys[3]["key"],
            ama_doomed=keys[4]["key"],
            ama_doomed_id=keys[4]["id"],
            kofi=keys[5]["key"],
            esi=keys[6]["key"],
            esi_second=keys[7]["key"],
        ),
    )


@pytest.fixture(scope="session")
def keys(furnished: Furnished) -> Keys:
    return furnished.keys


@pytest.fixture(scope="session")
def copied(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Shop]]:
    """Makes copies of the furnished shop; each is ended with the session at the latest."""
    made: list[Shop] = []

    def copy() -> Shop:
        folder = tmp_path_factory.mktemp("shop") / "data"
        # cp keeps the owner, which is not us when we are root.
        subprocess.run(["cp", "-a", furnished.data_dir, folder], check=True)
        (folder / "serve.log").unlink()
        made.append(Shop(folder))
        return made[-1]

    yield copy
    for shop in made:
        shop.end()
        # Dozens of megabytes each, which pytest would keep for three runs. The logs stay.
        shutil.rmtree(shop.data_dir / "postgres")


@pytest.fixture(scope="session")
def shop(copied: Callable[[], Shop]) -> Iterator[Shop]:
    """A shop of two processes that nobody kills."""
    opened = copied()
    opened.start("--workers", "2")
    yield opened
    opened.end()


@pytest.fixture
def fresh_shop(copied: Callable[[], Shop]) -> Iterator[Shop]:
    """A shop of one's own, not yet started."""
    opened = copied()
    yield opened
    opened.end()
