"""What is counted of webhooks."""

from typing import Final

from telvend.kit.metrics import Counter, Histogram

ATTEMPTS: Final = Counter(
    "telvend_webhook_attempts",
    "Attempts to send a message to an endpoint, by how they ended: taken, refused (another status), unanswered.",
    "outcome",
)
FIRST_SEND: Final = Histogram(
    "telvend_webhook_first_send_seconds",
    "Time from the change that a message tells of to its first attempt.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0),
)
PAUSED: Final = Counter(
    "telvend_webhook_endpoints_stopped",
    "Endpoints that were paused after three days of failures (paused), or have answered 410 (gone).",
    "state",
)
