"""The collections that the first page offers, as newman runs them: downloaded from a real server and sent to it.

newman is a tool of the tests alone; `make newman` installs the version that tests/postman/package-lock.json pins.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop

ROOT = Path(__file__).parents[2]
NEWMAN = ROOT / "tests" / "postman" / "node_modules" / ".bin" / "newman"
LIMITS = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)


@pytest.fixture(scope="session")
def newman() -> Path:
    # For whoever runs pytest and not `make test`.
    made = subprocess.run(
        ["make", "--silent", "newman"], cwd=ROOT, timeout=600, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return NEWMAN


APIS = ("netpluse", "networkdatasub", "madapi")
ADA = "ada@example.com"
SUBSCRIBER, RECEIVER = "+2348031234567", "+2348031234568"


@dataclass
class Market:
    """A shop with a key for each API. What MADAPI's story uses up is made anew for each run."""

    shop: Shop
    keys: dict[str, dict[str, str]]
    authorization: str
    runs: int = 0

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.shop.url}{path}", headers=headers, timeout=30, verify=_NO_CERTIFICATES)

    def variables(self, name: str) -> dict[str, str]:
        """What a reader would set before sending the collection."""
        found = {"key": self.keys[name]["key"]}
        if name != "madapi":
            return found
        self.runs += 1
        voucher = self.shop.telvend("voucher", "issue", "--amount", "200", "--currency", "NGN", "--count", "1")
        return found | {
            "secret": self.keys[name]["secret"],
            "customerId": SUBSCRIBER,
            "receiverId": RECEIVER,
            "newCustomerId": f"+23480399{self.runs:05}",
            "momoAuthorization": self.authorization,
            "pin": voucher["vouchers"][0]["pin"],
        }


@pytest.fixture(scope="module")
def market(copied: Callable[[], Shop]) -> Iterator[Market]:
    shop = copied()
    shop.start()
    made = shop.several(
        [
            ["user", "add", ADA, "--name", "Ada Obi", "--phone", "08031234567"],
            ["wallet", "credit", ADA, "1000", "GHS", "--reference", "opening"],
            ["wallet", "credit", ADA, "20000", "NGN", "--reference", "opening"],
            *(["subscriber", "add", msisdn, "--tariff-plan", "Basic", "--currency", "NGN"] for msisdn in (SUBSCRIBER, RECEIVER)),
            ["subscriber", "momo", SUBSCRIBER, "--balance", "18400", "--positive", "500", "--negative", "1200"],
            *(["key", "add", ADA, "--api", name, *LIMITS] for name in APIS),
        ]
    )  # fmt: skip
    yield Market(shop, dict(zip(APIS, made[-3:], strict=True)), made[5]["x_authorization"])
    shop.check_books()
    shop.end()


@dataclass(frozen=True)
class Run:
    """What newman reports: how often each request and assertion ran, what failed, and what it printed."""

    requests: list[str]
    assertions: int
    failures: list[str]
    printed: str


def run(newman: Path, market: Market, name: str, folder: Path, *, key: str | None = None) -> Run:
    downloaded = market.get(f"/postman/{name}.json?download")
    assert downloaded.status_code == 200
    file_name = re.fullmatch(r'attachment; filename="(.+)"', downloaded.headers["content-disposition"])
    assert file_name
    (folder / file_name[1]).write_bytes(downloaded.content)
    variables = market.variables(name) if key is None else {"key": key}
    report = folder / "report.json"
    done = subprocess.run(
        [
            newman, "run", folder / file_name[1], "--color", "off", "--timeout-request", "20000",
            "--reporters", "cli,json", "--reporter-json-export", report,
            *(word for pair in variables.items() for word in ("--env-var", "=".join(pair))),
        ],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert report.is_file(), done.stdout + done.stderr
    found = json.loads(report.read_text())["run"]
    failures = [
        f"{failure['source'].get('name')}: {failure['error'].get('test')}: {failure['error'].get('message')}"
        for failure in found["failures"]
    ]
    assert (done.returncode == 0) == (not failures)
    return Run(
        [execution["item"]["name"] for execution in found["executions"]],
        found["stats"]["assertions"]["total"],
        failures,
        done.stdout,
    )


def steps(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield from steps(item["item"]) if "item" in item else [item]


@pytest.mark.parametrize("name", APIS)
def test_a_collection_runs_whole_and_every_test_of_it_passes_twice(
    newman: Path, market: Market, name: str, tmp_path: Path
) -> None:
    told = [item["name"] for item in steps(market.get(f"/postman/{name}.json").json()["item"])]
    for _ in range(2):
        done = run(newman, market, name, tmp_path)
        assert done.failures == [], done.printed
        assert done.requests == told
        assert done.assertions >= 2 * len(told)


def test_a_collection_notices_what_is_wrong(newman: Path, market: Market, tmp_path: Path) -> None:
    done = run(newman, market, "netpluse", tmp_path, key="np_live_nobody")
    assert any("status is 200" in failure for failure in done.failures)
    assert any("its shape" in failure for failure in done.failures)


def test_every_document_is_valid_openapi_for_this_server(market: Market) -> None:
    found = market.get("/").json()["apis"]
    assert set(found) == set(APIS)
    for name, path in found.items():
        document = market.get(f"{path}?download").json()
        validate(document)
        assert document["servers"] == [{"url": market.shop.url}]
        assert document["info"]["title"], name


def test_the_first_page_leads_a_browser_to_every_download(market: Market) -> None:
    page = market.get("/", accept="text/html")
    links = re.findall(r'href="([^"]+\?download)"', page.text)
    assert len(links) == 2 * len(APIS)
    for link in links:
        assert "attachment" in market.get(link).headers["content-disposition"]
