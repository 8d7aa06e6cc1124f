"""One Telvend sells through another, over HTTP, each with its own database, and either is killed at any moment.

    reseller → near: the shop, whose worker delivers through … → far: the upstream, whose own network gives the bundle

Afterwards each order was delivered exactly once at the far end or not at all, and the near shop knows which; both ledgers hold; and
what the upstream has taken from the wallet is what the near shop has on its books for it.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import httpx
import pytest

from tests.e2e.conftest import PLENTY, Keys
from tests.e2e.shop import _NO_CERTIFICATES, Shop, load, wait_for

OPENING_MINOR: Final = 100_000_000

SETTINGS: Final = """
own_network = false
delivery_wait_s = 0

[simulators]

[providers.ghana]
connector = "netpluse"
base_url = "{url}"
api_key = "{netpluse_key}"
timeout_s = 2.0

[providers.nigeria]
connector = "networkdatasub"
base_url = "{url}/api"
api_key = "{token}"
caller_reference = true
timeout_s = 2.0
"""

MADAPI_SETTINGS: Final = """
own_network = false
delivery_wait_s = 0

[simulators]

[providers.ghana]
connector = "madapi"
base_url = "{url}"
client_id = "{key}"
client_secret = "{secret}"
networks = ["GH/MTN"]
timeout_s = 2.0

