"""What Prometheus may ask: counts and times of this node, summed over its processes.

Each process writes its numbers into files of its own in one directory; whichever answers /metrics reads them all. The
entry of every process calls `prepare(directory)` before anything else is recorded; the one that starts the others
says `process_ended(pid)` when one is gone. Without `prepare` (tests, short commands) the numbers stay in the process.

Numbers that stand in the database (orders by state, holds) are read when somebody asks and handed to `render`.
One HTTP request costs about 2.5 µs here: the children of a metric are looked up once per combination of labels.

The library is imported by the first use and not before, because it decides on import whether there are several
processes. Nothing else in Telvend imports it.
"""

import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telvend.kit.log import get

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS_OF_REQUESTS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SECONDS_OF_PROVIDERS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
_SIZES_OF_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_REQUEST_DURATION = "telvend_http_request_duration_seconds"
_REQUEST_LABELS = ("dialect", "route", "status")

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


def request_finished(dialect: str, route: str, status: int, duration_s: float) -> None:
    """Count one HTTP request. `route` is the template of the path ("/order-status/{reference}"), never the path."""
    metrics = _recorded()
    observe = metrics.requests.get((dialect, route, status)) or metrics.learn_request(dialect, route, status)
    observe(duration_s)


def rate_limited(dialect: str, kind: str) -> None:
    """Count one request that was refused by its key's allowance; `kind` is "read" or "purchase"."""
    metrics = _recorded()
    metrics.child(metrics.rate_limited, dialect, kind).inc()


def wrong_pins(kind: str) -> None:
    """Count one `subscriber` or `partner` who was locked for wrong PINs, or one `source` that sent as many."""
    metrics = _recorded()
    metrics.child(metrics.wrong_pins, kind).inc()


def limit_reached(limit: str) -> None:
    """Count one client that has reached a limit on connections; `limit` is the name of the setting."""
    metrics = _recorded()
    metrics.child(metrics.limit_reached, limit).inc()


def lane_batch(lane: str, size: int, waiting: int) -> None:
    """Count one batch of a lane of this process, and say how many wait for the next one."""
    metrics = _recorded()
    metrics.child(metrics.lane_batch, lane).observe(size)
    metrics.child(metrics.lane_depth, lane).set(waiting)


def provider_answered(provider: str, outcome: str, duration_s: float) -> None:
    """Count one call of a provider; `outcome` is what was asked and what was said: `deliver delivered`, `ask unknown`."""
    metrics = _recorded()
    metrics.child(metrics.provider_outcomes, provider, outcome).inc()
    metrics.child(metrics.provider_duration, provider).observe(duration_s)


def pool(name: str, size: int, in_use: int) -> None:
    """Say how many connections a pool of this process has, and how many of them are at work."""
    metrics = _recorded()
    metrics.child(metrics.pool_size, name).set(size)
    metrics.child(metrics.pool_in_use, name).set(in_use)


def book_behind(behind: bool) -> None:
    """Say whether this process sells nothing because the database has gone back."""
    _recorded().book_behind.set(behind)


def gauge(name: str, sentence: str, labels: Iterable[str], rows: Mapping[tuple[str, ...], float]) -> "Metric":
    """Make a metric for `render` from rows that were read just now: the labels' values and the number of each."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, sentence, labels=list(labels))
    for values, number in rows.items():
        family.add_metric(list(values), number)
    return family


def render(extra: Iterable["Metric"] = ()) -> bytes:
    """Return everything in the text format of Prometheus (CONTENT_TYPE): all processes of the node, and `extra`."""
    from prometheus_client import generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.registry import CollectorRegistry

    recorded: Any = _recorded().registry
    if _DIRECTORY_VARIABLE in os.environ:
        recorded = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    metrics = list(recorded.collect())
    registry = CollectorRegistry()
    registry.register(_Given([*metrics, *_requests_total(metrics), *extra]))
    return generate_latest(registry)


def _requests_total(metrics: Iterable["Metric"]) -> Iterable["Metric"]:
    """The number of requests as a counter, out of their histogram."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily("telvend_http_requests", "HTTP requests.", labels=_REQUEST_LABELS)
    for metric in metrics:
        for sample in metric.samples:
            if sample.name == f"{_REQUEST_DURATION}_count":
                family.add_metric([sample.labels[label] for label in _REQUEST_LABELS], sample.value)
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
        from prometheus_client import Counter, Gauge, Histogram
        from prometheus_client.registry import CollectorRegistry

        _Recorded.made = True
        self.registry = CollectorRegistry()
        self.children: dict[tuple[Any, ...], Any] = {}
        self.requests: dict[tuple[str, str, int], Callable[[float], None]] = {}

        def gauge_of(name: str, sentence: str, label: str) -> Gauge:
            # Summed over the processes that live; what a dead one had is forgotten with it.
            return Gauge(name, sentence, [label], registry=self.registry, multiprocess_mode="livesum")

        registry = self.registry
        # It counts them too, and is shown a second time as telvend_http_requests_total: a counter of its own would
        # cost another microsecond per request.
        self.request_duration = Histogram(
            _REQUEST_DURATION,
            "Time from a request to its answer.",
            _REQUEST_LABELS,
            registry=registry,
            buckets=_SECONDS_OF_REQUESTS,
        )
        self.rate_limited = Counter(
            "telvend_rate_limited", "Requests refused by their key's allowance.", ["dialect", "kind"], registry=registry
        )
        self.wrong_pins = Counter(
            "telvend_wrong_pins_limit_reached",
            "Limits of wrong PINs in a row that were reached.",
            ["kind"],
            registry=registry,
        )
        self.limit_reached = Counter(
            "telvend_http_limit_reached",
            "Connections that reached a limit before anybody knew whose they are.",
            ["limit"],
            registry=registry,
        )
        self.lane_depth = gauge_of("telvend_lane_depth", "Entries that wait in a lane.", "lane")
        self.lane_batch = Histogram(
            "telvend_lane_batch_size",
            "Entries per committed batch of a lane.",
            ["lane"],
            registry=registry,
            buckets=_SIZES_OF_BATCHES,
        )
        self.provider_outcomes = Counter(
            "telvend_provider_outcomes", "What providers said.", ["provider", "outcome"], registry=registry
        )
        self.provider_duration = Histogram(
            "telvend_provider_duration_seconds",
            "Time from a call of a provider to its answer.",
            ["provider"],
            registry=registry,
            buckets=_SECONDS_OF_PROVIDERS,
        )
        self.pool_size = gauge_of("telvend_pool_size", "Connections to the database.", "pool")
        self.pool_in_use = gauge_of("telvend_pool_in_use", "Connections to the database that are at work.", "pool")

        self.book_behind = Gauge(
            "telvend_book_behind",
            "Processes that sell nothing because the database has gone back.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def child(self, metric: Any, *labels: str) -> Any:
        key = (metric, labels)
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = metric.labels(*labels)
        return found

    def learn_request(self, dialect: str, route: str, status: int) -> Callable[[float], None]:
        observe = self.request_duration.labels(dialect, route, str(status)).observe
        self.requests[dialect, route, status] = observe
        return observe


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
