"""What is counted of providers."""

from typing import Final

from telvend.fulfilment.model import ClaimedOrder
from telvend.fulfilment.network_health import NetworkHealth
from telvend.fulfilment.ports import Observer
from telvend.kit.metrics import Counter, FormerName, Histogram, Labels
from telvend.orders.model import AttemptState
from telvend.providers.contract import Outcome

_OPERATIONS: Final = {"deliver": "deliver", "ask": "requery", "resend": "resend"}
"""By what an Observer is told, which is what the outcomes of before began with."""
_VERBS: Final = {operation: verb for verb, operation in _OPERATIONS.items()}


def _former_labels(labels: Labels) -> Labels:
    """Operation and outcome in one: `deliver delivered`, `ask unknown`."""
    verb = _VERBS[labels["operation"]]
    return {"provider": labels["provider"], "outcome": f"{verb} {labels['outcome']}"}


_REQUESTS: Final = Counter(
    "telvend_provider_requests",
    "Requests to providers (deliver, requery or resend), by their outcome.",
    "provider",
    "operation",
    "outcome",
    formerly=FormerName("telvend_provider_outcomes", _former_labels),
)
_DURATION: Final = Histogram(
    "telvend_provider_request_duration_seconds",
    "Time from a request to a provider to its answer.",
    "provider",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0),
    formerly="telvend_provider_duration_seconds",
)


_CONTRADICTIONS: Final = Counter(
    "telvend_provider_contradictions", "What providers said against what had been settled, repeats included."
)
_LATE_REPORTS: Final = Counter(
    "telvend_late_reports",
    "What providers said first of attempts that a person had decided otherwise.",
    "provider",
    "said",
)


def count_late_report(provider: str, said: str) -> None:
    """Count a late report; `said` is delivered or not_delivered."""
    _LATE_REPORTS.count(provider, said)


def provider_answered(provider: str, verb: str, outcome: str, duration_s: float) -> None:
    """Count one request to a provider; `verb` and `outcome` are those that an Observer is told."""
    _REQUESTS.count(provider, _OPERATIONS[verb], outcome)
    _DURATION.observe(duration_s, provider)


class Counted(Observer):
    """Tells the metrics what the fulfilment hears, and `network_health` what is said of networks."""

    def __init__(self, network_health: NetworkHealth | None = None) -> None:
        self._network_health = network_health

    def heard(
        self, claim: ClaimedOrder, provider: str, outcome: Outcome, before: AttemptState | None, age_s: float
    ) -> None:
        if self._network_health is not None:
            network = (claim.country, claim.network)
            self._network_health.heard(claim.mode, network, provider, outcome, before, age_s)

    def called(self, provider: str, verb: str, outcome: str, duration_s: float) -> None:
        provider_answered(provider, verb, outcome, duration_s)

    def contradicted(self, order_id: int) -> None:  # noqa: ARG002 (the metric has no order)
        _CONTRADICTIONS.count()
