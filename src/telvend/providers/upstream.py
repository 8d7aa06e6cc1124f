"""What a provider outside this shop can do beside delivering: show what it would send, and name the float.

Every connector makes an `Upstream` of the operator's settings:

    def connect(name: str, settings: ProviderSettings, clock: Clock, *, transport=None) -> Upstream
        raises ConnectorRefused with everything that is wrong with the settings

`connectors.py` lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from telvend.kit.money import Money
from telvend.providers.contract import Delivery, Provider, Refused


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

    def preview(self, delivery: Delivery) -> RequestPreview | Refused:
        """Return the request of `deliver` without sending it; Refused where it would be refused unsent."""

    async def balance(self) -> Money | BalanceUnavailable | None:
        """Ask for the float. None where the vendor has no such call. Does not raise for anything that the far side does."""
