"""Where providers call back: what is answered to whom, and what is read before anybody knows whose it is."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from telvend.errors import Busy
from telvend.web import callbacks
from tests.unit.asgi import request

NOTHING = {"error": "There is nothing at this path."}


class Taken:
    """Takes what comes to `vt` under the secret `right`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.busy = False

    async def receive(
        self, name: str, path_secret: str | None, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, Any] | None:
        assert "host" in headers
        self.bodies.append(body)
        if self.busy:
            raise Busy
        return {"response": "success"} if (name, path_secret) == ("vt", "right") else None


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def site(taken: Taken) -> Any:
    return callbacks.callbacks(cast(Any, taken))


async def test_the_right_secret_is_answered_as_the_vendor_wants_it(site: Any, taken: Taken) -> None:
    reply = await request(site, "POST", "/providers/vt/callback/right", body=b"{}")
    assert (reply.status, reply.json, taken.bodies) == (200, {"response": "success"}, [b"{}"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/providers/vt/callback/wrong"),
        ("POST", "/providers/vt/callback"),
        ("POST", "/providers/other/callback/right"),
        ("POST", "/providers/vt/callback/right/"),
        ("POST", "/providers/vt/callback/a/b"),
        ("POST", "/providers/vt"),
        ("POST", "/providers"),
        ("GET", "/providers/vt/callback/right"),
        ("PUT", "/providers/vt/callback/right"),
        ("OPTIONS", "/providers/vt/callback/right"),
    ],
)
async def test_everything_else_is_the_same_nothing(site: Any, method: str, path: str) -> None:
    reply = await request(site, method, path, body=b"{}")
    assert (reply.status, reply.json, reply.header("allow")) == (404, NOTHING, None)


async def test_a_body_is_bounded_and_one_that_was_not_stored_is_to_be_sent_again(site: Any, taken: Taken) -> None:
    for path in ("/providers/vt/callback/right", "/providers/x/callback"):
        body = [b"x" * 40_000, b"x" * 40_000]
        assert (await request(site, "POST", path, body=body)).status == 413
    assert taken.bodies == []
    assert (await request(site, "POST", "/providers/vt/callback/right", body=b"{", cut_off=True)).status in (0, 400)
    taken.busy = True
    reply = await request(site, "POST", "/providers/vt/callback/right", body=b"{}")
    assert (reply.status, reply.header("retry-after") is not None) == (503, True)


async def test_bodies_that_are_being_read_share_what_they_may_take(
    monkeypatch: pytest.MonkeyPatch, taken: Taken
) -> None:
    monkeypatch.setattr(callbacks, "TOGETHER_BYTES", 10_000)
    site = callbacks.callbacks(cast(Any, taken))
    assert (await request(site, "POST", "/providers/vt/callback/right", body=b"x" * 40_000)).status == 503
    assert (await request(site, "POST", "/providers/vt/callback/right", body=b"x" * 16_000)).status == 200