[providers.nigeria]
connector = "madapi"
base_url = "{url}"
client_id = "{key}"
client_secret = "{secret}"
networks = ["NG/mtn"]
timeout_s = 2.0
"""

NEAR_DIES_AT: Final = (
    "attempt.before_write",
    "attempt.after_write",
    "attempt.after_send",
    "attempt.after_answer",
    "settle.before_commit",
    "settle.after_commit",
)
FAR_DIES_AT: Final = (
    "lane.after_locks",
    "lane.after_write",
    "lane.after_commit",
    "attempt.after_write",
    "attempt.after_answer",
    "subscribers.before_commit",
    "subscribers.after_commit",
    "settle.before_commit",
    "settle.after_commit",
)


class Chain:
    """Both shops. The near one has less patience than a shop (upstream_shop.py)."""

    LISTS: frozenset[str] = frozenset({"nigeria"})
    """The near shop's providers that list what they have sold; the others are asked about each purchase."""

    far_dies_at = FAR_DIES_AT

    def __init__(self, far: Shop, near: Shop, keys: Keys) -> None:
        self.far, self.near, self.keys = far, near, keys
        self.far.settings = {}  # As it comes: its own network delivers.
        self.near.program = [sys.executable, "-m", "tests.e2e.upstream_shop"]
        self.bought = 0
        self.forms: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self._tokens: dict[Shop, str] = {}

    def start(self) -> None:
        unlimited = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)
        for shop in (self.far, self.near):
            if shop is self.near:
                self._connect()
            shop.start()
            *_, made = shop.several(
                [
                    ["user", "add", "ada@example.com", "--name", "Ada", "--phone", "08031234567"],
                    ["wallet", "credit", "ada@example.com", PLENTY, "NGN", "--reference", "opening"],
                    ["key", "add", "ada@example.com", "--api", "networkdatasub", *unlimited],
                ]
            )
            self._tokens[shop] = made["key"]
        # Netpluse says a price only in the answer to a purchase; where that is lost, the near shop's own word counts.
        self.near.telvend("product", "offer", "GH-MTN-1GB-30D", "ghana", "4.50")

    def _connect(self) -> None:
        """Write the near shop's settings: two upstreams, which are both the far shop."""
        settings = self.near.data_dir / "telvend.toml"
        settings.write_text(
            SETTINGS.format(url=self.far.url, netpluse_key=self.keys.ama, token=self._tokens[self.far]), "utf-8"
        )
        settings.chmod(0o600)
        self.near.settings = {}

    def end(self) -> None:
        self.near.end()
        self.far.end()

    # Buying -------------------------------------------------------------------------------------------------------------

    def buy(self, count: int, *, patiently: bool = True) -> None:
        """Buy so many bundles, plans and airtimes in turn, each for a number of its own.

        Without patience a purchase that nobody answers is left as it is: taken or not.
        """
        for number in range(self.bought, self.bought + count):
            reference = f"chain {number}"
            match number % 3:
                case 0:
                    form = {"network": "MTN", "phoneNumber": f"0241{number:06}", "capacity": "1GB"}
                    self._buy(
                        "/api/v1/purchase", {"x-api-key": self.keys.ama}, form | {"reference": reference}, patiently
                    )
                case 1:
                    plan = {"network": "mtn", "plan_id": 1, "phone": f"0803{number:07}"}
                    self._buy("/api/data/purchase", self._token, plan | {"reference": reference}, patiently)
                case _:
                    airtime = {"network": "mtn", "amount": 100, "phone": f"0803{number:07}"}
                    self._buy("/api/airtime/purchase", self._token, airtime | {"reference": reference}, patiently)
        self.bought += count

    @property
    def _token(self) -> dict[str, str]:
        return {"authorization": f"Token {self._tokens[self.near]}"}

    def _buy(self, path: str, headers: dict[str, str], form: dict[str, Any], patiently: bool) -> None:
        self.forms.append((path, headers, form))
        ends = time.monotonic() + 30 * load()
        while True:
            with suppress(httpx.TransportError):
                answer = httpx.post(
                    f"{self.near.url}{path}", json=form, headers=headers, timeout=20, verify=_NO_CERTIFICATES
                )
                if answer.status_code in (200, 409):
                    return
                assert answer.status_code == 503, answer.text
            if not patiently:
                return
            assert time.monotonic() < ends
            time.sleep(0.1)

    # Accidents ----------------------------------------------------------------------------------------------------------

    def accident(self, dice: random.Random, who: str, orders: int) -> None:
        """Buy, and let somebody die over it: at a named place, or some moment after the last purchase."""
        shop = self.near if who.startswith("near") else self.far
        print(f"{who} dies", end=" ")
        if who.endswith("at a place"):
            place = dice.choice(NEAR_DIES_AT if shop is self.near else self.far_dies_at)
            print(f"at {place}")
            shop.stop()
            # Of three orders one is a refill.
            which = 1 if place.startswith("refill.") else dice.randint(1, 2)
            shop.start(failpoints=f"{place}=kill@{which}", may_end=True)
            self.buy(orders, patiently=shop is self.far)
            wait_for(shop.has_ended, 20, f"killed at {place}")
        else:
            self._buy_and_wait(dice, orders)
            shop.kill()
        shop.start()

    def _buy_and_wait(self, dice: random.Random, orders: int) -> None:
        self.buy(orders)
        pause_s = dice.uniform(0, 0.5)
        print(f"after {pause_s:.3f} s")
        time.sleep(pause_s)

    # Afterwards ---------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Both shops and the subscribers agree on every order and every pesewa."""
        for path, headers, form in list(self.forms):  # Whoever was not answered asks again, under the same reference.
            self._buy(path, headers, form, patiently=True)
        try:
            took_s = self.near.wait_until_final(90)
        except AssertionError:
            for row in self.near.sql(
                "select o.reference, o.state, a.number, a.provider, a.state, a.asked, a.text from orders o"
                " left join attempt a on a.order_id = o.id where o.state not in ('delivered', 'failed')"
            ):
                print(row)
            raise
        self.far.wait_until_final(30)
        near = dict(self.near.sql("select subscriber, state from orders"))
        assert len(near) == self.bought
        granted, sold = self._granted(), self._sold()
        delivered = {subscriber for subscriber, state in near.items() if state == "delivered"}
        # Each exactly once, and nothing that the near shop has given money back for.
        assert granted == Counter(delivered)
        assert sold == granted
        for shop in (self.near, self.far):
            (ledger,) = shop.several([["ledger", "check"]])
            assert ledger["ok"], ledger["findings"]
        for currency, provider in (("GHS", "ghana"), ("NGN", "nigeria")):
            self._check_money(currency, provider)
            self._reconcile(provider)
        states = Counter(near.values())
        print(f"{self.bought} orders {dict(states)}, final after {took_s:.1f} s")
        assert states["delivered"] == self.bought

    def _granted(self) -> Counter[str]:
        """How often each number has been given something at the far end."""
        return Counter(
            subscriber
            for (subscriber,) in self.far.sql(
                "select o.subscriber from network_delivery d join attempt a on a.reference = d.reference"
                " join orders o on o.id = a.order_id where d.state = 'delivered'"
            )
        )

    def _sold(self) -> Counter[str]:
        """How often the far shop has sold something to each number."""
        sold = self.far.sql("select subscriber, state from orders")
        return Counter(subscriber for subscriber, state in sold if state == "delivered")

    def _taken(self, currency: str) -> int:
        """What the upstream has taken from its reseller."""
        spent = "select coalesce(sum(price_minor), 0) from orders where state = 'delivered' and currency = %s"
        return int(self.far.sql(spent, currency)[0][0])

    def _reconcile(self, provider: str) -> None:
        """A command finds the same: every delivery of each day stands on both sides, and cost the same."""
        days = self.near.sql("select distinct (started_at at time zone 'UTC')::date::text from attempt")
        matched = 0
        for (day,) in days:
            found = self.near.telvend("reconcile", provider, "--date", day)
            assert found["source"] == ("list" if provider in self.LISTS else "requery")
            assert [costs["difference"] for costs in found["costs"].values() if costs["difference"]] == []
            matched += found["matched"] - found["undelivered"]
        ((delivered,),) = self.near.sql(
            "select count(*) from attempt where provider = %s and state = 'delivered'", provider
        )
        assert matched == delivered

    def lose_orders(self, provider: str) -> int:
        """Have the near shop not know its attempts at a provider, as after a restore to an earlier point. How many were delivered?"""
        ((count,),) = self.near.sql(
            "select count(*) from attempt where provider = %s and state = 'delivered'", provider
        )
        self.near.sql("update attempt set provider = 'forgotten' where provider = %s", provider)
        return int(count)

    def _check_money(self, currency: str, provider: str) -> None:
        """What the upstream took from its reseller's wallet is what the near shop's attempts say that it took."""
        taken = self._taken(currency)
        ((left,),) = self.far.sql(
            "select w.balance_minor from wallet w where w.account_id = (select wallet_id from orders where currency = %s limit 1)",
            currency,
        )
        assert left == OPENING_MINOR - taken
        ((owed,),) = self.near.sql(
            "select sum(a.cost_minor) from attempt a where a.provider = %s and a.state = 'delivered'", provider
        )
        assert owed == taken


