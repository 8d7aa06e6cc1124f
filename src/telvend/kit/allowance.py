"""How many requests a key may make in a minute, counted for all processes of a node in one file of shared memory.

`SharedAllowance.take()` counts one request and says whether it may pass. The window slides: in no 60 seconds do more
than `limit` requests pass, at a minute's edge no more than elsewhere. The answer costs about 4 µs, whatever the limit.
Every request that passes here is counted, also one that the API refuses afterwards; a request that is refused here is
not, so that a client that asks too often does not lock itself out.

A process that expects many requests of one key in the next milliseconds counts them ahead (`take_ahead`) and passes them
without the lock; what did not come it gives back. kit/allowance_node.py does so.

Several nodes share allowances through Redis: kit/allowance_redis.py. `Allowance` is what both look like to a caller.

How it is stored
----------------
The file is a header of one page and then slots of 512 bytes, one per key and kind: 64 words of 8 bytes.

    0, 1   whose slot it is: 128 bits of BLAKE2 over kind and key; word 0 is never 0 in a slot that is taken
    2      when the oldest bucket expires, in ms << 24 | requests in the window
    3..63  61 buckets, one per second: when the bucket was last hit, in ms << 24 | its requests

A bucket is counted in full until its last request is 60,000 ms old. Hence the 61: sixty seconds touch at most so many.
Requests that are counted ahead may pass AHEAD_MS later, in the same second: the bucket is stamped with the end of that time.
Word 2 is only a summary of the buckets. It is made again when the oldest of them expires, so a request usually reads
and writes two words.

A slot is locked with a byte-range lock of fcntl, which the kernel takes back from a process that dies. What such a
process leaves is one of two states, since a word is written whole: nothing, or its request in a bucket and not yet in
the summary. That request never passed, so the summary lets nobody through who should not be, and is right again within a minute.

Slots are found by open addressing, at most 16 steps from where the hash points. A slot whose requests have all expired
may be taken by another key; where all 16 are in use, the one that was used longest ago is, and a warning is logged.
"""

import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Protocol
from uuid import UUID

import msgspec

from telvend.kit.log import LogLimit, get

WINDOW_S = 60
AHEAD_MS = 20
"""For so long requests that were counted ahead may pass."""
AHEAD_PART = 100
"""At most limit / AHEAD_PART requests are counted ahead, which is by how much `remaining` may be too low in other processes. For limits
below AHEAD_PART, as the usual ones are, it is exact."""
_GIVEN_BACK_WITHIN_MS = 1000
_WINDOW_MS = WINDOW_S * 1000
_BUCKETS = WINDOW_S + 1

_COUNT_BITS = 24
_COUNT = (1 << _COUNT_BITS) - 1
HIGHEST_LIMIT = _COUNT

_WORD_BYTES = 8
_SLOT_BYTES = 512
_SLOT_WORDS = _SLOT_BYTES // _WORD_BYTES
_SUMMARY = 2
_FIRST_BUCKET = 3
_HEADER_BYTES = 4096
_PROBES = 16

_HEADER = struct.Struct("<8sQ16s")
_MAGIC = b"tvallow1"
_ALL_BUCKETS = struct.Struct(f"={_BUCKETS}Q")
_OWNER = struct.Struct("=QQ")

# The lock of the table is its first byte; the lock of a slot is the first byte of the slot.
_TABLE_LOCK = 0

# Bound once: a lock is set and lifted for every request, and these two calls are half of its cost.
_lockf, _LOCK, _UNLOCK = fcntl.lockf, fcntl.LOCK_EX, fcntl.LOCK_UN

_since_boot_ns = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)

_log = get(__name__)


class AllowanceKind(IntEnum):
    """What a key has separate allowances for."""

    READ = 0
    PURCHASE = 1


