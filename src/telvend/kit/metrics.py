"""What Prometheus may ask: counts and times of this node, summed over its processes.

Each process writes its numbers into files of its own in one directory; whichever answers /metrics reads them all. The
entry of every process calls `prepare(directory)` before anything else is recorded; the one that starts the others
says `process_ended(pid)` when one is gone. Without `prepare` (tests, short commands) the numbers stay in the process.

A room declares what it counts beside the code that counts it:

    _LIMITED = metrics.Counter("telvend_http_requests_rate_limited", "Requests refused by …", "dialect", "kind")
    _LIMITED.count("netpluse", "read")

Numbers that stand in the database are read when somebody asks (`Reading`), and handed to `render`. A number costs about 2 µs:
the children of a metric are looked up once for each combination of labels. What is observed thousands of times a second is
gathered and written four times a second (`Histogram.gather`), for a tenth of that.

Names follow Prometheus: `telvend_`, what is counted, the unit last (`_seconds`, `_entries`), `_total` for counters; and no
label has values that anybody outside chooses. A metric that had another name before is shown under that one too, for one
version, when somebody asks (`formerly`): nothing is counted twice.

The library is imported by the first use and not before, because it decides on import whether there are several
processes. Nothing else in Telvend imports it.
"""

import asyncio
import atexit
import importlib
import os
import re
import struct
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telvend.kit.log import get

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import CollectorRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SIZES_OF_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

WRITTEN_EVERY_S = 0.25
"""How late a gathered observation may be on /metrics; and what a process that is killed has counted in vain."""

_FIRST_PROCESS = "first-process"
_ROOM_BYTES = {"counter": 256 << 10, "histogram": 2 << 20, "gauge_livesum": 64 << 10}
"""What the files of a process may grow to, by the kind of metric: some 700 combinations of labels for histograms."""
_USED = struct.Struct("=i")
_FILE_OF_PROCESS = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_([0-9]+)\.db")


_log = get(__name__)


def prepare(directory: Path) -> None:
    """Keep this process's numbers in `directory` (made if missing), together with the other processes of the node.

    The first process of a run removes what an earlier run left. Those that join while it lives remove nothing: the
    counts of a worker that died stay in the sum, or Prometheus would take the fall for a restart and count twice.
    To be called before anything is recorded; raises RuntimeError afterwards, and OSError.
    """
    if _Recorded.made:
        raise RuntimeError("metrics.prepare() comes before the first number is recorded.")
    directory.mkdir(parents=True, exist_ok=True)
    mark = directory / _FIRST_PROCESS
    first = mark.read_text() if mark.exists() else ""
    if not first or first != _process(first.partition(" ")[0]):
        for file in directory.iterdir():
            found = _FILE_OF_PROCESS.fullmatch(file.name)
            if found and (int(found[1]) == os.getpid() or not _process(found[1])):
                file.unlink(missing_ok=True)
        mark.write_text(_process(str(os.getpid())))
    os.environ[_DIRECTORY_VARIABLE] = str(directory)


def _set_aside(directory: Path) -> bool:
    """Allocate the files of this process; the library would make them sparse, and a full disk ends a process by SIGBUS.

    Return whether there was room. Without it the numbers stay in the process.
    """
    files = {directory / f"{kind}_{os.getpid()}.db": room for kind, room in _ROOM_BYTES.items()}
    try:
        for path, room in files.items():
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, room)
    except OSError as error:
        for path in files:
            path.unlink(missing_ok=True)
        _log.warning("metrics_of_this_process_alone", why=error.strerror)
        return False
    return True


def process_ended(pid: int) -> None:
    """Forget what a process that has ended was holding at the moment: depths and connections, not its counts."""
    if _DIRECTORY_VARIABLE in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
        for kind in _ROOM_BYTES:
            _give_room_back(Path(os.environ[_DIRECTORY_VARIABLE]) / f"{kind}_{pid}.db")


