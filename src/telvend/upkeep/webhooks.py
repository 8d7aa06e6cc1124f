"""The check of endpoints of resellers that fail."""

from collections.abc import Sequence
from typing import Final

from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level
from telvend.webhooks import store
from telvend.webhooks.model import EndpointState

_SHOWN: Final = 20


async def webhooks(shop: Examined) -> Sequence[Finding]:
    """Name the endpoints that fail and that are paused. Raises Busy."""
    async with shop.database.connection() as tx:
        ailing = await store.ailing_endpoints(tx, _SHOWN)
    if not ailing:
        return [Finding("webhooks", Level.OK, "Every endpoint of a reseller takes what it is sent.")]
    findings = []
    for endpoint in ailing:
        since = f"{endpoint.failing_since:%Y-%m-%d %H:%M} (UTC)"
        text = f"Endpoint {endpoint.id} ({endpoint.url}) fails since {since}: {endpoint.failure}."
        advice = "It is tried again by itself, and paused after three days."
        if endpoint.state is EndpointState.PAUSED:
            text = (
                f"Endpoint {endpoint.id} ({endpoint.url}) is paused; it has failed since {since}: {endpoint.failure}."
            )
            advice = f"Tell its owner; when it works: telvend webhook resume {endpoint.id}"
        findings.append(Finding("webhooks", Level.WARNING, text, advice))
    return findings
