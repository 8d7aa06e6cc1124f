"""What becomes of a process whose task has died."""

import asyncio

import pytest
from structlog.testing import capture_logs

from telvend.kit import metrics
from telvend.kit.runtime import DEAD_TASK_EXIT_CODE, NO_RUNTIME, runtime_of_server


async def test_a_server_says_what_has_died_and_ends_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.get_running_loop().create_future()
    monkeypatch.setattr("telvend.kit.runtime.os._exit", ended.set_result)
    with capture_logs() as lines:
        runtime_of_server().died(RuntimeError("a bug"))
    assert [(line["event"], line["error"]) for line in lines] == [("lane_died", "RuntimeError('a bug')")]
    assert not ended.done()
    assert await asyncio.wait_for(ended, 5) == DEAD_TASK_EXIT_CODE == 70


def test_a_server_counts_batches_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[str, int, int]] = []
    monkeypatch.setattr(metrics, "lane_batch", lambda *batch: counted.append(batch))
    NO_RUNTIME.batch("orders", 1, 0)
    NO_RUNTIME.died(RuntimeError("nothing ends"))
    runtime_of_server().batch("orders", 3, 1)
    assert counted == [("orders", 3, 1)]
