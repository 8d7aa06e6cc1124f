"""The connectors that `connector = "…"` of `[providers.NAME]` may name, and the module of each, imported when it is used."""

import importlib
import re
from typing import TYPE_CHECKING, Final

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.secret import Secret
from telvend.providers.upstream import CallbackForm, ConnectorRefused, SettingsProblem, Upstream, narrowed

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
        raise ConnectorRefused(
            name, [SettingsProblem("connector", f"there is no {settings.connector!r}; there are {known}")]
        )
    upstream: Upstream = importlib.import_module(module).connect(name, settings, clock, transport=transport)
    problem = _callback_problem(settings.connector, settings.callback_secret, upstream.callback)
    if problem is not None:
        raise ConnectorRefused(name, [problem])
    upstream.narrow(narrowed(name, upstream.traits, settings))
    return upstream


_PATH_SECRET: Final = re.compile(r"[A-Za-z0-9._~-]{16,256}", re.ASCII)


def _callback_problem(connector: str, secret: Secret | None, form: CallbackForm | None) -> SettingsProblem | None:
    """Why callbacks cannot be taken with this secret."""
    if secret is None:
        return None
    if form is None:
        return SettingsProblem(
            "callback_secret", f"is not used by the connector {connector}, whose vendor does not call back"
        )
    if form.signature is None and _PATH_SECRET.fullmatch(secret.reveal()) is None:
        return SettingsProblem(
            "callback_secret",
            "stands in an address: 16 to 256 letters, digits, - . _ and ~, such as `openssl rand -hex 24` makes",
        )
    return None
