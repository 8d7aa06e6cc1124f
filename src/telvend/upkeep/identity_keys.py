"""What the doctor says of keys: whether they are here, and whether a purge is complete on this node."""

from typing import Final

from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyMissing, KeyRefused
from telvend.subscribers.vouchers.pins import PinKeys
from telvend.upkeep.findings import Finding, Level

_MASTER: Final = "identity master key"
_VOUCHERS: Final = "voucher key"


async def check_identity_keys(custody: Custody) -> list[Finding]:
    """Whether records open, and whether copies of purged ones do. Moves a key file forward that is behind. Raises Busy."""
    try:
        await custody.check()
        await custody.forget_days()
    except KeyRefused as error:
        return [_refused(_MASTER, error, "No NIN or BVN check is sold until then.")]
    if custody.still_opens:
        return [
            Finding(
                _MASTER,
                Level.WARNING,
                "The setting identity_master_key opens copies of what was purged.",
                "Put what `telvend identity moved-key FILE` writes in its place, on every node.",
            )
        ]
    return [Finding(_MASTER, Level.OK, "The identity master key in force is here, and opens nothing that was purged.")]


async def check_voucher_key(keys: PinKeys) -> list[Finding]:
    """Whether the PINs of vouchers that were sold can be recognised. Raises Busy."""
    try:
        await keys.check()
    except KeyRefused as error:
        return [_refused(_VOUCHERS, error, "No voucher is loaded until then.")]
    return [Finding(_VOUCHERS, Level.OK, "The key of the vouchers' PINs is here.")]


def _refused(check: str, error: KeyRefused, advice: str) -> Finding:
    more = " Bring back the key file or the setting." if isinstance(error, KeyMissing) else ""
    return Finding(check, Level.FAILURE, str(error), f"{advice}{more}")
