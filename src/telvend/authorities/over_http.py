"""An authority that is asked over HTTP: one request for a NIN, one for a BVN, one answer. The frame of every real one.

Whoever builds on it says how a request looks (`_request`) and what an answer means (`_answer`, the work of its `wire.py`).
What the statuses of HTTP itself mean is the same for everybody, and read here first.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from telvend.authorities import reading
from telvend.authorities.contract import (
    TIMEOUT_S,
    Answer,
    AuthorityTraits,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.kit import http
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    import httpx

ANSWER_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Records carry photographs."""


@dataclass(frozen=True, slots=True)
class AuthorityReply:
    """An answer as it comes off the wire."""

    http_status: int
    body: bytes
    retry_after: str = ""


class AuthorityOverHttp(ABC):
    """See the head of this file. `headers` go with every request; `transport` is the tests' way to stand in for the network."""

    def __init__(
        self,
        name: str,
        base_url: str,
        headers: Mapping[str, Secret],
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Raises ValueError for a key or an app id that cannot stand in a header."""
        for value in headers.values():
            if not value.reveal().isascii() or not value.reveal().isprintable():
                raise ValueError("the key and the app id are printable ASCII")
        self._name = name
        self._client = http.client(
            base_url, timeout_s=TIMEOUT_S, transport=transport, answer_limit_bytes=ANSWER_LIMIT_BYTES
        )
        self._headers = dict(headers)

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> AuthorityTraits:
        return AuthorityTraits()

    async def nin(self, number: Secret) -> Answer:
        return await self._ask(VerificationKind.NIN, number)

    async def bvn(self, number: Secret) -> Answer:
        return await self._ask(VerificationKind.BVN, number)

    async def close(self) -> None:
        await self._client.aclose()

    @abstractmethod
    def _request(self, kind: VerificationKind, number: str) -> "httpx.Request":
        """The question about `number`, made with `self._client.build_request`. The headers are put to it afterwards."""

    @abstractmethod
    def _answer(self, kind: VerificationKind, number: str, reply: AuthorityReply) -> Answer:
        """What an answer about `number` means."""

    async def _ask(self, kind: VerificationKind, number: Secret) -> Answer:
        try:
            request = self._request(kind, number.reveal())
            request.headers["accept"] = "application/json"
            request.headers.update({name: value.reveal() for name, value in self._headers.items()})
            answer = await self._client.send(request)
        except http.NO_ANSWER as error:
            # Only what kind of failure: its text may repeat the request, and the number with it.
            return Unavailable(text=type(error).__name__)
        reply = AuthorityReply(answer.status_code, answer.content, answer.headers.get("retry-after", ""))
        return self._answer(kind, number.reveal(), reply)


def body_of(reply: AuthorityReply) -> Any:
    """The JSON of an answer; or, as `Unavailable` or `VerificationUnknown`, what its status says by itself or that it is no JSON.

    No text repeats anything of the body. Dojah says 424 when the register is away; nobody gives it another meaning.
    """
    status = reply.http_status
    if status in (401, 403):
        return Unavailable(reading.RETRY_LATER_S, f"HTTP {status}: our key is not accepted", ours_to_mend=True)
    if status == 402:
        return Unavailable(reading.RETRY_LATER_S, "HTTP 402: our account with them is empty", ours_to_mend=True)
    if status in (424, 429) or status >= 500:
        return Unavailable(reading.seconds(reply.retry_after), f"HTTP {status}")
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return VerificationUnknown(f"HTTP {status}: not JSON")
