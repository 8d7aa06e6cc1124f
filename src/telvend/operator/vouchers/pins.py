"""PINs: made by the system's generator, handed over once, and kept as nothing but a keyed hash.

Sixteen digits are few enough to hash them all in some days, so that a plain hash would give every PIN away to whoever has
the database. The key is the setting `voucher_key`, or the file `secret/voucher-key` of the data directory, made when the
first vouchers are issued. The database remembers which key it was, and no other is taken for it.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from telvend.database.agreed_key import AgreedKeys, KeyRecord
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit.keyfile import KeyFile, KeyRefused, new_key
from telvend.kit.log import LogLimit, get
from telvend.kit.sealing import derived_key
from telvend.kit.secret import Secret
from telvend.operator.vouchers import store

FILE: Final = Path("secret") / "voucher-key"
PIN_DIGITS: Final = 16
POSSIBLE_PINS: Final = 10**PIN_DIGITS

_RETRY_AFTER_S: Final = 60
_MISSING: Final = (
    "The PINs of this database's vouchers were hashed with voucher key {}, which is not in {}; bring it back."
)
_log = get(__name__)


def new_pins(count: int) -> list[str]:
    """So many different PINs, each of the 10**16 as likely as any other."""
    made: dict[str, None] = {}
    while len(made) < count:
        made[f"{secrets.randbelow(POSSIBLE_PINS):0{PIN_DIGITS}d}"] = None
    return list(made)


def spaced(pin: str) -> str:
    """As it is printed: `1234 5678 9012 3456`."""
    return " ".join(pin[start : start + 4] for start in range(0, len(pin), 4))


class PinKey:
    """The key that PINs are hashed with. `id` follows from it and gives nothing away."""

    __slots__ = ("_hashing", "id")

    def __init__(self, key: bytes) -> None:
        self._hashing = derived_key(key, b"telvend voucher: hashing")
        self.id = derived_key(key, b"telvend voucher: name")[:8].hex()

    def hash(self, pin: str) -> bytes:
        """What a voucher is found by: of no use without the key."""
        return hmac.digest(self._hashing, pin.encode(), hashlib.sha256)

    def __repr__(self) -> str:
        return f"PinKey({self.id})"


class PinKeys(AgreedKeys[PinKey]):
    """Which key is used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        file = KeyFile(data_dir / FILE, "voucher key", "voucher_key", given)
        record = KeyRecord(store.hold_issuing_off, store.recorded_key, store.record_key)
        super().__init__(database, file, PinKey, record, _MISSING)
        self._complaints = LogLimit()

    async def ready_or_busy(self) -> PinKey:
        """Return the key on the path of a request, where nothing is made: as long as there is no voucher, any key will do.

        What the operator has to mend is logged; the caller is told to wait.
        """
        if self._key is not None:
            return self._key
        try:
            return await self.recorded_key() or PinKey(new_key())
        except KeyRefused as error:
            self._complaints.write(_log.critical, "voucher_key_refused", why=str(error))
            raise Busy(_RETRY_AFTER_S) from None
