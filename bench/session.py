"""What every part needs: how long things take, the shop and the yardstick, and how a result is put down."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bench import tpcb
from bench.load import Load
from bench.report import Report, Speed, Target
from bench.testbed import TELVEND, Testbed

_SHARED_WITHIN_S: Final = 20


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How long everything takes. `starts`: how often a start is timed, for the median."""

    seconds: int = 10
    warm_up_s: float = 1.5
    workers: int = 1
    starts: int = 3

    @property
    def tpcb_seconds(self) -> int:
        """Each of the two runs of pgbench: together as long as the part between them."""
        return max(1, self.seconds // 2)

    @property
    def settled_orders(self) -> int:
        return 3000 * self.seconds


class Bench:
    """What a part needs: the shop, the yardstick, and where results go."""

    def __init__(self, testbed: Testbed, extent: Extent, report: Report, say: Callable[[str], None]) -> None:
        self.testbed = testbed
        self.extent = extent
        self.report = report
        self.say = say
        self.large: Testbed | None = None
        """The shop with a million orders, where a part has asked for it (furnishing.py)."""
        self._served: int | None = None
        self._prepared = False
        self._latest_tpcb: tuple[float, float] | None = None

    async def serve(self, *options: str, module: str = TELVEND) -> None:
        """Have the server running with these options, ready for pgbench as well."""
        self.say("starting telvend serve")
        await self.testbed.serve("--workers", str(self.extent.workers), *options, module=module)
        if self.testbed.pid == self._served:
            return
        self._served, self._latest_tpcb = self.testbed.pid, None
        self.say("getting pgbench ready")
        if not self._prepared:
            await tpcb.prepare(self.testbed.url)
            self._prepared = True
            version = await self.testbed.value("select current_setting('server_version')")
            self.report.facts["postgresql"] = str(version)
        # The first second after a start is slower; it is not counted.
        await tpcb.transactions_per_second(self.testbed.url, 1)

    async def beside(self, what: str, measure: Callable[[], Awaitable[Load]]) -> tuple[Load, tuple[float, float]]:
        """Measure, with TPC-B before and after it, so that a machine that gets slower does so for both.

        The TPC-B after one part is the one before the next, where that begins at once.
        """
        latest, self._latest_tpcb = self._latest_tpcb, None
        if latest is not None and time.monotonic() - latest[1] < _SHARED_WITHIN_S:
            before = latest[0]
        else:
            before = await self._tpcb()
        self.say(what)
        load = await measure()
        self.say("putting aside what is not delivered yet")
        await self.testbed.put_aside()
        after = await self._tpcb()
        self._latest_tpcb = after, time.monotonic()
        return load, (before, after)

    async def _tpcb(self) -> float:
        self.say(f"pgbench, {self.extent.tpcb_seconds} s")
        return await tpcb.transactions_per_second(self.testbed.url, self.extent.tpcb_seconds)


def speed_of(name: str, what: str, load: Load, beside: tuple[float, float]) -> Speed:
    speed = Speed(
        part=name,
        what=what,
        per_second=load.per_second,
        tpcb_per_second=beside,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        errors=load.errors,
    )
    speed.notes["longest"] = f"{load.longest_ms:.0f} ms"
    if load.generator_us is not None:
        speed.notes["the load generator spent on each"] = f"{load.generator_us:.1f} µs"
    return speed


def no_errors(load: Load) -> Target:
    return Target("no errors", not load.errors)


class Part(msgspec.Struct, frozen=True):
    """One entry of the list: `run` measures it and puts the result into the report."""

    name: str
    what: str
    run: Callable[[Bench, str, str], Awaitable[None]]
