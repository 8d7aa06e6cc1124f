"""kill -9 between hold, delivery and answer, for airtime, data, funding and identity checks.

Afterwards the books hold, a repeat under the same reference gives what stands, and nothing was taken or given twice. One
death of each kind is told in half a minute; every moment at which a server can die takes minutes, and is a soak test.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop, load, wait_for

OPENING_MINOR = 1_000_000
AIRTIME = ("airtime/purchase", {"network": "mtn", "phone": "08031230000", "amount": 100})
DATA = ("data/purchase", {"network": "mtn", "phone": "08031230000", "plan_id": 1})
NIN = ("verification/nin", {"nin": "12345678901", "card_type": "standard", "force_new": True})
AIRTIME_MINOR, DATA_MINOR, NIN_MINOR, FUNDED_MINOR = 10_000, 30_000, 10_000, 50_000


def post(shop: Shop, key: str, path: str, form: dict[str, Any]) -> httpx.Response | None:
    """The answer, or None where the server died over it."""
    with (
        httpx.Client(verify=_NO_CERTIFICATES, timeout=20 * load(), headers={"authorization": f"Token {key}"}) as client,
        suppress(httpx.TransportError),
    ):
        return client.post(f"{shop.url}/api/{path}", json=form)
    return None


def dies_over(shop: Shop, key: str, path: str, form: dict[str, Any]) -> None:
    """Send something that an armed failpoint kills the server over."""
    answer = post(shop, key, path, form)
    # A busy machine may take longer to get to the failpoint than a purchase waits for its delivery.
    assert answer is None or answer.json()["data"]["transaction"]["status"] == "pending", answer.text
    wait_for(shop.has_ended, 15, f"killed over {form}")


def bought(shop: Shop, key: str, path: str, form: dict[str, Any]) -> dict[str, Any]:
    """What a patient client does: the same again, under the same reference, until it has an answer that is not "busy"."""
    ends = time.monotonic() + 30 * load()
    while (answer := post(shop, key, path, form)) is None or answer.status_code == 503:
        assert time.monotonic() < ends, f"no answer to {form}"
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()["data"]
    return body


def fund(shop: Shop, key: str) -> tuple[str, str]:
    """Ask for money; answers our reference, and where below /pay/ it is paid."""
    body = bought(shop, key, "wallet/fund", {"amount": FUNDED_MINOR // 100, "payment_method": "ussd"})
    return body["reference"], body["payment_url"].partition("/pay/")[2]


def pay(shop: Shop, page: str) -> None:
    """The payer pays at the sandbox's page, whose server may die over it."""
    with httpx.Client(verify=_NO_CERTIFICATES, timeout=20 * load()) as payer, suppress(httpx.TransportError):
        payer.post(f"{shop.url}/pay/{page}", data={"decision": "pay", "method": "ussd"}, follow_redirects=False)


def come_back(shop: Shop, reference: str) -> None:
    """The payer comes back to the shop's page, which asks the gateway; the worker would too, at its time."""
    with httpx.Client(verify=_NO_CERTIFICATES, timeout=20 * load()) as payer:
        payer.get(f"{shop.url}/pay/return/{reference}", follow_redirects=False)


@pytest.fixture
def ada(copied: Callable[[], Shop]) -> Iterator[tuple[Shop, str]]:
    """A shop, not running, and the key of somebody with NGN 10,000."""
    shop = copied()
    shop.start()
    unlimited = ["--read-limit", PLENTY, "--purchase-limit", PLENTY]
    made = shop.several(
        [
            ["user", "add", "ada@example.com", "--name", "Ada", "--phone", "08031234567"],
            ["wallet", "credit", "ada@example.com", "10000", "NGN", "--reference", "opening"],
            ["key", "add", "ada@example.com", "--api", "networkdatasub", *unlimited],
        ]
    )
    shop.stop()
    yield shop, made[2]["key"]
    shop.end()


def balance(shop: Shop) -> int:
    ((found,),) = shop.sql(
        "select balance_minor from wallet w join reseller r on r.id = w.reseller_id"
        " where r.email = 'ada@example.com' and w.currency = 'NGN' and w.mode = 'live'"
    )
    return int(found)


def wait_until_checks_are_final(shop: Shop) -> None:
    """A check whose server has died is given up twelve seconds after it began."""
    wait_for(lambda: not shop.sql("select 1 from verification where state = 'asking'"), 30, "every check is final")


def wait_until_balance_is(shop: Shop, minor: int) -> None:
    wait_for(lambda: balance(shop) == minor, 20, f"a balance of {minor}")