class AllowanceVerdict(msgspec.Struct, frozen=True, gc=False):
    """Whether one request may pass, and what the headers of its answer say.

    `remaining` more may follow at once. In `reset_s` seconds `remaining` begins to grow again: that is what the drafts
    of the IETF mean by "reset" for a sliding window, and there it is the same moment as Retry-After.
    `retry_after_s` is 0 for a request that passes; one that does not will pass after so many seconds, if no other takes its place.
    Source: draft-ietf-httpapi-ratelimit-headers, "t: seconds until additional quota is made available" (10) and
    "RateLimit-Reset SHOULD reference the same point in time as Retry-After" (00 to 06).
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class Allowance(Protocol):
    """Counts requests of keys."""

    async def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        """Count one request of `key`, of which `limit` may pass in a minute (1 to HIGHEST_LIMIT)."""
        ...


class Ahead(msgspec.Struct, gc=False):
    """Requests of a key that are counted and have not come yet. `left` of them may pass until `until_ms`, by the clock of the
    allowance; `verdict` is that on the request that was counted with them."""

    first_word: int
    owner: int
    lock: int
    bucket: int
    until_ms: int
    left: int
    verdict: AllowanceVerdict


class SharedAllowance:
    """Allowances in a file that all processes of a node map into their memory.

    The file is made where there is none, and made anew after a reboot: the clock, CLOCK_BOOTTIME, starts again then,
    and the counts of another boot mean nothing. A process may fork after it has opened the file. Threads may share one
    object; two objects of one process on the same file must not be used by two threads.
    Its room (8 MB for 16,384 slots) is set aside at once, because a full disk would otherwise end a process at some
    later moment with SIGBUS; memory is used only for slots that are. Raises OSError.
    """

    def __init__(
        self,
        path: Path,
        *,
        slots: int = 16_384,
        clock_ns: Callable[[], int] = _since_boot_ns,
    ) -> None:
        self._slots = slots
        self._clock_ns = clock_ns
        self._file = _open(path, slots)
        self._memory = mmap.mmap(self._file, _file_bytes(slots))
        self._words = memoryview(self._memory).cast("Q")
        # Locks of fcntl belong to the process; this one keeps its threads apart.
        self._threads = threading.Lock()
        self._places: tuple[dict[bytes, tuple[int, int, int]], ...] = tuple({} for _ in AllowanceKind)
        self._evictions = LogLimit()

    def now_ms(self) -> int:
        """The clock of the allowance."""
        return self._clock_ns() // 1_000_000

    def take(self, key: bytes, kind: AllowanceKind, limit: int) -> AllowanceVerdict:
        """Count one request of `key`. Raises ValueError for a limit outside of 1 to HIGHEST_LIMIT."""
        return self.take_ahead(key, kind, limit, 0)[0]

    def take_ahead(
        self, key: bytes, kind: AllowanceKind, limit: int, ahead: int
    ) -> tuple[AllowanceVerdict, Ahead | None]:
        """Count one request of `key`, and `ahead` further ones that are expected at once.

        At most a hundredth of the limit is counted ahead, and nothing once half of the limit is used, so that no request is
        refused because of expected ones that do not come. Raises ValueError for a limit outside of 1 to HIGHEST_LIMIT.
        """
        if not 0 < limit <= HIGHEST_LIMIT:
            raise ValueError(f"A limit is between 1 and {HIGHEST_LIMIT} a minute, not {limit}.")
        while True:
            first_word, owner, lock = self._places[kind].get(key) or self._find(key, kind)
            with self._threads:
                _lockf(self._file, _LOCK, 1, lock)
                try:
                    if self._words[first_word] == owner:
                        verdict, until_ms, counted = self._count(first_word, limit, ahead)
                        if not counted:
                            return verdict, None
                        bucket = first_word + _FIRST_BUCKET + until_ms // 1000 % _BUCKETS
                        return verdict, Ahead(first_word, owner, lock, bucket, until_ms, counted, verdict)
                finally:
                    _lockf(self._file, _UNLOCK, 1, lock)
            # Another key has been given the slot since; look again.
            self._places[kind].pop(key, None)

    def close(self) -> None:
        """Let go of the file. The counts stay in it."""
        self._words.release()
        self._memory.close()
        os.close(self._file)

    def give_back(self, taken: Ahead) -> None:
        """Take requests off the count that were counted ahead and did not come."""
        words = self._words
        with self._threads:
            _lockf(self._file, _LOCK, 1, taken.lock)
            try:
                # A bucket that may be another second's by now keeps them: too few pass rather than too many.
                late = self.now_ms() - taken.until_ms > _GIVEN_BACK_WITHIN_MS
                if words[taken.first_word] != taken.owner or late:
                    return
                unused, taken.left = taken.left, 0
                for word in (taken.bucket, taken.first_word + _SUMMARY):
                    if words[word] & _COUNT >= unused:
                        words[word] -= unused
            finally:
                _lockf(self._file, _UNLOCK, 1, taken.lock)

    def _count(self, first_word: int, limit: int, ahead: int) -> tuple[AllowanceVerdict, int, int]:
        """Count one request in a slot that is ours and locked, and up to `ahead` further ones.

        Return the verdict, until when in ms those may pass, and how many they are.
        """
        words = self._words
        # The clock is read behind the lock, so that it never runs backwards from one holder to the next.
        now_ms = self._clock_ns() // 1_000_000
        summary = words[first_word + _SUMMARY]
        expires_ms = summary >> _COUNT_BITS
        used = summary & _COUNT
        if not 0 < expires_ms - now_ms <= _WINDOW_MS + AHEAD_MS:
            expires_ms, used = self._summarize(first_word, now_ms)
        if used >= limit:
            if used > limit:  # The limit has been lowered; more than the oldest bucket must expire.
                expires_ms = self._when_expired(first_word, now_ms, used - limit + 1)
            wait_s = (expires_ms - now_ms + 999) // 1000
            return AllowanceVerdict(False, limit, 0, wait_s, wait_s), 0, 0
        second = now_ms // 1000
        stamp_ms = now_ms
        if ahead:
            ahead = max(0, min(ahead, limit // AHEAD_PART, limit // 2 - used - 1))
            # Not beyond this second, so that no bucket's stamp is in another one.
            stamp_ms = min(now_ms + AHEAD_MS, second * 1000 + 999) if ahead else now_ms
        bucket = first_word + _FIRST_BUCKET + second % _BUCKETS
        in_bucket = words[bucket]
        before_ms = in_bucket >> _COUNT_BITS
        # What is not of this second is of 61 seconds ago or more, and expired.
        if -AHEAD_MS <= now_ms - before_ms < _WINDOW_MS:
            in_bucket &= _COUNT
            latest_ms = max(stamp_ms, before_ms)
        else:
            in_bucket, latest_ms = 0, stamp_ms
        if expires_ms - _WINDOW_MS >= second * 1000:  # The oldest bucket is this one, and has just become younger.
            expires_ms = latest_ms + _WINDOW_MS
        # Whoever dies between these two has let nobody through; the summary is made from the buckets again soon.
        words[bucket] = latest_ms << _COUNT_BITS | in_bucket + 1 + ahead
        words[first_word + _SUMMARY] = expires_ms << _COUNT_BITS | used + 1 + ahead
        reset_s = (expires_ms - now_ms + 999) // 1000
        return AllowanceVerdict(True, limit, limit - used - 1, min(reset_s, WINDOW_S), 0), stamp_ms, ahead

    def _summarize(self, first_word: int, now_ms: int) -> tuple[int, int]:
        """Make word 2 of a locked slot from its buckets; return when the oldest expires, in ms, and what they hold."""
        live = self._live_buckets(first_word, now_ms)
        expires_ms = (min(live) >> _COUNT_BITS if live else now_ms) + _WINDOW_MS
        used = min(sum(bucket & _COUNT for bucket in live), _COUNT)
        self._words[first_word + _SUMMARY] = expires_ms << _COUNT_BITS | used
        return expires_ms, used

    def _when_expired(self, first_word: int, now_ms: int, requests: int) -> int:
        """When, in ms, so many requests of the window will have expired."""
        expires_ms = now_ms
        for bucket in sorted(self._live_buckets(first_word, now_ms)):
            if requests <= 0:
                break
            requests -= bucket & _COUNT
            expires_ms = (bucket >> _COUNT_BITS) + _WINDOW_MS
        return max(expires_ms, now_ms + 1)

    def _live_buckets(self, first_word: int, now_ms: int) -> list[int]:
        # Whole words are compared, the time being their upper part. A time in the future belongs to no clock of ours.
        expired = max(now_ms - _WINDOW_MS, 0) << _COUNT_BITS | _COUNT
        future = now_ms + AHEAD_MS + 1 << _COUNT_BITS
        offset = (first_word + _FIRST_BUCKET) * _WORD_BYTES
        return [bucket for bucket in _ALL_BUCKETS.unpack_from(self._memory, offset) if expired < bucket < future]

    def _find(self, key: bytes, kind: AllowanceKind) -> tuple[int, int, int]:
        """Find the slot of a key, or give it one; remember and return its first word, its word 0 and its lock's byte.

        Word 0 is enough to see later that the slot is still the key's: 63 bits do not meet by chance in one slot.
        """
        high, low = _OWNER.unpack(blake2b(bytes([kind]) + key, digest_size=_OWNER.size).digest())
        high |= 1
        words = self._words
        run = [
            (_HEADER_BYTES + (low + step) % self._slots * _SLOT_BYTES) // _WORD_BYTES
            for step in range(min(_PROBES, self._slots))
        ]
        with self._threads:
            _lockf(self._file, _LOCK, 1, _TABLE_LOCK)
            try:
                found = next((slot for slot in run if words[slot] == high and words[slot + 1] == low), None)
                if found is None:
                    found = min(run, key=self._last_used_ms)
                    self._give(found, high, low)
            finally:
                _lockf(self._file, _UNLOCK, 1, _TABLE_LOCK)
        places = self._places[kind]
        if len(places) >= self._slots:  # Most of these keys have lost their slots long ago.
            places.clear()
        places[key] = (found, high, found * _WORD_BYTES)
        return places[key]

    def _last_used_ms(self, first_word: int) -> int:
        if not self._words[first_word]:
            return -1
        offset = (first_word + _FIRST_BUCKET) * _WORD_BYTES
        last_used: int = max(_ALL_BUCKETS.unpack_from(self._memory, offset)) >> _COUNT_BITS
        return last_used

    def _give(self, first_word: int, high: int, low: int) -> None:
        """Empty a slot and give it to a key; the table is locked."""
        words = self._words
        lock = first_word * _WORD_BYTES
        _lockf(self._file, _LOCK, 1, lock)
        try:
            now_ms = self._clock_ns() // 1_000_000
            if words[first_word] and 0 <= now_ms - self._last_used_ms(first_word) < _WINDOW_MS:
                self._evictions.write(
                    _log.warning, "allowance_table_full", slots=self._slots, problem="a key in use lost its counts"
                )
            # Nobody's first, the new owner's last: whoever dies in between leaves a slot that nobody looks for.
            words[first_word] = 0
            begin = first_word * _WORD_BYTES
            self._memory[begin + 2 * _WORD_BYTES : begin + _SLOT_BYTES] = bytes(_SLOT_BYTES - 2 * _WORD_BYTES)
            words[first_word + 1] = low
            words[first_word] = high
        finally:
            _lockf(self._file, _UNLOCK, 1, lock)


def _file_bytes(slots: int) -> int:
    return _HEADER_BYTES + slots * _SLOT_BYTES


def _boot_id() -> bytes:
    return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes


def _open(path: Path, slots: int) -> int:
    """Open the file, or put a new one into its place where it is missing, of another boot or of another shape.

    A new file appears whole, by a rename. A lock beside it sees to it that of two processes that find nothing one
    makes the file and the other opens it.
    """
    expected = _HEADER.pack(_MAGIC, slots, _boot_id())
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            pass
        else:
            if os.pread(file, _HEADER.size, 0) == expected and os.fstat(file).st_size == _file_bytes(slots):
                return file
            os.close(file)
        new_path = f"{path}.new"
        file = os.open(new_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(file, 0, _file_bytes(slots))
            os.pwrite(file, expected, 0)
            os.replace(new_path, path)
        except OSError:
            os.close(file)
            raise
        return file
    finally:
        os.close(lock)
