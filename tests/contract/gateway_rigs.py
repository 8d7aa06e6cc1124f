"""The registry of gateways that `test_gateway.py` runs over. To add one: write a rig, and a line in `RIGS`.

A rig is a gateway together with its far side (a book, a recorded double) that can be put into each situation.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from telvend.database.connections import Database
from telvend.gateways.checkout import Decision
from telvend.gateways.contract import Gateway
from telvend.gateways.paystack import wire as paystack_wire
from telvend.gateways.paystack.client import Paystack
from telvend.gateways.sandbox import wire as sandbox_wire
from telvend.gateways.sandbox.client import Sandbox
from telvend.kit.secret import Secret

Signed = tuple[dict[str, str], bytes]

BROKEN: Final = ("silence", "no connection", "garbage", "server error", "undocumented")
"""The ways in which a far side can fail to say anything."""


class Rig(Protocol):
    """A gateway and its far side. `breakages` are those of `BROKEN` that it can be put into."""

    gateway: Gateway
    breakages: tuple[str, ...]

    async def pay(self, reference: str, **changes: Any) -> None:
        """The payer pays; `changes` (`amount_minor`, `currency`, `test`, `owner`) make it differ from what was asked for."""

    async def decline(self, reference: str) -> None: ...

    async def notice(self, reference: str) -> Signed:
        """What the gateway sends of its own accord when a payment was made."""

    def break_down(self, how: str) -> None:
        """From now on the far side fails like this."""

    async def close(self) -> None: ...


class SandboxRig:
    """The sandbox over its own book."""

    breakages = ("no connection",)

    def __init__(self, database: Database, sandbox: Sandbox) -> None:
        self._database = database
        self._sandbox = sandbox
        self.gateway: Gateway = sandbox

    async def pay(self, reference: str, **changes: Any) -> None:
        token = await self._token(reference)
        await self._sandbox.decide(token, Decision.PAY)
        async with self._database.connection() as tx:
            for column, value in changes.items():
                await tx.execute(f"update sandbox.payment set {column} = $2 where token = $1", token, value)

    async def decline(self, reference: str) -> None:
        await self._sandbox.decide(await self._token(reference), Decision.DECLINE)

    async def notice(self, reference: str) -> Signed:
        payment = await self._sandbox.payment(await self._token(reference))
        assert payment is not None
        return self._sandbox.notice(payment)

    def break_down(self, how: str) -> None:
        assert how == "no connection"
        self._sandbox._database = Database("", _NoPool())

    async def close(self) -> None:
        await self.gateway.close()
        await self._database.close()

    async def _token(self, reference: str) -> str:
        async with self._database.connection() as tx:
            return str(await tx.fetchval("select token from sandbox.payment where reference = $1", reference))


class _NoPool:
    def acquire(self, **_: Any) -> Any:
        raise OSError


class PaystackRig:
    """Paystack's client over a double that answers with the recorded examples."""

    breakages = BROKEN
    _KEY: Final = Secret("sk_live_0123456789abcdef")

    def __init__(self) -> None:
        self._transactions: dict[str, dict[str, Any]] = {}
        self._broken: str | None = None
        self.gateway: Gateway = Paystack("paystack", self._KEY, transport=httpx.MockTransport(self._answer))

    async def pay(self, reference: str, **changes: Any) -> None:
        transaction = self._transactions[reference]
        transaction["status"] = "success"
        for name, value in changes.items():
            match name:
                case "amount_minor":
                    transaction["amount"] = value
                case "test":
                    transaction["domain"] = "test" if value else "live"
                case "owner":
                    transaction["metadata"] = {"owner": value}
                case _:
                    transaction[name] = value

    async def decline(self, reference: str) -> None:
        self._transactions[reference] |= {"status": "failed", "gateway_response": "Declined"}

    async def notice(self, reference: str) -> Signed:
        body = json.dumps({"event": "charge.success", "data": self._transactions[reference]}).encode()
        return {paystack_wire.SIGNATURE_HEADER: paystack_wire.signature_of(self._KEY, body)}, body

    def break_down(self, how: str) -> None:
        self._broken = how

    async def close(self) -> None:
        await self.gateway.close()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match self._broken:
            case "silence":
                raise httpx.ReadTimeout("silence")
            case "no connection":
                raise httpx.ConnectError("refused")
            case "garbage":
                return httpx.Response(200, content=b"<html>It works!</html>")
            case "server error":
                return httpx.Response(502, content=b"Bad Gateway")
            case "undocumented":
                body = _example("verify-success")
                body["data"] |= {"status": "settled", "reference": request.url.path.rsplit("/", 1)[1]}
                return httpx.Response(200, json=body)
        if request.url.path == "/transaction/initialize":
            asked = json.loads(request.content)
            if asked["reference"] in self._transactions:
                return httpx.Response(400, json=_example("initialize-duplicate"))
            begun = _example("verify-abandoned")["data"]
            self._transactions[asked["reference"]] = begun | {
                "id": 4099260516 + len(self._transactions),
                "reference": asked["reference"],
                "amount": asked["amount"],
                "currency": asked["currency"],
                "metadata": json.loads(asked["metadata"]),
            }
            body = _example("initialize")
            body["data"]["reference"] = asked["reference"]
            return httpx.Response(200, json=body)
        transaction = self._transactions.get(request.url.path.removeprefix("/transaction/verify/"))
        if transaction is None:
            return httpx.Response(400, json=_example("verify-not-found"))
        return httpx.Response(200, json=_example("verify-success") | {"data": transaction})


def _example(name: str) -> dict[str, Any]:
    path = Path(__file__).parents[1] / "wire" / "paystack" / f"{name}.json"
    body: dict[str, Any] = json.loads(path.read_text())["body"]
    return body


async def sandbox(database_url: str) -> Rig:
    database = await Database.open(database_url, pool_size=2)
    return SandboxRig(database, await Sandbox.open(database))


async def paystack(database_url: str) -> Rig:
    return PaystackRig()


RIGS: Final[dict[str, Callable[[str], Awaitable[Rig]]]] = {"sandbox": sandbox, "paystack": paystack}
"""Every gateway. A rig is opened with the address of a database that has the schema."""

SIGNATURE_HEADERS: Final = (sandbox_wire.SIGNATURE_HEADER, paystack_wire.SIGNATURE_HEADER)