def _give_room_back(path: Path) -> None:
    """Cut a file that nobody writes any more to what is used of it, which stands in its first word."""
    try:
        with path.open("r+b") as file:
            (used,) = _USED.unpack(file.read(_USED.size))
            file.truncate(max(used, _USED.size * 2))
    except (OSError, struct.error):
        return


Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FormerName:
    """What a metric was called before: its name, and its labels where those have changed too."""

    name: str
    labels: Callable[[Labels], Labels] = dict


class _Declared:
    """A metric that /metrics shows, declared when its room is imported. `formerly`: see FormerName."""

    kind = "gauge"

    def __init__(self, name: str, sentence: str, *labels: str, formerly: str | FormerName | None = None) -> None:
        self.name = name
        self.sentence = sentence
        self.labels = labels
        self.formerly = FormerName(formerly) if isinstance(formerly, str) else formerly
        _all.append(self)

    @property
    def shown_as(self) -> str:
        """The name on /metrics, and in queries."""
        return self.name


_all: list[_Declared] = []


class _Metric(_Declared, ABC):
    """One that is made by the first number of the process."""

    def __init__(self, name: str, sentence: str, *labels: str, formerly: str | FormerName | None = None) -> None:
        super().__init__(name, sentence, *labels, formerly=formerly)
        _declared.append(self)

    @abstractmethod
    def make(self, registry: "CollectorRegistry") -> Any:
        """Make the library's object for it."""

    def of(self, *values: str) -> Any:
        """Return the library's child for these values of the labels."""
        return _recorded().child(self, values)


_declared: list[_Metric] = []


class Counter(_Metric):
    """Something that is counted. Its name on /metrics ends in `_total`."""

    kind = "counter"

    @property
    def shown_as(self) -> str:
        return f"{self.name}_total"

    def make(self, registry: "CollectorRegistry") -> Any:
        from prometheus_client import Counter as Made

        return Made(self.name, self.sentence, self.labels, registry=registry)

    def count(self, *values: str) -> None:
        self.of(*values).inc()


class Gauge(_Metric):
    """What this process holds at the moment. The living processes are summed; what a dead one had is forgotten with it."""

    def make(self, registry: "CollectorRegistry") -> Any:
        from prometheus_client import Gauge as Made

        return Made(self.name, self.sentence, self.labels, registry=registry, multiprocess_mode="livesum")

    def set(self, value: float, *values: str) -> None:
        self.of(*values).set(value)


class Histogram(_Metric):
    """How long something took, or how large it was.

    `counted_as`: the name and sentence of a counter that /metrics shows beside it: a counter of its own would cost another
    microsecond for each number.
    """

    kind = "histogram"

    def __init__(
        self,
        name: str,
        sentence: str,
        *labels: str,
        buckets: tuple[float, ...],
        counted_as: tuple[str, str] | None = None,
        formerly: str | FormerName | None = None,
    ) -> None:
        super().__init__(name, sentence, *labels, formerly=formerly)
        self.buckets = buckets
        self.counted_as = counted_as

    def make(self, registry: "CollectorRegistry") -> Any:
        from prometheus_client import Histogram as Made

        return Made(self.name, self.sentence, self.labels, registry=registry, buckets=self.buckets)

    def observe(self, value: float, *values: str) -> None:
        self.of(*values).observe(value)

    def gather(self, *values: str) -> Callable[[float], None]:
        """Return what observes for these values of the labels, and writes what it has observed WRITTEN_EVERY_S later."""
        return _Gathered(self.of(*values), self.buckets).observe


class _Gathered:
    """What the child of a histogram has observed and not yet written. For one thread: that of the event loop."""

    def __init__(self, child: Any, bounds: tuple[float, ...]) -> None:
        self._child = child
        self._bounds = bounds
        self._values: list[float] = []

    def observe(self, value: float) -> None:
        self._values.append(value)
        if len(self._values) == 1:
            _unwritten.append(self)
            _write_soon()

    def write(self) -> None:
        """Add to the library's numbers what it would have added one by one: to the sum, and to each bucket."""
        values, self._values = sorted(self._values), []
        # Its public method adds one observation at a time.
        total, buckets = self._child._sum, self._child._buckets  # noqa: SLF001
        total.inc(sum(values))
        counted = 0
        for bucket, bound in zip(buckets, (*self._bounds, float("inf")), strict=True):
            below = bisect_right(values, bound)
            if below > counted:
                bucket.inc(below - counted)
                counted = below


