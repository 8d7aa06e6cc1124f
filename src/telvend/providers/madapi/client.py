"""How MTN's MADAPI is called: with a token, which the consumer key and secret buy, and with the key beside it.

Some of its products take the token and some the key, and both are of one client.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.madapi import wire
from telvend.providers.oauth import ProviderWithToken, Token
from telvend.providers.over_http import ProviderReply, call_timeout_s
from telvend.providers.requirements import Requirements
from telvend.providers.upstream import BalanceUnavailable

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://api.mtn.com"
TOKEN_PATH: Final = "/v1/oauth/access_token"  # noqa: S105 (an address)


class Madapi(ProviderWithToken):
    """Airtime by refill and bundles by product code, for MTN in five markets."""

    connector = "madapi"
    callback = wire.CALLBACK
    without_list = "MADAPI has no list of transactions, and MTN's own no question about a refill"

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
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        super().__init__(
            name,
            base_url,
            traits,
            clock,
            headers={"accept": "application/json", "x-api-key": client_id, "sourcesystemid": wire.SOURCE_SYSTEM},
            secrets=(client_secret,),
            timeout_s=timeout_s,
            transport=transport,
        )
        self._token_url = token_url
        self._client_id, self._client_secret = client_id, client_secret

    # Tokens -------------------------------------------------------------------------------------------------------------

    def _token_request(self) -> "httpx.Request":
        form = {"client_id": self._client_id.reveal(), "client_secret": self._client_secret.reveal()}
        headers = {"accept": "application/json"}
        query = {"grant_type": "client_credentials"}
        return self._client.build_request("POST", self._token_url, params=query, data=form, headers=headers)

    def _token_of(self, reply: ProviderReply) -> Token | Refused | None:
        return wire.token_of(reply)

    def _token_ended(self, reply: ProviderReply) -> bool:
        return wire.is_token_ended(reply)

    # Buying -------------------------------------------------------------------------------------------------------------

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if not self._serves(delivery):
            sold = f"{delivery.kind} of {delivery.country}/{delivery.network}"
            return Refused(Reason.NOT_SOLD, f"MADAPI sells no {sold}")
        customer = f"/v2/customers/{wire.customer_of(delivery)}"
        headers = {"transactionid": delivery.reference, "x-country-code": delivery.country}
        form: dict[str, Any] | Refused
        if delivery.kind == "airtime":
            method, address, form = "PATCH", f"{customer}/plans/refill", wire.refill_form(delivery)
        else:
            method, address, form = (
                "POST",
                f"{customer}/subscriptions",
                wire.subscription_form(delivery, self._callback_url),
            )
        if isinstance(form, Refused):
            return form
        return self._client.build_request(method, address, json=form, headers=headers)

    def _serves(self, delivery: Delivery) -> bool:
        served = (delivery.country, delivery.network.casefold())
        known = {(country, network.casefold()) for country, network in wire.NETWORKS}
        return delivery.kind in self.traits.kinds and served in known

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.refilled(delivery, reply) if delivery.kind == "airtime" else wire.subscribed(delivery, reply)

    # Asking -------------------------------------------------------------------------------------------------------------

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        # Without a transactionId of its own: the answer would repeat ours, whatever it is about.
        customer, reference = f"/v2/customers/{wire.customer_of(delivery)}", quote(delivery.reference, safe="")
        headers = {"x-country-code": delivery.country}
        if delivery.kind == "airtime":
            return self._client.build_request("GET", f"{customer}/refills/{reference}", headers=headers)
        product = wire.product_of(delivery)
        if isinstance(product, Refused):
            return Unknown(product.text)
        address = f"{customer}/subscriptions/{product[1]}/status/{reference}"
        return self._client.build_request(
            "GET", address, params=wire.question_of(delivery, product[0]), headers=headers
        )

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        if delivery.kind == "airtime":
            return wire.requery_outcome_of_refill(delivery, reply)
        return wire.requery_outcome_of_subscription(delivery, reply)

    # The float ----------------------------------------------------------------------------------------------------------

    async def balance(self) -> Money | BalanceUnavailable | None:
        """None: MADAPI has no call for a partner's float. Where no token can be had, that is said all the same."""
        refusal = await self._authorize()
        if refusal is None:
            return None
        return BalanceUnavailable(self._starred(refusal.text), not_allowed=isinstance(refusal, Refused))


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> Madapi:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    client_id, client_secret = requirements.credentials(
        uses=("token_url",),
        client_id="the consumer key of the app (My Apps); of another Telvend the key, mtn_live_…",
        client_secret="the consumer secret of the app; of another Telvend the secret beside the key",  # noqa: S106 (what it is called)
    )
    base_url = requirements.base_url(BASE_URL)
    token_url = requirements.token_url(base_url + TOKEN_PATH)
    networks = requirements.networks(wire.NETWORKS)
    requirements.raise_if_any()
    # A token before the purchase; and once more both, where it has ended.
    timeout_s = call_timeout_s(4 * settings.timeout_s)
    traits = ProviderTraits(
        timeout_s=timeout_s,
        # From the beginning of the attempt: the request leaves after the token, and once more after another one.
        settles_after_s=wire.SETTLES_AFTER_S + timeout_s,
        kinds=frozenset({"data", "airtime"}),
        networks=networks,
        # Only a Telvend ever says that an id is free, and it takes a request under one once; see wire.py.
        reference_is_key=True,
        reference=wire.transaction_id,
    )
    return Madapi(
        name,
        base_url,
        traits,
        clock,
        client_id=client_id,
        client_secret=client_secret,
        token_url=token_url,
        timeout_s=settings.timeout_s,
        transport=transport,
    )
