"""The check of networks that are paused."""

from collections.abc import Sequence

from telvend.catalog import store
from telvend.catalog.pauses.model import banner
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def networks(shop: Examined) -> Sequence[Finding]:
    """Name every network that is paused, with its reason. Raises Busy."""
    async with shop.database.connection() as tx:
        paused = [(network, network.pause) for network in await store.networks(tx) if network.pause is not None]
    if not paused:
        return [Finding("networks", Level.OK, "No network is paused.")]
    findings = []
    for network, pause in paused:
        text = f"{network.name} ({network.country}) is {banner(pause, lambda at: f'{at:%Y-%m-%d %H:%M:%S} (UTC)')}."
        command = f"telvend network resume {network.code} --country {network.country}"
        if pause.automatic:
            advice = f"It is sold again when something is delivered; at once: {command}"
        else:
            advice = f"Nothing lifts it but: {command}"
        findings.append(Finding("networks", Level.WARNING, text, advice))
    return findings
