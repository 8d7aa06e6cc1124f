"""A provider whose API takes a token, which is asked for with the account's credentials (OAuth 2, client credentials).

The token is kept until shortly before it expires; concurrent calls share one token request. Without a token nothing is sent.

A call that the API refuses because the token has ended goes out once more under a new one, a purchase too: the token is looked at
before the request is, so that nothing was taken. A connector names the answers that say so (`_token_ended`); any other 401 is
what it makes of it.
"""

import asyncio
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from telvend.kit import http
from telvend.kit.clock import Clock
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, NotSent, ProviderTraits, Reason, Refused
from telvend.providers.over_http import NotAuthorized, ProviderOverHttp, ProviderReply
from telvend.providers.reading import at, number_of
from telvend.providers.upstream import SettingsProblem

if TYPE_CHECKING:
    import httpx

KEPT_AFTER_FAILURE_S: Final = 5.0
"""How long no other token is asked for after one was refused, or the answer was lost."""

# A token is not used in its last minute, nor in the last tenth of one that lasts for less than ten.
_LAST_S: Final = 60.0
_LAST_SHARE: Final = 0.1
_LONGEST_S: Final = 30 * 86400.0
_TOKEN: Final = re.compile(r"[!-~]{1,8192}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the vendor gives it. `lasts_s` is counted from the answer."""

    text: Secret
    lasts_s: float


class ProviderWithToken(ProviderOverHttp):
    """See the head of this file."""

    takes_token = True

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        clock: Clock,
        *,
        headers: Mapping[str, str | Secret],
        secrets: Iterable[Secret],
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        super().__init__(
            name, base_url, traits, headers=headers, secrets=secrets, timeout_s=timeout_s, transport=transport
        )
        self._clock = clock
        self._token: Secret | None = None
        self._usable_until_s = float("-inf")
        self._failure: Refused | NotSent = NotSent("no token was asked for")
        self._failed_until_s = float("-inf")
        self._token_lock = asyncio.Lock()

    # What a connector says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _token_request(self) -> "httpx.Request":
        """Return the request for a token."""

    @abstractmethod
    def _token_of(self, reply: ProviderReply) -> Token | Refused | None:
        """Return the token of an answer; Refused where the credentials are not accepted; None for any other answer."""

    @abstractmethod
    def _token_ended(self, reply: ProviderReply) -> bool:
        """Return whether a call was refused, before it was looked at, because its token is not valid any more."""

    # What follows ---------------------------------------------------------------------------------------------------------

    async def prepare(self, _delivery: Delivery) -> Refused | NotSent | None:
        """Have a token. A connector that overrides this calls it first."""
        return await self._authorize()

    async def refused_token(self) -> SettingsProblem | None:
        refusal = await self._authorize()
        if refusal is None:
            return None
        where = self._starred(str(self._token_request().url.copy_with(query=None)))
        text = self._starred(refusal.text)
        if isinstance(refusal, Refused):
            return SettingsProblem("client_id, client_secret", f"{where} gives no token for them: {text}")
        return SettingsProblem("token_url", f"{where} gives no token: {text}")

    def _headers_of(self, _method: str) -> Mapping[str, str | Secret]:
        token = self._token.reveal() if self._token is not None else ""
        return {**self._headers, "authorization": Secret(f"Bearer {token}")}

    async def _send(self, request: "httpx.Request") -> ProviderReply:
        for again in (False, True):
            refusal = await self._authorize()
            if refusal is not None:
                raise NotAuthorized(refusal)
            used = self._token
            reply = await super()._send(request)
            if again or not self._token_ended(reply):
                break
            if self._token is used:  # Nobody else has replaced it meanwhile.
                self._usable_until_s = float("-inf")
        return reply

    async def _authorize(self) -> Refused | NotSent | None:
        """Have a token that can be used. Return why there is none."""
        async with self._token_lock:
            if self._clock.monotonic() < self._usable_until_s:
                return None
            if self._clock.monotonic() < self._failed_until_s:
                return self._failure
            failure = await self._new_token()
            if failure is not None:
                self._failure = failure
                self._failed_until_s = self._clock.monotonic() + KEPT_AFTER_FAILURE_S
            return failure

    async def _new_token(self) -> Refused | NotSent | None:
        try:
            reply = await self._transmit(self._token_request())
        except (*http.NO_ANSWER, RuntimeError) as error:
            return NotSent(f"there is no token: no answer ({type(error).__name__})")
        token = self._token_of(reply)
        if isinstance(token, Refused):
            return token
        if token is None:
            # What a token endpoint answers may hold a token: it is not shown.
            return NotSent(f"there is no token: HTTP {reply.http_status}, and no token that can be read")
        lasts_s = min(max(0.0, token.lasts_s), _LONGEST_S)
        self._usable_until_s = self._clock.monotonic() + lasts_s - min(_LAST_S, _LAST_SHARE * lasts_s)
        if self._token is not None:
            self._secrets.remove(self._token.reveal())
        self._token = token.text
        self._secrets.append(token.text.reveal())
        return None


def credentials_refused(text: str) -> Refused:
    """Return what becomes of a purchase for which there is no token, since the credentials are not accepted."""
    return Refused(Reason.NOT_ALLOWED, f"the credentials are not accepted: {text}")


def granted_token(reply: ProviderReply, body: Mapping[str, Any] | None) -> Token | None:
    """Return the token of a standard answer (RFC 6749, 5.1): `access_token`, and `expires_in` in seconds, a number or its digits."""
    text, lasts_s = at(body, "access_token"), number_of(at(body, "expires_in"))
    if reply.http_status != 200 or not isinstance(text, str) or _TOKEN.fullmatch(text) is None or lasts_s is None:
        return None
    return Token(Secret(text), float(lasts_s))
