"""Failpoints: nothing happens unless armed; what is armed happens to a real process."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import telvend
from telvend.bootstrap import FAILPOINTS
from telvend.kit import failpoints


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def run(specification: str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, failpoints.VARIABLE: specification}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


HIT_FIVE_TIMES = """
import telvend.bootstrap
from telvend.kit.failpoints import hit
for i in range(1, 6):
    print(i, flush=True)
    hit("lane.after_write")
"""


def test_nothing_happens_when_nothing_is_armed() -> None:
    for name in FAILPOINTS:
        failpoints.hit(name)
    assert failpoints.armed() == []
    assert run("", HIT_FIVE_TIMES).returncode == 0


def test_kill_ends_the_process_at_the_first_hit() -> None:
    ended = run("lane.after_write=kill", HIT_FIVE_TIMES)
    assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, ["1"])


def test_kill_at_three_ends_the_process_at_the_third_hit() -> None:
    ended = run("attempt.after_send=error; lane.after_write=kill@3", HIT_FIVE_TIMES)
    assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])


def test_kill_in_a_coroutine_ends_the_process() -> None:
    code = "import asyncio\nfrom telvend.kit.failpoints import hit_async\nasyncio.run(hit_async('settle.after_commit'))"
    assert run("settle.after_commit=kill", code).returncode == -signal.SIGKILL


def test_another_failpoint_than_the_armed_one_does_nothing() -> None:
    assert run("lane.after_commit=kill", HIT_FIVE_TIMES).returncode == 0


@pytest.mark.parametrize(
    ("specification", "why"),
    [
        ("lane.after_wirte=kill", "no failpoint 'lane.after_wirte'"),
        ("lane.after_write", "is not NAME=kill"),
        ("lane.after_write=explode", "is not NAME=kill"),
        ("lane.after_write=kill@0", "is not NAME=kill"),
        ("lane.after_write=kill@x", "is not NAME=kill"),
        ("lane.after_write=kill:1", "is not NAME=kill"),
        ("lane.after_write=sleep", "is not NAME=kill"),
        ("lane.after_write=sleep:-1", "is not NAME=kill"),
        ("lane.after_write=sleep:nan", "is not NAME=kill"),
    ],
)
def test_a_misspelt_variable_stops_the_process_at_start(specification: str, why: str) -> None:
    with pytest.raises(failpoints.FailpointsMisspelt, match=re.escape(why)):
        failpoints.arm(specification)


def test_a_process_with_a_misspelt_variable_does_not_start() -> None:
    ended = run("lane.after_wirte=kill", HIT_FIVE_TIMES)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "no failpoint 'lane.after_wirte'" in ended.stderr


def test_error_raises_every_time_or_the_one_time_that_was_asked_for() -> None:
    failpoints.arm("lane.after_locks=error;lane.before_begin=error@2")
    for _ in range(2):
        with pytest.raises(failpoints.FailpointError, match=r"lane\.after_locks"):
            failpoints.hit("lane.after_locks")
    failpoints.hit("lane.before_begin")
    with pytest.raises(failpoints.FailpointError):
        failpoints.hit("lane.before_begin")
    failpoints.hit("lane.before_begin")


def test_sleep_blocks_for_its_seconds() -> None:
    failpoints.arm("lane.after_locks=sleep:0.05")
    began = time.monotonic()
    failpoints.hit("lane.after_locks")
    assert time.monotonic() - began >= 0.05


async def test_sleep_in_a_coroutine_lets_others_run() -> None:
    failpoints.arm("lane.after_locks=sleep:0.05")
    sleeper = asyncio.create_task(failpoints.hit_async("lane.after_locks"))
    await asyncio.sleep(0.001)
    assert not sleeper.done()
    await sleeper


def test_a_name_without_a_row_is_an_error_once_anything_is_armed() -> None:
    failpoints.arm("lane.after_locks=sleep:0")
    with pytest.raises(failpoints.FailpointsMisspelt):
        failpoints.hit("lane.nowhere")


def test_every_failpoint_in_the_source_has_a_sentence() -> None:
    source = Path(telvend.__path__[0])
    used = {
        name
        for file in source.rglob("*.py")
        if file.name != "failpoints.py"
        for name in re.findall(r"\bhit(?:_async)?\(\s*\"([^\"]+)\"", file.read_text())
    }
    assert used <= FAILPOINTS.keys()
