"""Clients that tools generate from the documents of a running server, and what they make of its answers.

openapi-python-client runs in a second, so it is here. test_generated_clients_soak.py has the others.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telvend.config import CONNECTIONS_BESIDE_POOL, Settings
from tests.e2e.generated import CLIENTS, DIALECTS, Market, make, ran, sendable
from tests.e2e.shop import Shop


@pytest.fixture(scope="module")
def market(copied: Callable[[], Shop], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    make("clients")
    market = Market.open(copied(), tmp_path_factory.mktemp("documents"))
    yield market
    market.shop.check_books()
    market.shop.end()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_generated_python_client_sends_the_whole_story_and_reads_every_answer(
    market: Market, name: str, tmp_path: Path
) -> None:
    generator = [
        CLIENTS / "bin" / "python",
        "-m",
        "openapi_python_client",
        "generate",
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []\n")  # It would only format what was generated.
    ran([*generator, "--config", config, "--path", market.document(name), "--output-path", tmp_path / "client"])
    answered = market.walk("openapi-python-client", tmp_path, "client", name)
    assert [step["name"] for step in answered] == sendable(name)
    assert len(answered) >= len(DIALECTS[name].story) - 1  # A typed client cannot write a word that an enum has not.


def test_a_process_holds_no_more_connections_than_the_texts_say(market: Market) -> None:
    # After the whole of every API has been used, in one process with the default size of its pool.
    ((held,),) = market.shop.sql(
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    assert CONNECTIONS_BESIDE_POOL / 2 < held <= CONNECTIONS_BESIDE_POOL + Settings().pool_size
