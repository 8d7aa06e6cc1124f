"""Keeping the safe: which master key is in force, opening what is sealed, changing the master key, and purging.

The database says which master key is in force; the keys themselves are elsewhere (vault.py). Whoever seals something
asks inside its transaction, and no other key comes into force before that transaction ends: so nothing is ever sealed
with a key that has been thrown away. A process that meets a key it does not know reads the file again.

A purge, step by step; each can be repeated after a crash, since the database remembers what was begun:

    1  rows go, in batches; with them it is noted up to which day something went (`purged_day`)
    2  nothing is wrapped for those days any more (`first_day`)
    3  what stays of those days is wrapped anew, for a later day, in batches
    4  the keys of those days are destroyed: here at once, on every other node by `forget_days` (`destroyed_before`)
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

from telvend.authorities.contract import Record, VerificationKind
from telvend.database.connections import Database, Tx
from telvend.errors import Busy, InvalidInput, NotFound
from telvend.identity import store
from telvend.identity.store import Master, NumberHash, Sealed
from telvend.identity.vault import (
    DayKeys,
    KeyDestroyed,
    MasterKey,
    MasterKeyMissing,
    MasterKeys,
    RecordKey,
    VaultRefused,
    WrappingKey,
    day_of,
)
from telvend.kit.failpoints import hit_async
from telvend.kit.log import LogLimit, get
from telvend.kit.secret import Secret

NUMBER: Final = "number"
RECORD: Final = "record"

_BATCH: Final = 200
_RETRY_AFTER_S: Final = 60
# A record is used again for twelve months.
_LOOK_BACK_DAYS: Final = 370

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
_log = get(__name__)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What is to be wrapped with now, and the days that something may still be found by."""

    key: WrappingKey
    day: int | None
    first_day: int
    searched: range

    def wrap(self, verification_id: int, key: RecordKey) -> bytes:
        return self.key.wrap(verification_id, key, self.day)

    def lookup(self, kind: VerificationKind, number: Secret) -> bytes:
        return self.key.lookup(kind, number.reveal(), self.day)


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did: how many checks it purged, and how many of the same days it wrapped anew.

    `key_place`: where the master key is that this purge has moved forward, None where there was nothing to destroy.
    `still_opens`: copies of the database can still be opened with it, since it stands in the settings; only the operator can
    replace it there.
    """

    count: int
    moved: int = 0
    key_place: str | None = None
    still_opens: bool = False


class Custody:
    """The safe of one shop. `given` are master keys from the settings; without any they are in the data directory."""

    def __init__(self, database: Database, data_dir: Path, given: Secret | None = None) -> None:
        self._database = database
        self._data_dir = data_dir
        self._given = given
        self._read: MasterKeys | None = None
        self._agreed = False
        self._agreeing = asyncio.Lock()
        self._complaints = LogLimit()
        self._heeded: tuple[dict[str, int], set[str]] = ({}, set())
        self._told_behind = False

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
            current, today = await store.current_master_and_day(tx)
            if current is None:
                first = keys.all[0] if keys.all else keys.make_first()
                # Nothing was wrapped before today; with that known, numbers are looked for by few hashes.
                await store.make_master_current(tx, first.id, max(day_of(today), first.days.first))
            elif keys.get(current.id) is None:
                raise MasterKeyMissing(_missing(current.id, keys.place))
        self._agreed = True

    @property
    def from_settings(self) -> bool:
        """Whether the master keys stand in the settings."""
        return self._given is not None

    @property
    def still_opens(self) -> bool:
        """Whether a key of the settings opens copies of what was purged; known after `forget_days`. Raises VaultRefused."""
        return self.from_settings and bool(self._keys.behind())

    @property
    def place(self) -> str:
        """Where the master keys are, for sentences. Raises VaultRefused."""
        return self._keys.place

    async def opens_purged(self) -> bool:
        """Return whether a master key, as it stands in its place, opens copies of what was purged. Changes nothing.

        Raises VaultRefused, Busy.
        """
        async with self._database.connection() as tx:
            masters = await store.masters(tx)
        days, retired = _to_heed(masters)
        return self._keys.open_purged(days, retired, {one.id for one in masters if not one.retired})

    async def check(self) -> None:
        """See that the master key in force, if any, is here; makes nothing. Raises VaultRefused, Busy."""
        async with self._database.connection() as tx:
            current = await store.current_master(tx)
        keys = self._keys
        if current is not None and keys.get(current.id) is None:
            raise MasterKeyMissing(_missing(current.id, keys.place))

    async def ready_or_busy(self) -> None:
        """The same on the path of a request: what the operator has to mend is logged, the caller is told to wait."""
        try:
            await self.ready()
        except VaultRefused as error:
            self._complain("identity_vault_refused", str(error))
            raise Busy(_RETRY_AFTER_S) from None

    async def current(self, tx: Tx) -> Wrapping:
        """What to seal with. It stays in force until `tx` ends. Raises Busy."""
        await store.hold_rotation_off(tx)
        master, date_today = await store.current_master_and_day(tx)
        if master is None:
            self._complain("identity_master_missing", "the database names no identity master key")
            raise Busy(_RETRY_AFTER_S)
        return self._wrapping(master, date_today)

    def _wrapping(self, master: Master, date_today: date) -> Wrapping:
        key = self._key(master.id)
        today = day_of(date_today)
        searched = range(max(master.oldest_day, today - _LOOK_BACK_DAYS), max(today, master.first_day) + 2)
        return Wrapping(key, key.day(max(today, master.first_day)), master.first_day, searched)

    def record_key(self, sealed: Sealed) -> RecordKey:
        """The key of a check. Raises NotFound where a purge has destroyed it, SealBroken, Busy."""
        try:
            return self._key(sealed.master).unwrap(sealed.id, sealed.wrapped_key, sealed.day)
        except KeyDestroyed:
            # A row of a backup from before the purge. What it sealed is gone.
            raise NotFound("Verification") from None

    def number(self, sealed: Sealed) -> Secret:
        """The number of a check. Raises NotFound, SealBroken, Busy."""
        return Secret(self.record_key(sealed).open(NUMBER, sealed.number).decode())

    def number_and_record(self, sealed: Sealed) -> tuple[Secret, Record | None]:
        """Everything that is sealed of a check. Raises NotFound, SealBroken, Busy."""
        key = self.record_key(sealed)
        record = None if sealed.record is None else _decode(key.open(RECORD, sealed.record))
        return Secret(key.open(NUMBER, sealed.number).decode()), record

    def lookups(self, wrapping: Wrapping, kind: VerificationKind, number: Secret) -> list[bytes]:
        """What a number may be found by: one for each day, and for each master key, since a rotation may be under way."""
        return self._keys.lookups(kind, number.reveal(), wrapping.searched)

    def is_of(self, known: NumberHash, kind: VerificationKind, number: Secret) -> bool:
        """Whether a hash is that of this number. Raises NotFound where a purge has destroyed its key, Busy."""
        try:
            return known.hash == self._key(known.master).lookup(kind, number.reveal(), known.day)
        except KeyDestroyed:
            raise NotFound("Verification") from None

    async def rotate(self) -> int:
        """Put a new master key in force and wrap every check's own key with it. Returns how many there were.

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
            current_id = "" if current is None else current.id
            unfinished = await store.sealed_otherwise(tx, current_id, 1)
            if not keys.all:
                raise VaultRefused(f"{keys.place} has gone.")
            if keys.master_of(current_id) is keys.all[0] and not unfinished:
                if keys.from_settings:
                    raise VaultRefused("Put a new key before the present one in identity_master_key, with a comma.")
                keys.add(MasterKey.new())
            await store.make_master_current(tx, keys.all[0].id, await self._first_day(tx))
        count = await self._wrap_all_again()
        async with self._database.transaction() as tx:
            # Whoever else is changing the key at the same time keeps what he needs.
            await store.hold_sealing_off(tx)
            await store.retire_masters(tx)
            if not keys.from_settings:
                keys.drop_all_but(await store.masters_in_use(tx))
        _log.info("identity_master_changed", checks=count)
        return count

    # Purging ----------------------------------------------------------------------------------------------------------

    async def purge(self, older_than: timedelta) -> Purged:
        """Destroy what is known of people from checks of that age, and the keys that would open copies of it.

        The sales stay. May run while the shop sells, and again after it was interrupted.
        Raises InvalidInput for less than a day, VaultRefused where the keys cannot be had or changed, Busy.
        """
        if older_than < timedelta(days=1):
            raise InvalidInput("older_than", "must be a day or more")
        async with self._database.connection() as tx:
            before = await store.now_in(tx) - older_than
        count = 0
        while True:
            async with self._database.transaction() as tx:
                done = await store.purge(tx, before, _BATCH)
            await hit_async("purge.after_rows")
            count += done
            if done < _BATCH:
                return await self._destroy_days(count)

    async def _destroy_days(self, count: int) -> Purged:
        async with self._database.connection() as tx:
            masters = await store.masters(tx)
        if not any(one.current for one in masters):
            return Purged(count)
        await self.ready()
        keys = self._keys
        if not self._anything_to_destroy(masters):
            await self.forget_days()
            still_opens = self.still_opens
            return Purged(count, 0, keys.place if still_opens else None, still_opens)
        async with self._database.transaction() as tx:
            await store.hold_sealing_off(tx)
            keys.reload()
            current = await store.current_master(tx)
            master = None if current is None else keys.master_of(current.id)
            if master is None:
                raise VaultRefused(f"{keys.place} does not hold the identity master key in force; bring it back.")
            first_day = max(await self._first_day(tx), master.days.first)
            # Of a key from before there were days, those that follow from it come into force.
            await store.make_master_current(tx, master.id, first_day)
        await hit_async("purge.after_days")
        moved = await self._wrap_all_again() + await self._move_on(master.id, first_day)
        async with self._database.transaction() as tx:
            await store.hold_sealing_off(tx)
            await store.retire_masters(tx)
            await store.destroy_days_before(tx, master.id, first_day)
        await hit_async("purge.before_keys")
        await self.forget_days()
        _log.info("identity_purged", checks=count, wrapped_anew=moved, first_day=first_day)
        return Purged(count, moved, keys.place, self.still_opens)

    def _anything_to_destroy(self, masters: list[Master]) -> bool:
        in_use = [one for one in masters if not one.retired]
        if len(in_use) > 1 or not isinstance(self._keys.get(in_use[0].id), DayKeys):
            return True  # A rotation that was interrupted; or nothing was destroyed in this shop yet.
        return any(one.purged_day is not None and one.purged_day >= (one.destroyed_before or 0) for one in in_use)

    async def _first_day(self, tx: Tx) -> int:
        """The first day that nothing was purged of."""
        masters = await store.masters(tx)
        purged = [one.purged_day + 1 for one in masters if one.purged_day is not None]
        return max([one.first_day for one in masters] + purged, default=0)

    async def forget_days(self) -> None:
        """Destroy what the database says is to be destroyed: keys of purged days, keys that a rotation has retired.

        Where they stand in the settings, only this process forgets them; the operator is told once.
        Raises VaultRefused where the file cannot be read or changed, Busy.
        """
        async with self._database.connection() as tx:
            if _to_heed(await store.masters(tx)) == self._heeded:
                return
        async with self._database.transaction() as tx:
            # Nobody puts another key in force, or an old one again, while keys are thrown away.
            await store.hold_rotation_off(tx)
            masters = await store.masters(tx)
            days, retired = _to_heed(masters)
            keys = self._keys
            keys.move_forward(days)
            keys.drop_retired(retired, {one.id for one in masters if not one.retired})
        self._heeded = (days, retired)
        if self.still_opens and not self._told_behind:
            self._told_behind = True
            _log.warning("identity_master_key_opens_purged", place=keys.place)

    def write_moved(self, file: Path) -> None:
        """Write the master keys as they are after the last purge into a new file. Raises VaultRefused."""
        self._keys.write_to(file)

    async def _wrap_all_again(self) -> int:
        count = 0
        while done := await self._wrap_again():
            count += done
        return count

    async def _wrap_again(self) -> int:
        """Wrap some checks that another master key wraps with the one in force."""
        async with self._database.transaction() as tx:
            wrapping = await self.current(tx)
            ids = await store.sealed_otherwise(tx, wrapping.key.id, _BATCH)
            await self._wrap_anew(tx, ids, wrapping.key, wrapping.first_day)
        return len(ids)

    async def _move_on(self, master_id: str, first_day: int) -> int:
        """Wrap what stands under earlier days for `first_day`. Returns how many checks there were."""
        count = last = 0
        while True:
            async with self._database.transaction() as tx:
                # Whatever is in force by now: a rotation may have begun.
                wrapping = await self.current(tx)
                ids = await store.sealed_before(tx, master_id, first_day, last, _BATCH)
                await self._wrap_anew(tx, ids, wrapping.key, max(first_day, wrapping.first_day))
            count += len(ids)
            if len(ids) < _BATCH:
                return count
            last = ids[-1]

    async def _wrap_anew(self, tx: Tx, ids: list[int], new: WrappingKey, first_day: int) -> None:
        for sealed, kind, sold in await store.lock_sealed(tx, ids):
            try:
                key = self.record_key(sealed)
            except NotFound:
                # Of a backup from before a purge: its key has been destroyed.
                await store.forget(tx, [sealed.id])
                continue
            number = key.open(NUMBER, sealed.number).decode()
            day = new.day(max(first_day, day_of(sold) if sealed.day is None else sealed.day))
            await store.write_wrapping(
                tx, sealed.id, new.id, day, new.wrap(sealed.id, key, day), new.lookup(kind, number, day)
            )

    def _key(self, master_id: str) -> WrappingKey:
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
        self._complaints.write(_log.critical, event, source=event, why=why)


def _missing(master_id: str, place: str) -> str:
    return (
        f"The identity records of this database are sealed with master key {master_id}, which is not in {place};"
        " bring it back."
    )


def _to_heed(masters: list[Master]) -> tuple[dict[str, int], set[str]]:
    """The first days that are kept, by key, and the keys that are not."""
    days = {one.id: one.destroyed_before for one in masters if one.destroyed_before is not None}
    return days, {one.id for one in masters if one.retired}


def seal(wrapping: Wrapping, key: RecordKey, verification_id: int, number: Secret, record: Record | None) -> Sealed:
    """A new row of the safe."""
    return Sealed(
        verification_id,
        wrapping.key.id,
        wrapping.day,
        wrapping.wrap(verification_id, key),
        key.seal(NUMBER, number.reveal().encode()),
        None if record is None else seal_record(key, record),
    )


def seal_record(key: RecordKey, record: Record) -> bytes:
    return key.seal(RECORD, _encode(record))
