"""A provider that is called over HTTP: one request to deliver, one to requery, one for the balance. Every real one builds on it.

A connector says how its requests look (`_purchase`, `_question`, `_balance_request`) and what the answers mean
(`_outcome`, `_told`, `_balance_of`: the work of its `wire.py`). What becomes of a request without an answer is the same for
all of them and decided here:

- no connection could be made: `NotSent`, nothing can have arrived;
- anything else (a time-out, a reset, an answer that is too large): `Unknown`, it may have arrived;
- a question without an answer is always `Unknown`.

Redirects are not followed: a redirect is an answer like any other, and what no manual documents is `Unknown`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from telvend.kit import http
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, NotSent, Outcome, ProviderTraits, Refused, Unknown
from telvend.providers.upstream import BalanceUnavailable, RequestPreview

if TYPE_CHECKING:
    import httpx

STARS: Final = "********"

# The fulfilment's own time-out comes after the client's, which says more about what has happened.
_CALL_GRACE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ProviderReply:
    """An answer as it comes off the wire. `headers` have lower-case names."""

    http_status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def excerpt(self) -> str:
        """The status and the beginning of the body, for the operator."""
        return f"HTTP {self.http_status}: {self.body[:120]!r}"


def call_timeout_s(timeout_s: float) -> float:
    """Return the `timeout_s` of a provider's traits whose single request may take `timeout_s`."""
    return timeout_s + _CALL_GRACE_S


class ProviderOverHttp(ABC):
    """See the head of this file.

    `headers` go with every request. `secrets` are texts that never appear in a preview or an outcome's text; the values of
    `headers` that are Secrets are among them. `transport` is the tests' way to stand in for the network.
    """

    connector: str

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        *,
        headers: Mapping[str, str | Secret],
        secrets: Iterable[Secret] = (),
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self._name = name
        self._traits = traits
        self._headers = dict(headers)
        self._secrets = [
            *(secret.reveal() for secret in secrets),
            *(value.reveal() for value in headers.values() if isinstance(value, Secret)),
        ]
        self._client = http.client(base_url, timeout_s=timeout_s, transport=transport)

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> ProviderTraits:
        return self._traits

    # What a connector says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _purchase(self, delivery: Delivery) -> "httpx.Request | Refused":
        """Return the request that delivers, made with `self._client.build_request`; Refused where it cannot be expressed."""

    @abstractmethod
    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        """Return what an answer to `_purchase` means."""

    @abstractmethod
    def _question(self, delivery: Delivery) -> "httpx.Request | Unknown":
        """Return the request that asks about an attempt; Unknown where the vendor cannot be asked about it."""

    @abstractmethod
    def _told(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        """Return what an answer to `_question` means."""

    def _balance_request(self) -> "httpx.Request | None":
        """Return the request for the float; None where the vendor has none."""
        return None

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        """Return the float that an answer to `_balance_request` names."""
        return BalanceUnavailable(f"no float can be read from {reply.excerpt}")

    # What follows ---------------------------------------------------------------------------------------------------------

    async def deliver(self, delivery: Delivery) -> Outcome:
        request = self._purchase(delivery)
        if isinstance(request, Refused):
            return request
        try:
            reply = await self._send(request)
        except http.NEVER_ARRIVED as error:
            return NotSent(f"no connection: {type(error).__name__}")
        except http.NO_ANSWER as error:
            return Unknown(f"no answer: {type(error).__name__}")
        except RuntimeError as error:  # The client is closed.
            return NotSent(f"not sent: {error}")
        return self._outcome(delivery, reply)

    async def requery(self, delivery: Delivery) -> Outcome:
        request = self._question(delivery)
        if isinstance(request, Unknown):
            return request
        try:
            reply = await self._send(request)
        except (*http.NO_ANSWER, RuntimeError) as error:
            return Unknown(f"could not be asked: {type(error).__name__}")
        return self._told(delivery, reply)

    async def balance(self) -> Money | BalanceUnavailable | None:
        request = self._balance_request()
        if request is None:
            return None
        try:
            reply = await self._send(request)
        except (*http.NO_ANSWER, RuntimeError) as error:
            return BalanceUnavailable(f"no answer: {type(error).__name__}")
        return self._balance_of(reply)

    def preview(self, delivery: Delivery) -> RequestPreview | Refused:
        request = self._purchase(delivery)
        if isinstance(request, Refused):
            return request
        headers = {**request.headers, **{name: str(value) for name, value in self._headers.items()}}
        return RequestPreview(
            request.method,
            self._starred(str(request.url)),
            {
                name.lower(): STARS if isinstance(self._headers.get(name), Secret) else self._starred(value)
                for name, value in headers.items()
            },
            self._starred(request.content.decode("utf-8", "replace")),
        )

    def narrow(self, traits: ProviderTraits) -> None:
        self._traits = traits

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, request: "httpx.Request") -> ProviderReply:
        """Send one request. Raises what is in `http.NO_ANSWER`, and RuntimeError once it is closed."""
        request.headers.update(
            {name: value.reveal() if isinstance(value, Secret) else value for name, value in self._headers.items()}
        )
        answer = await self._client.send(request)
        return ProviderReply(
            answer.status_code, answer.content, {name.lower(): value for name, value in answer.headers.items()}
        )

    def _starred(self, text: str) -> str:
        for secret in self._secrets:
            if secret:
                text = text.replace(secret, STARS)
        return text
