"""The rate limiter of a node: exact, shared by processes, and none the worse for a process that dies."""

import asyncio
import math
import multiprocessing
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telvend.kit import allowance
from telvend.kit.allowance import HIGHEST_LIMIT, AllowanceKind, AllowanceVerdict, SharedAllowance
from telvend.kit.allowance_node import NodeAllowance
from telvend.resellers.service import PURCHASE_LIMIT, READ_LIMIT

KEY = bytes(range(16))
OTHER_KEY = bytes(range(1, 17))


class FakeClock:
    """A clock that is moved by hand, in ms."""

    def __init__(self, now_ms: int = 1_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms * 1_000_000 + 999_999


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "allowances"


@pytest.fixture
def shared(path: Path, clock: FakeClock) -> Iterator[SharedAllowance]:
    with closing(SharedAllowance(path, slots=64, clock_ns=clock)) as opened:
        yield opened


def test_the_limit_passes_and_the_next_one_is_told_when(shared: SharedAllowance, clock: FakeClock) -> None:
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(True, 3, 2, 60, 0)
    clock.now_ms += 10_500
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(True, 3, 1, 50, 0)
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(True, 3, 0, 50, 0)
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(False, 3, 0, 50, 50)
    clock.now_ms += 49_499
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(False, 3, 0, 1, 1)
    clock.now_ms += 1
    assert shared.take(KEY, AllowanceKind.READ, 3) == AllowanceVerdict(True, 3, 0, 11, 0)


def test_keys_and_kinds_have_allowances_of_their_own(shared: SharedAllowance) -> None:
    assert shared.take(KEY, AllowanceKind.READ, 1).allowed
    assert not shared.take(KEY, AllowanceKind.READ, 1).allowed
    assert shared.take(KEY, AllowanceKind.PURCHASE, 1).allowed
    assert shared.take(OTHER_KEY, AllowanceKind.READ, 1).allowed


def test_a_refused_request_does_not_make_the_wait_longer(shared: SharedAllowance, clock: FakeClock) -> None:
    for _ in range(30):
        assert shared.take(KEY, AllowanceKind.PURCHASE, 30).allowed
    for _ in range(59):
        clock.now_ms += 1000
        assert not shared.take(KEY, AllowanceKind.PURCHASE, 30).allowed
    clock.now_ms += 1000
    assert shared.take(KEY, AllowanceKind.PURCHASE, 30).remaining == 29


def test_a_minutes_edge_does_not_double_the_allowance(shared: SharedAllowance, clock: FakeClock) -> None:
    clock.now_ms = 60_000 * 1000 - 1
    assert [shared.take(KEY, AllowanceKind.READ, 60).allowed for _ in range(61)] == [True] * 60 + [False]
    clock.now_ms += 2
    assert not shared.take(KEY, AllowanceKind.READ, 60).allowed


def test_a_key_that_was_idle_has_its_whole_allowance(shared: SharedAllowance, clock: FakeClock) -> None:
    for _ in range(60):
        shared.take(KEY, AllowanceKind.READ, 60)
    for idle_ms in (60_000, 61_000, 3_600_000, 10**10):
        clock.now_ms += idle_ms
        assert [shared.take(KEY, AllowanceKind.READ, 60).allowed for _ in range(61)] == [True] * 60 + [False]


def test_a_lowered_limit_says_truly_how_long_to_wait(shared: SharedAllowance, clock: FakeClock) -> None:
    for _ in range(10):
        shared.take(KEY, AllowanceKind.READ, 10)
        clock.now_ms += 1000
    refused = shared.take(KEY, AllowanceKind.READ, 3)
    assert not refused.allowed
    clock.now_ms += (refused.retry_after_s - 1) * 1000
    assert not shared.take(KEY, AllowanceKind.READ, 3).allowed
    clock.now_ms += 1000
    assert shared.take(KEY, AllowanceKind.READ, 3).allowed


def test_a_raised_limit_counts_what_has_already_passed(shared: SharedAllowance) -> None:
    for _ in range(60):
        shared.take(KEY, AllowanceKind.READ, 60)
    assert shared.take(KEY, AllowanceKind.READ, 10_000_000).remaining == 10_000_000 - 61


@pytest.mark.parametrize("limit", [0, -1, HIGHEST_LIMIT + 1])
def test_a_limit_that_cannot_be_counted_is_refused(shared: SharedAllowance, limit: int) -> None:
    with pytest.raises(ValueError, match="A limit is between"):
        shared.take(KEY, AllowanceKind.READ, limit)


def test_the_highest_limit_is_counted_to_its_end(shared: SharedAllowance, clock: FakeClock) -> None:
    shared.take(KEY, AllowanceKind.READ, HIGHEST_LIMIT)
    # Sixteen million calls would take a minute; the count is written into its bucket instead.
    word, _, _ = shared._places[AllowanceKind.READ][KEY]
    bucket = word + 3 + clock.now_ms // 1000 % 61
    shared._words[bucket] += HIGHEST_LIMIT - 2
    shared._words[word + 2] += HIGHEST_LIMIT - 2
    assert shared.take(KEY, AllowanceKind.READ, HIGHEST_LIMIT).remaining == 0
    assert not shared.take(KEY, AllowanceKind.READ, HIGHEST_LIMIT).allowed
    clock.now_ms += 60_000
    assert shared.take(KEY, AllowanceKind.READ, HIGHEST_LIMIT).remaining == HIGHEST_LIMIT - 1


steps_ms = st.one_of(
    st.sampled_from([0, 1, 499, 999, 1000, 1001, 59_000, 59_999, 60_000, 60_001, 61_000, 120_000]),
    st.integers(0, 3_000),
    st.integers(0, 130_000),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(steps_ms, st.integers(1, 8), st.integers(1, 6)), max_size=60),
    st.integers(10**6, 10**12),
    st.booleans(),
)
def test_against_a_list_of_times(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]], start_ms: int, one_limit: bool
) -> None:
    """Never more than the limit in any 60 s, never refused without cause, and Retry-After is kept."""
    clock = FakeClock(start_ms)
    path = tmp_path_factory.mktemp("model") / "allowances"
    passed: deque[int] = deque()
    with closing(SharedAllowance(path, slots=4, clock_ns=clock)) as shared:
        for step_ms, requests, limit in steps:
            limit = 5 if one_limit else limit
            clock.now_ms += step_ms
            for _ in range(requests):
                now_ms = clock.now_ms
                in_window = [time_ms for time_ms in passed if now_ms - time_ms < 60_000]
                # Where a bucket is counted until its youngest is a minute old, up to one second more is counted.
                counted_at_most = sum(1 for time_ms in passed if now_ms - time_ms < 61_000)
                verdict = shared.take(KEY, AllowanceKind.READ, limit)
                if verdict.allowed:
                    assert len(in_window) < limit
                    assert 0 <= verdict.remaining <= limit - len(in_window) - 1
                    assert verdict.retry_after_s == 0
                    passed.append(now_ms)
                else:
                    assert counted_at_most >= limit
                    assert verdict.remaining == 0
                    assert 1 <= verdict.retry_after_s == verdict.reset_s
                assert 1 <= verdict.reset_s <= 60
        if steps:
            refused = shared.take(KEY, AllowanceKind.READ, limit)
            if not refused.allowed:
                clock.now_ms += refused.retry_after_s * 1000
                assert shared.take(KEY, AllowanceKind.READ, limit).allowed


