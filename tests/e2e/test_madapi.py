"""MTN MADAPI Plans v2 over HTTP, as a partner's program meets it: a shop of two processes, and the command line beside it.

Every answer is held to tests/wire/madapi/schema/answers.json. Each story has subscribers of its own.
"""

import asyncio
import http.client
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from telvend.dialects.madapi.fields import transaction_id_in_force
from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop, wait_for
from tests.madapi_schema import mind


class Partner:
    """A client with credentials. Every request has a transactionId of its own, unless one is given."""

    _number = itertools.count(1)
    opened: ClassVar[list[httpx.Client]] = []

    def __init__(self, shop: Shop, **headers: str) -> None:
        self.client = httpx.Client(base_url=shop.url, headers=headers, timeout=30, verify=_NO_CERTIFICATES)
        self.opened.append(self.client)

    def send(
        self,
        method: str,
        path: str,
        *,
        transaction: str | None = None,
        expect: tuple[int, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        transaction = transaction or f"TX-{next(self._number):08}"
        headers = {"transactionId": transaction} | more.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, **more)
        assert answer.headers["content-type"] == "application/json"
        mind(method, path, answer.status_code, answer.json())
        if answer.request.content.find(b'"product"') < 0:  # A premium's own is in its body.
            assert answer.headers["transactionid"] == transaction
        if expect is not None:
            assert (answer.status_code, answer.json()["statusCode"]) == expect, answer.text
        return answer

    def plans(self, msisdn: str, *, expect: tuple[int, str] = (200, "0000"), **query: str) -> Any:
        return self.send("GET", f"/v2/customers/{quote(msisdn)}/plans", params=query, expect=expect).json().get("data")

    def balances(self, msisdn: str, **query: str) -> dict[str, Any]:
        return {entry["balanceType"]: entry for entry in self.plans(msisdn, **query)["balance"] or ()}

    def main(self, msisdn: str) -> str:
        value: str = self.balances(msisdn)["MAIN"]["balanceDetail"]["activeValue"]
        return value

    def refill(self, msisdn: str, **body: Any) -> httpx.Response:
        more = {name: body.pop(name) for name in ("transaction", "expect", "headers") if name in body}
        return self.send("PATCH", f"/v2/customers/{msisdn}/plans/refill", json=body, **more)

    def voucher(self, msisdn: str, pin: str, **more: Any) -> httpx.Response:
        return self.refill(msisdn, refillType="voucher", voucherActivationCode=pin, **more)

    def voucherless(self, msisdn: str, amount: Any, **more: Any) -> httpx.Response:
        more.setdefault("refillProfileId", "DB00")
        return self.refill(msisdn, refillType="voucherless", transactionAmount=amount, **more)


class Market:
    """The shop, and partners of it: ama with 100,000 NGN, kofi with 50, and one that plays."""

    def __init__(self, shop: Shop, made: list[dict[str, Any]]) -> None:
        self.shop = shop
        self.made = made
        self.ama = Partner(shop, **{"x-api-key": made[0]["key"]})
        self.kofi = Partner(shop, **{"x-api-key": made[1]["key"]})
        self.play = Partner(shop, **{"x-api-key": made[2]["key"]})
        self.nobody = Partner(shop)
        self._numbers = itertools.count(1)
        live, play, doomed = (iter(answer["vouchers"]) for answer in made if "vouchers" in answer)
        self._vouchers = {"live": live, "play": play, "doomed": doomed}

    def subscribers(self, count: int = 1) -> list[str]:
        """New ones, in international digits, with nothing yet."""
        return [self.subscriber() for _ in range(count)]

    def subscriber(self) -> str:
        number = f"2348031{next(self._numbers):06}"
        path = f"/v2/customers/{number}/plans/provision"
        self.ama.send("POST", path, json={"planId": "PulsePlus"}, expect=(200, "0000"))
        return number

    def vouchers(self, count: int = 1, batch: str = "live") -> list[dict[str, str]]:
        """Vouchers of 500 NGN that nobody has loaded: `play` for test keys, `doomed` to be stopped with its batch."""
        return list(itertools.islice(self._vouchers[batch], count))

    def wallet(self, name: str = "ama") -> Decimal:
        """What is left in the NGN wallet, as the ledger has it."""
        ((minor,),) = self.shop.sql(
            "select w.balance_minor from wallet w join reseller r on r.id = w.reseller_id"
            " where r.email = %s and w.currency = 'NGN' and w.mode = 'live'",
            f"{name}@example.com",
        )
        return Decimal(minor) / 100


@pytest.fixture(scope="module")
def market(copied: Callable[[], Shop]) -> Iterator[Market]:
    shop = copied()
    shop.settings = {}  # As a fresh shop is: what is sold goes to the own network.
    shop.start("--workers", "2")
    limits = ["--read-limit", PLENTY, "--purchase-limit", PLENTY]
    made = shop.several(
        [
            ["key", "add", "ama@example.com", "--api", "madapi", *limits],
            ["key", "add", "kofi@example.com", "--api", "madapi", *limits],
            ["key", "add", "ama@example.com", "--api", "madapi", "--mode", "test", *limits],
            ["key", "add", "esi@example.com", "--api", "madapi", "--read-limit", "5", "--purchase-limit", "5"],
            ["key", "add", "esi@example.com", "--api", "madapi", *limits],
            ["wallet", "credit", "ama@example.com", "100000", "NGN", "--reference", "opening"],
            ["wallet", "credit", "kofi@example.com", "50", "NGN", "--reference", "opening"],
            ["wallet", "credit", "ama@example.com", "1000", "NGN", "--reference", "play", "--mode", "test"],
            *(
                ["voucher", "issue", "--amount", "500", "--currency", "NGN", "--count", count, "--mode", mode]
                for count, mode in (("20", "live"), ("5", "test"), ("1", "live"))
            ),
        ]
    )
    yield Market(shop, made)
    for client in Partner.opened:
        client.close()
    shop.end()


# The story of the contract -----------------------------------------------------------------------------------------------


def test_a_subscriber_is_added_and_a_voucher_loaded_once(market: Market) -> None:
    number = "2348031999999"
    market.shop.telvend("subscriber", "add", number, "--tariff-plan", "PulsePlus", "--currency", "NGN")
    fresh = market.ama.plans(number)
    assert (fresh["type"], fresh["status"], fresh["tariffPlan"], fresh["balance"]) == (
        "Prepaid",
        "Active",
        "PulsePlus",
        None,
    )
    voucher, other = market.vouchers(2)
    first = market.ama.voucher(
        number, voucher["pin"], transaction="TX-STORY-1", expect=(200, "0000"), serialNumber=voucher["serial"]
    )
    assert first.json()["data"] == {"amount": "500", "currencyCode": "NGN"}
    assert "idempotent-replayed" not in first.headers
    again = market.ama.voucher(number, voucher["pin"], transaction="TX-STORY-1", serialNumber=voucher["serial"])
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json()["data"] == first.json()["data"]
    # Under another id it is a voucher that was used; another request under the same id is refused too.
    market.ama.voucher(number, voucher["pin"], transaction="TX-STORY-2", expect=(400, "5001"))
    market.ama.voucher(number, other["pin"], transaction="TX-STORY-1", expect=(400, "5001"))
    assert market.ama.main(number) == "500.00"
    # What was refused has taken nothing: the other one is still good, and the id free.
    market.ama.voucher(number, other["pin"], transaction="TX-STORY-2", expect=(200, "0000"))
    assert market.ama.main(number) == "1000.00"


def test_every_pin_that_cannot_be_loaded_is_refused_in_the_same_words(market: Market) -> None:
    loader, tester = market.subscribers(2)
    used, wrong_serial = market.vouchers(2)
    (stopped,), (play,) = market.vouchers(batch="doomed"), market.vouchers(batch="play")
    market.ama.voucher(loader, used["pin"], expect=(200, "0000"))
    (batch,) = market.shop.sql("select batch_id from voucher where serial = %s", int(stopped["serial"]))
    market.shop.telvend("voucher", "stop", str(batch[0]), "--why", "stolen")
    said = []
    for pin, serial in (
        (used["pin"], None),
        (wrong_serial["pin"], stopped["serial"]),
        (stopped["pin"], None),
        (play["pin"], None),
        ("0" * 16, None),
    ):
        body = {} if serial is None else {"serialNumber": serial}
        answer = market.ama.voucher(tester, pin, transaction="TX-SAME-WORDS", expect=(400, "5001"), **body)
        told = answer.json()
        said.append({name: told[name] for name in told.keys() - {"timestamp", "sequenceNo"}})
    assert all(told == said[0] for told in said)
    assert market.ama.plans(tester)["balance"] is None


def test_a_voucherless_refill_is_paid_from_the_partners_wallet(market: Market) -> None:
    number = market.subscriber()
    before = market.wallet()
    answer = market.ama.voucherless(number, "100", transaction="TX-PAID-1", expect=(200, "0000"))
    assert answer.json()["data"] == {"amount": "100", "currencyCode": "NGN"}
    market.ama.voucherless(number, 150, transaction="TX-PAID-2", expect=(200, "0000"))
    assert market.ama.main(number) == "250.00"
    assert market.wallet() == before - 250
    again = market.ama.voucherless(number, "100", transaction="TX-PAID-1", expect=(200, "0000"))
    assert again.headers["idempotent-replayed"] == "true"
    market.ama.voucherless(number, "101", transaction="TX-PAID-1", expect=(400, "5001"))
    # Ids are each partner's own.
    kofis = market.kofi.voucherless(number, "10", transaction="TX-PAID-1", expect=(200, "0000"))
    assert "idempotent-replayed" not in kofis.headers
    assert market.wallet() == before - 250
    assert market.wallet("kofi") == 40


def test_too_small_a_wallet_takes_nothing_and_leaves_the_id_free(market: Market) -> None:
    number = market.subscriber()
    left = market.wallet("kofi")
    market.kofi.voucherless(number, int(left) + 1, transaction="TX-EMPTY-1", expect=(403, "6001"))
    assert market.wallet("kofi") == left
    market.kofi.voucherless(number, "1", transaction="TX-EMPTY-1", expect=(200, "0000"))
    assert market.wallet("kofi") == left - 1


@pytest.mark.parametrize("kind", ["voucher", "voucherless"])
async def test_of_twenty_racing_repeats_one_takes_place(market: Market, kind: str) -> None:
    number = market.subscriber()
    before = market.wallet()
    body = (
        {"refillType": "voucher", "voucherActivationCode": market.vouchers()[0]["pin"]}
        if kind == "voucher"
        else {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "70"}
    )
    async with httpx.AsyncClient(
        base_url=market.shop.url, headers={"x-api-key": market.made[0]["key"]}, timeout=60, verify=_NO_CERTIFICATES
    ) as client:
        answers = await asyncio.gather(
            *(
                client.patch(
                    f"/v2/customers/{number}/plans/refill", json=body, headers={"transactionId": f"TX-RACE-{kind}"}
                )
                for _ in range(20)
            )
        )
    assert Counter(answer.status_code for answer in answers) == {200: 20}
    assert Counter(answer.headers.get("idempotent-replayed") for answer in answers) == {None: 1, "true": 19}
    assert len({answer.text.replace(answer.json()["sequenceNo"], "") for answer in answers}) == 1
    assert market.ama.main(number) == ("500.00" if kind == "voucher" else "70.00")
    assert market.wallet() == before - (0 if kind == "voucher" else 70)


async def test_one_voucher_for_twenty_subscribers_at_once_is_loaded_once(market: Market) -> None:
    numbers = market.subscribers(20)
    (voucher,) = market.vouchers()
    # Of a partner of its own: nineteen wrong ones in a row are remembered of it.
    async with httpx.AsyncClient(
        base_url=market.shop.url, headers={"x-api-key": market.made[4]["key"]}, timeout=60, verify=_NO_CERTIFICATES
    ) as client:
        body = {"refillType": "voucher", "voucherActivationCode": voucher["pin"]}
        answers = await asyncio.gather(
            *(client.patch(f"/v2/customers/{number}/plans/refill", json=body) for number in numbers)
        )
    assert Counter((answer.status_code, answer.json()["statusCode"]) for answer in answers) == {
        (200, "0000"): 1,
        (400, "5001"): 19,
    }


def test_five_wrong_pins_lock_a_subscriber_and_malformed_ones_do_not_count(market: Market) -> None:
    number, other = market.subscribers(2)
    (voucher,) = market.vouchers()
    for code in ("123", "12345678901234567890123", "abcdefgh"):
        market.ama.voucher(number, code, expect=(400, "5000"))
    for ending in range(5):
        market.ama.voucher(number, f"000000000000000{ending}", expect=(400, "5001"))
    locked = market.ama.voucher(number, voucher["pin"], expect=(403, "6000"))
    assert 1 <= int(locked.headers["retry-after"]) <= 30
    # The one who is locked can be refilled otherwise, and others can load vouchers.
    market.ama.voucherless(number, "10", expect=(200, "0000"))
    market.ama.voucher(other, voucher["pin"], expect=(200, "0000"))


async def test_wrong_pins_at_once_do_not_give_more_tries(market: Market) -> None:
    number = market.subscriber()
    async with httpx.AsyncClient(
        base_url=market.shop.url, headers={"x-api-key": market.made[0]["key"]}, timeout=60, verify=_NO_CERTIFICATES
    ) as client:
        answers = await asyncio.gather(
            *(
                client.patch(
                    f"/v2/customers/{number}/plans/refill",
                    json={"refillType": "voucher", "voucherActivationCode": f"{ending:016}"},
                )
                for ending in range(20)
            )
        )
    assert Counter(answer.status_code for answer in answers) == {400: 5, 403: 15}


def test_who_may_not_be_refilled(market: Market) -> None:
    number = market.subscriber()
    market.shop.telvend("subscriber", "set", number, "--status", "Suspended")
    (voucher,) = market.vouchers()
    market.ama.voucher(number, voucher["pin"], expect=(403, "6000"))
    market.ama.voucherless(number, "10", expect=(403, "6000"))
    assert market.ama.plans(number)["status"] == "Suspended"
    nobody = market.ama.voucherless("2348099999999", "10", expect=(404, "1000"))
    assert nobody.json()["path"] == "/v2/customers/2348099999999/plans/refill"
    market.ama.voucherless(market.subscriber(), "10", refillProfileId="ZZ99", expect=(400, "5000"))


# Plans -------------------------------------------------------------------------------------------------------------------


def test_plans_are_grouped_filtered_and_narrowed(market: Market) -> None:
    number = market.subscriber()
    market.ama.voucherless(number, "100", expect=(200, "0000"))
    give = ["subscriber", "grant", number]
    market.shop.several(
        [
            [*give, "1GB", "--reference", "g-1", "--days", "30", "--product", "NACT_NG_Data_4504"],
            [*give, "2GB", "--reference", "g-2", "--days", "2", "--name", "Weekend 2GB"],
            [*give, "1GB", "--reference", "g-3", "--days", "30", "--first-use"],
            [*give, "30min", "100sms", "--reference", "g-4", "--days", "7"],
            [*give, "5.50", "--reference", "g-5", "--days", "7", "--name", "Bonus airtime"],
            ["subscriber", "line", number, "+23412345678"],
            [*give, "3GB", "--reference", "g-6", "--days", "7", "--line", "+23412345678"],
        ]
    )
    found = market.ama.balances(number)
    assert {name: (entry["balanceDetail"]["activeValue"], entry["balanceDetail"]["unusedValue"]) for name, entry in found.items()} == {
        "MAIN": ("100.00", "0.00"), "BONUS": ("5.50", "0.00"), "DATA": ("3072.00", "1024.00"), "VOICE": ("30.00", "0.00"),
        "SMS": ("100", "0"),
    }  # fmt: skip
    assert found["DATA"]["expiryDate"] == min(
        wallet["expiryDate"] for wallet in found["DATA"]["wallets"] if wallet["status"] == "Active"
    )
    assert market.ama.balances(number, plan="data").keys() == {"DATA"}
    assert market.ama.balances(number, plan="VOICE").keys() == {"VOICE"}
    assert market.ama.balances(number, usageType="3").keys() == {"DATA"}
    assert market.ama.balances(number, fixedLine="+23412345678")["DATA"]["balanceDetail"]["activeValue"] == "3072.00"
    market.ama.plans(number, fixedLine="+23400000000", expect=(404, "1000"))
    market.ama.plans(number, plan="GAMES", expect=(400, "5000"))
    path = f"/v2/customers/{number}/plans/NACT_NG_Data_4504"
    of_product = market.ama.send("GET", path, expect=(200, "0000")).json()["data"]
    assert [entry["balanceDetail"]["activeValue"] for entry in of_product["balance"]] == ["1024.00"]
    market.ama.send("GET", f"/v2/customers/{number}/plans/NO_SUCH_PRODUCT", expect=(404, "1000"))
    known = market.ama.send("GET", f"/v2/customers/{number}/plans/AYO_SWC", expect=(200, "0000"))
    assert known.json()["data"]["balance"] is None


def test_a_subscriber_is_found_in_every_spelling_and_a_stranger_not(market: Market) -> None:
    number = market.subscriber()
    for spelling in (number, f"+{number}", f"0{number[3:]}", f"{number[:3]} {number[3:6]}-{number[6:]}"):
        assert market.ama.plans(spelling)["tariffPlan"] == "PulsePlus"
    stranger = market.ama.send("GET", "/v2/customers/2348099999998/plans", expect=(404, "1000"))
    assert stranger.json()["data"] is None
    market.ama.plans("somebody@example.com", expect=(400, "5000"))


def test_a_bundle_that_the_shop_sells_is_on_the_plans_at_once(market: Market) -> None:
    number = market.subscriber()
    with httpx.Client(
        base_url=f"{market.shop.url}/api/", timeout=30, verify=_NO_CERTIFICATES,
        headers={"authorization": "Token " + market.shop.telvend("key", "add", "ama@example.com", "--api", "networkdatasub")["key"]},
    ) as seller:  # fmt: skip
        (plan, *_) = seller.get("data-plans", params={"network": "mtn"}).json()["data"]
        bought = seller.post("data/purchase", json={"network": "mtn", "plan_id": plan["id"], "phone": f"0{number[3:]}"})
    assert bought.json()["data"]["transaction"]["status"] == "completed", bought.text
    (entry,) = market.ama.plans(number, plan="DATA")["balance"]
    products = market.shop.telvend("product", "list", "--network", "mtn", "--country", "NG")["products"]
    code = next(product["code"] for product in products if product["id"] == plan["id"])
    narrowed = market.ama.send("GET", f"/v2/customers/{number}/plans/{code}", expect=(200, "0000")).json()["data"]
    assert narrowed["balance"] == [entry]


def test_a_part_that_fails_is_207_and_all_of_them_503(market: Market) -> None:
    number = market.subscriber()
    market.ama.voucherless(number, "10", expect=(200, "0000"))
    market.shop.telvend("subscriber", "fault", number, "balance", "down")
    wait_for(lambda: market.ama.client.get(f"/v2/customers/{number}/plans").status_code == 207, 5, "the fault is known")
    answer = market.ama.send("GET", f"/v2/customers/{number}/plans", expect=(207, "0000")).json()
    assert (answer["data"]["balance"], answer["data"]["tariffPlan"]) == (None, "PulsePlus")
    assert "balance" in answer["supportMessage"]
    market.shop.telvend("subscriber", "fault", number, "plan", "down")
    wait_for(lambda: market.ama.client.get(f"/v2/customers/{number}/plans").status_code == 503, 5, "the fault is known")
    down = market.ama.send("GET", f"/v2/customers/{number}/plans", expect=(503, "3000"))
    assert int(down.headers["retry-after"]) >= 1
    market.shop.several([["subscriber", "fault", number, part, "off"] for part in ("plan", "balance")])
    wait_for(lambda: market.ama.client.get(f"/v2/customers/{number}/plans").status_code == 200, 5, "it works again")


def test_mobile_money_is_shown_to_who_proves_to_may(market: Market) -> None:
    number = market.subscriber()
    made = market.shop.telvend(
        "subscriber", "momo", number, "--balance", "18400", "--positive", "500", "--negative", "1200", "--loyalty-balance", "87",
        "--overdraft-limit", "5000",
    )  # fmt: skip
    proof = {"x-authorization": made["x_authorization"]}
    path = f"/v2/customers/{number}/plans"
    assert market.ama.plans(number)["balance"] is None
    for wrong in ({}, {"x-authorization": "wrong"}):
        market.ama.send("GET", path, params={"momo": "true"}, headers=wrong, expect=(403, "6000"))
    query = {"momo": "true", "includeReservations": "true", "amount": "20000"}
    (entry,) = market.ama.send("GET", path, params=query, headers=proof, expect=(200, "0000")).json()["data"]["balance"]
    data = entry["momoBalanceData"]
    assert (entry["balanceType"], data["balance"]["value"], data["status"]) == ("MOMO", "18400.00", True)
    assert (data["positiveReservations"]["value"], data["negativeReservations"]["value"]) == ("500.00", "1200.00")
    # FRI: blocked and open again, and only with the proof.
    market.ama.send("PATCH", f"{path}/FRI/state", json={"state": "BLOCKED"}, expect=(403, "6000"))
    market.ama.send("PATCH", f"{path}/FRI/state", json={"state": "BLOCKED"}, headers=proof, expect=(200, "0000"))
    state = market.ama.send("GET", f"{path}/FRI", headers=proof, expect=(200, "0000")).json()["data"]
    assert state == {"fri": f"FRI:{number}/MSISDN", "state": "BLOCKED", "currency": "NGN"}
    market.ama.send("PATCH", f"{path}/FRI/state", json={"state": "ACTIVE"}, headers=proof, expect=(200, "0000"))


# Premiums, tariff plans, provision -----------------------------------------------------------------------------------------


def premium(receiver: str, **changes: Any) -> dict[str, Any]:
    return {
        "receivingCustomerId": receiver,
        "transactionId": "TX-PREMIUM-1",
        "product": "AYO_SWC",
        "transactionType": "TRANSFER",
        "amount": {"type": "CURRENCY", "value": "10000", "unit": "NGN"},
    } | changes


def test_a_premium_is_calculated_repeated_and_used_once_as_a_quote(market: Market) -> None:
    sender, receiver = market.subscribers(2)
    path = f"/v2/customers/{sender}/plans/AYO_SWC"
    first = market.ama.send("POST", path, json=premium(receiver), expect=(200, "0000"))
    told = first.json()
    assert told["data"]["premium"] == {"type": "CURRENCY", "value": "250.00", "unit": "NGN"}
    again = market.ama.send("POST", f"/v2/customers/{sender}/plans", json=premium(receiver), expect=(200, "0000"))
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["originReferenceId"] == told["originReferenceId"]
    other = {"type": "CURRENCY", "value": "20000", "unit": "NGN"}
    market.ama.send("POST", path, json=premium(receiver, amount=other), expect=(400, "5001"))
    quoted = premium(receiver, transactionId="TX-PREMIUM-2", quoteId=told["originReferenceId"])
    market.ama.send("POST", path, json=quoted, expect=(200, "0000"))
    market.ama.send("POST", path, json=quoted | {"transactionId": "TX-PREMIUM-3"}, expect=(400, "5001"))
    form = {"receivingCustomerId": receiver, "transactionId": "TX-PREMIUM-4", "product": "AYO_SWC", "transactionType": "TRANSFER",
            "amount[type]": "CURRENCY", "amount[value]": "10000", "amount[unit]": "NGN"}  # fmt: skip
    as_form = market.ama.client.post(path, data=form)
    assert (as_form.status_code, as_form.json()["data"]["premium"]["value"]) == (200, "250.00")
    for changes, expect in (
        ({"receivingCustomerId": sender}, (400, "5000")), ({"receivingCustomerId": "2348099999997"}, (404, "1000")),
        ({"product": "OTHER"}, (400, "5000")), ({"transactionType": "DANCE"}, (400, "5000")), ({"amount": "10000"}, (400, "5000")),
        ({"quoteId": "PRM-1-zzzzzz"}, (400, "5001")),
    ):  # fmt: skip
        market.ama.send("POST", path, json=premium(receiver, transactionId="TX-PREMIUM-5", **changes), expect=expect)
    market.ama.send(
        "POST",
        f"/v2/customers/{sender}/plans/NO_SUCH",
        json=premium(receiver, transactionId="TX-PREMIUM-6", product="NO_SUCH"),
        expect=(404, "1000"),
    )


def test_a_premium_without_its_loyalty_is_207(market: Market) -> None:
    sender, receiver = market.subscribers(2)
    market.shop.telvend("subscriber", "fault", sender, "loyalty", "down")
    ids = (f"TX-LOYAL-{number}" for number in itertools.count())
    path = f"/v2/customers/{sender}/plans/AYO_SWC"

    def asked() -> httpx.Response:
        return market.ama.send("POST", path, json=premium(receiver, transactionId=next(ids)))

    wait_for(lambda: asked().status_code == 207, 5, "the fault is known")
    assert "loyaltyInformation" not in asked().json()["data"]


def test_a_tariff_plan_is_changed_and_a_number_provisioned(market: Market) -> None:
    number = market.subscriber()
    moved = market.ama.send("PATCH", f"/v2/customers/{number}/plans", json={"planId": "BizClass"}, expect=(200, "0000"))
    assert moved.json()["data"]["planId"] == "BizClass"
    assert market.ama.plans(number)["tariffPlan"] == "BizClass"
    fresh = "2348039999999"
    market.ama.plans(fresh, expect=(404, "1000"))
    path = f"/v2/customers/{fresh}/plans/provision"
    market.ama.send("POST", path, json={"planId": "PulsePlus"}, expect=(200, "0000"))
    market.ama.send("POST", path, json={"planId": "PulsePlus"}, expect=(400, "1002"))
    assert market.ama.plans(fresh)["balance"] is None


# Who asks ------------------------------------------------------------------------------------------------------------------


def grant(market: Market, key: dict[str, Any], secret: str | None = None) -> httpx.Response:
    return market.nobody.client.post(
        "/v1/oauth/access_token?grant_type=client_credentials",
        data={"client_id": key["key"], "client_secret": secret or key["secret"]},
    )


def test_a_token_stands_for_its_key_and_dies_with_it(market: Market) -> None:
    number = market.subscriber()
    key = market.shop.telvend("key", "add", "ama@example.com", "--api", "madapi")
    other = market.shop.telvend("key", "add", "ama@example.com", "--api", "madapi")
    answer = grant(market, key)
    mind("POST", "/v1/oauth/access_token", answer.status_code, answer.json())
    token = answer.json()["access_token"]
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("BearerToken", "3599")
    assert re.fullmatch(r"[A-Za-z0-9_]{40,}", token)
    assert grant(market, key, other["secret"]).status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    with_token = Partner(market.shop, **bearer)
    with_both = Partner(market.shop, **bearer, **{"x-api-key": key["key"]})
    disagreeing = Partner(market.shop, **bearer, **{"x-api-key": other["key"]})
    assert with_token.plans(number)["tariffPlan"] == with_both.plans(number)["tariffPlan"]
    with_token.voucherless(number, "10", transaction="TX-TOKEN-1", expect=(200, "0000"))
    # It is the partner that a transactionId belongs to, not the credential.
    replayed = with_both.voucherless(number, "10", transaction="TX-TOKEN-1", expect=(200, "0000"))
    assert replayed.headers["idempotent-replayed"] == "true"
    disagreeing.plans(number, expect=(401, "4000"))
    market.shop.telvend("key", "revoke", key["id"])
    started = time.monotonic()
    wait_for(lambda: grant(market, key).status_code == 401, 2, "the key is refused")
    wait_for(
        lambda: with_token.client.get(f"/v2/customers/{number}/plans").status_code == 401, 2, "the token is refused"
    )
    assert time.monotonic() - started < 2
    for _ in range(10):  # In both processes.
        with_token.plans(number, expect=(401, "4000"))
    assert token not in market.shop.log()
    assert key["secret"] not in market.shop.log()


def test_a_test_key_plays_by_itself(market: Market) -> None:
    number = market.subscriber()
    market.play.voucherless(number, "100", transaction="TX-PLAY-1", expect=(200, "0000"))
    assert market.play.main(number) == "100.00"
    assert market.ama.plans(number)["balance"] is None
    live = market.ama.voucherless(number, "30", transaction="TX-PLAY-1", expect=(200, "0000"))
    assert "idempotent-replayed" not in live.headers
    (play_money,) = market.vouchers(batch="play")
    market.ama.voucher(number, play_money["pin"], expect=(400, "5001"))
    market.play.voucher(number, play_money["pin"], expect=(200, "0000"))
    assert (market.play.main(number), market.ama.main(number)) == ("600.00", "30.00")


def test_404_and_405_need_no_key_and_anything_else_does(market: Market) -> None:
    path = "/v2/customers/2348031234567/plans"
    for method, place, allowed in (
        ("GET", f"{path}/refill", {"PATCH"}), ("DELETE", path, {"GET", "HEAD", "POST", "PATCH"}),
        ("PUT", f"{path}/AYO_SWC", {"GET", "HEAD", "POST"}), ("GET", "/v1/oauth/access_token", {"POST"}),
        ("GET", f"{path}/provision", {"POST"}), ("POST", f"{path}/FRI", {"GET", "HEAD"}),
    ):  # fmt: skip
        answer = market.nobody.send(method, place, expect=(405, "4001"))
        assert set(answer.headers["allow"].split(", ")) == allowed
    for place in ("/v2", "/v2/customers/x", f"{path}/refill/x", "/v1/oauth/x"):
        assert market.nobody.send("GET", place).json()["status"] == 404
    for method, place in (
        ("GET", path),
        ("GET", f"{path}/X"),
        ("PATCH", f"{path}/refill"),
        ("POST", f"{path}/X"),
        ("PATCH", path),
    ):
        answer = market.nobody.send(method, place, expect=(401, "4000"))
        assert answer.headers["www-authenticate"] == "Bearer"
    netpluse = Partner(
        market.shop, **{"x-api-key": market.shop.telvend("key", "add", "ama@example.com", "--api", "netpluse")["key"]}
    )
    netpluse.plans("2348031234567", expect=(401, "4000"))


def test_bodies_that_are_none_are_400_and_too_long_ones_413(market: Market) -> None:
    path = f"/v2/customers/{market.subscriber()}/plans/refill"
    for body in (b"{", b"[]", b"null", b'"x"', b"\xff"):
        market.ama.send("PATCH", path, content=body, expect=(400, "5000"))
    market.ama.send("PATCH", path, content=b"{}" + b" " * 70_000, expect=(413, "5000"))


def test_a_body_that_says_it_is_something_else_is_415(market: Market) -> None:
    path = f"/v2/customers/{market.subscriber()}/plans"
    headers = {"content-type": "application/xml"}
    for method, place in (("PATCH", f"{path}/refill"), ("PATCH", path), ("POST", f"{path}/AYO_SWC")):
        market.ama.send(method, place, content=b"<refill/>", headers=headers, expect=(415, "5000"))
    market.nobody.send("PATCH", f"{path}/refill", content=b"<refill/>", headers=headers, expect=(401, "4000"))
    body = b'{"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "1"}'
    for content_type in ("application/json; charset=utf-8", "text/plain;charset=UTF-8"):
        market.ama.send(
            "PATCH", f"{path}/refill", content=body, headers={"content-type": content_type}, expect=(200, "0000")
        )


def test_a_used_up_allowance_is_429_in_the_dialects_words(market: Market) -> None:
    slow = Partner(market.shop, **{"x-api-key": market.made[3]["key"]})
    number = market.subscriber()
    for _ in range(5):
        slow.plans(number)
    answer = slow.send("GET", f"/v2/customers/{number}/plans", expect=(429, "1013"))
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit-remaining"] == "0"
    # The grants of tokens are counted too.
    assert grant(market, market.made[3]).status_code == 429


def test_an_unusable_transaction_id_is_replaced_and_a_refill_under_it_can_be_repeated(market: Market) -> None:
    number = market.subscriber()
    body = {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"}
    path = f"/v2/customers/{number}/plans/refill"
    first = market.ama.client.patch(path, json=body, headers={"transactionId": "not usable!"})
    made = first.headers["transactionid"]
    assert (first.status_code, first.json()["transactionId"]) == (200, made)
    assert re.fullmatch(r"[A-Za-z0-9+/=-]{5,20}", made)
    market.ama.client.patch(path, json=body, headers={"transactionId": "not usable!"})
    assert market.ama.main(number) == "20.00"
    again = market.ama.voucherless(number, "10", transaction=made, expect=(200, "0000"))
    assert again.headers["idempotent-replayed"] == "true"


def test_blanks_around_the_values_of_headers_do_not_pay_a_refill_twice(market: Market) -> None:
    """RFC 9110: they are no part of a value. The parser leaves those that stand behind it."""
    number = market.subscriber()
    body = b'{"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"}'
    replayed = []
    for before, after in (("", ""), ("", " "), ("\t", " \t"), ("  ", "")):
        server = http.client.HTTPConnection(market.shop.url.removeprefix("http://"), timeout=30)
        server.putrequest("PATCH", f"/v2/customers/{number}/plans/refill")
        sent = {"X-API-Key": market.made[0]["key"], "transactionId": "OWS-000009", "Content-Type": "application/json"}
        for name, value in (sent | {"Content-Length": str(len(body))}).items():
            server.putheader(name, f"{before}{value}{after}")
        server.endheaders(body)
        answer = server.getresponse()
        assert (answer.status, answer.getheader("transactionid")) == (200, "OWS-000009"), answer.read()
        replayed.append(answer.getheader("idempotent-replayed"))
        server.close()
    assert replayed == [None, "true", "true", "true"]
    assert market.ama.main(number) == "10.00"


def test_a_refill_under_a_long_id_is_one_refill(market: Market) -> None:
    """A UUID and 25 digits are what partners really send; the echo has to be of 5 to 20 characters."""
    number = market.subscriber()
    path = f"/v2/customers/{number}/plans/refill"
    (voucher,) = market.vouchers()
    bodies = {
        str(uuid4()): {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"},
        "1234567890123456789012345": {"refillType": "voucher", "voucherActivationCode": voucher["pin"]},
    }
    for sent, body in bodies.items():
        refused = market.ama.client.patch(path, json=body | {"targetSystem": "x"}, headers={"transactionId": sent})
        assert refused.status_code == 400  # It takes nothing, and leaves the id free.
        answers = [market.ama.client.patch(path, json=body, headers={"transactionId": sent}) for _ in range(3)]
        assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", "true"]
        (echoed,) = {answer.headers["transactionid"] for answer in (refused, *answers)}
        assert re.fullmatch(r"[A-Za-z0-9+/=-]{5,20}", echoed)
        for answer in answers:
            mind("PATCH", path, answer.status_code, answer.json())
            assert (answer.json()["statusCode"], answer.json()["transactionId"]) == ("0000", echoed)
        assert market.ama.refill(number, transaction=echoed, **body).headers["idempotent-replayed"] == "true"
        other = {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "11"}
        reused = market.ama.client.patch(path, json=other, headers={"transactionId": sent})
        assert (reused.status_code, reused.json()["statusCode"]) == (400, "5001")
    # Who is called by his partner finds it by what the partner says.
    (found,) = market.shop.telvend("refill", "list", "--subscriber", f"+{number}", "--transaction", sent)["refills"]
    assert (found["sent_id"], found["transaction_id"], found["kind"]) == (sent, echoed, "voucher")
    assert market.ama.main(number) == "510.00"


def test_twenty_at_once_under_a_long_id_are_one_refill(market: Market) -> None:
    number = market.subscriber()
    path = f"/v2/customers/{number}/plans/refill"
    body = {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"}
    sent = str(uuid4())

    async def race() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=market.shop.url, headers=market.ama.client.headers, timeout=30, verify=_NO_CERTIFICATES
        ) as client:
            return await asyncio.gather(
                *(client.patch(path, json=body, headers={"transactionId": sent}) for _ in range(20))
            )

    answers = asyncio.run(race())
    assert {answer.status_code for answer in answers} == {200}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert market.ama.main(number) == "10.00"


# Subscriptions

BUNDLE = "NG-MTN-SME-1GB-30D"


def subscribe(partner: Partner, number: str, transaction: str, **more: Any) -> httpx.Response:
    body = {"subscriptionId": BUNDLE, "subscriptionPaymentSource": "EVDS", "beneficiaryId": number}
    return partner.send("POST", f"/v2/customers/{number}/subscriptions", json=body | more, transaction=transaction)


async def test_of_twenty_racing_subscriptions_under_one_id_one_is_sold(market: Market) -> None:
    number, before = market.subscriber(), market.wallet()
    answers = await asyncio.gather(
        *(asyncio.to_thread(subscribe, market.ama, number, "TX-BUNDLE-1") for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["correlationId"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert market.wallet() == before - 300
    one = answers[0].json()
    assert Decimal(one["amountBefore"]) - Decimal(one["amountAfter"]) == Decimal(one["amountCharged"]) == 300
    # One id names one thing, and other partners have ids of their own.
    market.ama.voucherless(number, "10", transaction="TX-BUNDLE-1", expect=(400, "5001"))
    assert subscribe(market.ama, number, "TX-BUNDLE-1", subscriptionId="NG-MTN-SME-2GB-30D").status_code == 400
    assert subscribe(market.kofi, number, "TX-BUNDLE-1").json()["statusCode"] == "6001"
    assert market.wallet() == before - 300


def test_a_subscription_is_on_the_customers_plans_in_the_list_and_can_be_asked_about(market: Market) -> None:
    number = market.subscriber()
    bought = subscribe(market.ama, number, "TX-BUNDLE-2").json()
    plans = market.ama.send("GET", f"/v2/customers/{number}/plans/{BUNDLE}", expect=(200, "0000")).json()
    assert [entry["balanceDetail"]["activeValue"] for entry in plans["data"]["balance"]] == ["1024.00"]
    status = f"/v2/customers/{number}/subscriptions/{BUNDLE}/status"
    for reference in ("TX-BUNDLE-2", bought["correlationId"]):
        told = market.ama.send("GET", f"{status}/{reference}", expect=(200, "0000")).json()
        assert (told["status"], told["correlationId"]) == ("Active", bought["correlationId"])
    subscribe(market.ama, number, "TX-BUNDLE-3")
    path: str | None = f"/v2/customers/{number}/subscriptions?limit=1"
    seen = []
    while path is not None:
        page = market.ama.send("GET", path, expect=(200, "0000")).json()
        seen += [row["transactionReference"] for row in page["data"]]
        following = page["_link"]["next"]
        path = None if following is None else following["href"].removeprefix(market.shop.url)
    assert seen == ["TX-BUNDLE-3", "TX-BUNDLE-2"]
    # Somebody else's is not found, and their id is free.
    other = market.kofi.send("GET", f"{status}/TX-BUNDLE-2", expect=(404, "1000")).json()
    assert other["transactionIdFree"] is True
    assert market.kofi.send("GET", f"/v2/customers/{number}/subscriptions", expect=(200, "0000")).json()["data"] == []


def test_a_subscription_that_fails_gives_the_money_back_and_stays_failed(market: Market) -> None:
    number = "2348031230004"  # Which the simulator refuses.
    ((before,),) = market.shop.sql("select balance_minor from wallet where mode = 'test' and currency = 'NGN' limit 1")
    for replayed in (None, "true"):
        failed = subscribe(market.play, number, "TX-BUNDLE-4")
        assert (failed.status_code, failed.json()["statusCode"]) == (400, "5001")
        assert failed.headers.get("idempotent-replayed") == replayed
    told = market.play.send("GET", f"/v2/customers/{number}/subscriptions/{BUNDLE}/status/TX-BUNDLE-4").json()
    assert (told["statusCode"], told["status"], told["amountCharged"]) == ("5001", "Failed", "0.00")
    ((after,),) = market.shop.sql("select balance_minor from wallet where mode = 'test' and currency = 'NGN' limit 1")
    assert after == before


def test_a_lost_refill_can_be_asked_about(market: Market) -> None:
    number, uuid = market.subscriber(), str(uuid4())
    path = f"/v2/customers/{number}/refills/{uuid}"
    assert market.ama.send("GET", path, expect=(404, "1000")).json()["transactionIdFree"] is True
    market.ama.refill(
        number, refillType="voucherless", refillProfileId="DB00", transactionAmount="10", headers={"transactionId": uuid},
        transaction=transaction_id_in_force(uuid),
    )  # fmt: skip
    told = market.ama.send("GET", path, expect=(200, "0000")).json()
    assert told["data"] == {"amount": "10", "currencyCode": "NGN"}
    assert told["transactionReference"] == transaction_id_in_force(uuid)


def test_every_product_of_the_list_can_be_bought_by_its_id(market: Market) -> None:
    groups = market.ama.send("GET", "/v3/products/2348031234567", expect=(200, "0000")).json()["data"]
    listed = {item["id"]: item for items in groups.values() for item in items}
    sold = {plan["code"] for plan in market.shop.telvend("product", "list", "--country", "NG")["products"]}
    assert BUNDLE in listed
    assert listed.keys() <= sold
    dearest = max(listed.values(), key=lambda item: Decimal(item["amount"]))
    number, before = market.subscriber(), market.wallet()
    assert subscribe(market.ama, number, "TX-BUNDLE-5", subscriptionId=dearest["id"]).status_code == 201
    assert market.wallet() == before - Decimal(dearest["amount"])


def test_the_books_hold_after_all_this(market: Market) -> None:
    report = market.shop.telvend("ledger", "check")
    assert report["ok"], report["findings"]
    log = market.shop.log()
    assert "critical" not in log
    assert market.made[0]["key"] not in log


def test_a_literal_999_comes_through_the_server(copied: Callable[[], Shop]) -> None:
    shop = copied()
    shop.settings["TELVEND_MADAPI_LITERAL_999"] = "true"
    try:
        shop.start()
        key, *_ = shop.several(
            [
                ["key", "add", "ama@example.com", "--api", "madapi"],
                ["subscriber", "add", "2348031234567", "--tariff-plan", "PulsePlus", "--currency", "NGN"],
                ["wallet", "credit", "ama@example.com", "100", "NGN", "--reference", "opening"],
            ]
        )
        # What a refill cannot be prepared for: its table is gone.
        shop.sql("alter table refill rename to refill_away")
        body = {"refillType": "voucherless", "refillProfileId": "DB00", "transactionAmount": "10"}
        answer = httpx.patch(
            f"{shop.url}/v2/customers/2348031234567/plans/refill",
            json=body,
            headers={"x-api-key": key["key"]},
            timeout=30,
            verify=_NO_CERTIFICATES,
        )
        assert (answer.status_code, answer.json()["statusCode"]) == (999, "3001")
        shop.sql("alter table refill_away rename to refill")
    finally:
        shop.end()
