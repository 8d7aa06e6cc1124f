"""The allowance of several nodes: the same verdicts from the memory storage of `limits` and from a real Redis."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import structlog
from limits.aio.storage import MemoryStorage
from redis.exceptions import ConnectionError as RedisConnectionError

from telvend.kit.allowance import HIGHEST_LIMIT, AllowanceKind, AllowanceVerdict, SharedAllowance
from telvend.kit.allowance_redis import RedisAllowance

REDIS_SERVER = shutil.which("redis-server")
STORAGES = ["memory", "redis"] if REDIS_SERVER else ["memory"]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedAllowance]:
    with closing(SharedAllowance(tmp_path / "allowances", slots=64)) as opened:
        yield opened


class Redis:
    """A redis-server of our own, on a socket."""

    def __init__(self) -> None:
        # Not under tmp_path: the path of a socket has at most 107 characters.
        self.directory = tempfile.mkdtemp(prefix="redis-")
        self.socket = f"{self.directory}/socket"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert REDIS_SERVER is not None
        self.process = subprocess.Popen(
            [REDIS_SERVER, "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", self.directory],
            stdout=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + 20
        while not os.path.exists(self.socket) and time.monotonic() < give_up:
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        with suppress(FileNotFoundError):
            os.unlink(self.socket)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    server = Redis()
    if REDIS_SERVER:
        server.start()
    yield server
    server.stop()
    shutil.rmtree(server.directory)


@pytest.fixture(params=STORAGES)
async def allowance(
    request: pytest.FixtureRequest, redis: Redis, shared: SharedAllowance
) -> AsyncIterator[RedisAllowance]:
    if request.param == "memory":
        opened = RedisAllowance(MemoryStorage(), shared)
    else:
        opened = RedisAllowance.at(redis.url, shared)
        # The first connection of a busy machine may take longer than an answer; the tests below mean to ask Redis.
        opened._answer_within_s = 10
    yield opened
    await opened.close()


async def test_the_limit_passes_and_the_next_one_is_told_when(allowance: RedisAllowance) -> None:
    key = os.urandom(16)
    assert [await allowance.take(key, AllowanceKind.READ, 3) for _ in range(4)] == [
        AllowanceVerdict(True, 3, 2, 60, 0),
        AllowanceVerdict(True, 3, 1, 60, 0),
        AllowanceVerdict(True, 3, 0, 60, 0),
        AllowanceVerdict(False, 3, 0, 60, 60),
    ]
    assert (await allowance.take(key, AllowanceKind.PURCHASE, 3)).allowed
    assert (await allowance.take(os.urandom(16), AllowanceKind.READ, 3)).allowed


async def test_any_number_at_once_pass_exactly_the_limit(allowance: RedisAllowance) -> None:
    key = os.urandom(16)
    verdicts = await asyncio.gather(*(allowance.take(key, AllowanceKind.PURCHASE, 30) for _ in range(100)))
    assert sum(verdict.allowed for verdict in verdicts) == 30


async def test_a_raised_limit_counts_what_has_already_passed(allowance: RedisAllowance) -> None:
    key = os.urandom(16)
    for _ in range(5):
        await allowance.take(key, AllowanceKind.READ, 5)
    assert not (await allowance.take(key, AllowanceKind.READ, 5)).allowed
    assert (await allowance.take(key, AllowanceKind.READ, 50)).remaining == 44


async def test_a_very_high_limit_takes_no_entry_per_request(allowance: RedisAllowance) -> None:
    key = os.urandom(16)
    for passed in range(1, 20):
        assert (await allowance.take(key, AllowanceKind.READ, 10_000_000)).remaining == 10_000_000 - passed


@pytest.mark.parametrize("limit", [0, HIGHEST_LIMIT + 1])
async def test_a_limit_that_cannot_be_counted_is_refused(allowance: RedisAllowance, limit: int) -> None:
    with pytest.raises(ValueError, match="A limit is between"):
        await allowance.take(os.urandom(16), AllowanceKind.READ, limit)


async def test_the_window_slides(shared: SharedAllowance, monkeypatch: pytest.MonkeyPatch) -> None:
    allowance = RedisAllowance(MemoryStorage(), shared)
    key = os.urandom(16)
    now_s = 1_000_000_059.5
    monkeypatch.setattr(time, "time", lambda: now_s)
    assert [(await allowance.take(key, AllowanceKind.READ, 60)).allowed for _ in range(61)] == [True] * 60 + [False]
    now_s += 1  # over the minute's edge
    refused = await allowance.take(key, AllowanceKind.READ, 60)
    assert not refused.allowed
    now_s += refused.retry_after_s
    assert (await allowance.take(key, AllowanceKind.READ, 60)).allowed


class UncertainStorage(MemoryStorage):
    """A storage that can be broken and slowed down."""

    broken = False
    silent = False
    asked = 0

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked += 1
        if self.silent:
            await asyncio.sleep(60)
        if self.broken:
            raise RedisConnectionError
        return await super().acquire_entry(key, limit, expiry, amount)


@pytest.mark.parametrize("trouble", ["broken", "silent"])
async def test_without_redis_the_node_grants_by_itself_and_nobody_waits_twice(
    shared: SharedAllowance, trouble: str
) -> None:
    storage = UncertainStorage()
    allowance = RedisAllowance(storage, shared, answer_within_s=0.05)
    key = os.urandom(16)
    setattr(storage, trouble, True)
    with structlog.testing.capture_logs() as logs:
        began = time.monotonic()
        verdicts = [await allowance.take(key, AllowanceKind.READ, 10) for _ in range(20)]
        assert time.monotonic() - began < 0.5
        assert [verdict.allowed for verdict in verdicts] == [True] * 10 + [False] * 10
        assert storage.asked == 1
        # A second later one request asks Redis again, and no other waits for it.
        allowance._leave_alone_until_s = 0.0
        other = os.urandom(16)
        assert all(
            verdict.allowed
            for verdict in await asyncio.gather(*(allowance.take(other, AllowanceKind.READ, 10) for _ in range(10)))
        )
        assert storage.asked == 2
        setattr(storage, trouble, False)
        allowance._leave_alone_until_s = 0.0
        assert (await allowance.take(key, AllowanceKind.READ, 10)).allowed  # Redis has counted nothing of this key
        assert storage.asked == 3
    assert [line["event"] for line in logs] == ["allowance_redis_away", "allowance_redis_back"]


async def test_an_address_without_a_redis_is_answered_by_the_node(shared: SharedAllowance) -> None:
    allowance = RedisAllowance.at("redis://127.0.0.1:1/0", shared)
    key = os.urandom(16)
    assert [(await allowance.take(key, AllowanceKind.READ, 2)).allowed for _ in range(3)] == [True, True, False]
    assert shared.take(key, AllowanceKind.READ, 3).remaining == 0
    await allowance.close()


@pytest.mark.parametrize("server", [Redis] if REDIS_SERVER else [])
async def test_two_nodes_share_what_redis_counts_and_a_killed_redis_is_no_outage(
    server: type[Redis], tmp_path: Path
) -> None:
    redis = server()
    try:
        redis.start()
        with (
            closing(SharedAllowance(tmp_path / "one", slots=16)) as one,
            closing(SharedAllowance(tmp_path / "two", slots=16)) as two,
        ):
            nodes = [RedisAllowance.at(redis.url, one), RedisAllowance.at(redis.url, two)]
            for node in nodes:
                node._answer_within_s = 10
            key = os.urandom(16)
            verdicts = [await node.take(key, AllowanceKind.READ, 10) for _ in range(10) for node in nodes]
            assert sum(verdict.allowed for verdict in verdicts) == 10
            redis.stop()
            assert (await nodes[0].take(key, AllowanceKind.READ, 10)).remaining == 9
            redis.start()
            nodes[0]._leave_alone_until_s = 0.0
            assert (await nodes[0].take(key, AllowanceKind.READ, 10)).remaining == 9
            assert (await nodes[1].take(key, AllowanceKind.READ, 10)).remaining == 8
            for node in nodes:
                await node.close()
    finally:
        redis.stop()
        shutil.rmtree(redis.directory)