def test_a_steady_client_below_the_limit_is_never_refused(shared: SharedAllowance, clock: FakeClock) -> None:
    generator = random.Random(7)
    for _ in range(2_000):
        clock.now_ms += 1000 + generator.randrange(100)
        assert shared.take(KEY, AllowanceKind.READ, 61).allowed


def test_a_second_process_or_a_restart_gives_no_second_allowance(path: Path, clock: FakeClock) -> None:
    with closing(SharedAllowance(path, slots=64, clock_ns=clock)) as first:
        for _ in range(20):
            first.take(KEY, AllowanceKind.READ, 30)
        with closing(SharedAllowance(path, slots=64, clock_ns=clock)) as second:
            assert second.take(KEY, AllowanceKind.READ, 30).remaining == 9
        assert first.take(KEY, AllowanceKind.READ, 30).remaining == 8
    with closing(SharedAllowance(path, slots=64, clock_ns=clock)) as restarted:
        assert restarted.take(KEY, AllowanceKind.READ, 30).remaining == 7


def test_counts_of_another_boot_lock_nobody_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SharedAllowance(path, slots=64, clock_ns=FakeClock(10**12))) as before:
        assert before.take(KEY, AllowanceKind.READ, 1).allowed
    monkeypatch.setattr(allowance, "_boot_id", lambda: bytes(16))
    with closing(SharedAllowance(path, slots=64, clock_ns=FakeClock(5_000))) as after:
        assert after.take(KEY, AllowanceKind.READ, 1).allowed


