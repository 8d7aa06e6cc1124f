"""kill -9 between hold, delivery and answer, for airtime, data, funding and identity checks.

Afterwards the books hold, a repeat under the same reference gives what stands, and nothing was taken or given twice.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop, wait_for

OPENING_MINOR = 1_000_000


pytestmark = pytest.mark.soak  # Two dozen starts of a server take minutes.


def post(shop: Shop, key: str, path: str, form: dict[str, Any]) -> httpx.Response | None:
    """The answer, or None where the server died over it."""
    with (
        httpx.Client(verify=_NO_CERTIFICATES, timeout=20, headers={"authorization": f"Token {key}"}) as client,
        suppress(httpx.TransportError),
    ):
        return client.post(f"{shop.url}/api/{path}", json=form)
    return None


@pytest.fixture
def ada(copied: Callable[[], Shop]) -> tuple[Shop, str]:
    """A shop, and the key of somebody with NGN 10,000."""
    shop = copied()
    shop.start()
    made = shop.several(
        [
            ["user", "add", "ada@example.com", "--name", "Ada", "--phone", "08031234567"],
            ["wallet", "credit", "ada@example.com", "10000", "NGN", "--reference", "opening"],
            [
                "key",
                "add",
                "ada@example.com",
                "--api",
                "networkdatasub",
                "--read-limit",
                PLENTY,
                "--purchase-limit",
                PLENTY,
            ],
        ]
    )
    shop.stop()
    return shop, made[2]["key"]


def balance(shop: Shop) -> int:
    ((found,),) = shop.sql(
        "select balance_minor from wallet w join reseller r on r.id = w.reseller_id"
        " where r.email = 'ada@example.com' and w.currency = 'NGN' and w.mode = 'live'"
    )
    return int(found)


def test_sales_of_both_kinds_survive_the_death_of_the_server(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    airtime = {"network": "mtn", "phone": "08031230000", "amount": 100}
    data = {"network": "mtn", "phone": "08031230000", "plan_id": 1}
    steps = [
        "lane.after_write",
        "lane.after_commit",
        "attempt.after_write",
        "attempt.after_send",
        "settle.before_commit",
    ]
    for number, name in enumerate(steps):
        path, form = ("airtime/purchase", airtime) if number % 2 else ("data/purchase", data)
        shop.start(failpoints=f"{name}=kill", may_end=True)
        assert post(shop, key, path, form | {"reference": name}) is None
        wait_for(shop.has_ended, 15, f"killed at {name}")
        shop.start()
        answer = post(shop, key, path, form | {"reference": name})
        assert answer is not None
        assert answer.status_code == 200, answer.text
        shop.wait_until_final(30)
        shop.check_books()
        shop.stop()
    shop.start()
    # A bundle of 300, then airtime of 100, in turns.
    sold = steps
    assert balance(shop) == OPENING_MINOR - len(sold[::2]) * 30_000 - len(sold[1::2]) * 10_000
    shop.stop()


def test_identity_checks_are_paid_once_or_not_at_all_whenever_the_server_dies(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    paid = 0
    moments = ("identity.after_answer", "identity.after_commit", "identity.after_hold", "identity.before_commit")
    for name in moments:
        form = {"nin": "12345678901", "card_type": "standard", "force_new": True, "reference": name}
        shop.start(failpoints=f"{name}=kill", may_end=True)
        assert post(shop, key, "verification/nin", form) is None
        wait_for(shop.has_ended, 15, f"killed at {name}")
        shop.start()

        def final() -> bool:
            return not shop.sql("select 1 from verification where state = 'asking'")

        wait_for(final, 30, "the check that lost its server")
        answer = post(shop, key, "verification/nin", form)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        paid += 10_000
        assert balance(shop) == OPENING_MINOR - paid
        shop.check_books()
        shop.stop()


def test_a_funding_is_credited_once_whenever_the_server_dies(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    funded = 0
    moments = ("funding.after_notice", "funding.before_commit", "funding.before_credit", "funding.after_commit")
    for name in moments:
        shop.start()
        started = post(shop, key, "wallet/fund", {"amount": 500, "payment_method": "ussd"})
        assert started is not None
        body = started.json()["data"]
        page = body["payment_url"].partition("/pay/")[2]
        shop.stop()
        shop.start(failpoints=f"{name}=kill", may_end=True)
        with httpx.Client(verify=_NO_CERTIFICATES, timeout=20) as payer, suppress(httpx.TransportError):
            payer.post(f"{shop.url}/pay/{page}", data={"decision": "pay", "method": "ussd"}, follow_redirects=False)
        wait_for(shop.has_ended, 15, f"killed at {name}")
        shop.start()
        # The payer comes back to the shop's page, which asks the gateway; the worker would too, at its time.
        with httpx.Client(verify=_NO_CERTIFICATES, timeout=20) as payer:
            payer.get(f"{shop.url}/pay/return/{body['reference']}", follow_redirects=False)
        funded += 50_000
        wait_for(lambda total=OPENING_MINOR + funded: balance(shop) == total, 20, "the credit")  # type: ignore[misc]
        shop.check_books()
        shop.stop()
