"""`telvend serve --workers`: workers that end, and workers that live and do not serve."""

import os
import signal
import time
from pathlib import Path

from tests.e2e.shop import Shop, wait_for


def at_rest(pid: int) -> bool:
    """Whether a process computes next to nothing: it has started. Source: proc(5), stat, utime and stime."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(0.5)
    return ticks() - before <= 2


def test_a_worker_that_stands_still_is_replaced_and_so_is_one_that_ends(fresh_shop: Shop) -> None:
    shop = fresh_shop
    shop.settings["TELVEND_WATCHDOG_S"] = "2"
    shop.start("--workers", "2")
    stopped, killed = shop.worker_pids()
    # The shop is ready when the first serves; one that is starting gets more time than one that has begun.
    wait_for(lambda: at_rest(stopped), 10, "the second worker started")
    os.kill(stopped, signal.SIGSTOP)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not {stopped, killed} & set(shop.worker_pids()), 10, "both replaced")
    wait_for(lambda: len(shop.worker_pids()) == 2 and shop.is_ready(), 10, "serving again")
    assert "worker_does_not_serve" in shop.log()
    wait_for(lambda: shop.telvend("ledger", "check")["ok"], 1, "the books")
