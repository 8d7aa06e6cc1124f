"""A connector for tests that are about no vendor: `connector = "double"`, and a far side that says what a test sets.

double.install(monkeypatch)
double.answers["POST /purchases"] = httpx.Response(200, json={"status": "done"})
"""

from typing import Any

import httpx
import msgspec
import pytest

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import NGN, Money
from telvend.providers import connectors
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.over_http import ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.upstream import BalanceUnavailable, ConnectorRefused, SettingsProblem

NETWORKS = frozenset({("NG", "mtn"), ("NG", "glo")})

requests: list[httpx.Request] = []
answers: dict[str, httpx.Response | Exception] = {}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the connector known for one test, with a far side that knows nobody and has NGN 1,000.00 of ours."""
    monkeypatch.setitem(connectors.CONNECTORS, "double", __name__)
    requests.clear()
    answers.clear()
    answers["GET /balance"] = httpx.Response(200, json={"kobo": 100_000})


async def _answer(request: httpx.Request) -> httpx.Response:
    requests.append(request)
    answer = answers.get(f"{request.method} {request.url.path.split('/t/')[0]}", httpx.Response(404))
    if isinstance(answer, Exception):
        raise answer
    return answer


class Double(ProviderOverHttp):
    """Sells airtime and bundles of two networks; a bundle needs the far side's code."""

    connector = "double"

    def _purchase_request(self, delivery: Delivery) -> httpx.Request | Refused:
        if delivery.kind == "data" and not delivery.provider_code:
            return Refused(Reason.NOT_SOLD, "the code of this product is not known")
        body = {"id": delivery.reference, "code": delivery.provider_code, "phone": delivery.subscriber}
        return self._client.build_request("POST", "/purchases", json=body)

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:  # noqa: ARG002 - one body fits all
        try:
            body = msgspec.json.decode(reply.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return Unknown(reply.excerpt)
        match body.get("status"):
            case "done":
                return Delivered("theirs-1", Money(body["kobo"], NGN) if "kobo" in body else None)
            case "pending":
                return Accepted("theirs-1")
            case "no":
                return Refused(Reason.BAD_NUMBER, "no such number")
            case _:
                return Unknown(reply.excerpt)

    def _requery_request(self, delivery: Delivery) -> httpx.Request | Unknown:
        return self._client.build_request("GET", f"/purchases/t/{delivery.reference}")

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return NotSent("never heard of it") if reply.http_status == 404 else self._outcome(delivery, reply)

    def _balance_request(self) -> httpx.Request | None:
        return self._client.build_request("GET", "/balance")

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        if reply.http_status != 200:
            return BalanceUnavailable(f"HTTP {reply.http_status}", not_allowed=reply.http_status == 401)
        return Money(msgspec.json.decode(reply.body)["kobo"], NGN)


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
) -> Double:
    """Make the provider. Raises ConnectorRefused."""
    problems = [SettingsProblem("api_key", "is missing: the key of the account")] if settings.api_key is None else []
    if settings.client_id is not None:
        problems.append(SettingsProblem("client_id", "is not used by the connector double"))
    if problems or settings.api_key is None:
        raise ConnectorRefused(name, problems)
    return Double(
        name,
        settings.base_url or "https://double.example",
        ProviderTraits(timeout_s=call_timeout_s(settings.timeout_s), settles_after_s=60, networks=NETWORKS),
        headers={"api-key": settings.api_key, "made-at": f"{clock.now():%Y}"},
        timeout_s=settings.timeout_s,
        transport=transport or httpx.MockTransport(_answer),
    )
