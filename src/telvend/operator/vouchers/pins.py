"""PINs: made by the system's generator, handed over once, and kept as nothing but a keyed hash.

Sixteen digits are few enough to hash them all in some days, so that a plain hash would give every PIN away to whoever has
the database. The key is the setting `voucher_key`, or the file `secret/voucher-key` of the data directory, made when the
first vouchers are issued. The database remembers which key it was, and no other is taken for it.
"""

import asyncio
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit.keyfile import KeyFile, KeyMissing, KeyRefused, new_key
from telvend.kit.log import LogLimit, get
from telvend.kit.sealing import derived_key
from telvend.kit.secret import Secret
from telvend.operator.vouchers import store

FILE: Final = Path("secret") / "voucher-key"
PIN_DIGITS: Final = 16
POSSIBLE_PINS: Final = 10**PIN_DIGITS

_RETRY_AFTER_S: Final = 60
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


class PinKeys:
    """Which key is used in this shop. `given` is what the setting holds; without it there is a file."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        self._database = database
        self._file = KeyFile(data_dir / FILE, "voucher key", "voucher_key", given)
        self._key: PinKey | None = None
        self._agreeing = asyncio.Lock()
        self._complaints = LogLimit()

    @property
    def from_settings(self) -> bool:
        """Whether the keys stand in the settings."""
        return self._file.from_settings

    async def check(self) -> None:
        """See that the key of the vouchers that were issued, if any, is here; makes nothing. Raises KeyRefused, Busy."""
        async with self._database.connection() as tx:
            recorded = await store.recorded_key(tx)
        self._file.read()
        if recorded is not None:
            self._of_that_name(recorded)

    async def ready(self) -> PinKey:
        """The key; made now where no voucher was ever issued and there is none. Raises KeyRefused, Busy."""
        # The first of many that come together asks; the others find its answer.
        async with self._agreeing:
            if self._key is None:
                self._key = await self._agree()
        return self._key

    async def ready_or_busy(self) -> PinKey:
        """The same on the path of a request, where nothing is made: as long as there is no voucher, any key will do.

        What the operator has to mend is logged, the caller is told to wait.
        """
        if self._key is not None:
            return self._key
        try:
            async with self._agreeing:
                if self._key is None:
                    async with self._database.connection() as tx:
                        recorded = await store.recorded_key(tx)
                    if recorded is None:
                        return PinKey(new_key())
                    self._key = self._of_that_name(recorded)
        except KeyRefused as error:
            self._complaints.write(_log.critical, "voucher_key_refused", why=str(error))
            raise Busy(_RETRY_AFTER_S) from None
        return self._key

    async def _agree(self) -> PinKey:
        async with self._database.transaction() as tx:
            # The first process makes the key. The others read the file after it, once they are let in.
            await store.hold_issuing_off(tx)
            recorded = await store.recorded_key(tx)
            if recorded is not None:
                return self._of_that_name(recorded)
            if not self._file.read():
                self._file.make_first(new_key())
            first = PinKey(self._file.read()[0])
            await store.record_key(tx, first.id)
        return first

    def _of_that_name(self, recorded: str) -> PinKey:
        for key in map(PinKey, self._file.read()):
            if key.id == recorded:
                return key
        raise KeyMissing(
            f"The PINs of this database's vouchers were hashed with voucher key {recorded}, which is not in"
            f" {self._file.place}; bring it back."
        )
