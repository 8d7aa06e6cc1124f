"""The guides, followed word for word: commands are typed, files written, printed output compared with what comes.

tests/unit/test_guides.py says that nothing in a guide is left out, tests/e2e/guides/page.py what its fences mean. A guide that
begins where another one ends is given a shop with what that one leaves.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guides.follow import Reader, checkout, python_of
from tests.e2e.guides.page import ROOT, Block, blocks
from tests.e2e.shop import STEERED, Shop, purchase

pytestmark = pytest.mark.timeout(
    600
)  # Each takes 5 to 40 s on a machine of its own; commands have limits of their own.

HOWTO = ROOT / "docs" / "howto"
DATA_DIR = Path("home", ".local", "share", "telvend")

Opened = Callable[[Path], Path]


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Gives a reader's folder a shop that was opened once, with nothing in it."""
    shop = Shop(tmp_path_factory.mktemp("opened") / "data")
    shop.data_dir.mkdir(mode=0o700)
    shop.settings.clear()
    try:
        shop.start("--no-fulfilment")
        assert shop.stop() == 0
    finally:
        shop.end()

    def copy(folder: Path) -> Path:
        (folder / DATA_DIR).parent.mkdir(parents=True)
        # cp keeps the owner: under root the database belongs to another account.
        subprocess.run(["cp", "-a", shop.data_dir, folder / DATA_DIR], check=True)
        return folder / DATA_DIR

    return copy


@pytest.fixture
def developer(tmp_path: Path, opened: Opened) -> Iterator[Reader]:
    """Somebody with a checkout of Telvend, and a shop that has been opened."""
    copy = checkout(tmp_path / "telvend")
    data_dir = opened(tmp_path)
    reader = Reader(tmp_path, copy, TELVEND_DATA_DIR=str(data_dir), **python_of(copy))
    yield reader
    reader.close()
    shutil.rmtree(data_dir / "postgres")


