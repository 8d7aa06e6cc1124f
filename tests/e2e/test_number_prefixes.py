"""Numbers that the library does not know, sold to by two workers: the setting reaches every worker, API and command."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import _NO_CERTIFICATES, Shop

REQUESTS = 6
"""On connections of their own, so that both workers answer some."""


def post(shop: Shop, path: str, headers: dict[str, str], body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{shop.url}{path}", headers=headers, json=body, timeout=30, verify=_NO_CERTIFICATES)


def test_added_prefixes_are_sold_to_in_every_api_and_found_by_commands(copied: Callable[[], Shop], keys: Keys) -> None:
    shop = copied()
    (shop.data_dir / "telvend.toml").write_text(
        '[number_prefixes]\nNG = ["0918"]\nGH = ["0250", "0251", "0252", "0253", "0254", "0255"]\n'
    )
    shop.settings["TELVEND_DELIVERY_WAIT_S"] = "0"
    shop.start("--workers", "2")
    made = shop.several(
        [
            ["key", "add", "ama@example.com", "--api", "networkdatasub", "--purchase-limit", PLENTY],
            ["wallet", "credit", "ama@example.com", "5000", "NGN", "--reference", "opening"],
        ]
    )
    nigeria, ghana = {"authorization": f"Token {made[0]['key']}"}, {"x-api-key": keys.ama}
    for number in range(REQUESTS):
        sold = post(
            shop, "/api/airtime/purchase", nigeria, {"network": "mtn", "phone": f"0918123010{number}", "amount": 50}
        )
        assert sold.status_code == 200, sold.text
        body = {"network": "MTN", "phoneNumber": f"025{number % 6} 12-3{number:03}", "capacity": "1GB"}
        sold = post(shop, "/api/v1/purchase", ghana, body)
        assert sold.status_code == 200, sold.text
    for phone in ("0917123010", "091812301000", "09191230100"):
        refused = post(shop, "/api/airtime/purchase", nigeria, {"network": "mtn", "phone": phone, "amount": 50})
        assert refused.status_code == 422, refused.text
    shop.wait_until_final()
    shop.check_books()
    spellings = ("09181230100", "234-918-123-0100", "+2349181230100")
    for found in shop.several([["order", "list", "--subscriber", spelling] for spelling in spellings]):
        assert len(found["orders"]) == 1, json.dumps(found)
    assert "9181230100" not in shop.log()
    shop.end()
