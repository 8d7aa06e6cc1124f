"""The checkpoint: the state that an audit without findings has verified, sealed with a key that is not in the database.

    keeper = CheckpointKeeper(data_dir)
    found = await keeper.read(tx)              Checkpoint, or Unusable with the reason for a full audit
    await keeper.write(tx, checkpoint)

The key is a file in the data directory, made on first use. Checkpoints are stored by key, so that nodes with different data
directories do not replace each other's. Write access to the database is not enough to forge a checkpoint, which needs the key, or
to put an older one back: the sealed text contains the id of the transaction that wrote the row, and only the server sets `xmin`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from telvend.audit import store
from telvend.audit.invariants import GUARDED, Lap, SealedWallet
from telvend.database.connections import Tx
from telvend.kit.keyfile import KeyFile, KeyRefused, new_key

FILE: Final = Path("book") / "audit-key"
"""In the folder of this node's memory of the book. It decrypts nothing, so that a node that audits needs no secrets folder."""
_VERSION: Final = 1
_FRESH_FOR: Final = 2_000_000_000
"""For how many transactions a checkpoint can be used: `xmin` holds 32 bits of a transaction id."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The verified state from which the next audit continues.

    `below`: the number of rows older than `moment.horizon`, for each insert-only table that was read as a whole. `laps`: the
    progress through each table. `everything_at`: the time of the last full audit.
    """

    version: int = _VERSION
    at: datetime
    everything_at: datetime
    origin: store.Origin
    moment: store.Moment
    below: dict[str, int]
    laps: dict[str, Lap]
    wallets: list[SealedWallet]


class _Sealed(msgspec.Struct, frozen=True):
    """The sealed text: a checkpoint and the 64-bit id of the transaction that wrote it."""

    writer: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Unusable:
    """No checkpoint can be used, because of `why`. `broken`: there is one, and its seal does not match."""

    why: str
    broken: bool = False


class CheckpointKeeper:
    """Reads and writes the checkpoint of one data directory. Without its key an audit recomputes everything."""

    def __init__(self, data_dir: Path) -> None:
        self._file = KeyFile(data_dir / FILE, "audit key", "audit_key")

    async def read(self, tx: Tx) -> Checkpoint | Unusable:
        """Return the checkpoint if it is intact and belongs to this database; otherwise the reason."""
        try:
            keys = self._file.read()
        except KeyRefused as error:
            return Unusable(f"there is no key to read a checkpoint with: {error}")
        if not keys:
            return Unusable("there is no checkpoint yet")
        stored = await store.checkpoint(tx, _id_of(keys[0]))
        if stored is None:
            return Unusable("there is no checkpoint yet")
        body, seal, writer = stored
        if not hmac.compare_digest(seal, _seal(keys[0], body)):
            return Unusable("the seal of the checkpoint is broken", broken=True)
        try:
            sealed = msgspec.json.decode(body, type=_Sealed)
        except msgspec.DecodeError:
            return Unusable("the checkpoint is one of another version of Telvend")
        checkpoint = sealed.checkpoint
        if checkpoint.version != _VERSION:
            return Unusable("the checkpoint is one of another version of Telvend")
        # In a restored dump, and in a checkpoint row that was written back, `xmin` is another transaction.
        if sealed.writer % 2**32 != writer or checkpoint.origin != await store.origin(tx, GUARDED):
            return Unusable("the database was restored, or its triggers were changed, since the checkpoint")
        if (trigger := await store.unguarded(tx)) is not None:
            return Unusable(f"the trigger {trigger} does not fire always")
        if not 0 <= (await store.moment(tx)).next - checkpoint.moment.horizon < _FRESH_FOR:
            return Unusable("the checkpoint is too many transactions ago")
        return checkpoint

    async def write(self, tx: Tx, checkpoint: Checkpoint) -> None:
        """Seal a checkpoint and store it in place of the previous one. Raises KeyRefused."""
        keys = self._file.read()
        if not keys:
            self._file.make_first(new_key())
            keys = self._file.read()
        body = msgspec.json.encode(_Sealed(await store.transaction_number(tx), checkpoint)).decode()
        await store.write_checkpoint(tx, _id_of(keys[0]), body, _seal(keys[0], body))

    async def remove(self, tx: Tx) -> None:
        """Delete the checkpoint, so that the next audit is a full one. Raises KeyRefused."""
        for key in self._file.read()[:1]:
            await store.remove_checkpoint(tx, _id_of(key))


def _id_of(key: bytes) -> str:
    """Return the name under which a key's checkpoint is stored. The key cannot be derived from it."""
    return hmac.new(key, b"telvend audit key", hashlib.sha256).hexdigest()[:16]


def _seal(key: bytes, body: str) -> bytes:
    return hmac.new(key, b"telvend audit checkpoint\0" + body.encode(), hashlib.sha256).digest()