def test_times_of_a_future_that_no_clock_of_ours_wrote_lock_nobody_out(path: Path) -> None:
    with closing(SharedAllowance(path, slots=64, clock_ns=FakeClock(10**12))) as before:
        assert before.take(KEY, AllowanceKind.READ, 1).allowed
    with closing(SharedAllowance(path, slots=64, clock_ns=FakeClock(5_000))) as after:
        assert after.take(KEY, AllowanceKind.READ, 1).allowed
        assert not after.take(KEY, AllowanceKind.READ, 1).allowed


@pytest.mark.parametrize("content", [b"", b"something else entirely", bytes(4096 + 64 * 512)])
def test_a_file_of_another_shape_is_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with closing(SharedAllowance(path, slots=64)) as shared:
        assert shared.take(KEY, AllowanceKind.READ, 1).allowed
        assert path.stat().st_mode & 0o777 == 0o600
        assert not path.with_name("allowances.new").exists()


def test_a_full_table_gives_up_the_key_that_was_used_longest_ago(path: Path, clock: FakeClock) -> None:
    with closing(SharedAllowance(path, slots=16, clock_ns=clock)) as shared:
        keys = [bytes([number]) * 16 for number in range(17)]
        for key in keys[:16]:
            assert shared.take(key, AllowanceKind.READ, 1).allowed
            clock.now_ms += 100
        for key in keys[1:16]:
            assert not shared.take(key, AllowanceKind.READ, 1).allowed
        assert shared.take(keys[16], AllowanceKind.READ, 1).allowed  # takes the slot of the first
        for key in keys[2:]:
            assert not shared.take(key, AllowanceKind.READ, 1).allowed
        assert shared.take(keys[0], AllowanceKind.READ, 1).allowed  # takes the slot of the second
        assert not shared.take(keys[0], AllowanceKind.READ, 1).allowed


def test_idle_slots_are_given_to_other_keys_and_keys_in_use_keep_theirs(path: Path, clock: FakeClock) -> None:
    with closing(SharedAllowance(path, slots=16, clock_ns=clock)) as shared:
        for number in range(15):
            shared.take(bytes([number]) * 16, AllowanceKind.READ, 60)
        clock.now_ms += 59_999
        for _ in range(60):
            assert shared.take(KEY, AllowanceKind.READ, 60).allowed
        clock.now_ms += 1
        for number in range(100, 115):
            assert shared.take(bytes([number]) * 16, AllowanceKind.READ, 60).remaining == 59
        assert not shared.take(KEY, AllowanceKind.READ, 60).allowed


def test_many_keys_collide_without_sharing_counts(path: Path, clock: FakeClock) -> None:
    with closing(SharedAllowance(path, slots=256, clock_ns=clock)) as shared:
        keys = [struct.pack(">QQ", 0, number) for number in range(80)]
        for turn in range(5):
            for key in keys:
                assert shared.take(key, AllowanceKind.READ, 9).remaining == 8 - turn
                assert shared.take(key, AllowanceKind.PURCHASE, 9).remaining == 8 - turn


def test_a_slot_that_was_taken_by_another_process_is_noticed(path: Path, clock: FakeClock) -> None:
    with (
        closing(SharedAllowance(path, slots=1, clock_ns=clock)) as one,
        closing(SharedAllowance(path, slots=1, clock_ns=clock)) as another,
    ):
        assert one.take(KEY, AllowanceKind.READ, 1).allowed
        assert another.take(OTHER_KEY, AllowanceKind.READ, 1).allowed
        assert one.take(KEY, AllowanceKind.READ, 1).allowed  # its slot was gone; it has it back
        assert not one.take(KEY, AllowanceKind.READ, 1).allowed


