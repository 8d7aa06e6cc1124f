"""The yardstick: pgbench's TPC-B on the server that the shop uses (scale 10, 16 clients, prepared statements)."""

import asyncio
import re
from typing import Final

from telvend.embedded_postgres.binaries import client_programs_dir

SCALE: Final = 10
CLIENTS: Final = 16

OPTIONS: Final = ("-c", str(CLIENTS), "-M", "prepared")


class PgbenchFailed(Exception):
    """pgbench did not end well. The message is what it printed."""


async def prepare(url: str) -> None:
    """Make pgbench's tables in the database at `url`, anew if they are there."""
    await _pgbench("-i", "-q", "-s", str(SCALE), url)


async def transactions_per_second(url: str, seconds: int) -> float:
    """TPC-B for so many seconds; connecting is not counted."""
    printed = await _pgbench(*OPTIONS, "-T", str(seconds), url)
    found = re.search(r"^tps = ([0-9.]+) \(without initial connection time\)", printed, re.MULTILINE)
    if found is None:
        raise PgbenchFailed(printed)
    return float(found[1])


async def _pgbench(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(client_programs_dir() / "pgbench"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, complained = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode != 0:
        raise PgbenchFailed(complained.decode(errors="replace") or f"pgbench ended with {process.returncode}")
    return printed.decode()
