"""The process that minds the workers: one that never gets to its first beat is replaced, as one that stops beating is."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telvend.cli import workers
from telvend.cli.workers import Workers
from telvend.config import Settings

HANGS = "import time; time.sleep(100)"
BEATS_THEN_HANGS = """
import json, os, sys, time
saying = json.loads(os.environ["TELVEND_WORKER"])["saying"]
sys.stdin.readline()
for _ in range(5):
    os.write(saying, b"beat\\n")
    time.sleep(0.1)
time.sleep(100)
"""
BEATS = BEATS_THEN_HANGS.replace("range(5)", "range(1000)")


class Started:
    """Starts what a test says in the place of workers, and remembers each process."""

    def __init__(self, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processes: list[asyncio.subprocess.Process] = []
        real: Callable[..., Any] = asyncio.create_subprocess_exec

        async def start(*_command: str, **options: Any) -> asyncio.subprocess.Process:
            process: asyncio.subprocess.Process = await real(sys.executable, "-c", program, **options)
            self.processes.append(process)
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        # Another test of this process may have counted something already.
        monkeypatch.setattr("telvend.kit.metrics.prepare", lambda _folder: None)
        monkeypatch.setattr(workers, "BEAT_S", 0.1)
        monkeypatch.setattr(workers, "STARTING_LIMIT_S", 1.5)

    async def minded(self, tmp_path: Path, seconds: float) -> None:
        """Mind two workers for so long, then end them."""
        stop = asyncio.Event()
        crew = Workers(Settings(data_dir=str(tmp_path), workers=2, watchdog_s=1.0, drain_s=0.0), stop)
        await crew.begin()
        running = asyncio.create_task(crew.run("postgresql:///none", False, served=lambda: None))
        await asyncio.sleep(seconds)
        stop.set()
        await running


@pytest.mark.parametrize("program", [HANGS, BEATS_THEN_HANGS])
async def test_a_worker_that_stands_still_before_it_serves_is_replaced(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started(program, monkeypatch)
    await started.minded(tmp_path, 4.0)
    assert len(started.processes) >= 4
    assert all(process.returncode is not None for process in started.processes)
    assert [process.returncode for process in started.processes[:2]] == [-9, -9]


async def test_a_worker_that_beats_and_does_not_serve_yet_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started(BEATS, monkeypatch)
    await started.minded(tmp_path, 3.0)
    assert len(started.processes) == 2