def test_a_death_over_each_kind_of_business_loses_nothing_and_takes_nothing_twice(ada: tuple[Shop, str]) -> None:
    """Each start finds what the one before left behind, and is killed over the next kind."""
    shop, key = ada
    forms = {path: form | {"reference": path} for path, form in (DATA, AIRTIME, NIN)}
    for failpoint, path in (
        ("settle.before_commit", DATA[0]),  # Delivered, and nothing of it is written.
        ("lane.after_commit", AIRTIME[0]),  # Paid, and nobody was told.
        ("identity.after_answer", NIN[0]),  # The authority has answered, and the answer is lost.
    ):
        shop.start(failpoints=f"{failpoint}=kill", may_end=True)
        dies_over(shop, key, path, forms[path])
    shop.start(failpoints="funding.before_commit=kill", may_end=True)
    funding, page = fund(shop, key)
    pay(shop, page)
    wait_for(shop.has_ended, 15, "killed over the credit")
    shop.start()
    come_back(shop, funding)
    wait_until_checks_are_final(shop)
    for path, form in forms.items():
        first, again = bought(shop, key, path, form), bought(shop, key, path, form)
        assert again.get("transaction", again)["reference"] == first.get("transaction", first)["reference"]
    shop.wait_until_final(30)
    wait_until_balance_is(shop, OPENING_MINOR - DATA_MINOR - AIRTIME_MINOR - NIN_MINOR + FUNDED_MINOR)
    assert shop.sql("select count(*) from orders where dialect = 'networkdatasub'") == [(2,)]
    shop.check_books()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_sales_of_both_kinds_survive_the_death_of_the_server(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    spent = 0
    for number, name in enumerate(
        ("lane.after_write", "lane.after_commit", "attempt.after_write", "attempt.after_send", "settle.before_commit")
    ):
        for (path, form), price_minor in ((DATA, DATA_MINOR), (AIRTIME, AIRTIME_MINOR)):
            form = form | {"reference": f"{name} {path} {number}"}
            shop.start(failpoints=f"{name}=kill", may_end=True)
            dies_over(shop, key, path, form)
            shop.start()
            bought(shop, key, path, form)
            shop.wait_until_final(30)
            spent += price_minor
            assert balance(shop) == OPENING_MINOR - spent
            shop.check_books()
            shop.stop()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_identity_checks_are_paid_once_or_not_at_all_whenever_the_server_dies(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    path, form = NIN
    paid = 0
    for name in ("identity.after_answer", "identity.after_commit", "identity.after_hold", "identity.before_commit"):
        form = form | {"reference": name}
        shop.start(failpoints=f"{name}=kill", may_end=True)
        dies_over(shop, key, path, form)
        shop.start()
        wait_until_checks_are_final(shop)
        bought(shop, key, path, form)
        paid += NIN_MINOR
        assert balance(shop) == OPENING_MINOR - paid
        shop.check_books()
        shop.stop()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_funding_is_credited_once_whenever_the_server_dies(ada: tuple[Shop, str]) -> None:
    shop, key = ada
    funded = 0
    for name in ("funding.after_notice", "funding.before_commit", "funding.before_credit", "funding.after_commit"):
        shop.start()
        reference, page = fund(shop, key)
        shop.stop()
        shop.start(failpoints=f"{name}=kill", may_end=True)
        pay(shop, page)
        wait_for(shop.has_ended, 15, f"killed at {name}")
        shop.start()
        come_back(shop, reference)
        funded += FUNDED_MINOR
        wait_until_balance_is(shop, OPENING_MINOR + funded)
        shop.check_books()
        shop.stop()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_funding_whose_beginning_nobody_was_told_of_is_paid_by_nobody_or_once(ada: tuple[Shop, str]) -> None:
    """The caller gets no address. Where the gateway has a page all the same, a payment there is credited like any other."""
    shop, key = ada
    for name in ("funding.before_start", "funding.after_start"):
        shop.start(failpoints=f"{name}=kill", may_end=True)
        assert post(shop, key, "wallet/fund", {"amount": FUNDED_MINOR // 100, "payment_method": "ussd"}) is None
        wait_for(shop.has_ended, 15, f"killed at {name}")
        shop.start()
        assert balance(shop) == OPENING_MINOR
        shop.check_books()
        shop.stop()
    shop.start()
    ((token, reference),) = shop.sql("select token, reference from sandbox.payment")
    pay(shop, f"sandbox/{token}")
    come_back(shop, reference)
    wait_until_balance_is(shop, OPENING_MINOR + FUNDED_MINOR)
    shop.check_books()
