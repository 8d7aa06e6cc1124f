"""Going live with play money in a live wallet, as somebody does it: settings, a browser, the command line.

Only a key of Prembly is set; the rest is as it comes. Nothing here asks Prembly: it must not come to that.
"""

import httpx
import pytest

from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop, wait_for

RECORD = {"nin": "70123456789", "card_type": "standard"}
REAL_RECORD = RECORD | {"use_real_api": True}
VOID = ("funding", "void", "--all-play", "--reason", "going live", "--by", "Ada's shop")


@pytest.fixture
def shop(fresh_shop: Shop) -> Shop:
    fresh_shop.settings = {}
    fresh_shop.start()
    return fresh_shop


def client(shop: Shop, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"{shop.url}/api/", headers={"authorization": f"Token {key}"}, timeout=30, verify=_NO_CERTIFICATES
    )


def balance(api: httpx.Client) -> str:
    return str(api.get("wallet/balance").json()["data"]["balance"])


def test_a_live_key_cannot_buy_a_real_record_with_play_money(shop: Shop) -> None:
    limits = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)
    live, test, _ = shop.several(
        [
            ["key", "add", "ama@example.com", "--api", "networkdatasub", *limits],
            ["key", "add", "ama@example.com", "--api", "networkdatasub", "--mode", "test", *limits],
            ["wallet", "credit", "ama@example.com", "500", "NGN", "--reference", "play", "--mode", "test"],
        ]
    )
    with client(shop, live["key"]) as api:
        asked = [
            api.post("wallet/fund", json={"amount": 1_000_000, "payment_method": "card"}).json()["data"] for _ in "12"
        ]
        paid = api.post(asked[0]["payment_url"], data={"decision": "pay"}, follow_redirects=True)
        assert "The wallet has the money" in paid.text
        before = balance(api)
        # A reference that was used is answered as it was, whatever is halted later.
        sold = api.post("verification/nin", json=RECORD | {"reference": "first"})
        assert sold.status_code == 200, sold.text

    shop.stop()
    shop.settings = {"TELVEND_PREMBLY_API_KEY": "a-key"}
    shop.start("--workers", "2")
    wait_for(lambda: "LIVE SALES ARE HALTED" in shop.log(), 5, "said at the start")
    log = shop.log()
    assert "ama@example.com NGN 1,000,000.00" in log
    assert "telvend funding void --all-play" in log
    with client(shop, live["key"]) as api, client(shop, test["key"]) as play:
        halted = balance(api)
        assert halted != before
        for _ in range(4):
            for body in (REAL_RECORD, RECORD):
                refused = api.post("verification/nin", json=body)
                assert refused.status_code == 503, refused.text
                assert refused.headers["retry-after"]
        assert (
            api.post("airtime/purchase", json={"network": "mtn", "phone": "08031230000", "amount": 100}).status_code
            == 503
        )
        again = api.post("verification/nin", json=RECORD | {"reference": "first"})
        assert (again.status_code, again.json()["data"]["details"]) == (200, sold.json()["data"]["details"])
        assert play.post("verification/nin", json=RECORD).status_code == 200
        assert api.get("networks").status_code == 200
        assert api.get(f"{shop.url}/healthz").status_code == 200
        # No way to fund, neither begun now nor paid now.
        assert api.post("wallet/fund", json={"amount": 5000, "payment_method": "card"}).status_code == 422
        late = api.post(asked[1]["payment_url"], data={"decision": "pay"})
        assert (late.status_code, "takes no play money any more" in late.text) == (409, True)
        assert balance(api) == halted

        (voided,) = shop.telvend(*VOID)["voided"]
        assert voided["left"] == 0
        wait_for(lambda: api.post("verification/nin", json=REAL_RECORD).status_code != 503, 3, "sales go on")
        # Both processes, and nothing but the money is missing.
        for _ in range(4):
            refused = api.post("verification/nin", json=REAL_RECORD)
            assert refused.status_code in (400, 402, 422), refused.text
            assert "balance" in refused.text.lower()
        assert balance(api) == "0.00"
    shop.check_books()