_unwritten: list[_Gathered] = []
_writes_in: asyncio.AbstractEventLoop | None = None


def _write_soon() -> None:
    """Have `write_gathered` called in a moment; at once where there is no event loop."""
    global _writes_in
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        write_gathered()
        return
    if loop is not _writes_in:
        _writes_in = loop
        loop.call_later(WRITTEN_EVERY_S, write_gathered)


def write_gathered() -> None:
    """Write what this process has gathered. To be called in the thread of the event loop, where there is one."""
    global _writes_in
    _writes_in = None
    while _unwritten:
        _unwritten.pop().write()


class Reading(_Declared):
    """A gauge whose values are read when somebody asks, and handed to `render`."""

    def family(self, rows: Mapping[tuple[str, ...], float]) -> "Metric":
        """Make a metric for `render` from rows that were read just now: the labels' values and the number of each."""
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(self.name, self.sentence, labels=list(self.labels))
        for values, number in rows.items():
            family.add_metric(list(values), number)
        return family


class CounterReading(_Declared):
    """A counter whose values are read when somebody asks, and handed to `render`. Its name on /metrics ends in `_total`."""

    kind = "counter"

    @property
    def shown_as(self) -> str:
        return f"{self.name}_total"

    def family(self, rows: Mapping[tuple[str, ...], float]) -> "Metric":
        """Make a metric for `render`, as a Reading does."""
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(self.name, self.sentence, labels=list(self.labels))
        for values, number in rows.items():
            family.add_metric(list(values), number)
        return family


_LANE_QUEUE = Gauge(
    "telvend_lane_queued_entries", "Entries that wait in a lane.", "lane", formerly="telvend_lane_depth"
)
_LANE_BATCH = Histogram(
    "telvend_lane_batch_entries",
    "Entries of a lane that share a commit.",
    "lane",
    buckets=_SIZES_OF_BATCHES,
    formerly="telvend_lane_batch_size",
)
_CONNECTIONS = Gauge(
    "telvend_database_connections", "Connections to the database.", "pool", formerly="telvend_pool_size"
)
_CONNECTIONS_IN_USE = Gauge(
    "telvend_database_connections_in_use",
    "Connections to the database that are at work.",
    "pool",
    formerly="telvend_pool_in_use",
)


def lane_batch(lane: str, size: int, waiting: int) -> None:
    """Count one batch of a lane of this process, and say how many wait for the next one."""
    _LANE_BATCH.observe(size, lane)
    _LANE_QUEUE.set(waiting, lane)


def pool(name: str, size: int, in_use: int) -> None:
    """Say how many connections a pool of this process has, and how many of them are at work."""
    _CONNECTIONS.set(size, name)
    _CONNECTIONS_IN_USE.set(in_use, name)


@dataclass(frozen=True, slots=True)
class Description:
    """A metric as the documentation shows it. `formerly` is its name of before, "" where it had none."""

    name: str
    kind: str
    labels: tuple[str, ...]
    sentence: str
    formerly: str


def described() -> list[Description]:
    """Every metric of the rooms that are imported, by its name on /metrics."""
    found = []
    for one in _all:
        suffix = one.shown_as.removeprefix(one.name)
        formerly = "" if one.formerly is None else one.formerly.name + suffix
        found.append(Description(one.shown_as, one.kind, one.labels, one.sentence, formerly))
        if isinstance(one, Histogram) and one.counted_as is not None:
            name, sentence = one.counted_as
            found.append(Description(f"{name}_total", Counter.kind, one.labels, sentence, ""))
    return sorted(found, key=lambda one: one.name)


