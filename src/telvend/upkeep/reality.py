"""Checks and announcements of what is real, what pretends, and what play money live wallets hold."""

from collections.abc import Sequence

from telvend.connected import Connected, Role
from telvend.funding.play_money import store
from telvend.funding.play_money.model import ADVICE, PlayWallet, halted_sentence
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def vendors(shop: Examined) -> Sequence[Finding]:
    """Say what serves live keys, and warn of what is set up by halves."""
    connected = shop.connected
    findings = [Finding("live", Level.OK, _what_is_live(connected))]
    if idle := connected.idle_gateways:
        findings.append(Finding("live fundings", Level.WARNING, idle_sentence(idle), IDLE_ADVICE))
    elif connected.real and not any(vendor.role is Role.GATEWAY for vendor in connected.real):
        text = "No gateway takes live fundings: something real is sold, so the sandbox fills test wallets only."
        advice = "Set a live key of Paystack, or credit wallets by hand: telvend wallet credit"
        findings.append(Finding("live fundings", Level.WARNING, text, advice))
    return findings


async def play_money(shop: Examined) -> Sequence[Finding]:
    """Say whose live wallets hold play money. Raises Busy."""
    async with shop.database.connection() as tx:
        wallets = await store.wallets(tx)
    if not wallets:
        return [Finding("play money", Level.OK, "No live wallet holds play money.")]
    if shop.connected.real:
        return [Finding("play money", Level.FAILURE, f"Live sales are halted. {halted_sentence(wallets)}", ADVICE)]
    text = f"{len(wallets)} live wallets hold play money, which is right while nothing real is connected."
    return [Finding("play money", Level.OK, text)]


IDLE_ADVICE = "Connect a real provider or authority first."


def idle_sentence(gateways: Sequence[str]) -> str:
    """Why these real gateways take no live funding."""
    names = ", ".join(gateways)
    return f"{names} takes no live fundings: it would take real money, and nothing real is sold for it."


def announcements(connected: Connected, wallets: Sequence[PlayWallet]) -> list[str]:
    """What has to be said at the start of a server, beside where it listens; empty where all is as one would think."""
    said = []
    if pretending := [vendor.name for vendor in connected.vendors if vendor.role is Role.PROVIDER and vendor.pretends]:
        said.append(
            f"NOTE: live orders go to {', '.join(pretending)}, which pretend{'' if pretending[1:] else 's'}:"
            " no phone gets anything."
            " No real provider is connected."
        )
    if connected.idle_gateways:
        said.append(f"NOTE: {idle_sentence(connected.idle_gateways)} {IDLE_ADVICE}")
    if connected.real and wallets:
        said.append(f"LIVE SALES ARE HALTED. {halted_sentence(wallets)}\n{ADVICE}")
    return said


def _what_is_live(connected: Connected) -> str:
    parts = []
    for role, verb in (
        (Role.PROVIDER, "Live orders go to"),
        (Role.AUTHORITY, "Checks are answered by"),
        (Role.GATEWAY, "Money comes through"),
    ):
        names = [f"{v.name}{' (pretends)' if v.pretends else ''}" for v in connected.vendors if v.role is role]
        if names:
            parts.append(f"{verb} {', '.join(names)}.")
    if connected.takes_play_money:
        parts.append("Live wallets take play money.")
    return " ".join(parts)
