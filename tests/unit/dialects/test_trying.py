"""Calls of a dialect from within: in test mode only, and by a pass that is worth nothing afterwards."""

from typing import Any
from uuid import uuid4

import pytest

from telvend.dialects.contract import Context, Dialect, Endpoint, Response, alike
from telvend.dialects.trying import TestCalls
from telvend.errors import InvariantBroken, NotAuthenticated
from telvend.kit.allowance import AllowanceVerdict
from telvend.kit.mode import Mode
from telvend.resellers.model import Caller

SEEN: list[Context[Any]] = []


class Generous:
    async def take(self, _key: bytes, _kind: object, limit: int) -> AllowanceVerdict:
        return AllowanceVerdict(True, limit, limit, 0, 0)


class Services:
    public_url = ""


async def answers(context: Context[Any]) -> Response:
    SEEN.append(context)
    return Response(200, {"path": context.path, "query": context.query.decode()})


DIALECT = Dialect(
    "toy",
    "Toy",
    "/toy",
    (Endpoint("GET", "/things/{name}", answers, "A thing", {}),),
    key_of=lambda headers: headers.get(b"x-key", b"").decode(),
    error=alike(lambda error: Response(401 if isinstance(error, NotAuthenticated) else 500, {"error": str(error)})),
    security={"type": "apiKey", "in": "header", "name": "X-Key"},
)


def caller(mode: Mode) -> Caller:
    key = uuid4()
    return Caller(uuid4(), 1, key, key.bytes, "toy", mode, 60, 30, {})


@pytest.fixture
def calls() -> TestCalls:
    SEEN.clear()
    return TestCalls(DIALECT, Services(), Generous())  # type: ignore[arg-type]


async def test_a_live_caller_calls_nothing(calls: TestCalls) -> None:
    with pytest.raises(InvariantBroken):
        await calls.call(caller(Mode.LIVE), "GET", "/toy/things/x", base_url="https://shop.example")
    assert SEEN == []


async def test_a_call_takes_every_step_of_a_request(calls: TestCalls) -> None:
    ama = caller(Mode.TEST)
    answer = await calls.call(ama, "GET", "/toy/things/ä b", query="a=1", base_url="https://shop.example:8443")
    assert (answer.status, answer.body) == (200, '{"path":{"name":"ä b"},"query":"a=1"}')
    assert dict(answer.headers)["ratelimit-remaining"] == "60"
    (context,) = SEEN
    assert context.caller is ama
    assert context.base_url == "https://shop.example:8443"


async def test_the_pass_of_a_call_is_worth_nothing_afterwards(calls: TestCalls) -> None:
    await calls.call(caller(Mode.TEST), "GET", "/toy/things/x", base_url="https://shop.example")
    used = SEEN[0].headers[b"x-key"].decode()
    assert calls.cached("toy", used) is None
    with pytest.raises(NotAuthenticated):
        await calls.authenticate("toy", used)


async def test_a_key_of_the_sender_stands_for_nothing(calls: TestCalls) -> None:
    ama = caller(Mode.TEST)
    await calls.call(ama, "GET", "/toy/things/x", headers={"X-KEY": "somebody's"}, base_url="https://shop.example")
    assert SEEN[0].caller is ama
