"""What is counted of callbacks."""

from typing import Final

from telvend.kit.metrics import Counter
from telvend.upstreams.callbacks.model import Result

_CALLBACKS: Final = Counter(
    "telvend_provider_callbacks", "Callbacks of providers with the right secret or signature, by what became of them.",
    "provider", "outcome",
)  # fmt: skip


def count_callback(provider: str, result: Result) -> None:
    """Count one callback."""
    _CALLBACKS.count(provider, result.value)
