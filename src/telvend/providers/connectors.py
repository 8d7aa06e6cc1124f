"""The connectors that `connector = "…"` of `[providers.NAME]` may name, and the module of each, imported when it is used."""

import importlib
from typing import TYPE_CHECKING, Final

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.providers.upstream import ConnectorRefused, Problem, Upstream, narrowed

if TYPE_CHECKING:
    import httpx

CONNECTORS: Final[dict[str, str]] = {
    # In the order of their names.
    "dtone": "telvend.providers.dtone.client",
    "http": "telvend.providers.described.client",
    "madapi": "telvend.providers.madapi.client",
    "netpluse": "telvend.providers.netpluse.client",
    "networkdatasub": "telvend.providers.networkdatasub.client",
    "reloadly": "telvend.providers.reloadly.client",
    "vtpass": "telvend.providers.vtpass.client",
}
"""Names and modules; each module has `connect`, see upstream.py. A new connector gets its line here."""


def connect(
    name: str, settings: ProviderSettings, clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> Upstream:
    """Make the provider of `[providers.NAME]`, narrowed to what its settings leave. Raises ConnectorRefused."""
    module = CONNECTORS.get(settings.connector)
    if module is None:
        known = ", ".join(sorted(CONNECTORS))
        raise ConnectorRefused(name, [Problem("connector", f"there is no {settings.connector!r}; there are {known}")])
    upstream: Upstream = importlib.import_module(module).connect(name, settings, clock, transport=transport)
    upstream.narrow(narrowed(name, upstream.traits, settings))
    return upstream
