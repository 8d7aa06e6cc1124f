"""A list that is sold beside a server with several workers, while the command and a worker are killed."""

import csv
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

from tests.contract.product_kind_cases import CASES
from tests.e2e.shop import TELVEND, Shop, wait_for

EMAIL = "ama@example.com"
ROWS = 700


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def place(shop: Shop, path: Path, *more: str) -> dict[str, Any]:
    return shop.telvend("order", "place", "--csv", str(path), "--email", EMAIL, "--yes", *more)


def test_a_list_survives_kill_9_of_the_command_and_of_a_worker(fresh_shop: Shop) -> None:
    shop = fresh_shop
    path = shop.data_dir / "staff.csv"
    path.write_text(
        "product,to\n" + "".join(f"GH-MTN-1GB-30D,024{number:03}0000\n" for number in range(100, 100 + ROWS))
    )
    shop.start("--workers", "2")
    shop.telvend("wallet", "credit", EMAIL, "10000", "GHS", "--reference", "list")
    killed = subprocess.run(
        [TELVEND, "order", "place", "--csv", str(path), "--email", EMAIL, "--yes"],
        env=shop.environment(TELVEND_FAILPOINTS="lane.after_commit=kill@2"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    ((before,),) = shop.sql("select count(*) from orders")
    assert 0 < before < ROWS
    os.kill(shop.worker_pids()[0], signal.SIGKILL)
    done = place(shop, path, "--wait", "60")
    assert (done["sold"], done["sold_before"], done["not_sold"]) == (ROWS - before, before, 0)
    assert done["states"] == {"delivered": ROWS}
    rows = rows_of(path.with_name("staff.csv.result.csv"))
    assert len({row["order"] for row in rows}) == ROWS
    assert all("paid: GHS 4.50" in row["receipt"] for row in rows)
    _, book = shop.check_books()
    assert book["deliveries"] == ROWS


def test_tokens_and_pins_stand_in_the_result_and_nowhere_else(fresh_shop: Shop) -> None:
    shop = fresh_shop
    shop.start()
    shop.telvend("wallet", "credit", EMAIL, "100000", "NGN", "--reference", "play", "--mode", "test")
    path = shop.data_dir / "meters.csv"
    cases = [CASES[name] for name in ("electricity", "exam_pin")]
    lines = [f"{case.product},{case.recipient}0000,{case.amount or ''}" for case in cases]
    path.write_text("\n".join(["product,to,amount", *lines]))
    done = place(shop, path, "--mode", "test", "--wait", "30")
    assert done["states"] == {"delivered": 2}
    result = path.with_name("meters.csv.result.csv")
    meter, pin = rows_of(result)
    assert "token (credit): " in meter["receipt"]
    assert "PIN: " in pin["receipt"]
    assert stat.S_IMODE(result.stat().st_mode) == 0o600
    shown = shop.telvend("order", "show", meter["order"])
    assert shown["readings"][0]["by"].startswith("order place --csv, ")
    token = shown["receipt"]["tokens"][0]["digits"]
    assert token in meter["receipt"].replace(" ", "")
    assert token not in shop.log() + str(done)
    wait_for(lambda: not shop.sql("select 1 from orders where due_at is not null"), 10, "nothing is left to do")
