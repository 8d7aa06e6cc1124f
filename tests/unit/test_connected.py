"""What follows from which vendors serve live keys: every combination of what settings can connect."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from telvend.authorities.contract import AuthorityTraits as AuthorityTraits
from telvend.authorities.dojah.client import Dojah
from telvend.authorities.personas import Personas
from telvend.authorities.prembly.client import Prembly
from telvend.connected import Connected
from telvend.gateways.contract import GatewayTraits as GatewayTraits
from telvend.gateways.paystack.client import Paystack
from telvend.kit.secret import Secret
from telvend.providers.contract import ProviderTraits as ProviderTraits


@dataclass
class Vendor:
    """As much of a vendor as matters here."""

    name: str
    traits: Any


OWN_NETWORK = Vendor("own_network", ProviderTraits(pretends=True))
TEST_SIMULATOR = Vendor("simulator", ProviderTraits(pretends=True, live_mode=False, test_mode=True))
LIVE_SIMULATOR = Vendor("simulator", ProviderTraits(pretends=True, live_mode=True, test_mode=True))
REAL_PROVIDER = Vendor("vt", ProviderTraits())
PERSONAS = Vendor("personas", AuthorityTraits(pretends=True))
PREMBLY = Vendor("prembly", AuthorityTraits())
PAYSTACK = Vendor("paystack", GatewayTraits(live_mode=True, test_mode=False))
PAYSTACK_TEST = Vendor("paystack-test", GatewayTraits(live_mode=False, test_mode=True, pretends=True))
SANDBOX = Vendor("sandbox", GatewayTraits(live_mode=True, test_mode=True, pretends=True))

REFUSED = "does not open"
# own network, live simulator, real provider, real authority, live key of Paystack: what funds live wallets, and whether
# live sales go on while live wallets hold play money. The test key of Paystack changes nothing of it.
EXPECTED = {
    (0, 0, 0, 0, 0): (None, True),
    (0, 0, 0, 0, 1): (None, False),
    (0, 0, 0, 1, 0): (None, False),
    (0, 0, 0, 1, 1): ("paystack", False),
    (0, 0, 1, 0, 0): (None, False),
    (0, 0, 1, 0, 1): ("paystack", False),
    (0, 0, 1, 1, 0): (None, False),
    (0, 0, 1, 1, 1): ("paystack", False),
    (0, 1, 0, 0, 0): ("sandbox", True),
    (0, 1, 0, 0, 1): (None, False),
    (0, 1, 0, 1, 0): (None, False),
    (0, 1, 0, 1, 1): ("paystack", False),
    (0, 1, 1, 0, 0): REFUSED,
    (0, 1, 1, 0, 1): REFUSED,
    (0, 1, 1, 1, 0): REFUSED,
    (0, 1, 1, 1, 1): REFUSED,
    (1, 0, 0, 0, 0): ("sandbox", True),
    (1, 0, 0, 0, 1): (None, False),
    (1, 0, 0, 1, 0): (None, False),
    (1, 0, 0, 1, 1): ("paystack", False),
    (1, 0, 1, 0, 0): REFUSED,
    (1, 0, 1, 0, 1): REFUSED,
    (1, 0, 1, 1, 0): REFUSED,
    (1, 0, 1, 1, 1): REFUSED,
    (1, 1, 0, 0, 0): ("sandbox", True),
    (1, 1, 0, 0, 1): (None, False),
    (1, 1, 0, 1, 0): (None, False),
    (1, 1, 0, 1, 1): ("paystack", False),
    (1, 1, 1, 0, 0): REFUSED,
    (1, 1, 1, 0, 1): REFUSED,
    (1, 1, 1, 1, 0): REFUSED,
    (1, 1, 1, 1, 1): REFUSED,
}


def test_the_table_has_every_combination() -> None:
    assert list(EXPECTED) == list(itertools.product((0, 1), repeat=5))


@pytest.mark.parametrize("test_key", [False, True], ids=["", "with a test key"])
@pytest.mark.parametrize("combination", EXPECTED, ids=str)
def test_every_combination_of_vendors(combination: tuple[int, ...], test_key: bool) -> None:
    own_network, live_simulator, real_provider, authority, live_key = combination
    providers = [LIVE_SIMULATOR if live_simulator else TEST_SIMULATOR]
    providers += [OWN_NETWORK] * own_network + [REAL_PROVIDER] * real_provider
    authorities = [PERSONAS] + [PREMBLY] * authority
    gateways = [PAYSTACK] * live_key + [PAYSTACK_TEST] * test_key + [SANDBOX]
    expected = EXPECTED[combination]
    if expected == REFUSED:
        with pytest.raises(ValueError, match="must not take live orders beside vt"):
            Connected.of(providers, authorities, gateways)
        return
    connected = Connected.of(providers, authorities, gateways)
    takes = [gateway.name for gateway in gateways if gateway is PAYSTACK and connected.takes_real_money]
    takes += ["sandbox"] * connected.takes_play_money
    assert (next(iter(takes), None), not connected.real) == expected
    assert len(takes) <= 1
    assert connected.idle_gateways == (("paystack",) if live_key and not connected.takes_real_money else ())
    assert connected.delivers_real is bool(real_provider)


def test_those_that_are_real_say_so() -> None:
    key = Secret("sk_live_x")
    assert not Prembly(api_key=key).traits.pretends
    assert not Dojah(secret_key=key, app_id="x").traits.pretends
    assert Personas().traits.pretends
    assert not Paystack("paystack", key).traits.pretends
    assert Paystack("paystack-test", Secret("sk_test_x")).traits.pretends
