"""The text of /metrics as `promtool check metrics` judges it. `make soak` asks promtool itself.

Source: promlint of client_golang (the checks of promtool).
"""

import re
from collections.abc import Iterator

import pytest

from telvend.bootstrap import load_modules
from telvend.kit.metrics import described

load_modules()

NAMES = {name: one.kind for one in described() for name in (one.name, one.formerly) if name}
_OTHER_UNITS = {
    "milliseconds", "microseconds", "minutes", "hours", "days", "weeks", "kilobytes", "megabytes", "gigabytes", "bits", "kilobits",
    "percent", "percents", "fahrenheit", "ms", "us", "ns", "sec", "mins", "kb", "mb", "gb",
}  # fmt: skip
_KINDS = {"gauge", "counter", "summary", "histogram"}
_OF_HISTOGRAMS = {"le": "a label", "_bucket": "an ending", "_sum": "an ending", "_count": "an ending"}


def lint(name: str, kind: str) -> Iterator[str]:
    """What promlint says of a metric."""
    words = name.split("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield "reserved characters or capitals"
    if kind == "counter" and words[-1] != "total":
        yield "a counter without _total"
    if kind != "counter" and words[-1] == "total":
        yield "_total of something else than a counter"
    if found := _OTHER_UNITS & set(words):
        yield f"not a base unit: {found}"
    if found := _KINDS & set(words):
        yield f"its type in its name: {found}"
    if kind != "histogram" and name.endswith(tuple(end for end in _OF_HISTOGRAMS if end.startswith("_"))):
        yield "the ending of a histogram"


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_clean(name: str) -> None:
    assert list(lint(name, NAMES[name])) == []


def test_labels_of_histograms_are_theirs_alone() -> None:
    assert not [one.name for one in described() if {"le", "quantile"} & set(one.labels)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("telvend_orders", "counter"),
        ("telvend_orders_total", "gauge"),
        ("telvend_wait_minutes", "gauge"),
        ("telvend_gauge_orders", "gauge"),
        ("telvend_orders_count", "gauge"),
        ("telvend_openOrders", "gauge"),
    ],
)
def test_what_promtool_would_refuse_is_noticed(name: str, kind: str) -> None:
    assert list(lint(name, kind))
