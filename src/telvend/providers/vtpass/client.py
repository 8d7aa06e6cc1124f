"""How VTpass is called: `api-key` with every request, `secret-key` to buy and requery, `public-key` to read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.numbering import national_form
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.over_http import ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.requirements import Requirements
from telvend.providers.upstream import BalanceUnavailable
from telvend.providers.vtpass import wire

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://vtpass.com/api"


class VTpass(ProviderOverHttp):
    """Airtime, and data by the operator's codes. Its sandbox is another `base_url`: https://sandbox.vtpass.com/api."""

    connector = "vtpass"
    callback = wire.CALLBACK
    zone = wire.LAGOS.key

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        *,
        api_key: Secret,
        public_key: Secret,
        secret_key: Secret,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        headers: dict[str, str | Secret] = {"api-key": api_key, "accept": "application/json"}
        secrets = (public_key, secret_key)
        super().__init__(
            name, base_url, traits, headers=headers, secrets=secrets, timeout_s=timeout_s, transport=transport
        )
        self._by_method = {
            "GET": headers | {"public-key": public_key},
            "POST": headers | {"secret-key": secret_key, "content-type": "application/json"},
        }

    def _headers_of(self, method: str) -> Mapping[str, str | Secret]:
        return self._by_method[method]

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if (delivery.country, delivery.network) not in wire.NETWORKS:
            return Refused(Reason.NOT_SOLD, f"VTpass sells nothing of {delivery.country}/{delivery.network}")
        form = wire.form_of(delivery, national_form(delivery.subscriber))
        return form if isinstance(form, Refused) else self._client.build_request("POST", "/pay", content=form)

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.outcome_of(delivery, reply)

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        return self._client.build_request("POST", "/requery", content=wire.question_of(delivery))

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return wire.requery_outcome_of(delivery, reply)

    def _balance_request(self) -> "httpx.Request":
        return self._client.build_request("GET", "/balance")

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        return wire.balance_of(reply)

    async def refused_credentials(self) -> str:
        """The balance is read without the secret key: a question about a request that nobody has made shows whether it counts."""
        reply = await self._ask(self._client.build_request("POST", "/requery", content=wire.question_of_nothing()))
        return "" if reply is None else self._starred(wire.refused_credentials(reply))


def connect(
    name: str, settings: ProviderSettings, _clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> VTpass:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    api_key, public_key, secret_key = requirements.credentials(
        api_key="the API key (Profile, API Keys)",
        public_key="the public key, PK_…, shown once",
        secret_key="the secret key, SK_…, shown once",  # noqa: S106 (what it is called, not what it is)
    )
    base_url = requirements.base_url(BASE_URL)
    networks = requirements.networks(wire.NETWORKS)
    requirements.raise_if_any()
    timeout_s = call_timeout_s(settings.timeout_s)
    traits = ProviderTraits(
        timeout_s=timeout_s,
        settles_after_s=max(wire.SETTLES_AFTER_S, timeout_s),
        networks=networks,
        repeat_guard_s=wire.REPEAT_GUARD_S,
        reference=wire.reference,
    )
    return VTpass(
        name,
        base_url,
        traits,
        api_key=api_key,
        public_key=public_key,
        secret_key=secret_key,
        timeout_s=settings.timeout_s,
        transport=transport,
    )
