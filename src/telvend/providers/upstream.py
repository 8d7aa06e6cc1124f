"""What a provider outside this shop can do beside delivering: show what it would send, and name the float.

Every connector makes an `Upstream` of the operator's settings:

    def connect(name: str, settings: ProviderSettings, clock: Clock, *, transport=None) -> Upstream
        raises ConnectorRefused with everything that is wrong with the settings

`connectors.py` lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from telvend.config import ProviderSettings
from telvend.kit.money import Money
from telvend.providers.contract import Delivery, NotSent, Provider, ProviderTraits, Refused


@dataclass(frozen=True, slots=True)
class RequestPreview:
    """A request as it would be sent. Secrets are stars, in the URL and the body too."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class BalanceUnavailable:
    """The float cannot be read now. `not_allowed`: the provider does not accept our credentials. `text` holds no secret."""

    text: str
    not_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a provider's settings. `where` is the key, or `FILE:LINE key` of a description."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class ConnectorRefused(Exception):
    """A provider's settings cannot be used. Holds every problem, not only the first."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"the provider {name} cannot be used: " + "; ".join(map(str, problems)))
        self.problems = tuple(problems)


class Upstream(Provider, Protocol):
    """A provider that is reached over a network, with an account there."""

    @property
    def connector(self) -> str:
        """The name of the connector in settings: `vtpass`."""

    async def prepare(self, delivery: Delivery, /) -> Refused | NotSent | None:
        """Learn what a preview has to know of the vendor, such as a list of plans. Sends nothing that delivers.

        Returns why the delivery could not be sent; `deliver` calls it first.
        """

    def preview(self, delivery: Delivery) -> RequestPreview | Refused:
        """Return the request of `deliver` without sending it; Refused where it would be refused unsent."""

    async def balance(self) -> Money | BalanceUnavailable | None:
        """Ask for the float. None where the vendor has no such call. Does not raise for anything that the far side does."""

    def narrow(self, traits: ProviderTraits) -> None:
        """Take these traits from now on. `connectors.connect` calls it once, with what the operator's settings leave."""


def narrowed(name: str, traits: ProviderTraits, settings: ProviderSettings) -> ProviderTraits:
    """Return what the operator's settings leave of a connector's traits: modes, networks, concurrency and rate.

    Raises ConnectorRefused for a network that the connector does not serve.
    """
    networks = traits.networks
    if settings.networks:
        wanted = {(country, code) for country, _, code in (text.partition("/") for text in settings.networks)}
        if networks is not None:
            served = {(country, code.casefold()): (country, code) for country, code in networks}
            strangers = sorted(f"{c}/{code}" for c, code in wanted if (c, code.casefold()) not in served)
            if strangers:
                known = ", ".join(sorted("/".join(network) for network in networks))
                raise ConnectorRefused(
                    name,
                    [
                        Problem(
                            "networks",
                            f"has {', '.join(strangers)}, which {settings.connector} does not serve; it serves {known}",
                        )
                    ],
                )
            wanted = {served[country, code.casefold()] for country, code in wanted}
        networks = frozenset(wanted)
    return replace(
        traits,
        live_mode=traits.live_mode and settings.live,
        test_mode=settings.test,
        concurrency=settings.concurrency,
        rate_per_s=traits.rate_per_s if settings.rate_per_s is None else settings.rate_per_s,
        networks=networks,
    )
