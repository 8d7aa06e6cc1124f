"""Keeping the safe: which master key is in force, opening what is sealed, changing the master key, and purging.

The database says which master key is in force; the keys themselves are elsewhere (vault.py). Whoever seals something
asks inside its transaction, and no other key comes into force before that transaction ends: so nothing is ever sealed
with a key that has been thrown away. A process that meets a key it does not know reads the file again.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from telvend.authorities.contract import Kind, Record
from telvend.errors import Busy, InvalidInput
from telvend.identity import store
from telvend.identity.store import Sealed
from telvend.identity.vault import MasterKey, MasterKeys, RecordKey, VaultRefused
from telvend.kit.db import Database, Tx
from telvend.kit.log import OncePerMinute, get
from telvend.kit.secret import Secret

NUMBER: Final = "number"
RECORD: Final = "record"

_BATCH: Final = 200
_RETRY_AFTER_S: Final = 60

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
_log = get(__name__)


class Custody:
    """The safe of one shop. `given` are master keys from the settings; without any they are in the data directory."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        self._database = database
        self._data_dir = data_dir
        self._given = given
        self._read: MasterKeys | None = None
        self._agreed = False
        self._agreeing = asyncio.Lock()
        self._may_complain = OncePerMinute()

    @property
    def _keys(self) -> MasterKeys:
        # Read when first needed: most commands need none, and must not fail for want of one.
        if self._read is None:
            self._read = MasterKeys(self._data_dir, self._given)
        return self._read

    async def ready(self) -> None:
        """Make the first master key, or see that the one in force is here. Raises VaultRefused, Busy."""
        if self._agreed:
            return
        # The first of many that come together asks; the others find its answer.
        async with self._agreeing:
            if not self._agreed:
                await self._agree()

    async def _agree(self) -> None:
        keys = self._keys
        async with self._database.transaction() as tx:
            # The first process makes the key. The others read the file after it, once they are let in.
            await store.hold_sealing_off(tx)
            keys.reload()
            current = await store.current_master(tx)
            if current is None:
                first = keys.all[0] if keys.all else keys.make_first()
                await store.make_master_current(tx, first.id)
            elif keys.get(current) is None:
                raise VaultRefused(
                    f"The identity records of this database are sealed with master key {current}, which is not in"
                    f" {keys.place}; bring it back."
                )
        self._agreed = True

    async def ready_or_busy(self) -> None:
        """The same on the path of a request: what the shop-keeper has to mend is logged, the caller is told to wait."""
        try:
            await self.ready()
        except VaultRefused as error:
            self._complain("identity_vault_refused", str(error))
            raise Busy(_RETRY_AFTER_S) from None

    async def current(self, tx: Tx) -> MasterKey:
        """The master key to seal with. It stays in force until `tx` ends. Raises Busy."""
        await store.hold_rotation_off(tx)
        return self._key(await store.current_master(tx) or "")

    def record_key(self, sealed: Sealed) -> RecordKey:
        """The key of a check. Raises SealBroken, Busy."""
        return self._key(sealed.master).unwrap(sealed.id, sealed.wrapped_key)

    def number(self, sealed: Sealed) -> Secret:
        """The number of a check. Raises SealBroken, Busy."""
        return Secret(self.record_key(sealed).open(NUMBER, sealed.number).decode())

    def number_and_record(self, sealed: Sealed) -> tuple[Secret, Record | None]:
        """Everything that is sealed of a check. Raises SealBroken, Busy."""
        key = self.record_key(sealed)
        record = None if sealed.record is None else _decode(key.open(RECORD, sealed.record))
        return Secret(key.open(NUMBER, sealed.number).decode()), record

    def lookups(self, kind: Kind, number: Secret) -> list[bytes]:
        """What a number may be found by: one for each master key, since a rotation may be under way."""
        return [key.lookup(kind, number.reveal()) for key in self._keys.all]

    async def rotate(self) -> int:
        """Put a new master key in force and wrap every check's own key with it. Answers how many there were.

        Keys in a file: the new one is made, the old one is removed when nothing needs it. Keys in the settings: the new
        one has been put before the old one. May run while the shop sells; one that was interrupted goes on.
        Raises VaultRefused, Busy.
        """
        await self.ready()
        keys = self._keys
        async with self._database.transaction() as tx:
            await store.hold_sealing_off(tx)
            keys.reload()
            current = await store.current_master(tx)
            unfinished = await store.sealed_otherwise(tx, current or "", 1)
            if not keys.all:
                raise VaultRefused(f"{keys.place} has gone.")
            if keys.all[0].id == current and not unfinished:
                if keys.from_settings:
                    raise VaultRefused("Put a new key before the present one in identity_master_key, with a comma.")
                keys.add(MasterKey.new())
            await store.make_master_current(tx, keys.all[0].id)
        count = 0
        while done := await self._wrap_again():
            count += done
        async with self._database.transaction() as tx:
            # Whoever else is changing the key at the same time keeps what he needs.
            await store.hold_sealing_off(tx)
            await store.retire_masters(tx)
            if not keys.from_settings:
                keys.reload()
                keys.drop_all_but(await store.masters_in_use(tx))
        _log.info("identity_master_changed", checks=count)
        return count

    async def purge(self, older_than: timedelta) -> int:
        """Destroy what is known of people from checks of that age. The sales stay. Answers how many there were.

        Raises InvalidInput for less than a day, Busy.
        """
        if older_than < timedelta(days=1):
            raise InvalidInput("older_than", "must be a day or more")
        count = 0
        while True:
            async with self._database.transaction() as tx:
                done = await store.purge(tx, older_than, _BATCH)
            count += done
            if done < _BATCH:
                return count

    async def _wrap_again(self) -> int:
        async with self._database.transaction() as tx:
            master = await self.current(tx)
            ids = await store.sealed_otherwise(tx, master.id, _BATCH)
            for sealed, kind in await store.lock_sealed(tx, ids):
                key = self.record_key(sealed)
                number = key.open(NUMBER, sealed.number).decode()
                await store.write_wrapping(
                    tx, sealed.id, master.id, master.wrap(sealed.id, key), master.lookup(kind, number)
                )
        return len(ids)

    def _key(self, master_id: str) -> MasterKey:
        found = self._keys.get(master_id)
        if found is None:
            try:
                self._keys.reload()
            except VaultRefused as error:
                self._complain("identity_vault_refused", str(error))
                raise Busy(_RETRY_AFTER_S) from None
            found = self._keys.get(master_id)
        if found is None:
            self._complain("identity_master_missing", f"master key {master_id} is not in {self._keys.place}")
            raise Busy(_RETRY_AFTER_S)
        return found

    def _complain(self, event: str, why: str) -> None:
        if self._may_complain():
            _log.critical(event, why=why)


def seal(master: MasterKey, key: RecordKey, verification_id: int, number: Secret, record: Record | None) -> Sealed:
    """A new row of the safe."""
    return Sealed(
        verification_id,
        master.id,
        master.wrap(verification_id, key),
        key.seal(NUMBER, number.reveal().encode()),
        None if record is None else seal_record(key, record),
    )


def seal_record(key: RecordKey, record: Record) -> bytes:
    return key.seal(RECORD, _encode(record))
