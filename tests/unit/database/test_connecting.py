"""Connecting to one of several hosts: which there are, and who wins."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from telvend.database import connecting
from telvend.database.connecting import Connector, for_asyncpg, for_libpq, hosts_of
from telvend.database.session import DatabaseRefused


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@db:5433/shop", [("db", 5433)]),
        ("postgresql://u:p@db/shop", [("db", None)]),
        ("postgresql://u:p%40x@a:1,b,[::1]:3/shop", [("a", 1), ("b", None), ("::1", 3)]),
        ("postgresql://u@/shop?host=/run/postgresql&port=5433", [("/run/postgresql", 5433)]),
        ("postgresql:///shop?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql:///shop?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("postgresql:///shop", []),
    ],
)
def test_the_hosts_of_a_url(url: str, hosts: list[tuple[str, int | None]]) -> None:
    assert hosts_of(url) == hosts


@pytest.mark.parametrize("url", ["postgresql://a:port/shop", "postgresql:///shop?host=a,b,c&port=1,2"])
def test_ports_that_are_none_are_an_error(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words for a number
        hosts_of(url)


def test_options_of_libpq_do_not_reach_asyncpg_and_libpq_gets_its_time_outs() -> None:
    url = "postgresql://u:p@a,b/shop?connect_timeout=9&sslmode=require"
    assert for_asyncpg(url) == "postgresql://u:p@a,b/shop?sslmode=require"
    assert "connect_timeout=9" in for_libpq(url)
    assert "target_session_attrs=primary" in for_libpq(url)
    assert "connect_timeout=3" in for_libpq("postgresql://u:p@a/shop")
    assert "target_session_attrs" not in for_libpq("postgresql://u:p@a/shop")


class Transport:
    def get_extra_info(self, _: str) -> None:
        return None


class Connected:
    def __init__(self, host: str, server: tuple[str, int]) -> None:
        self.host = host
        self.server = server
        self.terminated = False
        self._transport = Transport()

    def terminate(self) -> None:
        self.terminated = True

    async def fetchrow(self, _: str) -> dict[str, Any]:
        system, timeline = self.server
        return {"system": system, "timeline": timeline}


class Net:
    """Hosts by name: after so many seconds they connect, or fail so."""

    def __init__(self, **hosts: tuple[float, Exception | None]) -> None:
        self.hosts = hosts
        self.tried: list[str] = []
        self.made: list[Connected] = []
        self.timelines: dict[str, int] = {}

    async def connect(self, _dsn: str, *, host: str, port: int, timeout: float, **options: Any) -> Connected:  # noqa: ASYNC109
        assert port == 5432
        assert options["target_session_attrs"] == "primary"
        self.tried.append(host)
        after_s, error = self.hosts[host]
        try:
            await asyncio.wait_for(asyncio.sleep(after_s), timeout)
        except TimeoutError:
            raise TimeoutError(host) from None
        if error is not None:
            raise error
        self.made.append(Connected(host, ("1", self.timelines.get(host, 1))))
        return self.made[-1]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Net]:
    def make(**hosts: tuple[float, Exception | None]) -> Net:
        made = Net(**hosts)
        monkeypatch.setattr(asyncpg, "connect", made.connect)
        monkeypatch.setattr(connecting, "STAGGER_S", 0.02)
        monkeypatch.setattr(connecting, "FIRST_LOOK_S", 0.1)
        return made

    return make


SILENT = (60.0, None)
STANDBY = (0.0, asyncpg.TargetServerAttributeNotMatched("none"))


@pytest.mark.parametrize("order", ["a,b,c", "c,b,a", "b,a,c"])
async def test_a_silent_host_does_not_keep_the_primary_from_being_found(net: Callable[..., Net], order: str) -> None:
    hosts = net(a=SILENT, b=(0.01, None), c=SILENT)
    connector = Connector(f"postgresql://u@{order}/shop")
    async with asyncio.timeout(10):
        assert (await connector.connect(timeout=30)).host == "b"
        # The next connection goes straight there; a machine that stands still for a moment lets another begin too.
        hosts.tried.clear()
        assert (await connector.connect(timeout=30)).host == "b"
    assert hosts.tried[0] == "b"


async def test_a_standby_is_passed_by_and_another_primary_is_found_after_a_fail_over(net: Callable[..., Net]) -> None:
    hosts = net(a=(0.0, None), b=STANDBY)
    connector = Connector("postgresql://u@a,b/shop")
    assert (await connector.connect()).host == "a"
    hosts.hosts = {"a": SILENT, "b": (0.0, None)}
    async with asyncio.timeout(10):
        assert (await connector.connect(timeout=30)).host == "b"


async def test_of_two_that_answer_one_is_kept_and_the_other_is_closed(net: Callable[..., Net]) -> None:
    hosts = net(a=(0.03, None), b=(0.01, None))
    kept = await Connector("postgresql://u@a,b/shop").connect()
    await asyncio.sleep(0.1)
    assert all(made is kept or made.terminated for made in hosts.made)


async def test_what_a_host_said_tells_more_than_silence(net: Callable[..., Net]) -> None:
    net(a=(60.0, None), b=(0.0, asyncpg.InvalidPasswordError("no")))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await Connector("postgresql://u@a,b/shop").connect(timeout=0.05)
    net(a=SILENT, b=SILENT)
    with pytest.raises(TimeoutError):
        await Connector("postgresql://u@a,b/shop").connect(timeout=0.05)


@pytest.mark.parametrize("order", ["old,new", "new,old"])
async def test_a_primary_that_was_replaced_is_never_taken_again(net: Callable[..., Net], order: str) -> None:
    hosts = net(old=(0.0, None), new=STANDBY)
    moves: list[str] = []
    connector = Connector(f"postgresql://u@{order}/shop", on_moved=lambda: moves.append("moved"))
    assert (await connector.connect()).host == "old"
    moves.clear()
    hosts.timelines["new"] = 2
    hosts.hosts = {"old": SILENT, "new": (0.0, None)}
    assert (await connector.connect(timeout=30)).host == "new"
    assert moves == ["moved"]
    # The old one goes on, and answers sooner.
    hosts.hosts = {"old": (0.0, None), "new": (0.05, None)}
    for _ in range(3):
        assert (await connector.connect(timeout=30)).host == "new"
    # It is alone: nobody at all is better.
    hosts.hosts["new"] = (0.0, OSError("gone"))
    with pytest.raises(DatabaseRefused, match="promoted after it"):
        await connector.connect(timeout=30)
    assert moves == ["moved"]
    assert all(made.terminated for made in hosts.made[2:] if made.host == "old")


@pytest.mark.parametrize("order", ["old,new", "new,old"])
async def test_the_first_connection_takes_the_later_of_two_primaries(net: Callable[..., Net], order: str) -> None:
    hosts = net(old=(0.0, None), new=(0.06, None))
    hosts.timelines["new"] = 2
    connector = Connector(f"postgresql://u@{order}/shop")
    assert (await connector.connect(timeout=30)).host == "new"
    assert [made.host for made in hosts.made if not made.terminated] == ["new"]


async def test_a_later_timeline_at_the_same_host_ends_the_connections_of_before(net: Callable[..., Net]) -> None:
    hosts = net(a=(0.0, None), b=STANDBY)
    moves: list[str] = []
    connector = Connector("postgresql://u@a,b/shop", on_moved=lambda: moves.append("moved"))
    await connector.connect()
    moves.clear()
    await connector.connect()
    assert moves == []
    hosts.timelines["a"] = 2
    await connector.connect()
    assert moves == ["moved"]
