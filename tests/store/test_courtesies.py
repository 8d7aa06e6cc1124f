"""A purchase in the spelling of a courtesy is the purchase of its printed twin: one order, one debit, one fingerprint."""

import itertools
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from telvend.bootstrap import applications, work
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.upkeep.preparation import prepare_database
from tests.unit.asgi import request

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SPELLINGS: dict[str, list[tuple[str, bytes]]] = {
    "data/purchase": [
        (JSON, json.dumps({"network": "mtn", "plan_id": 1, "phone": "08031230000"}).encode()),
        (JSON, json.dumps({"data_plan_id": 1, "phone_number": "08031230000"}).encode()),
        (JSON, json.dumps({"network": 1, "data_plan_id": "1", "phone_number": "+2348031230000"}).encode()),
        (FORM, urlencode({"network": "1", "plan_id": "1", "phone": "08031230000"}).encode()),
    ],
    "airtime/purchase": [
        (JSON, json.dumps({"network": "mtn", "phone": "08031230000", "amount": 100}).encode()),
        (JSON, json.dumps({"network": 1, "phone_number": "08031230000", "amount": "100"}).encode()),
        (FORM, urlencode({"network": "1", "phone_number": "234 803 123 0000", "amount": "100.00"}).encode()),
    ],
}


@pytest.fixture
async def buy(database: Database, database_url: str, tmp_path: Path) -> Any:
    """Post as ada, who has 10,000.00."""
    settings = Settings(data_dir=str(tmp_path), delivery_wait_s=0)
    await prepare_database(database, lambda _: None)
    async with work(settings, database_url, fulfilment=False) as shop, Lifecycle() as life:
        await shop.watch.look()
        ada = await shop.services.resellers.add("ada@example.com", "Ada", "08031234567")
        _, key, _ = await shop.services.resellers.add_key(ada.email, "networkdatasub", Mode.LIVE, 10_000, 10_000)
        await shop.services.credits.add(ada.id, Money(10_000_00, NGN), Mode.LIVE, "opening")
        app, _ = applications(life, shop, tmp_path / "run")

        async def post(path: str, kind: str, body: bytes, reference: str, word: str = "Token") -> Any:
            headers = {
                "authorization": f"{word} {key.reveal()}", "content-type": kind, "idempotency-key": reference,
            }  # fmt: skip
            return await request(app, "POST", f"/api/{path}", headers=headers, body=body)

        yield post


@pytest.mark.parametrize("path", sorted(SPELLINGS))
async def test_every_spelling_under_one_reference_is_the_first_purchase(
    buy: Any, database: Database, path: str
) -> None:
    for number, (first, second) in enumerate(itertools.permutations(SPELLINGS[path], 2)):
        reference = f"ORDER-{number}"
        bought = await buy(path, *first, reference)
        again = await buy(path, *second, reference, "Bearer")
        assert (bought.status, bought.header("idempotent-replayed")) == (200, None), bought.json
        assert (again.status, again.header("idempotent-replayed")) == (200, "true"), again.json
        assert again.json["data"]["transaction"] == bought.json["data"]["transaction"]
        assert again.json["data"]["new_balance"] == bought.json["data"]["new_balance"]
    async with database.connection() as tx:
        rows = await tx.fetch("select count(*) as orders from orders")
    assert rows[0]["orders"] == number + 1


async def test_another_plan_under_its_other_name_is_another_request(buy: Any) -> None:
    path, reference = "data/purchase", "ORDER-1"
    assert (await buy(path, *SPELLINGS[path][0], reference)).status == 200
    other = json.dumps({"data_plan_id": 2, "phone_number": "08031230000"}).encode()
    assert (await buy(path, JSON, other, reference)).status == 409
