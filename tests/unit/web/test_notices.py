"""Notices of gateways: what they take together before anybody knows whether they are genuine."""

import asyncio
from typing import Any, cast

import pytest

from telvend.funding.service import Received
from telvend.web import notices
from tests.unit.asgi import request


class Fundings:
    """Takes every notice for a forged one."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def notice(self, _name: str, _headers: Any, body: bytes, *, source: str) -> Received:
        assert source in ("", "127.0.0.1")
        self.taken.append(len(body))
        return Received.FORGED


async def test_notices_that_are_being_read_share_what_they_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "TOGETHER_BYTES", 400_000)
    app = notices.notices(cast(Any, Fundings()))
    gate = asyncio.Event()

    def scope() -> dict[str, Any]:
        return {
            "type": "http",
            "method": "POST",
            "path": "/gateways/paystack/notice",
            "headers": [],
            "query_string": b"",
        }

    async def slow() -> int:
        status = 0
        pieces = [b"x" * 200_000, b"y"]

        async def receive() -> Any:
            piece = pieces.pop(0)
            if piece == b"y":
                await gate.wait()
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        await app(scope(), receive, send)
        return status

    reading = [asyncio.create_task(slow()) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert [one.result() for one in reading if one.done()] == [503, 503]
    # Who sends much and slowly does not shut out a notice as gateways send them, in pieces or whole.
    for body in (b"x" * 16_000, [b"x" * 8_000] * 2):
        assert (await request(app, "POST", "/gateways/paystack/notice", body=body)).status == 401
    assert (await request(app, "POST", "/gateways/paystack/notice", body=b"x" * 250_000)).status == 503
    gate.set()
    assert sorted(await asyncio.gather(*reading)) == [401, 401, 503, 503]
    # What they took is there again.
    assert (await request(app, "POST", "/gateways/paystack/notice", body=b"x" * 250_000)).status == 401
    assert (await request(app, "POST", "/gateways/paystack/notice", body=[b"x" * 200_000] * 2)).status == 413
    assert (await request(app, "POST", "/gateways/paystack/notice", body=[b"x"] * 2, cut_off=True)).status == 400
    assert (await request(app, "POST", "/gateways/paystack/notice", body=b"x" * 250_000)).status == 401
