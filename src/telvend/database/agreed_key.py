"""The key that the processes of a shop agree on: it is in the settings or a file, and the database records which one it is.

keys = AgreedKeys(database, KeyFile(...), PayloadKey, record, "…, sealed with payload key {}, …")
await keys.ready()             # the key in use; made and recorded where there never was one
keys.named(key_id)             # an older one
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from telvend.database.connections import Database, Tx
from telvend.kit.keyfile import KeyFile, KeyMissing, new_key


class NamedKey(Protocol):
    """A key made from the bytes of a key file. `id` follows from it and gives nothing away."""

    @property
    def id(self) -> str:
        """What the database records."""


Key = TypeVar("Key", bound=NamedKey)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """How a room's store records the key in use. `lock` keeps other processes from making one until the transaction ends."""

    lock: Callable[[Tx], Awaitable[None]]
    read: Callable[[Tx], Awaitable[str | None]]
    write: Callable[[Tx, str], Awaitable[None]]


class AgreedKeys(Generic[Key]):
    """The keys of one purpose. `missing` is the sentence for a recorded key that is not there: its id, and where it should be."""

    def __init__(
        self, database: Database, file: KeyFile, key: Callable[[bytes], Key], record: KeyRecord, missing: str
    ) -> None:
        self._database = database
        self._file = file
        self._make = key
        self._record = record
        self._missing = missing
        self._key: Key | None = None
        self._agreeing = asyncio.Lock()

    @property
    def from_settings(self) -> bool:
        """Whether the keys are in the settings."""
        return self._file.from_settings

    async def check(self) -> None:
        """Verify that the recorded key, if any, is here; make nothing. Raises KeyRefused, Busy."""
        recorded = await self._recorded()
        self._file.read()
        if recorded is not None:
            self.named(recorded)

    async def ready(self) -> Key:
        """Return the key in use. It is made where none was ever recorded and there is no file. Raises KeyRefused, Busy."""
        # Of concurrent calls the first reads the database; the others find its result.
        async with self._agreeing:
            if self._key is None:
                self._key = await self._agree()
        return self._key

    async def recorded_key(self) -> Key | None:
        """Return the key in use; None where none was ever recorded. Makes nothing. Raises KeyRefused, Busy."""
        async with self._agreeing:
            if self._key is None:
                recorded = await self._recorded()
                self._key = None if recorded is None else self.named(recorded)
        return self._key

    def named(self, key_id: str) -> Key:
        """Return the key with this id. Raises KeyRefused."""
        for key in map(self._make, self._file.read()):
            if key.id == key_id:
                return key
        raise KeyMissing(self._missing.format(key_id, self._file.place))

    async def _recorded(self) -> str | None:
        async with self._database.connection() as tx:
            return await self._record.read(tx)

    async def _agree(self) -> Key:
        async with self._database.transaction() as tx:
            # The first process makes the key. The others read the file after it, once they have the lock.
            await self._record.lock(tx)
            recorded = await self._record.read(tx)
            if recorded is not None:
                return self.named(recorded)
            if not self._file.read():
                self._file.make_first(new_key())
            first = self._make(self._file.read()[0])
            await self._record.write(tx, first.id)
        return first
