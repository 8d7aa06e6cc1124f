"""kill -9 of a process that refills, at every step: whatever it was told is true, and everything happened once or not at all."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from telvend.bootstrap import FAILPOINTS
from telvend.database.connections import Database
from telvend.kit.failpoints import VARIABLE
from telvend.kit.mode import Mode
from tests.store.refills import EMEKA, NGOZI, WRONG, Network, network

PROCESS = """
import asyncio, json, sys
from pathlib import Path
from uuid import UUID
from telvend.errors import TelvendError
from telvend.kit import log
from telvend.database.connections import Database
from telvend.kit.secret import Secret
from telvend.kit.mode import Mode
from telvend.operator.refills.model import RefillKind, RefillRequest
from tests.store.refills import refills_of

log.configure("error")
given = json.loads(sys.stdin.read())

async def main():
    database = await Database.open(given["url"], pool_size=2)
    refills, _ = await refills_of(database, Path(given["data_dir"]))
    refills.start()

    async def one(wanted):
        pin = wanted.pop("pin", None)
        request = RefillRequest(
            reseller_id=UUID(given["reseller"]), dialect="madapi", mode=Mode.LIVE, wallets=given["wallets"], source="x",
            kind=RefillKind.VOUCHER if pin else RefillKind.VOUCHERLESS, profile=None if pin else "DB00",
            pin=Secret(pin) if pin else None, **wanted,
        )
        try:
            done = await refills.refill(request)
            said = [done.refill.reference, done.replayed]
        except TelvendError as error:
            said = [type(error).__name__, False]
        print(json.dumps([request.transaction_id, *said]), flush=True)

    # So many at a time, as so many clients would.
    for start in range(0, len(given["wanted"]), 8):
        await asyncio.gather(*map(one, given["wanted"][start : start + 8]))
    await refills.close()
    await database.close()

asyncio.run(main())
"""

Said = dict[str, list[Any]]


@pytest.fixture
async def net(database: Database, tmp_path: Path) -> AsyncIterator[Network]:
    opened = await network(database, tmp_path)
    yield opened
    await opened.close()


async def process(net: Network, wanted: list[dict[str, Any]], failpoints: str = "") -> tuple[int, Said]:
    """Refill in a process of its own. Answers how it ended, and what it said of each transaction."""
    given = {
        "url": net.database.url,
        "data_dir": str(net.data_dir),
        "reseller": str(net.ada.reseller_id),
        "wallets": net.ada.wallets[Mode.LIVE],
        "wanted": wanted,
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        env=os.environ | {VARIABLE: failpoints, "PYTHONPATH": "."},
    )  # fmt: skip
    said, _ = await started.communicate(json.dumps(given).encode())
    return started.returncode or 0, {line[0]: line[1:] for line in map(json.loads, said.splitlines())}


@pytest.mark.parametrize("point", [name for name in FAILPOINTS if name.startswith("refill.")])
@pytest.mark.parametrize("time", [1, 3])
async def test_a_process_killed_at_any_step_refills_everybody_once(net: Network, point: str, time: int) -> None:
    _, pins = await net.issue(16)
    wanted: list[dict[str, Any]] = [
        {"transaction_id": f"V-{number:03d}", "msisdn": NGOZI if number % 2 else EMEKA, "pin": pin}
        for number, pin in enumerate(pins)
    ]
    wanted += [
        {"transaction_id": f"W-{number:03d}", "msisdn": NGOZI if number % 3 else EMEKA, "units": 10 + number}
        for number in range(16)
    ]
    wanted = [wanted[number * 7 % len(wanted)] for number in range(len(wanted))]
    ended, before = await process(net, wanted, f"{point}=kill@{time}")
    assert ended == -signal.SIGKILL
    assert len(before) < len(wanted)
    ended, after = await process(net, wanted)
    assert ended == 0
    assert after.keys() == {one["transaction_id"] for one in wanted}
    for transaction_id, (reference, _) in before.items():
        # Whoever had an answer gets the same one again.
        assert after[transaction_id] == [reference, True]
    assert all(reference.startswith("RFL-") for reference, _ in after.values())
    if point == "refill.after_commit":
        assert sum(replayed for _, replayed in after.values()) > len(before), "durable, and nobody had been told"
    spent = sum(10 + number for number in range(16)) * 100
    assert await net.wallet() == 1_000_00 - spent
    assert await net.main_account() + await net.main_account(EMEKA) == 16 * 100_00 + spent
    assert await net.count("refill") == 32
    await net.check_books()


async def test_wrong_pins_count_though_the_process_is_killed_before_it_can_say_so(net: Network) -> None:
    wanted = [{"transaction_id": f"T-{number}", "msisdn": NGOZI, "pin": WRONG} for number in range(3)]
    ended, said = await process(net, wanted, "refill.after_commit=kill")
    assert (ended, said) == (-signal.SIGKILL, {})
    counted = await net.value("select wrong from pin_guard where kind = 'subscriber'")
    assert counted >= 1
    ended, said = await process(net, [wanted[0]] * (5 - counted) + [wanted[1]])
    assert list(said.values())[-1] == ["LockedOut", False]


async def test_killed_while_issuing_the_batch_stays_unavailable(net: Network) -> None:
    """Nothing marks it: its numbers say that it was never finished."""
    issue = (
        "import asyncio, os, signal, sys\nfrom pathlib import Path\nfrom telvend.database.connections import Database\n"
        "from telvend.kit.money import NGN, Money\nfrom tests.store.refills import Kept, refills_of\n"
        "class Dies(Kept):\n    async def take(self, vouchers):\n        await Kept.take(self, vouchers)\n"
        "        if len(self.vouchers) == 20:\n            print(self.pins[0], flush=True)\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "async def main():\n    database = await Database.open(sys.argv[1])\n"
        "    _, vouchers = await refills_of(database, Path(sys.argv[2]))\n"
        "    await vouchers.issue(Money(100_00, NGN), 50, Dies(), at_a_time=10)\nasyncio.run(main())\n"
    )
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", issue, net.database.url, str(net.data_dir), stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": "."},
    )  # fmt: skip
    said, _ = await started.communicate()
    assert started.returncode == -signal.SIGKILL
    ((batch, _),) = await net.vouchers.batches()
    assert (batch.state, batch.issued, batch.count) == ("unavailable", 20, 50)
    ended, answers = await process(net, [{"transaction_id": "T-1", "msisdn": NGOZI, "pin": said.decode().strip()}])
    assert (ended, answers) == (0, {"T-1": ["PinRefused", False]})
    await net.check_books()
