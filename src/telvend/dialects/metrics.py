"""What is counted of requests. One costs a fraction of a microsecond: observations are gathered before they are written."""

from collections.abc import Callable
from typing import Final

from telvend.kit.metrics import Counter, Histogram

_REQUESTS: Final = Histogram(
    "telvend_http_request_duration_seconds",
    "Time from a request to its answer.",
    "dialect",
    "route",
    "status",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    counted_as=("telvend_http_requests", "HTTP requests."),
)
_RATE_LIMITED: Final = Counter(
    "telvend_http_requests_rate_limited",
    "Requests refused by their key's allowance: a read or a purchase.",
    "dialect",
    "kind",
    formerly="telvend_rate_limited",
)

_observe: dict[tuple[str, str, int], Callable[[float], None]] = {}


def request_finished(dialect: str, route: str, status: int, duration_s: float) -> None:
    """Count one HTTP request. `route` is the template of the path ("/order-status/{reference}"), never the path."""
    key = (dialect, route, status)
    observe = _observe.get(key)
    if observe is None:
        observe = _observe[key] = _REQUESTS.gather(dialect, route, str(status))
    observe(duration_s)


def rate_limited(dialect: str, kind: str) -> None:
    """Count one request that was refused by its key's allowance; `kind` is "read" or "purchase"."""
    _RATE_LIMITED.count(dialect, kind)
