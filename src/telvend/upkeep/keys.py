"""Checks of the keys that are not in the database: whether they are here, and whether a purge is complete on this node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyRefused
from telvend.operator.vouchers.pins import PinKeys
from telvend.orders.payloads.keys import PayloadKeys
from telvend.people.keys import PeopleKeys
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level
from telvend.webhooks.keys import WebhookKeys

_MASTER: Final = "identity master key"
_VOUCHERS: Final = "voucher key"
_PAYLOADS: Final = "payload key"
_WEBHOOKS: Final = "webhook key"
_PEOPLE: Final = "people key"


async def identity_master_key(shop: Examined) -> Sequence[Finding]:
    """Say whether identity checks can be sold. Raises Busy."""
    settings = shop.settings
    return await check_identity_keys(Custody(shop.database, Path(settings.data_dir), settings.identity_master_key))


async def voucher_key(shop: Examined) -> Sequence[Finding]:
    """Say whether vouchers can be loaded. Raises Busy."""
    settings = shop.settings
    keys = PinKeys(shop.database, Path(settings.data_dir), settings.voucher_key)
    return await _present(_VOUCHERS, keys, "No voucher is loaded until then.")


async def payload_key(shop: Examined) -> Sequence[Finding]:
    """Say whether tokens and PINs that were delivered can be shown. Raises Busy."""
    settings = shop.settings
    keys = PayloadKeys(shop.database, Path(settings.data_dir), settings.payload_key)
    return await _present(_PAYLOADS, keys, "No token and no PIN is shown until then.")


async def webhook_key(shop: Examined) -> Sequence[Finding]:
    """Say whether webhooks can be signed. Raises Busy."""
    settings = shop.settings
    keys = WebhookKeys(shop.database, Path(settings.data_dir), settings.webhook_key)
    return await _present(_WEBHOOKS, keys, "No webhook is sent until then.")


async def people_key(shop: Examined) -> Sequence[Finding]:
    """Say whether second factors can be checked. Raises Busy."""
    settings = shop.settings
    keys = PeopleKeys(shop.database, Path(settings.data_dir), settings.people_key)
    return await _present(_PEOPLE, keys, "Nobody with a second factor signs in until then.")


async def check_identity_keys(custody: Custody) -> list[Finding]:
    """Say whether records can be opened, and whether copies of purged ones can. Raises Busy."""
    try:
        await custody.check()
        opens_purged = await custody.opens_purged()
    except KeyRefused as error:
        return [_refused(_MASTER, error, "No NIN or BVN check is sold until then.")]
    if not opens_purged:
        return [Finding(_MASTER, Level.OK, "No identity master key is missing, and none opens what was purged.")]
    text = f"An identity master key in {custody.place} opens copies of what was purged."
    advice = (
        "Put what `telvend identity moved-key FILE` writes in its place, on every node."
        if custody.from_settings
        else "A serving process destroys it within seconds; where none serves: telvend identity purge"
    )
    return [Finding(_MASTER, Level.WARNING, text, advice)]


async def _present(check: str, keys: PinKeys | PayloadKeys | WebhookKeys | PeopleKeys, advice: str) -> list[Finding]:
    try:
        await keys.check()
    except KeyRefused as error:
        return [_refused(check, error, advice)]
    return [Finding(check, Level.OK, f"No {check} is missing.")]


def _refused(check: str, error: KeyRefused, advice: str) -> Finding:
    return Finding(check, Level.FAILURE, str(error), advice)
