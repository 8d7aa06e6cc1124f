"""A provider that is called over HTTP: one request to deliver, one to requery, one for the balance. Every real one builds on it.

A connector says how its requests look (`_purchase_request`, `_requery_request`, `_balance_request`) and what the answers mean
(`_outcome`, `_requery_outcome`, `_balance_of`: the work of its `wire.py`). What becomes of a request without an answer is the same for
all of them and decided here:

- no connection could be made: `NotSent`, nothing can have arrived;
- anything else (a time-out, a reset, an answer that is too large): `Unknown`, it may have arrived;
- a question without an answer is always `Unknown`.

Redirects are not followed: a redirect is an answer like any other, and what no manual documents is `Unknown`.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from telvend.kit import http
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, NotSent, Outcome, ProviderTraits, Refused, Unknown
from telvend.providers.upstream import BalanceUnavailable, CallbackForm, RequestPreview, SettingsProblem

if TYPE_CHECKING:
    import httpx

STARS: Final = "********"

# The fulfilment's own time-out comes after the client's, which says more about what has happened.
_CALL_GRACE_S: Final = 1.0

# The digits that every spelling of a number has in common.
_DIGITS_HIDDEN: Final = 9


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


class NotAuthorized(Exception):
    """Nothing was sent, for want of a token to send it with. `outcome` is what that makes of a purchase."""

    def __init__(self, outcome: Refused | NotSent) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


def call_timeout_s(timeout_s: float) -> float:
    """Return the `timeout_s` of a provider's traits whose single request may take `timeout_s`."""
    return timeout_s + _CALL_GRACE_S


