"""The checkpoint: where an audit that found nothing has stopped, sealed with a key that the database does not know.

    keeper = CheckpointKeeper(data_dir)
    found = await keeper.read(tx)              Checkpoint, or Unusable: why everything has to be recomputed
    await keeper.write(tx, checkpoint)

The key is a file of the data directory, made by itself; each key has a checkpoint of its own, so that nodes with several data
directories do not take each other's away. Someone who can change rows in the database can neither forge a checkpoint, nor put an
older one back: it names the transaction that has written it, and a row cannot choose which that is.
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
"""Beside what this node remembers of the book. It opens nothing, so that a node that audits needs no folder of secrets."""
_VERSION: Final = 1
_FRESH_FOR: Final = 2_000_000_000
"""How many transactions a checkpoint is good for: rows carry 32 bits of the number of theirs."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit leaves to the next one.

    `below`: how many rows of each insert-only table are older than `moment.horizon`, of those that were read as a whole.
    `laps`: how far tables have been read. `everything_at`: when everything was recomputed last.
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
    """What is stored: the checkpoint, and the transaction that has written it."""

    writer: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Unusable:
    """There is no checkpoint to take up from. `broken`: there is one, and it is not what was sealed."""

    why: str
    broken: bool = False


class CheckpointKeeper:
    """Reads and writes the checkpoint of one data directory. Without its key an audit recomputes everything."""

    def __init__(self, data_dir: Path) -> None:
        self._file = KeyFile(data_dir / FILE, "audit key", "audit_key")

    async def read(self, tx: Tx) -> Checkpoint | Unusable:
        """Return the checkpoint if it can be taken up from now: of this database as `tx` sees it."""
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
        # A restored database has other transactions; so has a row that somebody has put back.
        if sealed.writer % 2**32 != writer or checkpoint.origin != await store.origin(tx, GUARDED):
            return Unusable("the database was restored, or its triggers were changed, since the checkpoint")
        if (trigger := await store.unguarded(tx)) is not None:
            return Unusable(f"the trigger {trigger} does not fire always")
        if not 0 <= (await store.moment(tx)).next - checkpoint.moment.horizon < _FRESH_FOR:
            return Unusable("the checkpoint is too many transactions ago")
        return checkpoint

    async def write(self, tx: Tx, checkpoint: Checkpoint) -> None:
        """Seal a checkpoint in the place of the last one. Raises KeyRefused."""
        keys = self._file.read()
        if not keys:
            self._file.make_first(new_key())
            keys = self._file.read()
        body = msgspec.json.encode(_Sealed(await store.transaction_number(tx), checkpoint)).decode()
        await store.write_checkpoint(tx, _id_of(keys[0]), body, _seal(keys[0], body))

    async def remove(self, tx: Tx) -> None:
        """Let the next audit recompute everything. Raises KeyRefused."""
        for key in self._file.read()[:1]:
            await store.remove_checkpoint(tx, _id_of(key))


def _id_of(key: bytes) -> str:
    """What a key is called. It says nothing about the key."""
    return hmac.new(key, b"telvend audit key", hashlib.sha256).hexdigest()[:16]


def _seal(key: bytes, body: str) -> bytes:
    return hmac.new(key, b"telvend audit checkpoint\0" + body.encode(), hashlib.sha256).digest()