ADDS = {
    "add-a-provider": False,
    "add-a-dialect": False,
    "add-a-product-kind": True,
    "add-a-gateway-or-authority": True,
    "add-a-kind-of-sale": True,
}
"""Guides for developers, and whether each is followed in `make soak` only."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] if soak else []) for name, soak in ADDS.items()]
)
def test_what_a_guide_adds_passes_its_contract_tests(developer: Reader, name: str) -> None:
    developer.follow(blocks((HOWTO / f"{name}.md").read_text("utf-8")))


# Guides for operators ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begins:
    """What a guide finds: commands that have been given, purchases of Netpluse that have been made.

    `settings` are those of the server. `called` gives a printed name to what the beginning has made: the references of the
    purchases, in their order. `is_service`: the shop is one in /var/lib that systemd serves. `soak`: it is followed in
    `make soak` only.
    """

    commands: Sequence[Sequence[str]] = ()
    buys: Sequence[Mapping[str, str]] = ()
    called: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    serves: bool = True
    is_service: bool = False
    soak: bool = True


AMA = ("user", "add", "ama@example.com", "--name", "Ama's shop", "--phone", "0241234567")
KEY = ("key", "add", "ama@example.com", "--api", "netpluse")


def credit(amount: str, reference: str) -> tuple[str, ...]:
    return ("wallet", "credit", "ama@example.com", amount, "GHS", "--reference", reference)


BEGINNINGS = {
    "back-up-and-restore": Begins(serves=False, is_service=True),
    "backup": Begins(serves=False, is_service=True),
    "restore": Begins(serves=False, is_service=True),
    "close-the-month": Begins(),
    "connect-an-authority": Begins(),
    "connect-an-upstream": Begins(),
    "connect-dtone": Begins(),
    "connect-madapi": Begins(),
    "connect-reloadly": Begins(),
    "correct-a-mistake": Begins(
        [AMA, credit("4.50", "cash-1"), credit("500", "cash-17"), KEY],
        [purchase("0241234567")],
        called=["NPAPI-10-zwzkvp"],
    ),
    "describe-an-upstream": Begins(),
    "develop-against-the-sandbox": Begins(serves=False),
    "fund-through-paystack": Begins(),
    "furnish-a-subscriber": Begins(),
    "generate-a-client": Begins(soak=False),
    "go-live": Begins(),
    "import-a-price-list": Begins(soak=False),
    "install": Begins(serves=False, soak=False),
    "issue-vouchers": Begins([("subscriber", "add", "+2348031234567", "--tariff-plan", "Basic", "--currency", "NGN")]),
    "console": Begins([AMA], soak=False),
    "let-people-in": Begins([AMA], soak=False),
    "look-into-an-order": Begins(
        [AMA, credit("100", "cash-1"), KEY],
        [purchase(ending, f"r-{ending:04}") for ending in (7, 16, 17)],
        called=["NPAPI-8-j4g3hq", "NPAPI-10-zwzkvp", "NPAPI-11-bmpnqk"],
        settings=STEERED,
    ),
    "monitoring": Begins(),
    "reconcile-a-day": Begins(
        [AMA, credit("100", "cash-1"), KEY],
        [purchase(f"024123000{number}") for number in (1, 2, 3)],
        called=["NPAPI-10-zwzkvp", "NPAPI-11-bmpnqk", "NPAPI-12-x8d3wm"],
    ),
    "revoke-a-key": Begins([AMA, KEY]),
    "sell-a-list": Begins([AMA, credit("100", "cash-1")]),
    "settle-what-nobody-knows": Begins(
        [AMA, credit("100", "cash-1"), KEY],
        [purchase(ending, f"r-{ending:04}") for ending in (16, 17)],
        called=["NPAPI-10-zwzkvp", "NPAPI-11-bmpnqk"],
        settings=STEERED,
    ),
    "switch-a-network-off": Begins(soak=False),
    "switch-a-provider-off": Begins(soak=False),
    "tell-resellers-by-webhook": Begins([AMA, credit("20", "cash-1")], soak=False),
    "two-people-for-large-amounts": Begins([AMA]),
    "upgrade": Begins(),
    "use-the-postman-collection": Begins([AMA]),
    "when-a-network-is-down": Begins(soak=False),
}
"""The guides of docs/howto/ for operators, by name."""
FOLLOWED = {
    "README.md",
    "docs/quickstart.md",
    *(f"docs/howto/{name}.md" for name in (*BEGINNINGS, *ADDS)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.soak] if begins.soak else []) for name, begins in BEGINNINGS.items()],
)
def test_a_guide_for_whoever_runs_a_shop_is_true(tmp_path: Path, opened: Opened, name: str) -> None:
    begins = BEGINNINGS[name]
    work = tmp_path / "work"
    work.mkdir()
    shop = Shop(opened(tmp_path)) if begins.serves else None
    port = shop.port if shop else 0
    places = {name: tmp_path / name.removeprefix("/") for name in ("/var/lib/telvend", "/var/backups")}
    reader = Reader(tmp_path, work, port=port, places=places if begins.is_service else {})
    try:
        if begins.is_service:
            become_service(reader, opened, tmp_path)
        if shop is not None:
            shop.settings = dict(begins.settings)
            shop.start()
            made = shop.several(begins.commands) if begins.commands else []
            buy(shop, reader, begins, made)
            for what in made:
                if "key" in what:
                    (work / "leaked.txt").write_text(what["key"])
        reader.follow(blocks((HOWTO / f"{name}.md").read_text("utf-8")))
    finally:
        reader.close()
        if shop is not None:
            shop.end()
        for folder in tmp_path.glob("**/postgres"):
            shutil.rmtree(folder)


SYSTEMCTL = """
systemctl() {
  case $1 in
    start) TELVEND_DATA_DIR=/var/lib/telvend telvend serve > serve.log 2>&1 &
           served=$!
           until curl -s http://127.0.0.1:8000/healthz | grep -q ready; do sleep 0.2; done ;;
    stop) kill $served && wait $served || [ $? = 143 ] ;;
  esac
}
systemctl start telvend
export TELVEND_DATA_DIR=/var/lib/telvend
telvend user add ama@example.com --name "Ama's shop" --phone 0241234567
telvend wallet credit ama@example.com 100 GHS --reference cash-001
KEY=$(telvend key add ama@example.com --api netpluse | head -n 1)
curl -s -H "x-api-key: $KEY" -H "Content-Type: application/json" \\
  -d '{"network": "MTN", "phoneNumber": "0241234567", "capacity": "1GB"}' http://127.0.0.1:8000/api/v1/purchase
until telvend order list | grep -q delivered; do sleep 0.5; done
"""


def become_service(reader: Reader, opened: Opened, folder: Path) -> None:
    """Serve a shop in /var/lib/telvend with a stand-in for systemctl. There is a folder for backups."""
    for place in ("var/lib", "var/backups"):
        (folder / place).mkdir(parents=True)
    opened(folder).rename(folder / "var" / "lib" / "telvend")
    code, printed = reader.terminal("").run(reader.known.put(SYSTEMCTL), 60)
    assert code == 0, printed


def buy(shop: Shop, reader: Reader, begins: Begins, made: list[dict[str, Any]]) -> None:
    """Make the purchases that the guide begins with."""
    for body, called in zip(begins.buys, begins.called, strict=True):
        with shop.client(made[-1]["key"]) as client:
            answer = client.post("purchase", json=body)
        assert answer.status_code == 200, answer.text
        reader.known.learn(called, answer.json()["reference"])
    if begins.buys and not begins.settings:
        shop.wait_until_final()


README = blocks((ROOT / "README.md").read_text("utf-8"))
FIRST_SALE = [block for block in README if block.before.startswith("## Your first sale")]
QUICK_START = blocks((ROOT / "docs" / "quickstart.md").read_text("utf-8"))


@pytest.mark.parametrize(
    "followed",
    [
        pytest.param(README, id="the README"),
        pytest.param([*FIRST_SALE, *QUICK_START], id="the first sale and the quick start", marks=pytest.mark.soak),
    ],
)
def test_the_first_pages_are_true_from_nothing_on(tmp_path: Path, followed: list[Block]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    reader = Reader(tmp_path, work)
    try:
        reader.follow(followed)
    finally:
        reader.close()
        for folder in tmp_path.glob("**/postgres"):
            shutil.rmtree(folder)