class MadapiChain(Chain):
    """The same, through MADAPI: bundles are subscriptions of the far shop, airtime is a refill there.

    A refill is for who is a subscriber already.
    """

    far_dies_at = (*FAR_DIES_AT, "refill.after_locks", "refill.before_commit", "refill.after_commit")
    AIRTIMES: Final = 30
    LISTS = frozenset()

    def start(self) -> None:
        super().start()
        # A refill says what was loaded, not what it cost.
        self.near.telvend("product", "offer", "NG-MTN-AIRTIME", "nigeria", "100%")
        time.sleep(1)  # A serving process looks at the catalogue four times a second.

    def _connect(self) -> None:
        *_, made = self.far.several(
            [
                ["wallet", "credit", "ada@example.com", PLENTY, "GHS", "--reference", "opening"],
                *(
                    ["subscriber", "add", f"+234803{number:07}", "--tariff-plan", "Basic", "--currency", "NGN"]
                    for number in range(2, 3 * self.AIRTIMES, 3)
                ),
                [
                    "key",
                    "add",
                    "ada@example.com",
                    "--api",
                    "madapi",
                    "--read-limit",
                    PLENTY,
                    "--purchase-limit",
                    PLENTY,
                ],
            ]
        )
        settings = self.near.data_dir / "telvend.toml"
        settings.write_text(MADAPI_SETTINGS.format(url=self.far.url, key=made["key"], secret=made["secret"]), "utf-8")
        settings.chmod(0o600)
        self.near.settings = {}

    def _loaded(self) -> Counter[str]:
        return Counter(msisdn for (msisdn,) in self.far.sql("select msisdn from refill"))

    def _granted(self) -> Counter[str]:
        return super()._granted() + self._loaded()

    def _sold(self) -> Counter[str]:
        return super()._sold() + self._loaded()

    def _taken(self, currency: str) -> int:
        loaded = "select coalesce(sum(amount_minor), 0) from refill where currency = %s"
        return super()._taken(currency) + int(self.far.sql(loaded, currency)[0][0])


@pytest.fixture
def chain(copied: Callable[[], Shop], keys: Keys) -> Iterator[Chain]:
    made = Chain(copied(), copied(), keys)
    made.start()
    yield made
    made.end()


@pytest.mark.timeout(300)
def test_a_chain_of_two_shops_agrees_after_either_was_killed(chain: Chain) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    chain.buy(3)
    for who in ("near at a place", "far at a place", dice.choice(["near", "far"])):
        chain.accident(dice, who, 3)
    chain.check()
    # What the near shop does not know any more stands in the far one's list.
    lost = chain.lose_orders("nigeria")
    ((today,),) = chain.near.sql("select (now() at time zone 'UTC')::date::text")
    found = json.loads(chain.near.run("reconcile", "nigeria", "--date", today, "--json").stdout)
    assert (len(found["only_there"]), found["matched"]) == (lost, 0)
    assert all(one["subscriber"] and one["product"] and one["charged"] and one["at"] for one in found["only_there"])


@pytest.fixture
def madapi_chain(copied: Callable[[], Shop], keys: Keys) -> Iterator[MadapiChain]:
    made = MadapiChain(copied(), copied(), keys)
    made.start()
    yield made
    made.end()


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_chain_over_madapi_agrees_after_either_was_killed(madapi_chain: MadapiChain) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    madapi_chain.buy(3)
    for who in ("near at a place", "far at a place", dice.choice(["near", "far"])):
        madapi_chain.accident(dice, who, 3)
    madapi_chain.check()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(8))
def test_a_chain_agrees_after_many_deaths_at_other_moments(chain: Chain, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(12):
        chain.accident(dice, dice.choice(["near at a place", "far at a place", "far", "near"]), dice.randint(3, 12))
    chain.check()