class ProviderOverHttp(ABC):
    """See the head of this file.

    `headers` go with every request. `secrets` are texts that never appear in a preview or an outcome's text; the values of
    `headers` that are Secrets are among them. `transport` is the tests' way to stand in for the network.
    """

    connector: str
    callback: CallbackForm | None = None
    zone: str = ""
    without_list: str = ""
    takes_token: bool = False

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
        # References whose request is on its way: what is not heard of yet may arrive at any moment.
        self._under_way: Counter[str] = Counter()
        # Where the vendor calls back, for one that is told so with each purchase.
        self._callback_url = ""
        self._client = http.client(base_url, timeout_s=timeout_s, transport=transport)

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> ProviderTraits:
        return self._traits

    # What a connector says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        """Return the request that delivers, made with `self._client.build_request`; Refused where it cannot be expressed."""

    @abstractmethod
    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        """Return what an answer to `_purchase_request` means."""

    @abstractmethod
    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        """Return the request that asks about an attempt; Unknown where the vendor cannot be asked about it."""

    @abstractmethod
    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        """Return what an answer to `_requery_request` means."""

    def _preview_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        """Return what a preview shows, where that differs from `_purchase_request` before `prepare` has learned what is missing."""
        return self._purchase_request(delivery)

    def _headers_of(self, _method: str) -> Mapping[str, str | Secret]:
        """Return the headers of every request with this method."""
        return self._headers

    def _balance_request(self) -> "httpx.Request | None":
        """Return the request for the float; None where the vendor has none."""
        return None

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        """Return the float that an answer to `_balance_request` names."""
        return BalanceUnavailable(f"no float can be read from {reply.excerpt}")

    # What follows ---------------------------------------------------------------------------------------------------------

    async def prepare(self, _delivery: Delivery) -> Refused | NotSent | None:
        """Learn what `_purchase_request` has to know of the vendor, such as a list of plans. Sends nothing that delivers.

        `deliver` calls it first; call it before `preview` too for a complete one. Return why the delivery cannot be sent.
        """
        return None

    async def deliver(self, delivery: Delivery) -> Outcome:
        self._under_way[delivery.reference] += 1
        try:
            return self._veiled(delivery, await self._deliver(delivery))
        finally:
            self._under_way[delivery.reference] -= 1
            if not self._under_way[delivery.reference]:
                del self._under_way[delivery.reference]

    async def _deliver(self, delivery: Delivery) -> Outcome:
        request = await self._request_of(delivery)
        if isinstance(request, Refused | NotSent):
            return request
        reply = await self._attempt(request)
        return self._outcome(delivery, reply) if isinstance(reply, ProviderReply) else reply

    async def _request_of(self, delivery: Delivery) -> "httpx.Request | Refused | NotSent":
        """Prepare, and return the request of `_purchase_request`."""
        if self._client.is_closed:
            return NotSent("not sent: the client is closed")
        return await self.prepare(delivery) or self._purchase_request(delivery)

    async def _attempt(self, request: "httpx.Request") -> ProviderReply | Refused | NotSent | Unknown:
        """Send a request that may deliver. What becomes of one without an answer is decided here."""
        try:
            return await self._send(request)
        except NotAuthorized as error:
            return error.outcome
        except http.NEVER_ARRIVED as error:
            return NotSent(f"no connection: {type(error).__name__}")
        except (*http.NO_ANSWER, RuntimeError) as error:
            return Unknown(f"no answer: {type(error).__name__}")

    async def requery(self, delivery: Delivery) -> Outcome:
        told = self._veiled(delivery, await self._look_up(delivery))
        if isinstance(told, NotSent) and delivery.reference in self._under_way:
            return Unknown(f"the request is on its way: {told.text}")
        return told

    async def _look_up(self, delivery: Delivery) -> Outcome:
        request = self._requery_request(delivery)
        if isinstance(request, Unknown):
            return request
        try:
            reply = await self._send(request)
        except NotAuthorized as error:
            return Unknown(f"could not be asked: {error.outcome.text}")
        except (*http.NO_ANSWER, RuntimeError) as error:
            return Unknown(f"could not be asked: {type(error).__name__}")
        return self._requery_outcome(delivery, reply)

    async def balance(self) -> Money | BalanceUnavailable | None:
        request = self._balance_request()
        if request is None:
            return None
        balance: Money | BalanceUnavailable
        try:
            balance = self._balance_of(await self._send(request))
        except NotAuthorized as error:
            balance = BalanceUnavailable(error.outcome.text, not_allowed=isinstance(error.outcome, Refused))
        except (*http.NO_ANSWER, RuntimeError) as error:
            return BalanceUnavailable(f"no answer: {type(error).__name__}")
        return (
            replace(balance, text=self._starred(balance.text)) if isinstance(balance, BalanceUnavailable) else balance
        )

    async def refused_token(self) -> SettingsProblem | None:
        return None

    async def refused_credentials(self) -> str:
        return ""

    def preview(self, delivery: Delivery) -> RequestPreview | Refused:
        request = self._preview_request(delivery)
        if isinstance(request, Refused):
            return request
        ours = self._headers_of(request.method)
        headers = {**request.headers, **{name: str(value) for name, value in ours.items()}}
        return RequestPreview(
            request.method,
            self._starred(str(request.url)),
            {
                name.lower(): STARS if isinstance(ours.get(name), Secret) else self._starred(value)
                for name, value in headers.items()
            },
            self._starred(request.content.decode("utf-8", "replace")),
        )

    def calls_back_at(self, url: str, secret: Secret) -> None:
        self._callback_url = url
        self._secrets.append(secret.reveal())

    def narrow(self, traits: ProviderTraits) -> None:
        self._traits = traits

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, request: "httpx.Request") -> ProviderReply:
        """Send one request. Raises NotAuthorized, what is in `http.NO_ANSWER`, and RuntimeError once it is closed."""
        request.headers.update(
            {
                name: value.reveal() if isinstance(value, Secret) else value
                for name, value in self._headers_of(request.method).items()
            }
        )
        return await self._transmit(request)

    async def _transmit(self, request: "httpx.Request") -> ProviderReply:
        """Send one request as it is. Raises what is in `http.NO_ANSWER`, and RuntimeError once it is closed."""
        answer = await self._client.send(request)
        return ProviderReply(
            answer.status_code, answer.content, {name.lower(): value for name, value in answer.headers.items()}
        )

    async def _ask(self, request: "httpx.Request") -> ProviderReply | None:
        """Send a request that moves nothing. None where it has no answer."""
        try:
            return await self._send(request)
        except (NotAuthorized, *http.NO_ANSWER, RuntimeError):
            return None

    async def _read(self, request: "httpx.Request") -> ProviderReply | str:
        """Send a request that moves nothing. Return why it has no answer where it has none; no secret stands in that."""
        try:
            return await self._send(request)
        except NotAuthorized as error:
            return self._starred(error.outcome.text)
        except (*http.NO_ANSWER, RuntimeError) as error:
            return f"no answer: {type(error).__name__}"

    def _veiled(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """The outcome without our secrets and the subscriber's number, which an answer may repeat."""
        text = self._starred(outcome.text)
        if number := delivery.subscriber[-_DIGITS_HIDDEN:]:
            text = text.replace(number, "*" * len(number))
        return outcome if text == outcome.text else replace(outcome, text=text)

    def _starred(self, text: str) -> str:
        for secret in self._secrets:
            if secret:
                text = text.replace(secret, STARS)
        return text
