"""The shop under test: `telvend serve` with its embedded PostgreSQL on a data directory of its own, and who buys there.

One data directory serves all parts of a run; the server is started again when a part wants other options.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from telvend.bootstrap import Shop, open_shop
from telvend.config import load
from telvend.embedded_postgres.command import running_url
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.kit.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READY_WITHIN_S: Final = 60
STOPPED_WITHIN_S: Final = 60
LIMIT_PER_MINUTE: Final = 10_000_000
CREDIT_MINOR: Final = 10**12
SPREAD_WALLETS: Final = 1000
_FURNISHED_AT_A_TIME: Final = 8

TELVEND: Final = "telvend"
WITH_INSTANT: Final = "bench.instant_server"
"""Modules that serve: the product's, and the one with a provider that has delivered at once."""


class TestbedFailed(Exception):
    """The server did not start, or did not stop, or a command failed. The message is what it printed last."""


class BooksWrong(Exception):
    """What was sold is not what is in the books: the one result that makes every other one worthless."""


class Testbed:
    """A data directory below `folder`, and a server on it when `serve` was awaited. `close` stops it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "serve.log"
        self._process: asyncio.subprocess.Process | None = None
        self._served: tuple[str, ...] = ()
        self._hot: list[str] = []
        self._spread: list[str] = []
        self.data_dir = folder / "data"
        self.port = 0
        self.numbers = itertools.count()
        """Numbers of purchases, for all parts together: no reference is used twice."""

    @property
    def pid(self) -> int:
        """The process of `telvend serve`."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """The shop's database; the same as `telvend db url` prints."""
        url = running_url(self.data_dir)
        if url is None:
            raise TestbedFailed(self._last_words())
        return url

    # The server ------------------------------------------------------------------------------------------------------

    async def serve(self, *options: str, module: str = TELVEND) -> None:
        """Have `telvend serve` with these options running; as it is, where it has them already."""
        if self._process is not None and self._process.returncode is None and self._served == (module, *options):
            return
        await self.close()
        await self.start(*options, module=module)

    async def start(self, *options: str, module: str = TELVEND) -> float:
        """Start the server; return after how many seconds /healthz was 200. Raises TestbedFailed."""
        self.port = _free_port()
        self._served = (module, *options)
        begun = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command_line(
                    "serve", "--port", str(self.port), "--data-dir", str(self.data_dir), *options, module=module
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        while not await _is_healthy(self.port):
            if self._process.returncode is not None or time.perf_counter() - begun > READY_WITHIN_S:
                raise TestbedFailed(self._last_words())
            await asyncio.sleep(0.01)
        return time.perf_counter() - begun

    async def close(self) -> None:
        """Stop the server, with SIGTERM; with SIGKILL where that does not help."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def command(self, *arguments: str) -> dict[str, Any]:
        """What `telvend ARGUMENTS --json` prints. Raises TestbedFailed when it fails without printing an object."""
        process = await asyncio.create_subprocess_exec(
            *command_line(*arguments, "--json", "--data-dir", str(self.data_dir)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        printed, complained = await process.communicate()
        try:
            return dict(json.loads(printed))
        except ValueError:
            raise TestbedFailed(complained.decode(errors="replace")) from None

    def _last_words(self) -> str:
        return "telvend serve:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    # Who buys --------------------------------------------------------------------------------------------------------

    async def hot(self) -> list[str]:
        """The key of one reseller with plenty of money."""
        if not self._hot:
            self._hot = await self._furnish("hot", 1)
        return self._hot

    async def spread(self, *, credited: bool = True) -> list[str]:
        """The keys of a thousand resellers with plenty of money; `credited`: money that they get when they are made."""
        if not self._spread:
            self._spread = await self._furnish("spread", SPREAD_WALLETS, credited=credited)
        return self._spread

    async def _furnish(self, name: str, count: int, *, credited: bool = True) -> list[str]:
        async with self.shop(pool_size=_FURNISHED_AT_A_TIME) as shop:
            services = shop.services

            async def one(number: int) -> str:
                email = f"{name}-{number}@bench.example"
                reseller = await services.resellers.add(email, f"Bench {name} {number}", f"+23324{number:07d}")
                if credited:
                    await services.credits.add(reseller.id, Money(CREDIT_MINOR, GHS), Mode.LIVE, "bench")
                _, key, _ = await services.resellers.add_key(
                    email, "netpluse", Mode.LIVE, LIMIT_PER_MINUTE, LIMIT_PER_MINUTE
                )
                return key.reveal()

            return await _gather(one, range(count), _FURNISHED_AT_A_TIME)

    @asynccontextmanager
    async def shop(self, **settings: Any) -> "AsyncIterator[Shop]":
        """The same shop, opened in this process; nothing of it runs yet."""
        chosen = load({"data_dir": str(self.data_dir), **settings}, {}).settings
        async with open_shop(chosen, self.url) as shop:
            await shop.watch.look()
            yield shop

    # The books -------------------------------------------------------------------------------------------------------

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The first value that a statement gives."""
        return (await self.rows(sql, *arguments))[0][0]

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        async with self.connection() as connection:
            return list(await connection.fetch(sql, *arguments, timeout=300))

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[Any]":
        """A connection without a limit on how long a statement may take."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("set statement_timeout = 0")
            yield connection
        finally:
            await connection.close()

    async def orders(self) -> int:
        """How many orders there are."""
        return int(await self.value("select count(*) from orders"))

    async def check(self, *, orders_before: int, sold: int, unheard: int = 0) -> None:
        """Raises BooksWrong unless each purchase that was answered with success is an order, no other is, and the
        books hold.

        `unheard`: so many more may be orders whose answer the load generator did not wait for.
        """
        written = await self.orders() - orders_before
        if not sold <= written <= sold + unheard:
            raise BooksWrong(f"{sold} purchases were acknowledged and {written} orders are in the database.")
        report = await self.command("ledger", "check")
        if not report.get("ok"):
            raise BooksWrong(f"telvend ledger check: {report}")

    async def put_aside(self) -> int:
        """Put what has not been delivered aside until tomorrow and tidy the tables; answers how many orders that were.

        Orders are sold faster than they are delivered beside the sales, so that what one part sells would be delivered,
        and vacuumed, during the next ones. The yardstick is to have the server to itself.
        """
        aside = len(
            await self.rows(
                # Fresh orders that are due tomorrow would be taken for those of a clock that has jumped.
                "update orders set due_at = now() + interval '1 day', state = 'waiting'"
                " where due_at < now() + interval '1 hour' and state = 'accepted' returning 1"
            )
        )
        for _ in range(150):  # What is in hand is being delivered, within seconds.
            if not await self.value("select exists (select from orders where due_at < now() + interval '1 hour')"):
                break
            await asyncio.sleep(0.1)
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("set vacuum_cost_delay = 0")
            names = await connection.fetch("select relname from pg_stat_user_tables where n_dead_tup > 100")
            for (name,) in names:
                await connection.execute(f'vacuum (analyze) "{name}"', timeout=300)
        finally:
            await connection.close()
        return aside


async def _gather(work: Callable[[int], Awaitable[str]], numbers: Sequence[int], at_a_time: int) -> list[str]:
    """The results of `work` in the order of `numbers`."""
    gate = asyncio.Semaphore(at_a_time)

    async def gated(number: int) -> str:
        async with gate:
            return await work(number)

    return await asyncio.gather(*(gated(number) for number in numbers))


def command_line(*arguments: str, module: str = TELVEND) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Ours, without settings of another shop. Webhooks go to this machine."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TELVEND_")}
    return ours | {"TELVEND_WEBHOOK_ALLOW_PRIVATE": "true"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _is_healthy(port: int) -> bool:
    """Whether /healthz is 200 now."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200 ")
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