def render(extra: Iterable["Metric"] = ()) -> bytes:
    """Return everything in the text format of Prometheus (CONTENT_TYPE): all processes of the node, and `extra`."""
    from prometheus_client import generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.registry import CollectorRegistry

    recorded: Any = _recorded().registry
    if _DIRECTORY_VARIABLE in os.environ:
        recorded = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    metrics = list(recorded.collect())
    metrics += [*_counted(metrics), *extra]
    registry = CollectorRegistry()
    registry.register(_Given([*metrics, *_under_former_names(metrics)]))
    return generate_latest(registry)


def _under_former_names(metrics: Iterable["Metric"]) -> Iterable["Metric"]:
    """What has another name now, once more under the one of before; goes with the next version."""
    from prometheus_client import Metric

    renamed = {one.name: one for one in _all if one.formerly is not None}
    for metric in metrics:
        declared = renamed.get(metric.name)
        if declared is None or declared.formerly is None:
            continue
        former = declared.formerly
        again = Metric(former.name, f"Deprecated, and gone in the next version: {declared.shown_as}.", metric.type)
        for sample in metric.samples:
            name = former.name + sample.name.removeprefix(metric.name)
            again.add_sample(name, dict(former.labels(sample.labels)), sample.value)
        yield again


def _counted(metrics: Iterable["Metric"]) -> Iterable["Metric"]:
    """The counters of histograms that are counted by another name as well."""
    from prometheus_client.core import CounterMetricFamily

    for declared in _declared:
        if not isinstance(declared, Histogram) or declared.counted_as is None:
            continue
        family = CounterMetricFamily(*declared.counted_as, labels=declared.labels)
        for metric in metrics:
            for sample in metric.samples:
                if sample.name == f"{declared.name}_count":
                    family.add_metric([sample.labels[label] for label in declared.labels], sample.value)
        yield family


def _process(pid: str) -> str:
    """The process with its start, which tells it from a later one of the same number; "" if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name, in parentheses, may contain anything; the start is the twentieth field after it. Source: proc(5).
    return f"{pid} {status.rpartition(')')[2].split()[19]}"


class _Given:
    """A collector of metrics that are already there."""

    def __init__(self, metrics: Iterable["Metric"]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable["Metric"]:
        return self._metrics


class _Recorded:
    """The metrics of a process and their children."""

    made = False

    def __init__(self) -> None:
        if _DIRECTORY_VARIABLE in os.environ:
            if _set_aside(Path(os.environ[_DIRECTORY_VARIABLE])):
                _remember_pid()
            else:
                del os.environ[_DIRECTORY_VARIABLE]
        from prometheus_client.registry import CollectorRegistry

        for module in ("core", "multiprocess"):
            importlib.import_module(f"prometheus_client.{module}")  # For `render`: no request waits for an import.
        _Recorded.made = True
        atexit.register(write_gathered)
        os.register_at_fork(after_in_child=_unwritten.clear)
        self.registry = CollectorRegistry()
        self._children: dict[tuple[_Metric, tuple[str, ...]], Any] = {}
        self._made = {metric: metric.make(self.registry) for metric in _declared}

    def child(self, metric: _Metric, values: tuple[str, ...]) -> Any:
        found = self._children.get((metric, values))
        if found is None:
            made = self._made.get(metric)
            if made is None:  # Its room was imported after the first number.
                made = self._made[metric] = metric.make(self.registry)
            found = self._children[metric, values] = made.labels(*values) if values else made
        return found


@cache
def _recorded() -> _Recorded:
    return _Recorded()


def _remember_pid() -> None:
    """Spare the library a system call for every number that it writes: it asks for the pid each time.

    Choosing how a process is identified is a documented use of `MultiProcessValue`.
    """
    from prometheus_client import values

    current = {"pid": os.getpid()}
    os.register_at_fork(after_in_child=lambda: current.update(pid=os.getpid()))
    values.ValueClass = values.MultiProcessValue(lambda: current["pid"])  # type: ignore[no-untyped-call]
