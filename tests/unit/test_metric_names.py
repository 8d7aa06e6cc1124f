"""Every metric is named by Prometheus's conventions, and stays under its name of before for one version."""

import re

import pytest

from telvend.bootstrap import load_modules
from telvend.kit.metrics import Description, described

load_modules()  # Every metric that a server shows is declared by then.
METRICS = described()
EACH_METRIC = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)

UNITS = ("_total", "_seconds", "_bytes", "_info", "_entries", "_processes", "_connections", "_currency_units")
OTHER_ENDS = {
    # What is counted stands in the middle.
    "telvend_database_connections_in_use",
    "telvend_orders_open",
    "telvend_webhook_deliveries_waiting",
    "telvend_webhook_endpoints_failing",
    # What is counted stands last.
    "telvend_audit_findings",
    # A state: 1 where it is so.
    "telvend_provider_float_low",
    "telvend_network_paused",
}

BOUNDED = {
    "by", "country", "currency", "dialect", "kind", "lane", "limit", "mode", "network", "operation", "outcome", "pool", "provider",
    "python_version", "route", "said", "state", "status", "step", "version", "what",
}  # fmt: skip
"""Labels whose values the code or the settings choose, and nobody outside."""

NAMES_OF_BEFORE = {
    "telvend_book_behind",
    "telvend_held_amount",
    "telvend_http_limit_reached_total",
    "telvend_http_request_duration_seconds",
    "telvend_http_requests_total",
    "telvend_lane_batch_size",
    "telvend_lane_depth",
    "telvend_orders_oldest_seconds",
    "telvend_orders_open",
    "telvend_pool_in_use",
    "telvend_pool_size",
    "telvend_provider_duration_seconds",
    "telvend_provider_outcomes_total",
    "telvend_rate_limited_total",
    "telvend_wrong_pins_limit_reached_total",
}


def test_no_name_of_before_is_gone() -> None:
    assert {name for metric in METRICS for name in (metric.name, metric.formerly)} >= NAMES_OF_BEFORE


def test_no_name_is_used_twice() -> None:
    names = [name for metric in METRICS for name in (metric.name, metric.formerly) if name]
    assert len(names) == len(set(names))


@EACH_METRIC
def test_a_name_says_what_is_counted_and_in_which_unit(metric: Description) -> None:
    assert re.fullmatch(r"telvend(_[a-z]+)+", metric.name)
    assert metric.name.endswith(UNITS) or metric.name in OTHER_ENDS
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.sentence.endswith(".")


@EACH_METRIC
def test_no_label_has_values_that_anybody_outside_chooses(metric: Description) -> None:
    assert BOUNDED.issuperset(metric.labels)


def test_the_build_is_told() -> None:
    (build,) = (metric for metric in METRICS if metric.name == "telvend_build_info")
    assert build.labels == ("version", "python_version")
