"""promtool on what a server serves and on deploy/prometheus: the metrics are clean, the rules are valid, every alert rings."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Keys
from tests.e2e.guides.page import ROOT
from tests.e2e.shop import Shop, purchase

pytestmark = pytest.mark.soak  # `make soak` installs promtool.

PROMETHEUS = ROOT / "deploy" / "prometheus"


def promtool(*words: str | Path, given: str | None = None) -> str:
    """Run it; what it printed. Fails where it finds anything."""
    program = shutil.which("promtool")
    assert program, "make monitors installs promtool"
    done = subprocess.run(
        [program, *words], cwd=PROMETHEUS, input=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_metrics_of_a_shop_that_has_sold_are_clean(shop: Shop, keys: Keys) -> None:
    with shop.client(keys.ama) as client:
        assert client.post("purchase", json=purchase(reference="monitored")).status_code == 200
    shop.wait_until_final()
    shop.telvend("ledger", "check")
    text = httpx.get(f"{shop.url}/metrics", timeout=10).text
    assert "telvend_provider_requests_total" in text
    assert promtool("check", "metrics", given=text) == ""


def test_the_configuration_and_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")


def test_every_alert_rings_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")
