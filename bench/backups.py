"""Measure a backup of a large shop: how long it takes, what is sold meanwhile, and how long its restore takes."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from typing import Final

from bench.load import drive, purchases
from bench.report import Quantity, Target
from bench.session import Bench

CONNECTIONS: Final = 256
ORDERS_FOR_EACH_SECOND: Final = 100_000
"""The size of the shop, for each second of the extent: a million in a run of ten seconds."""
_BACKUP_WITHIN_S: Final = 60.0
_RESTORE_WITHIN_S: Final = 120.0
_LEAST_OF_SALES: Final = 0.8


async def backup(bench: Bench, name: str, what: str) -> None:  # noqa: ARG001 - each quantity has its own text
    """A shop of many orders is backed up while it sells at full speed, and restored."""
    testbed = bench.testbed
    await bench.serve()
    bench.say("furnishing the shop")
    keys = await testbed.spread()
    wanted = round(bench.extent.seconds * ORDERS_FOR_EACH_SECOND)
    while (orders := await testbed.orders()) < wanted:
        bench.say(f"selling up to {wanted:,} orders: {orders:,}")
        await _sales(bench, keys, bench.extent.seconds)
    place, into = testbed.data_dir.parent / "backups", testbed.data_dir.parent / "restored"
    without = await _sales(bench, keys, bench.extent.seconds)
    bench.say("backing up")
    begun = time.perf_counter()
    taking = asyncio.create_task(testbed.command("backup", str(place)))
    sold, rates = 0.0, 0
    while not taking.done():
        sold, rates = sold + await _sales(bench, keys, min(5.0, bench.extent.seconds), put_aside=False), rates + 1
    taken = await taking
    took_s = time.perf_counter() - begun
    await testbed.put_aside()
    # Tables grow meanwhile: half of the comparison is from before, half from after.
    without = (without + await _sales(bench, keys, bench.extent.seconds)) / 2
    part = sold / max(1, rates) / without
    notes = {
        "orders": f"{await testbed.orders():,}",
        "database": f"{taken['data_bytes'] / 1e6:,.0f} MB",
        "backup": f"{taken['bytes'] / 1e6:,.0f} MB",
    }
    _quantity(
        bench, f"{name}: a backup while 256 connections buy", taken["seconds"], "s",
        Target(f"< {_BACKUP_WITHIN_S:g} s", taken["seconds"] < _BACKUP_WITHIN_S), notes | {"command": f"{took_s:.1f} s"},
    )  # fmt: skip
    _quantity(
        bench, f"{name}: sales meanwhile, of those without", part, "×",
        Target(f"≥ {_LEAST_OF_SALES}", part >= _LEAST_OF_SALES), {"without": f"{without:,.0f}/s"},
    )  # fmt: skip
    bench.say("restoring")
    restored = await testbed.command("restore", str(place), "--into", str(into))
    _quantity(
        bench, f"{name}: restoring it", restored["seconds"], "s",
        Target(f"< {_RESTORE_WITHIN_S:g} s", restored["seconds"] < _RESTORE_WITHIN_S), {},
    )  # fmt: skip
    for folder in (place, into):
        await asyncio.to_thread(shutil.rmtree, folder)


async def _sales(bench: Bench, keys: Sequence[str], seconds: float, *, put_aside: bool = True) -> float:
    """Return purchases a second on 256 connections, with deliveries running."""
    load = await drive(
        bench.testbed.port,
        connections=CONNECTIONS,
        next_request=purchases(keys, bench.testbed.numbers),
        seconds=seconds,
        warm_up_s=min(1.0, bench.extent.warm_up_s),
    )
    if put_aside:
        await bench.testbed.put_aside()
    return load.per_second


def _quantity(bench: Bench, text: str, value: float, unit: str, target: Target, notes: dict[str, str]) -> None:
    bench.report.quantities.append(
        Quantity(part=text, what=text, value=value, unit=unit, targets=[target], notes=notes)
    )
