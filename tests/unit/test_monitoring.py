"""deploy/prometheus and deploy/grafana: what they name exists, and each alert has a page that says what to do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from telvend.bootstrap import load_modules
from telvend.cli import app
from telvend.kit.metrics import described
from tests.e2e.guides.page import ROOT

load_modules()

PROMETHEUS = ROOT / "deploy" / "prometheus"
PAGES = ROOT / "docs" / "howto" / "alerts"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
}
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "telvend.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

METRICS = {one.name: one for one in described()}
_SELECTOR = re.compile(r"\b(telvend_[a-z_]+|up)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPED = re.compile(r"\b(?:by|without) \(([^)]*)\)")
FROM_PROMETHEUS = {"job", "instance", "le"}


def declared(name: str) -> set[str] | None:
    """The labels of a metric as a query names it; None where there is no such metric."""
    for known in (name, re.sub(r"_(bucket|sum|count)$", "", name)):
        if known in METRICS and (known == name or METRICS[known].kind == "histogram"):
            return set(METRICS[known].labels) | FROM_PROMETHEUS
    return FROM_PROMETHEUS if name == "up" else None


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in RULES.values()), *QUERIES])
def test_a_query_names_metrics_and_labels_that_exist(query: str) -> None:
    found = _SELECTOR.findall(query)
    assert found
    labels: set[str] = set()
    for name, matchers in found:
        known = declared(name)
        assert known is not None, name
        assert set(_MATCHER.findall(matchers)) <= known
        labels |= known
    for names in _GROUPED.findall(query):
        assert {name.strip() for name in names.split(",")} <= labels


# Alerts ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_how_urgent_it_is_what_happens_and_where_help_is(name: str) -> None:
    rule = RULES[name]
    assert re.fullmatch(r"Telvend[A-Z][A-Za-z]+", name)
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    page = ROOT / rule["annotations"]["page"]
    assert page.parent == PAGES
    assert f"\nAlert `{name}`. " in page.read_text("utf-8")


def test_every_page_belongs_to_an_alert_and_is_listed() -> None:
    pages = {ROOT / rule["annotations"]["page"] for rule in RULES.values()}
    assert pages == set(PAGES.glob("*.md"))
    listed = (ROOT / "docs" / "howto" / "monitoring.md").read_text("utf-8")
    assert all(f"(alerts/{page.name})" in listed for page in pages)
    assert all(f"`{name}`" in listed for name in RULES)


def test_what_the_issue_asks_for_is_watched() -> None:
    watched = " ".join(rule["expr"] for rule in RULES.values())
    for metric in (
        "telvend_orders_oldest_age_seconds", "telvend_provider_requests_total", "telvend_provider_float_low",
        "telvend_ledger_hold_difference_currency_units", "telvend_audit_findings",
        "telvend_backup_last_success_timestamp_seconds", "telvend_http_requests_total",
        "telvend_webhook_endpoints_failing", "telvend_data_filesystem_free_bytes",
    ):  # fmt: skip
        assert metric in watched


def test_every_alert_is_let_ring() -> None:
    tested = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text("utf-8"))["tests"]
    rings = {case["alertname"] for one in tested for case in one["alert_rule_test"] if case.get("exp_alerts")}
    silent = {case["alertname"] for one in tested for case in one["alert_rule_test"] if not case.get("exp_alerts")}
    assert rings == silent == set(RULES)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_says_where_to_look_what_to_do_and_when_it_is_over(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Look", "Do", "It is over when"]
    for words in commands(text):
        require_command(words)


def commands(text: str) -> list[list[str]]:
    """The calls of `telvend` in the fences and between the backticks of a page."""
    lines = re.findall(r"^ *(telvend [^\n|]*)", text, re.MULTILINE) + re.findall(r"`(telvend [^`\n]*)`", text)
    return [re.sub(r'"[^"]*"', "TEXT", line).split()[1:] for line in lines]


def require_command(words: list[str]) -> None:
    """Fail unless the words name a command, and options that it has."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    rest = list(words)
    while rest and hasattr(command, "get_command"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, words
        command = found
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= options, words


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(AssertionError):
        require_command(["shop", "book"])
    with pytest.raises(AssertionError):
        require_command(["ledger", "check", "--whole"])


# The dashboard --------------------------------------------------------------------------------------------------------------


def test_panels_have_a_title_a_sentence_and_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)


def test_the_dashboard_is_of_whichever_prometheus_one_chooses() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for panel in PANELS:
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_prometheus_reads_the_port_that_metrics_are_served_on() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    (scraped,) = config["scrape_configs"]
    assert scraped["job_name"] == "telvend"
    port = scraped["static_configs"][0]["targets"][0].rpartition(":")[2]
    assert f"metrics_port = {port}" in (ROOT / "docs" / "howto" / "monitoring.md").read_text("utf-8")
