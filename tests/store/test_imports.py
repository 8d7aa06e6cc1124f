"""What processes import, and when: a command only what it works with, a serving process everything before it is ready."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from telvend.database.connections import Database
from telvend.upkeep.preparation import prepare_database

COMMAND = """
import sys
from telvend.__main__ import main
try:
    main()
finally:
    sys.stdout.flush()
    print(*sys.modules, file=sys.stderr)
"""

SERVER = """
import asyncio, json, socket, sys, urllib.error, urllib.request
from telvend.bootstrap import load_modules, serve
from telvend.cli.server import configure_logs
from telvend.config import load
from telvend.kit.money import GHS, Money

LATER = ("phonenumbers", "prometheus_client", "structlog", "telvend", "uvicorn", "starlette", "msgspec")

def loaded():
    # phonenumbers reads the metadata of a country with its first number.
    return {name for name in sys.modules if name.split(".")[0] in LATER and not name.startswith("phonenumbers.data")}

def fetch(address, key="", body=None):
    headers = {"x-api-key": key, "authorization": f"Token {key}", "content-type": "application/json"}
    try:
        asked = urllib.request.Request(address, json.dumps(body).encode() if body else None, headers)
        return urllib.request.urlopen(asked, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code

async def main(url):
    settings = load({"data_dir": sys.argv[2]}).settings
    configure_logs(settings)
    load_modules()
    listener = socket.create_server(("127.0.0.1", 0))
    async with serve(settings, url, lambda: [listener]) as (shop, _):
        ama = await shop.resellers.add("ama@example.com", "Ama", "0241234567")
        await shop.credits.add(ama.id, Money(10_000, GHS), "live", "a")
        keys = {api: (await shop.resellers.add_key(ama.email, api))[1].reveal() for api in ("netpluse", "networkdatasub")}
        await shop.watch.look()
        before = loaded()
        purchase = {"network": "MTN", "capacity": "1GB", "phoneNumber": "0241234567"}
        for api, path, body in (
            ("netpluse", "/api/v1/purchase", purchase),
            ("netpluse", "/api/v1/balance", None),
            ("networkdatasub", "/api/wallet/balance", None),
            ("netpluse", "/healthz", None),
            ("netpluse", "/", None),
            ("netpluse", "/metrics", None),
            ("netpluse", "/v2/customers/233241234567/plans", None),
            ("netpluse", "/pay/sandbox/x", None),
            ("netpluse", "/gateways/paystack/notice", {}),
        ):
            address = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
            print(await asyncio.to_thread(fetch, address, keys[api], body), end=" ")
        print(*sorted(loaded() - before))

asyncio.run(main(sys.argv[1]))
"""

NEEDED_BY_FEW = (
    "alembic", "argon2", "cryptography", "httpx", "jinja2", "phonenumbers", "prometheus_client", "psycopg", "redis", "rich", "sqlalchemy",
    "starlette", "structlog", "uvicorn", "uvloop", "telvend.catalog.service", "telvend.database.batch", "telvend.database.lane",
    "telvend.funding.service", "telvend.gateways.contract", "telvend.identity.service", "telvend.fulfilment.worker",
    "telvend.orders.placement", "telvend.orders.service", "telvend.providers.contract", "telvend.services", "telvend.web",
)  # fmt: skip

COMMANDS = {
    # What is run, and what it needs of the above.
    "user add ama@example.com --name Ama --phone 0241234567": {"phonenumbers"},
    "user list": set(),
    "key add ama@example.com --api netpluse": set(),
    "wallet credit ama@example.com 10 GHS --reference a --mode test": set(),
    "wallet show ama@example.com": {"telvend.database.lane"},
    "order place --product GH-MTN-1GB-30D --to 0241234567 --email ama@example.com --mode test --reference o": {
        "phonenumbers", "telvend.catalog.service", "telvend.database.batch", "telvend.database.lane",
        "telvend.gateways.contract", "telvend.orders.placement", "telvend.orders.service", "telvend.providers.contract",
    },
    "order list": set(),
    "order show o": set(),
    "product list": {"telvend.catalog.service"},
    "report sales": set(),
    "ledger accounts": set(),
    "ledger check": set(),
}  # fmt: skip


@pytest.fixture
async def url(database: Database, database_url: str) -> str:
    await prepare_database(database, lambda _: None)
    return database_url


async def ended(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run Python; return its exit code and what it printed on stdout and stderr."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELVEND_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=kept | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_command_imports_the_rooms_that_it_works_with(url: str, tmp_path: Path) -> None:
    variables = {"TELVEND_DATABASE_URL": url, "TELVEND_DELIVERY_WAIT_S": "0"}
    found = {}
    for words in COMMANDS:
        arguments = ("-c", COMMAND, *words.split(), "--json", "--data-dir", str(tmp_path))
        status, out, err = await ended(*arguments, **variables)
        assert (status, out[:1]) == (0, "{"), (words, err)
        loaded = set(err.split())
        assert "asyncpg" in loaded
        found[words] = loaded & set(NEEDED_BY_FEW)
    assert found == COMMANDS


async def test_no_request_of_a_serving_process_waits_for_an_import(url: str, tmp_path: Path) -> None:
    status, out, err = await ended("-c", SERVER, url, str(tmp_path))
    assert status == 0, err
    statuses = out.split()
    assert statuses[:6] == ["200"] * 6, err
    assert statuses[9:] == []
