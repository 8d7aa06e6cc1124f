"""What a provider outside this shop can do beside delivering: show what it would send, name the float, list what it has done.

Every connector makes an `Upstream` of the operator's settings:

    def connect(name: str, settings: ProviderSettings, clock: Clock, *, transport=None) -> Upstream
        raises ConnectorRefused with everything that is wrong with the settings

Its traits are the vendor's; `narrowed` applies the modes, networks, concurrency and rate of the settings. `connectors.py` lists the
connectors.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from telvend.config import ProviderSettings
from telvend.kit.money import Money
from telvend.kit.secret import Secret
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
class SettingsProblem:
    """Something that is wrong with a provider's settings. `where` is the key, or `FILE:LINE key` of a description."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class ConnectorRefused(Exception):
    """A provider's settings cannot be used. Holds every problem, not only the first."""

    def __init__(self, name: str, problems: Sequence[SettingsProblem]) -> None:
        super().__init__(f"the provider {name} cannot be used: " + "; ".join(map(str, problems)))
        self.problems = tuple(problems)


class LineStatus(StrEnum):
    """What the far side says of one of its transactions."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Not delivered, or paid back: nothing was taken in the end."""
    PENDING = "pending"
    UNKNOWN = "unknown"
    """A word that nobody knows, or a line that cannot be read."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A transaction as the far side lists it. What it does not say is empty, or None.

    `reference` is ours, `provider_reference` theirs; a vendor's list may have one of them only. `at` is when it was made, with its
    zone; `whole_day`: only the day is known, and `at` is its beginning. `charged` is what they took from our float; `amount` is an
    amount of which nobody knows whether it is that or the face value. `takes_back`: the line gives back what another one under the
    same reference took. `word` is the status as they spell it.
    """

    status: LineStatus
    reference: str = ""
    provider_reference: str = ""
    at: datetime | None = None
    whole_day: bool = False
    charged: Money | None = None
    amount: Money | None = None
    subscriber: str = ""
    product: str = ""
    takes_back: bool = False
    word: str = ""


class StatementUnavailable(Exception):
    """The list of transactions cannot be read, or not to its end. The sentence holds no secret."""


@runtime_checkable
class ListsTransactions(Protocol):
    """An upstream whose API lists what it has done for us. One that cannot is asked about each attempt."""

    def statement(self, begins_at: datetime, ends_at: datetime) -> AsyncIterator[StatementLine]:
        """List every transaction between these moments. Lines around them may come too.

        Raises StatementUnavailable where the list cannot be read to its end.
        """


@dataclass(frozen=True, slots=True)
class CallbackSignature:
    """How a vendor signs what it posts to us: hex HMAC-SHA256 of the raw body, `separator` and the time in `timestamp_header`.

    The secret is the table's `callback_secret`. Names of headers are lower case. Times that are further than `window_s` from ours
    are refused.
    """

    header: str
    timestamp_header: str
    separator: bytes = b":"
    window_s: float = 300.0


@dataclass(frozen=True, slots=True)
class CallbackForm:
    """How a vendor calls back, as data; see upstreams/callbacks.

    `references` are the paths in the JSON body at which a reference may stand, ours or theirs; the first that holds one counts. A
    number in a path is a place in an array.
    `acknowledgement` is the body of the answer that the vendor expects. Without `signature`, the secret stands in the path.
    """

    references: tuple[tuple[str | int, ...], ...]
    acknowledgement: Mapping[str, Any]
    signature: CallbackSignature | None = None


CALLBACKS: Final = "/providers"
"""What the paths begin with at which vendors call back."""


def callback_path(name: str, secret: str | None) -> str:
    """Where a provider calls back; `secret` is what stands in the address, None where it signs."""
    return f"{CALLBACKS}/{name}/callback" + (f"/{secret}" if secret is not None else "")


class Upstream(Provider, Protocol):
    """A provider that is reached over a network, with an account there."""

    @property
    def connector(self) -> str:
        """The name of the connector in settings: `vtpass`."""

    @property
    def callback(self) -> CallbackForm | None:
        """How the vendor calls back when something has become of a purchase; None where it does not."""

    @property
    def zone(self) -> str:
        """The zone of times without one in the vendor's exports, such as Africa/Lagos; empty where that is not known."""

    @property
    def without_list(self) -> str:
        """Why there is no list of transactions, in words for the operator, where there is more to say than that."""

    async def prepare(self, delivery: Delivery, /) -> Refused | NotSent | None:
        """Learn what a preview has to know of the vendor, such as a list of plans. Sends nothing that delivers.

        Returns why the delivery could not be sent; `deliver` calls it first.
        """

    def preview(self, delivery: Delivery) -> RequestPreview | Refused:
        """Return the request of `deliver` without sending it; Refused where it would be refused unsent."""

    async def balance(self) -> Money | BalanceUnavailable | None:
        """Ask for the float. None where the vendor has no such call. Does not raise for anything that the far side does."""

    def calls_back_at(self, url: str, secret: Secret) -> None:
        """Take the address at which the vendor calls back, with the secret in it. Called once, before anything is sent."""

    @property
    def takes_token(self) -> bool:
        """Whether the credentials buy a token, with which everything else is asked for."""

    async def refused_token(self) -> SettingsProblem | None:
        """Fetch a token; why there is none, and which settings that is about. None where one was given, or none is needed.

        Does not raise for anything that the far side does.
        """

    async def refused_credentials(self) -> str:
        """Why a credential is not accepted that the request for the float does not carry; empty where none is refused.

        Buys nothing, and does not raise for anything that the far side does.
        """

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
                        SettingsProblem(
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