HAMMER = """
import sys, time
from pathlib import Path
from telvend.kit.allowance import AllowanceKind, SharedAllowance
path, limit, requests = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
shared = SharedAllowance(path)
print("ready", flush=True)
sys.stdin.readline()
print(sum(shared.take(b"k" * 16, AllowanceKind.READ, limit).allowed for _ in range(requests)), flush=True)
"""


def test_processes_together_pass_exactly_the_limit(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(path), "5000", "2500"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:  # All of them before any is waited for, so that they really run at once.
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        passed = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sum(map(int, passed)) == 5000


def _take_after_fork(shared: SharedAllowance, passed: "multiprocessing.Queue[int]", start: "Barrier") -> None:
    start.wait(60)
    passed.put(sum(shared.take(KEY, AllowanceKind.READ, 5000).allowed for _ in range(2500)))


def test_forked_processes_share_what_their_parent_opened(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    passed = context.Queue()
    start = context.Barrier(4)
    with closing(SharedAllowance(path)) as shared:
        processes = [context.Process(target=_take_after_fork, args=(shared, passed, start)) for _ in range(4)]
        for process in processes:
            process.start()
        total = sum(passed.get(timeout=60) for _ in processes)
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    assert total == 5000


@pytest.fixture
def often_switching() -> Iterator[None]:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


def test_threads_together_pass_exactly_the_limit(path: Path, often_switching: None) -> None:
    with closing(SharedAllowance(path)) as shared:
        passed: list[bool] = []

        def hammer() -> None:
            passed.extend(shared.take(KEY, AllowanceKind.READ, 5000).allowed for _ in range(2500))

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(passed) == 5000


COUNT_ALOUD = """
import os, sys
from pathlib import Path
from telvend.kit.allowance import AllowanceKind, SharedAllowance
shared = SharedAllowance(Path(sys.argv[1]))
while True:
    if shared.take(b"k" * 16, AllowanceKind.READ, 1_000_000).allowed:
        os.write(1, b".")
"""


def test_a_process_killed_at_any_moment_leaves_no_lock_and_loses_no_request(path: Path) -> None:
    """What has been let through is counted; at most the one request that was being counted is counted besides."""
    generator = random.Random(11)
    said = 0
    with closing(SharedAllowance(path)) as shared:
        for round_ in range(1, 13):
            process = subprocess.Popen(
                [sys.executable, "-c", COUNT_ALOUD, str(path)], stdout=subprocess.PIPE, bufsize=0
            )
            assert process.stdout is not None
            said += len(process.stdout.read(1))
            time.sleep(generator.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            said += len(process.stdout.read())
            process.stdout.close()
            process.wait()
            began = time.monotonic()
            verdict = shared.take(b"k" * 16, AllowanceKind.READ, 1_000_000)
            assert time.monotonic() - began < 1
            said += 1
            word, _, _ = shared._places[AllowanceKind.READ][b"k" * 16]
            _, used = shared._summarize(word, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)
            # Each kill may have come between the count and its announcement.
            assert said <= used <= said + round_
            assert verdict.remaining >= 1_000_000 - said - round_


@pytest.mark.parametrize("stop_after", range(1, 11))
def test_a_death_between_two_writes_lets_nobody_more_through(path: Path, clock: FakeClock, stop_after: int) -> None:
    """Every word that is written is a moment to die; here the process dies before each of them in turn."""

    class Died(Exception):
        pass

    class DyingWords:
        def __init__(self, words: memoryview) -> None:
            self.words = words
            self.left = stop_after

        def __getitem__(self, index: int) -> int:
            value: int = self.words[index]
            return value

        def __setitem__(self, index: int, value: int) -> None:
            self.left -= 1
            if not self.left:
                raise Died
            self.words[index] = value

    with closing(SharedAllowance(path, slots=1, clock_ns=clock)) as other:
        # A slot of somebody else's has to be emptied first.
        other.take(OTHER_KEY, AllowanceKind.READ, 3)
        clock.now_ms += 60_000
        with closing(SharedAllowance(path, slots=1, clock_ns=clock)) as dying:
            words = dying._words
            dying._words = DyingWords(words)  # type: ignore[assignment]
            passed = 0
            try:
                for _ in range(5):
                    passed += dying.take(KEY, AllowanceKind.READ, 3).allowed
            except Died:
                pass
            finally:
                dying._words = words
        passed += sum(other.take(KEY, AllowanceKind.READ, 3).allowed for _ in range(5))
        assert passed in (2, 3)
        clock.now_ms += 59_999
        assert not other.take(KEY, AllowanceKind.READ, 3).allowed
        clock.now_ms += 1
        assert sum(other.take(KEY, AllowanceKind.READ, 3).allowed for _ in range(5)) == 3


def test_processes_that_start_at_once_make_one_file(path: Path) -> None:
    code = """
import sys
from pathlib import Path
from telvend.kit.allowance import AllowanceKind, SharedAllowance
print(SharedAllowance(Path(sys.argv[1])).take(b"k" * 16, AllowanceKind.READ, 100).remaining)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert sorted(int(process.communicate(timeout=60)[0]) for process in processes) == [96, 97, 98, 99]


async def test_a_node_allowance_is_the_shared_one_to_be_awaited(shared: SharedAllowance) -> None:
    node = NodeAllowance(shared)
    assert await node.take(KEY, AllowanceKind.READ, 2) == AllowanceVerdict(True, 2, 1, 60, 0)
    assert shared.take(KEY, AllowanceKind.READ, 2) == AllowanceVerdict(True, 2, 0, 60, 0)


async def turn(node: NodeAllowance, requests: int, limit: int, key: bytes = KEY) -> list[AllowanceVerdict]:
    """What so many requests are told that come in one turn of the event loop."""
    verdicts = [await node.take(key, AllowanceKind.READ, limit) for _ in range(requests)]
    await asyncio.sleep(0)
    return verdicts


@pytest.fixture
def half_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to half of a limit is counted ahead, so that small limits show what large ones do."""
    monkeypatch.setattr(allowance, "AHEAD_PART", 2)


@pytest.mark.usefixtures("half_ahead")
async def test_requests_that_come_together_are_told_what_single_ones_would_be(
    path: Path, tmp_path: Path, clock: FakeClock
) -> None:
    with (
        closing(SharedAllowance(path, slots=64, clock_ns=clock)) as shared,
        closing(SharedAllowance(tmp_path / "alone", slots=64, clock_ns=clock)) as alone,
    ):
        node = NodeAllowance(shared)
        for count in (1, 40, 40, 7, 90, 25, 3, 60):
            told = await turn(node, count, 200)
            assert told == [alone.take(KEY, AllowanceKind.READ, 200) for _ in range(count)]
            clock.now_ms += 300


@pytest.mark.usefixtures("half_ahead")
async def test_what_is_counted_ahead_and_does_not_come_is_given_back(shared: SharedAllowance) -> None:
    node = NodeAllowance(shared)
    await turn(node, 30, 200)
    await node.take(KEY, AllowanceKind.READ, 200)
    assert shared.take(KEY, AllowanceKind.READ, 200).remaining == 200 - 30 - 30 - 1  # 29 of them are expected.
    await asyncio.sleep(0)
    assert shared.take(KEY, AllowanceKind.READ, 200).remaining == 200 - 30 - 1 - 2


@pytest.mark.usefixtures("half_ahead")
async def test_nobody_is_refused_for_requests_that_may_not_come(shared: SharedAllowance) -> None:
    node = NodeAllowance(shared)
    await turn(node, 40, 100)
    await node.take(KEY, AllowanceKind.READ, 100)
    # Half of the limit and no more is given ahead.
    assert sum(shared.take(KEY, AllowanceKind.READ, 100).allowed for _ in range(100)) == 50


@pytest.mark.usefixtures("half_ahead")
async def test_late_requests_do_not_pass_on_what_was_counted_before(
    path: Path, clock: FakeClock, shared: SharedAllowance
) -> None:
    node = NodeAllowance(shared)
    await turn(node, 20, 100)
    await node.take(KEY, AllowanceKind.READ, 100)
    clock.now_ms += allowance.AHEAD_MS + 1
    with closing(SharedAllowance(path, slots=64, clock_ns=clock)) as other:
        before = other.take(KEY, AllowanceKind.READ, 100).remaining
        assert before == 100 - 20 - 20 - 1
        assert (await node.take(KEY, AllowanceKind.READ, 100)).remaining == 100 - 20 - 3


@pytest.mark.usefixtures("half_ahead")
@pytest.mark.parametrize("another_comes", [False, True])
async def test_what_passes_later_than_it_was_counted_stays_counted_for_sixty_seconds_from_then(
    shared: SharedAllowance, clock: FakeClock, another_comes: bool
) -> None:
    node = NodeAllowance(shared)
    await turn(node, 2, 10)
    clock.now_ms += 1000
    await node.take(KEY, AllowanceKind.READ, 10)  # And one ahead.
    if another_comes:
        clock.now_ms += 5
        assert shared.take(KEY, AllowanceKind.READ, 10).allowed
    clock.now_ms += allowance.AHEAD_MS - 5 * another_comes
    assert (await node.take(KEY, AllowanceKind.READ, 10)).allowed
    await asyncio.sleep(0)
    clock.now_ms += 59_999
    assert sum(shared.take(KEY, AllowanceKind.READ, 10).allowed for _ in range(10)) == 8 - another_comes
    clock.now_ms += 1
    assert sum(shared.take(KEY, AllowanceKind.READ, 10).allowed for _ in range(10)) == 2 + another_comes


@given(
    limit=st.integers(1, 60),
    turns=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(1, 30),
            st.sampled_from([0, 1, 5, 19, 20, 21, 400, 999, 1500, 30_000, 60_000]),
        ),
        max_size=40,
    ),
    death=st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_two_processes_that_count_ahead_never_pass_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, turns: list[tuple[int, int, int]], death: int
) -> None:
    """What is run: turns of either process, the time that passes in the middle of each and after it; one dies with what it has ahead."""
    clock = FakeClock()
    passed: deque[int] = deque()

    async def run(both: list[SharedAllowance]) -> None:
        nodes = [NodeAllowance(one) for one in both]
        for number, (who, count, wait_ms) in enumerate(turns):
            for request in range(count):
                if request == count // 2:
                    clock.now_ms += wait_ms % 23
                if (await nodes[who].take(KEY, AllowanceKind.READ, limit)).allowed:
                    passed.append(clock.now_ms)
                if number == death and request == count // 3:
                    nodes[who] = NodeAllowance(both[who])
                while passed and passed[0] <= clock.now_ms - 60_000:
                    passed.popleft()
                assert len(passed) <= limit
            await asyncio.sleep(0)
            clock.now_ms += wait_ms
            while passed and passed[0] <= clock.now_ms - 60_000:
                passed.popleft()

    path = tmp_path_factory.mktemp("ahead") / "allowances"
    with (
        pytest.MonkeyPatch.context() as patched,
        closing(SharedAllowance(path, slots=1, clock_ns=clock)) as one,
        closing(SharedAllowance(path, slots=1, clock_ns=clock)) as other,
    ):
        patched.setattr(allowance, "AHEAD_PART", 2)
        asyncio.run(run([one, other]))


async def test_of_a_small_limit_two_processes_tell_exactly_what_is_left(shared: SharedAllowance) -> None:
    node = NodeAllowance(shared)
    told = [verdict.remaining for verdict in await turn(node, 20, 60)]
    told.append((await node.take(KEY, AllowanceKind.READ, 60)).remaining)
    told.append(shared.take(KEY, AllowanceKind.READ, 60).remaining)
    assert told == list(range(59, 37, -1))


async def test_a_hundredth_of_a_large_limit_is_counted_ahead(shared: SharedAllowance) -> None:
    node = NodeAllowance(shared)
    await turn(node, 20, 1000)
    await node.take(KEY, AllowanceKind.READ, 1000)
    assert shared.take(KEY, AllowanceKind.READ, 1000).remaining == 1000 - 20 - 1 - 10 - 1


def test_the_real_clock_and_the_built_in_limits(path: Path) -> None:
    with closing(SharedAllowance(path)) as shared:
        assert shared.take(os.urandom(16), AllowanceKind.READ, READ_LIMIT).remaining == 59
        verdict = shared.take(os.urandom(16), AllowanceKind.PURCHASE, PURCHASE_LIMIT)
        assert verdict.remaining == 29
        assert verdict.reset_s == math.floor(allowance.WINDOW_S)
