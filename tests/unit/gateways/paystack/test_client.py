"""How Paystack is called: by a recorded double, never over a network."""

import json
from collections.abc import Callable

import httpx
import pytest

from telvend.gateways.contract import Method, NotStarted, Paid, PaymentUnknown, Start, Started
from telvend.gateways.paystack.client import Paystack
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from tests.unit.gateways.paystack.test_wire import OWNER, REFERENCE, example

LIVE = Secret("sk_live_0123456789abcdef")

PAYMENT = Start(
    REFERENCE,
    OWNER,
    "ama@example.com",
    Money(500000, NGN),
    Method.CARD,
    False,
    "https://shop.example",
    "https://shop.example/b",
    60,
)


def paystack(answer: Callable[[httpx.Request], httpx.Response]) -> Paystack:
    return Paystack("paystack", LIVE, transport=httpx.MockTransport(answer))


async def test_a_payment_is_begun_with_one_post() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        status, body = example("initialize")
        return httpx.Response(status, content=body)

    gateway = paystack(answer)
    assert await gateway.start(PAYMENT) == Started("https://checkout.paystack.com/3ni8kdavz62431k", "3ni8kdavz62431k")
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://api.paystack.co/transaction/initialize")
    assert request.headers["authorization"] == "Bearer sk_live_0123456789abcdef"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content)["amount"] == 500000
    await gateway.close()


async def test_a_payment_is_verified_with_one_get_of_its_reference() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        status, body = example("verify-success")
        return httpx.Response(status, content=body)

    gateway = paystack(answer)
    assert isinstance(await gateway.verify(REFERENCE), Paid)
    assert [(request.method, request.url.path) for request in seen] == [("GET", f"/transaction/verify/{REFERENCE}")]
    await gateway.verify("../charge?x=1")
    assert seen[1].url.raw_path == b"/transaction/verify/..%2Fcharge%3Fx%3D1"
    await gateway.close()


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
)
async def test_without_a_connection_nothing_was_begun(error: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    gateway = paystack(answer)
    assert isinstance(await gateway.start(PAYMENT), NotStarted)
    assert isinstance(await gateway.verify(REFERENCE), PaymentUnknown)
    await gateway.close()


@pytest.mark.parametrize(
    "error",
    [httpx.ReadTimeout("slow"), httpx.WriteError("cut"), httpx.RemoteProtocolError("what"), httpx.ReadError("cut")],
)
async def test_without_an_answer_nobody_knows(error: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    gateway = paystack(answer)
    assert isinstance(await gateway.start(PAYMENT), PaymentUnknown)
    assert isinstance(await gateway.verify(REFERENCE), PaymentUnknown)
    await gateway.close()


async def test_a_redirect_is_not_followed() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"location": "https://elsewhere.example/"})

    gateway = paystack(answer)
    assert isinstance(await gateway.start(PAYMENT), PaymentUnknown)
    assert isinstance(await gateway.verify(REFERENCE), PaymentUnknown)
    assert len(seen) == 2
    await gateway.close()


async def test_closed_it_does_not_raise() -> None:
    gateway = paystack(lambda _: httpx.Response(200))
    await gateway.close()
    await gateway.close()
    assert isinstance(await gateway.start(PAYMENT), NotStarted)
    assert isinstance(await gateway.verify(REFERENCE), PaymentUnknown)


async def test_the_key_says_whose_money_it_takes() -> None:
    live, test = Paystack("paystack", LIVE), Paystack("paystack-test", Secret("sk_test_0123456789abcdef"))
    assert (live.traits.live_mode, live.traits.test_mode, live.traits.pretends) == (True, False, False)
    assert (test.traits.live_mode, test.traits.test_mode, test.traits.pretends) == (False, True, True)
    await live.close()
    await test.close()


@pytest.mark.parametrize("text", ["", "pk_live_0123", "sk_0123", "sk_live_0123\nx: y", "sk_live_ü"])
def test_what_is_no_secret_key_of_paystack_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sk_live_ or sk_test_"):
        Paystack("paystack", Secret(text))
