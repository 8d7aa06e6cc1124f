"""Measure how fast commands start, against `python -c "import asyncpg"`: the driver that every command with a database loads.

The measure is CPU time, which varies less than elapsed time on a shared machine; the best of several runs counts. Runs of each
command alternate with runs of the yardstick.
"""

import asyncio
import os
import subprocess
import sys
from typing import Final

from bench.report import Quantity, Target
from bench.session import Bench
from bench.testbed import TestbedFailed, command_line, environment

YARDSTICK: Final = (sys.executable, "-c", "import asyncpg")
MOST: Final = 2.5
"""How many times the yardstick a command may take."""

_RUNS: Final = 12
_RUN: Final = "RUN"
"""A placeholder for the number of the run."""
_COMMANDS: Final = (
    ("--version",),
    ("--help",),
    ("order", "list", "--help"),
    ("user", "add", f"commands{_RUN}@example.com", "--name", "Commands", "--phone", "0241234567", "--json"),
    ("user", "list", "--json"),
    ("key", "add", "commands0@example.com", "--api", "netpluse", "--json"),
    ("wallet", "credit", "commands0@example.com", "10", "GHS", "--reference", "commands", "--json"),
    ("product", "list", "--json"),
    ("order", "list", "--json"),
    ("report", "sales", "--json"),
    ("ledger", "check", "--json"),
)


async def commands(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - each command says its own
    """Run each command several times, those that need a shop beside a server."""
    await bench.testbed.serve()
    directory = ("--data-dir", str(bench.testbed.data_dir))
    for words in _COMMANDS:
        bench.say(f"telvend {' '.join(words)}")
        arguments = words if words[-1].endswith(("help", "version")) else (*words, *directory)
        ours, theirs = [], []
        for run in range(_RUNS):
            numbered = [argument.replace(_RUN, str(run)) for argument in arguments]
            theirs.append(await asyncio.to_thread(_computed_s, *YARDSTICK))
            ours.append(await asyncio.to_thread(_computed_s, *command_line(*numbered)))
        command_s, yardstick_s = min(ours), min(theirs)
        ratio = command_s / yardstick_s
        quantity = Quantity(part=name, what=f"telvend {' '.join(words)}", value=ratio, unit="× import asyncpg")
        quantity.targets = [Target(f"≤ {MOST} ×", ratio <= MOST)]
        quantity.notes = {"ms": f"{command_s * 1000:.0f}", "yardstick ms": f"{yardstick_s * 1000:.0f}"}
        bench.report.quantities.append(quantity)


def _computed_s(*arguments: str) -> float:
    """Run a program and return its CPU time. Raises TestbedFailed when it fails."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise TestbedFailed(f"{' '.join(arguments)}: {said.decode(errors='replace')}")
    return used.ru_utime + used.ru_stime
