"""Rate limits and keys, as two processes of one shop share them."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop, purchase, wait_for


def test_limits_are_exact_over_two_processes_and_survive_their_death(shop: Shop, keys: Keys) -> None:
    """60 reads and 30 purchases of one key; every second request goes over a connection of its own."""

    def read(_: int) -> httpx.Response:
        with shop.client(keys.ama_ordinary) as client:
            return client.get(("ping", "balance", "packages", "order-status/none")[_ % 4])

    def refused_purchase(_: int) -> httpx.Response:
        with shop.client(keys.ama_ordinary) as client:
            return client.post("purchase", json=purchase("not a number"))

    with ThreadPoolExecutor(8) as pool:
        reads = list(pool.map(read, range(75)))
        purchases = list(pool.map(refused_purchase, range(40)))
    assert sum(answer.status_code in (200, 404) for answer in reads) == 60
    assert sum(answer.status_code == 429 for answer in reads) == 15
    # What is refused for its form counts too.
    assert sorted(answer.status_code for answer in purchases) == [400] * 30 + [429] * 10
    for answers, limit in ((reads, 60), (purchases, 30)):
        passed = [answer for answer in answers if answer.status_code != 429]
        assert sorted(int(answer.headers["ratelimit-remaining"]) for answer in passed) == list(range(limit))
        for answer in answers:
            assert answer.headers["ratelimit-limit"] == str(limit)
            if answer.status_code == 429:
                assert list(answer.json()) == ["error"]
                assert answer.headers["ratelimit-remaining"] == "0"
                assert 1 <= int(answer.headers["retry-after"]) <= 60
                assert answer.headers["retry-after"] == answer.headers["ratelimit-reset"]

    before = shop.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(set(shop.worker_pids()) - set(before)) == 2 and shop.is_ready(), 10, "workers are back")
    assert [read(0).status_code for _ in range(4)] == [429] * 4
    assert [refused_purchase(0).status_code for _ in range(4)] == [429] * 4
    # Another key of the same reseller has an allowance of its own.
    with shop.client(keys.ama_ordinary_test) as other:
        assert other.get("ping").headers["ratelimit-remaining"] == "59"


def test_a_path_that_does_not_exist_and_a_wrong_key_count_for_nobody(shop: Shop, keys: Keys) -> None:
    with shop.client(keys.ama_ordinary_test) as client:
        before = int(client.get("ping").headers["ratelimit-remaining"])
        for _ in range(5):
            client.get("nothing")
            client.get("purchase")
            client.get("ping", headers={"x-api-key": keys.ama_ordinary_test[:-1] + "_"})
        assert int(client.get("ping").headers["ratelimit-remaining"]) == before - 1


def test_a_revoked_key_is_refused_within_a_second_by_both_processes(shop: Shop, keys: Keys) -> None:
    clients = [shop.client(keys.ama_doomed) for _ in range(12)]  # Connections are spread over the processes.
    try:
        assert [client.get("ping").status_code for client in clients] == [200] * 12
        shop.sql("select 1")
        shop.telvend("key", "revoke", keys.ama_doomed_id)
        revoked_at = time.monotonic()
        wait_for(lambda: all(client.get("ping").status_code == 401 for client in clients), 1, "refused everywhere")
        assert time.monotonic() - revoked_at < 1
        assert {client.post("purchase", json=purchase(0)).status_code for client in clients} == {401}
    finally:
        for client in clients:
            client.close()
