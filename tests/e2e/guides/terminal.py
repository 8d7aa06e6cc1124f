"""A terminal: one bash in which the commands of a guide are typed, one block after the other."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from telvend.kit.processes import die_with_parent
from tests.e2e.shop import load

_MARK = "---- that was block"


class Terminal:
    """Variables, functions and background processes stay from block to block. `end` leaves nothing running."""

    def __init__(self, folder: Path, work: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._screen = folder / "screen"
        self._typed = 0
        with self._screen.open("wb") as screen:
            self._bash = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=work,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=screen,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        self._type("set -E; trap 'failed=$?' ERR")

    def run(self, text: str, within_s: float) -> tuple[int, list[str]]:
        """Type the lines and wait for them. Return the exit code of the last command that failed, or 0, and the output."""
        begin = len(self.printed())
        self.start(text)
        mark = f"{_MARK} {self._typed}: "
        ended = time.monotonic() + within_s * load()
        while True:
            printed = self.printed()[begin:]
            for number, line in enumerate(printed):
                if mark in line:
                    before, _, code = line.partition(mark)
                    return int(code), printed[:number] + ([before] if before else [])
            assert time.monotonic() < ended, f"not within {within_s:g} s:\n{text}\n" + "\n".join(printed)
            assert self._bash.poll() is None, "\n".join(printed)
            time.sleep(0.05)

    def start(self, text: str) -> None:
        """Type the lines, and do not wait."""
        self._typed += 1
        script = self._folder / f"{self._typed}.sh"
        script.write_text(text)
        self._type(f'failed=0; . "{script}" < /dev/null; echo "{_MARK} {self._typed}: $failed"')

    def value(self, expression: str) -> str:
        """Expand the variables in a text."""
        _, printed = self.run(f'echo "{expression}"', 10)
        return printed[-1]

    def printed(self) -> list[str]:
        """Return all output so far."""
        return self._screen.read_text("utf-8", errors="replace").splitlines()

    def end(self) -> None:
        """Close the terminal: terminate what still runs in it, then kill it."""
        for number, wait_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
            until = time.monotonic() + wait_s * load()
            for group in self._groups():
                try:
                    os.killpg(group, number)
                except ProcessLookupError:
                    continue
            while self._groups() and time.monotonic() < until:
                self._bash.poll()
                time.sleep(0.05)
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(5)

    def _groups(self) -> set[int]:
        """Return the process groups of this session that still have a process."""
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == self._bash.pid and state not in "ZX":
                found.add(int(group))
        return found

    def _type(self, line: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{line}\n".encode())
        self._bash.stdin.flush()
