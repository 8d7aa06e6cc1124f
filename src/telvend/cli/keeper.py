"""What `telvend serve` does for backups: archives the write-ahead log, takes backups on time, and verifies them.

The archive is filled by a thread; backups are taken and verified by programs of their own, with low priority. Whatever goes wrong
is logged, noted for the doctor and /metrics, and tried again: selling never waits for it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self

from telvend.config import PREFIX, Settings
from telvend.embedded_postgres.archiving import spool_of, waiting_segments
from telvend.kit import log
from telvend.kit.processes import die_with_parent
from telvend.upkeep.backup import archive
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.places import open_place
from telvend.upkeep.backup.sealing import Sealer
from telvend.upkeep.backup.state import BackupState, read_state, waiting

SHIP_EVERY_S: Final = 2.0
LOOK_EVERY_S: Final = 15.0
_AGAIN_AFTER: Final = timedelta(minutes=10)
"""How soon a backup that has failed is tried again."""
_SAY_AGAIN_S: Final = 300.0
_NICE: Final = 10

_logger = log.get("telvend.backup")


def backup_due(state: BackupState, settings: Settings, now: datetime, *, gap: bool) -> bool:
    """Whether a backup is to be taken now. `gap`: write-ahead log was given up, so that only a new one helps."""
    if not settings.backup_every_hours or not settings.backup_to:
        return False
    if state.failed_at is not None and now - state.failed_at < _AGAIN_AFTER:
        return False
    elsewhere = state.place != open_place(settings.backup_to, settings).text
    if gap or elsewhere or state.succeeded_at is None or state.failed_at is not None:
        return True
    return now - state.succeeded_at >= timedelta(hours=settings.backup_every_hours)


def verification_due(state: BackupState, settings: Settings, now: datetime) -> bool:
    """Whether the newest backup is to be verified now."""
    if not settings.backup_verify_every_hours or state.succeeded_at is None:
        return False
    if state.verify_failed_at is not None and now - state.verify_failed_at < timedelta(hours=1):
        return False
    every = timedelta(hours=settings.backup_verify_every_hours)
    return state.verified_at is None or (now - state.verified_at >= every and state.verified != state.backup)


class BackupKeeper:
    """Works for as long as its context lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data_dir = Path(settings.data_dir)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._said_at = -_SAY_AGAIN_S

    async def __aenter__(self) -> Self:
        if self._settings.backup_to:
            for work, every_s in ((self._ship, SHIP_EVERY_S), (self._look, LOOK_EVERY_S)):
                self._tasks.append(asyncio.create_task(self._again(work, every_s)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _again(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                now = asyncio.get_running_loop().time()
                if now - self._said_at >= _SAY_AGAIN_S:
                    self._said_at = now
                    _logger.error("backup_work_failed", error=str(error) or type(error).__name__)  # noqa: TRY400 - a sentence
            await asyncio.sleep(every_s)

    async def _ship(self) -> None:
        spool = spool_of(self._data_dir)
        if spool.is_dir() and waiting_segments(spool):
            await asyncio.to_thread(self._ship_now)

    def _ship_now(self) -> None:
        settings = self._settings
        place = open_place(settings.backup_to, settings)
        archive.ship(self._data_dir, place, Sealer.of(settings.backup_recipient.replace(",", " ").split()))

    async def _look(self) -> None:
        state, now = read_state(self._data_dir), datetime.now(UTC)
        waits = waiting(self._data_dir)
        gap = waits is not None and waits.gap
        if backup_due(state, self._settings, now, gap=gap):
            await self._run("backup", "make", *(["--full"] if gap else []))
        state = read_state(self._data_dir)
        if verification_due(state, self._settings, datetime.now(UTC)):
            await self._run("backup", "verify", state.place, "--backup", state.backup)

    async def _run(self, *words: str) -> None:
        """Run one command of ours to its end. Raises BackupRefused with what it said."""
        variables = dict(os.environ)
        if self._settings.database_url is not None:
            variables[f"{PREFIX}DATABASE_URL"] = self._settings.database_url.reveal()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "telvend",
            "--data-dir",
            str(self._data_dir),
            *words,
            "--json",
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=partial(_as_helper, os.getpid()),
        )
        try:
            _, said = await self._process.communicate()
        except asyncio.CancelledError:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()
            raise
        lines = said.decode(errors="replace").strip().splitlines()
        if self._process.returncode:
            raise BackupRefused(f"{' '.join(words)}: {lines[-1] if lines else 'it gave no reason'}")
        _logger.info("backup_work_done", command=" ".join(words))


def _as_helper(parent_pid: int) -> None:
    os.nice(_NICE)
    die_with_parent(parent_pid)
