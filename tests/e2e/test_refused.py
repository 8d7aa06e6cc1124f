"""What cannot be served with: one sentence and exit code 1, with one process as with several; nobody goes round in circles."""

import pytest

from tests.e2e.shop import Shop, wait_for

TWO_OF_A_NAME = "{own_network = {steered = false}}"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        (
            "simulators",
            TWO_OF_A_NAME,
            "These providers cannot stand side by side: two providers are called own_network.",
        ),
        (
            "prembly_api_key",
            "line\nend",
            "TELVEND_PREMBLY_API_KEY must be printable ASCII without blanks and line ends.",
        ),
        ("redis_url", "redis://localhost:port", "TELVEND_REDIS_URL is not the address of a Redis"),
    ],
)
def test_a_refused_setting_ends_serving_with_one_sentence(
    fresh_shop: Shop, workers: str, setting: str, value: str, sentence: str
) -> None:
    fresh_shop.settings = {f"TELVEND_{setting.upper()}": value}
    fresh_shop.start("--workers", workers, may_end=True)
    wait_for(fresh_shop.has_ended, 20, "it gave up")
    assert fresh_shop.stop() == 1
    lines = fresh_shop.log().splitlines()
    assert [line for line in lines if line.startswith("telvend: ")] == lines, lines
    assert len(lines) == 1
    assert sentence in lines[0]
    assert not fresh_shop.left_running()
