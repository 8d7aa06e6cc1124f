"""Sealing what is known of people: a key for each check, wrapped by the key of a day, which follows from a master key.

    master key ── HKDF ──> day 0 ── HKDF ──> day 1 ── HKDF ──> day 2 ── …
    day ── HKDF ──> wrapping key ── AES-256-GCM ──> the check's own key, wrapped
        └─ HKDF ──> look-up key  ── HMAC-SHA256 ──> what a number is found by
    the check's own key ── AES-256-GCM ──> number, record

Everything sealed is bound to the check it belongs to and to what it is, so that it opens nowhere else. Whoever has the
database alone has nothing.

From the key of a day follow those of later days, never those of earlier ones. So a purge moves the master key forward: what
is kept of it afterwards (`MasterKey.forward`) opens nothing that was wrapped for an earlier day, whoever has a copy of that.
Days are counted from `FIRST_DAY`. They are a number beside what is wrapped, not the date of the check: what a purge leaves of
a day moves on to a later one.

The master key is `identity_master_key` of the settings, or the file `secret/identity-master-key` of the data directory,
made on first start. Either may hold several, newest first: during a rotation, the old one is still needed. A word is 32
bytes in base64, or, once it has moved forward, `<id>.<day>.<32 bytes in base64>`.

Shops from before there were days wrap with the master key itself (`PlainKey`) until their first purge or rotation. It has
an id of its own, so that programs of that time refuse what is wrapped for days instead of mistaking it.
"""

import hashlib
import hmac
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from telvend.kit.keyfile import KEY_BYTES, KeyFile, KeyMissing, KeyRefused, key_text, new_key
from telvend.kit.sealing import SealBroken, derived_key, open_sealed, seal
from telvend.kit.secret import Secret

FILE: Final = Path("secret") / "identity-master-key"
FIRST_DAY: Final = date(2026, 1, 1)
_LAST_DAY: Final = 500_000
_FORWARD: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,6})\.([A-Za-z0-9+/]+=*)", re.ASCII)


class KeyDestroyed(Exception):
    """A purge has destroyed the key. What it wrapped is as good as gone."""


class VaultRefused(KeyRefused):
    """The master key cannot be had. The message is one sentence for the operator."""


class MasterKeyMissing(VaultRefused, KeyMissing):
    """The master key in force is not here."""


def day_of(day: date) -> int:
    """The number of a day, as keys are counted; 0 for any before there were such keys."""
    return max(0, (day - FIRST_DAY).days)


