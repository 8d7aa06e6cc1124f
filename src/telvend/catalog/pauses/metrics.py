"""Metrics of pauses."""

from typing import Final

from telvend.kit.metrics import Counter

STEPS: Final = Counter(
    "telvend_network_pause_steps",
    "Networks that were paused, put on trial and resumed by themselves.",
    "country",
    "network",
    "step",
)
