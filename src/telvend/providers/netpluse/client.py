"""How Netpluse is called. Its reference is a key: "re-sending the same reference returns the original order"."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.numbering import national_form
from telvend.kit.secret import Secret
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)
from telvend.providers.listing import Listing
from telvend.providers.netpluse import wire
from telvend.providers.over_http import ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.requirements import Requirements, is_at
from telvend.providers.their_references import TheirReferences
from telvend.providers.upstream import BalanceUnavailable

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://netpluse.shop"


class Netpluse(ProviderOverHttp):
    """Data bundles for the networks of Ghana, one size of each network at a time."""

    connector = "netpluse"
    zone = "Africa/Accra"

    def __init__(
        self,
        name: str,
        base_url: str,
        traits: ProviderTraits,
        api_key: Secret,
        clock: Clock,
        *,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        headers: dict[str, str | Secret] = {"x-api-key": api_key, "accept": "application/json"}
        super().__init__(name, base_url, traits, headers=headers, timeout_s=timeout_s, transport=transport)
        self._packages = Listing(self._ask, clock)
        self._references = TheirReferences()

    async def prepare(self, delivery: Delivery) -> Refused | None:
        """Refuse a bundle that Netpluse sells under the same size with another validity. Without its list nothing is refused."""
        if delivery.provider_code:
            return None
        packages = await self._listed()
        return None if packages is None else wire.refusal_of(delivery, packages)

    async def _listed(self) -> tuple[wire.Package, ...] | None:
        reply = await self._packages.get(self._client.build_request("GET", "/api/v1/packages"))
        return None if reply is None else wire.packages_of(reply)

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        if (delivery.country, delivery.network) not in wire.NETWORKS or delivery.kind != "data":
            return Refused(
                Reason.NOT_SOLD, f"Netpluse sells no {delivery.kind} of {delivery.country}/{delivery.network}"
            )
        form = wire.form_of(delivery, national_form(delivery.subscriber))
        return self._client.build_request("POST", "/api/v1/purchase", json=form)

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        outcome = self._own(delivery, reply) or wire.outcome_of(reply)
        if isinstance(outcome, Accepted | Delivered) and outcome.provider_reference:
            self._references.remember(delivery.reference, outcome.provider_reference)
        return outcome

    def _own(self, delivery: Delivery, reply: ProviderReply) -> Unknown | None:
        """Unknown where an answer has the reference of another of our orders: nothing else in it would tell them apart."""
        owner = self._references.owner(wire.order_in(reply) or "")
        return None if owner in (None, delivery.reference) else Unknown(f"an answer about {owner}: {reply.excerpt}")

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        # By theirs where it is known: the document does not say that ours finds an order too.
        reference = delivery.provider_reference or delivery.reference
        return self._client.build_request("GET", f"/api/v1/order-status/{quote(reference, safe='')}")

    async def requery(self, delivery: Delivery) -> Outcome:
        """As for every provider. An order's status has no price: where the answer that had it was lost, the list has it."""
        told = await super().requery(delivery)
        if not isinstance(told, Delivered) or told.cost is not None or delivery.provider_reference:
            return told
        packages = await self._listed()
        return told if packages is None else replace(told, cost=wire.price_of(delivery, packages))

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return self._own(delivery, reply) or wire.requery_outcome_of(delivery, reply)

    def _balance_request(self) -> "httpx.Request":
        return self._client.build_request("GET", "/api/v1/balance")

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        return wire.balance_of(reply)


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> Netpluse:
    """Make the provider. Raises ConnectorRefused."""
    requirements = Requirements(name, settings)
    (api_key,) = requirements.credentials(api_key="the API key of the developer dashboard, np_live_…")
    base_url = requirements.base_url(BASE_URL)
    networks = requirements.networks(wire.NETWORKS)
    requirements.raise_if_any()
    # The list of packages may be read before the purchase.
    timeout_s = call_timeout_s(2 * settings.timeout_s)
    vendors_own = is_at(base_url, BASE_URL)
    settles_after_s = wire.VENDOR_SETTLES_AFTER_S if vendors_own else wire.SETTLES_AFTER_S
    traits = ProviderTraits(
        timeout_s=timeout_s,
        settles_after_s=max(settles_after_s, timeout_s),
        kinds=frozenset({"data"}),
        networks=networks,
        reference_is_key=True,
        # The rate of a key of another Telvend is agreed with its operator.
        rate_per_s=wire.PURCHASES_PER_S if vendors_own else None,
    )
    return Netpluse(name, base_url, traits, api_key, clock, timeout_s=settings.timeout_s, transport=transport)