class RecordKey:
    """The key of one check. It seals and opens what belongs to that check, and prints as stars."""

    __slots__ = ("_bytes", "_cipher", "_id")

    def __init__(self, verification_id: int, key: bytes) -> None:
        self._id = verification_id
        self._bytes = key
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls, verification_id: int) -> "RecordKey":
        return cls(verification_id, secrets.token_bytes(KEY_BYTES))

    def seal(self, what: str, text: bytes) -> bytes:
        """`what` (number, record) has to be said again to open it."""
        return seal(self._cipher, text, f"telvend identity {what} {self._id}")

    def open(self, what: str, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        return open_sealed(self._cipher, sealed, f"telvend identity {what} {self._id}")

    def __repr__(self) -> str:
        return "RecordKey(********)"


class WrappingKey(ABC):
    """What the keys of checks are wrapped with. `id` follows from it and gives nothing away; it stands beside what it wraps.

    `day` is that of the wrapped key; a key without days takes none.
    """

    by_day: bool = False
    id: str

    def day(self, day: int) -> int | None:
        """The day to wrap for where `day` is wanted: None where this key knows none."""
        return day if self.by_day else None

    def wrap(self, verification_id: int, key: RecordKey, day: int | None) -> bytes:
        """Raises KeyDestroyed."""
        bound_to = self._bound_to(verification_id, day)
        return seal(self._wrapping(day), key._bytes, bound_to)  # noqa: SLF001

    def unwrap(self, verification_id: int, wrapped: bytes, day: int | None) -> RecordKey:
        """Raises SealBroken, KeyDestroyed."""
        return RecordKey(
            verification_id, open_sealed(self._wrapping(day), wrapped, self._bound_to(verification_id, day))
        )

    def lookup(self, kind: str, number: str, day: int | None) -> bytes:
        """What a number is found by: the same for the same number and day, and of no use without the key."""
        return hmac.digest(self._lookup(day), f"{kind} {number}".encode(), hashlib.sha256)

    @abstractmethod
    def _wrapping(self, day: int | None) -> AESGCM: ...

    @abstractmethod
    def _lookup(self, day: int | None) -> bytes: ...

    def _bound_to(self, verification_id: int, day: int | None) -> str:
        suffix = "" if day is None else f" {day}"
        return f"telvend identity key {verification_id} {self.id}{suffix}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"


class PlainKey(WrappingKey):
    """A master key as shops used it before there were days: one key for everything."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key, b"telvend identity: wrapping"))
        self._looking = derived_key(key, b"telvend identity: look-up")
        self.id = derived_key(key, b"telvend identity: name")[:8].hex()

    def _wrapping(self, day: int | None) -> AESGCM:
        if day is not None:
            raise SealBroken(f"master key {self.id} knows no days")
        return self._cipher

    def _lookup(self, day: int | None) -> bytes:  # noqa: ARG002 - it is the same for all days
        return self._looking


class DayKeys(WrappingKey):
    """The keys of `first` and all later days. `state` is the key of `first` that the others follow from."""

    by_day = True

    def __init__(self, key_id: str, first: int, state: bytes) -> None:
        self.id = key_id
        self.first = first
        self._states = [state]
        self._made: dict[int, tuple[AESGCM, bytes]] = {}

    def state(self, day: int) -> bytes:
        """Raises KeyDestroyed for a day before `first`, SealBroken for one that nobody lives to see."""
        if day < self.first:
            raise KeyDestroyed
        if day > _LAST_DAY:
            raise SealBroken(f"{day} is no day of master key {self.id}")
        while len(self._states) <= day - self.first:
            self._states.append(derived_key(self._states[-1], b"telvend identity: next day"))
        return self._states[day - self.first]

    def _of(self, day: int | None) -> tuple[AESGCM, bytes]:
        if day is None:
            raise SealBroken(f"master key {self.id} wraps nothing without a day")
        if day not in self._made:
            state = self.state(day)
            self._made[day] = (
                AESGCM(derived_key(state, b"telvend identity: wrapping of a day")),
                derived_key(state, b"telvend identity: look-up of a day"),
            )
        return self._made[day]

    def _wrapping(self, day: int | None) -> AESGCM:
        return self._of(day)[0]

    def _lookup(self, day: int | None) -> bytes:
        return self._of(day)[1]


class MasterKey:
    """One word of the file or the setting, and the keys that follow from it: `days`, and `plain` while it has not moved.

    `first` is the first day whose key follows from it; None while everything does.
    """

    __slots__ = ("_bytes", "days", "first", "plain")

    def __init__(self, key: bytes, *, key_id: str | None = None, first: int | None = None) -> None:
        self._bytes = key
        self.first = first
        if key_id is None or first is None:
            self.plain: PlainKey | None = PlainKey(key)
            self.days = DayKeys(
                derived_key(key, b"telvend identity: name of days")[:8].hex(),
                0,
                derived_key(key, b"telvend identity: days"),
            )
        else:
            self.plain = None
            self.days = DayKeys(key_id, first, key)

    @classmethod
    def new(cls) -> "MasterKey":
        return cls(new_key())

    @property
    def id(self) -> str:
        return self.days.id

    def forward(self, first: int) -> "MasterKey":
        """What opens `first` and later days only. A key that has moved further already stays as it is."""
        if self.first is not None and self.first >= first:
            return self
        return MasterKey(self.days.state(first), key_id=self.id, first=first)

    def text(self) -> str:
        """The key itself, for its file."""
        return key_text(self._bytes) if self.first is None else f"{self.id}.{self.first}.{key_text(self._bytes)}"

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"


class MasterKeys:
    """The master keys of this installation, newest first. They come from the settings where those have any."""

    def __init__(self, data_dir: Path, given: Secret | None = None) -> None:
        self._file = KeyFile(data_dir / FILE, "identity master key", "identity_master_key", given, VaultRefused)
        self._keys: tuple[MasterKey, ...] = ()
        self._by_id: dict[str, WrappingKey] = {}
        # How far the keys are to have moved, by id: what the settings hold stands as it is, and is moved in memory.
        self._forward: dict[str, int] = {}
        self._retired: frozenset[str] = frozenset()
        self.reload()

    @property
    def from_settings(self) -> bool:
        return self._file.from_settings

    @property
    def place(self) -> str:
        """Where the keys are, for sentences."""
        return self._file.place

    @property
    def all(self) -> tuple[MasterKey, ...]:
        return self._keys

    def get(self, key_id: str) -> WrappingKey | None:
        """The key of this id, of either kind."""
        return self._by_id.get(key_id)

    def master_of(self, key_id: str) -> MasterKey | None:
        """The master key that the key of this id follows from."""
        return next((key for key in self._keys if key_id in _ids(key)), None)

    def lookups(self, kind: str, number: str, days: range) -> list[bytes]:
        """Whatever a number may be found by, newest days first, those within `days` only."""
        found = []
        for key in self._keys:
            if key.plain is not None:
                found.append(key.plain.lookup(kind, number, None))
            first = max(days.start, key.days.first)
            found += [key.days.lookup(kind, number, day) for day in range(days.stop - 1, first - 1, -1)]
        return found

    def reload(self) -> None:
        """Read them again. Raises VaultRefused where what is there is not a key."""
        keys = [self._moved(key) for key in self._read(self._file.words())]
        self._keys = tuple(keys)
        self._by_id = {key.days.id: key.days for key in keys} | {
            key.plain.id: key.plain for key in keys if key.plain is not None
        }

    def behind(self) -> list[str]:
        """The ids of keys that stand in their place as they were before a purge or rotation. Raises VaultRefused."""
        written = self._read(self._file.words())
        return [key.id for key in written if self._moved(key) is not key or key.id in self._retired]

    def open_purged(self, first_days: dict[str, int], retired: Collection[str], in_force: Collection[str]) -> bool:
        """Return whether `move_forward` or `drop_retired` would change a key that stands in its place. Raises VaultRefused."""
        for key in self._read(self._file.words()):
            first = first_days.get(key.id)
            if first is not None and key.forward(first) is not key:
                return True
            if not _ids(key).isdisjoint(retired) and _ids(key).isdisjoint(in_force):
                return True
        return False

    def _moved(self, key: MasterKey) -> MasterKey:
        first = self._forward.get(key.id)
        return key if first is None else key.forward(first)

    def make_first(self) -> MasterKey:
        """Make the first key and its file, unless somebody else has just done so. Raises VaultRefused."""
        self._file.make_first(new_key())
        self.reload()
        return self.all[0]

    def add(self, key: MasterKey) -> None:
        """Put a new key before the others, durably. Only where they are in a file."""
        self._change(lambda keys: [key, *keys])

    def drop_all_but(self, key_ids: Collection[str]) -> None:
        """Forget every key that is none of these and that none of them follows from. Only where they are in a file."""
        self._change(lambda keys: [key for key in keys if not _ids(key).isdisjoint(key_ids)])

    def drop_retired(self, retired: Collection[str], in_force: Collection[str]) -> None:
        """Forget keys that are retired in every form. Where they are in the settings, they count as behind."""

        def kept(key: MasterKey) -> bool:
            return _ids(key).isdisjoint(retired) or not _ids(key).isdisjoint(in_force)

        self._retired = frozenset(key.id for key in self._keys if not kept(key))
        if self._retired and not self.from_settings:
            self._change(lambda keys: filter(kept, keys))

    def write_to(self, file: Path) -> None:
        """Write the keys that are still needed, as far as they have moved, into a new file, as a setting holds them.

        Raises VaultRefused.
        """
        words = [key.text() for key in self._keys if key.id not in self._retired]
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(",".join(words) + "\n")
                out.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise VaultRefused(f"{file} cannot be written: {error.strerror}.") from None

    def move_forward(self, first_days: dict[str, int]) -> None:
        """Destroy the keys of days before these, by id: durably where they are in a file, else in memory.

        Raises VaultRefused where the file cannot be written; the keys in memory have moved all the same.
        """
        self._forward |= first_days
        try:
            if self.behind() and not self.from_settings:
                self._change(lambda keys: [self._moved(key) for key in keys])
        finally:
            self.reload()

    def _change(self, new: Callable[[list[MasterKey]], Iterable[MasterKey]]) -> None:
        self._file.change(lambda words: [key.text() for key in new(self._read(words))])
        self.reload()

    def _read(self, words: Sequence[str]) -> list[MasterKey]:
        keys = []
        for word in words:
            moved = _FORWARD.fullmatch(word)
            if moved is None:
                keys.append(MasterKey(self._file.decode(word)))
            else:
                keys.append(MasterKey(self._file.decode(moved[3]), key_id=moved[1], first=int(moved[2])))
        return keys


def _ids(key: MasterKey) -> set[str]:
    return {key.days.id} if key.plain is None else {key.days.id, key.plain.id}
