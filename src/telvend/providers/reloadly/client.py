"""How Reloadly is called: with a token of its own for each product and environment; top-ups are bought by operator.

A top-up whose answer was lost is looked for in the report of transactions, by our reference; one that was accepted is asked about by
its id.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, NotSent, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.listing import KEPT_S, Listing, Parsed
from telvend.providers.oauth import ProviderWithToken, Token
from telvend.providers.over_http import ProviderReply, call_timeout_s
from telvend.providers.pages import transactions
from telvend.providers.reloadly import wire
from telvend.providers.requirements import Requirements
from telvend.providers.upstream import BalanceUnavailable, StatementLine, StatementUnavailable

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://topups.reloadly.com"
TOKEN_URL: Final = "https://auth.reloadly.com/oauth/token"  # noqa: S105 (an address)

# An operator that is missing from a list of this age is looked for once more: it may have come since.
_STALE_S: Final = 30.0

# The list without bundles and PINs is for airtime, where no operator is named.
_AIRTIME_ONLY: Final = {"includeBundles": "false", "includeData": "false", "includePin": "false"}


class Reloadly(ProviderWithToken):
    """Airtime by the operator, and bundles by the operator and amount. Its sandbox is another `base_url`."""

    connector = "reloadly"
    callback = wire.CALLBACK

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        clock: Clock,
        *,
        client_id: Secret,
        client_secret: Secret,
        token_url: str,
        audience: str,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        super().__init__(
            name,
            base_url,
            traits,
            clock,
            headers={"accept": wire.ACCEPT, "content-type": "application/json"},
            secrets=(client_id, client_secret),
            timeout_s=timeout_s,
            transport=transport,
        )
        self._token_url = token_url
        self._token_form = wire.token_form(client_id, client_secret, audience)
        self._listing = Listing(self._ask, clock)
        self._operator = Parsed(wire.operator_of)
        self._operators = Parsed(wire.operators_of)

    # Tokens -------------------------------------------------------------------------------------------------------------

    def _token_request(self) -> "httpx.Request":
        headers = {"accept": "application/json", "content-type": "application/json"}
        return self._client.build_request("POST", self._token_url, content=self._token_form, headers=headers)

    def _token_of(self, reply: ProviderReply) -> Token | Refused | None:
        return wire.token_of(reply)

    def _token_ended(self, reply: ProviderReply) -> bool:
        return wire.is_token_ended(reply)

    # Operators ----------------------------------------------------------------------------------------------------------

    async def prepare(self, delivery: Delivery) -> Refused | NotSent | None:
        """Have a token, and read the operator: the one that the product's code names, else the list of the country's."""
        if _refused_unread(delivery) is not None:
            return None  # `_purchase_request` says so.
        refusal = await super().prepare(delivery)
        if refusal is not None:
            return refusal
        request = self._operator_request(delivery)
        for newer_than_s in (KEPT_S, _STALE_S):
            reply = await self._listing.get(request, newer_than_s=newer_than_s)
            if reply is None or reply.http_status != 200:
                return wire.operators_refused(reply)
            found = self._found(delivery, reply)
            if isinstance(found, NotSent):
                return found
            if not isinstance(found, Refused):
                return None
        return None  # `_purchase_request` says what is wrong.

    def _operator_request(self, delivery: Delivery) -> "httpx.Request":
        code = wire.code_of(delivery)
        if isinstance(code, tuple):
            return self._client.build_request("GET", f"/operators/{code[0]}")
        return self._client.build_request("GET", f"/operators/countries/{delivery.country}", params=_AIRTIME_ONLY)

    def _found(self, delivery: Delivery, reply: ProviderReply) -> wire.TopUp | Refused | NotSent:
        """What to ask for, by an answer to `_operator_request`."""
        request = self._operator_request(delivery)
        operator: wire.Operator | Refused | None
        if delivery.provider_code:
            operator = self._operator.of(request, reply)
        else:
            operators = self._operators.of(request, reply)
            operator = None if operators is None else wire.operator_by_name(delivery, operators)
        if operator is None:
            return wire.operators_refused(reply)
        return operator if isinstance(operator, Refused) else wire.top_up_of(delivery, operator)

    # Buying -------------------------------------------------------------------------------------------------------------

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        refusal = _refused_unread(delivery)
        if refusal is not None:
            return refusal
        reply = self._listing.peek(self._operator_request(delivery))
        found = wire.operators_refused(None) if reply is None else self._found(delivery, reply)
        if isinstance(found, Refused):
            return found
        if isinstance(found, NotSent):
            return Refused(Reason.NOT_SOLD, found.text)
        return self._client.build_request("POST", "/topups", content=wire.form_of(delivery, found))

    def _preview_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if _refused_unread(delivery) is None and self._listing.peek(self._operator_request(delivery)) is None:
            # Until the operators have been read, what comes from them is described.
            return self._client.build_request("POST", "/topups", content=wire.form_of(delivery, None))
        return self._purchase_request(delivery)

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.outcome_of(delivery, reply)

    # Asking -------------------------------------------------------------------------------------------------------------

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        if delivery.provider_reference:
            return self._client.build_request("GET", f"/topups/{quote(delivery.provider_reference, safe='')}/status")
        params = {"customIdentifier": delivery.reference}
        return self._client.build_request("GET", "/topups/reports/transactions", params=params)

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.requery_outcome_of(delivery, reply)

    async def statement(self, begins_at: datetime, ends_at: datetime) -> AsyncIterator[StatementLine]:
        """List our top-ups of these days and of the days around them. Raises StatementUnavailable."""

        def request_of(page: int) -> "httpx.Request":
            query = wire.report_query(begins_at, ends_at, page)
            return self._client.build_request("GET", "/topups/reports/transactions", params=query)

        try:
            async for line in transactions(self._read, request_of, wire.page_of, self._clock, wire.PER_PAGE):
                yield line
        except StatementUnavailable as error:
            raise StatementUnavailable(self._starred(str(error))) from None

    # The float ----------------------------------------------------------------------------------------------------------

    def _balance_request(self) -> "httpx.Request":
        return self._client.build_request("GET", "/accounts/balance")

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        return wire.balance_of(reply)


def _refused_unread(delivery: Delivery) -> Refused | None:
    """Why a delivery cannot be sent, as far as that is known without asking Reloadly."""
    if delivery.kind not in ("data", "airtime"):
        return Refused(Reason.NOT_SOLD, f"{delivery.kind} is not sold through Reloadly here")
    code = wire.code_of(delivery)
    if isinstance(code, Refused):
        return code
    if delivery.kind == "data" and code is None:
        text = "a bundle needs the id of its operator at Reloadly"
        return Refused(Reason.NOT_SOLD, f"{text}: `telvend product offer {delivery.product} … --code OPERATOR`")
    return None


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> Reloadly:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    client_id, client_secret = requirements.credentials(
        uses=("token_url", "audience"),
        client_id="the API client ID (Developers, API Settings)",
        client_secret="the API client secret (Developers, API Settings)",  # noqa: S106 (what it is called, not what it is)
    )
    base_url = requirements.base_url(BASE_URL)
    token_url = requirements.token_url(TOKEN_URL)
    requirements.raise_if_any()
    # A token and the operators may be read before the purchase.
    timeout_s = call_timeout_s(3 * settings.timeout_s)
    traits = ProviderTraits(
        timeout_s=timeout_s,
        settles_after_s=max(wire.SETTLES_AFTER_S, timeout_s),
        repeat_guard_s=wire.REPEAT_GUARD_S,
    )
    return Reloadly(
        name,
        base_url,
        traits,
        clock,
        client_id=client_id,
        client_secret=client_secret,
        token_url=token_url,
        audience=settings.audience or base_url,
        timeout_s=settings.timeout_s,
        transport=transport,
    )
