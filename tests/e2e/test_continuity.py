"""A dump that is restored into the live shop: it alarms, is not ready and sells nothing, until somebody releases it."""

import subprocess
from pathlib import Path

import httpx
import pytest

from telvend.embedded_postgres.binaries import client_programs_dir
from tests.e2e.conftest import Keys
from tests.e2e.shop import Shop, purchase, wait_for


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client_programs_dir() / program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_restore_into_the_live_shop_halts_it_until_it_is_released(
    fresh_shop: Shop, keys: Keys, tmp_path: Path
) -> None:
    shop, dump = fresh_shop, tmp_path / "telvend.dump"
    shop.start("--workers", "2")
    with shop.client(keys.ama) as ama:
        assert ama.post("purchase", json=purchase(1, "kept")).status_code == 200
        shop.wait_until_final()
        url = shop.telvend("db", "url")["url"]
        assert run("pg_dump", "--format=custom", f"--file={dump}", url).returncode == 0
        lost = ama.post("purchase", json=purchase(2, "lost")).json()["reference"]
        # Our own command does not; nor does pg_restore as our page has it, without --clean.
        loaded = shop.run("db", "load", str(dump))
        assert loaded.returncode == 1
        assert "is being served" in loaded.stderr
        plain = run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={url}", dump)
        assert plain.returncode != 0
        assert shop.is_ready()
        restored = run(
            "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction", f"--dbname={url}", dump
        )
        assert restored.returncode == 0, restored.stderr
        # Both processes: the one that misses nothing reads it in the book.
        wait_for(
            lambda: "telvend_sales_halted_processes 2.0" in httpx.get(f"{shop.url}/metrics").text, 5, "both say so"
        )
        wait_for(lambda: all(shop.is_halted() for _ in range(6)), 5, "not ready")
        why = httpx.get(f"{shop.url}/healthz").json()["why"]
        assert lost in why
        assert "telvend shop release" in why
        for number in range(8):
            refused = ama.post("purchase", json=purchase(3, f"new {number}"))
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "60"
        assert ama.get("order-status/kept").json()["status"] == "completed"
        assert '"sales_halted"' in shop.log()
    # Who starts again has not forgotten.
    assert shop.stop() == 0
    shop.start("--workers", "2", halted=True)
    status = shop.run("shop", "status")
    assert status.returncode == 1
    assert lost in status.stdout
    released = shop.telvend("shop", "release", "--reason", "compared with the provider", "--by", "Efua")
    assert released["released"]
    assert any(lost in halt["why"] for halt in released["halts"])
    wait_for(shop.is_ready, 5, "ready")
    assert not shop.telvend("shop", "release", "--reason", "again", "--by", "Efua")["released"]
    with shop.client(keys.ama) as ama:
        assert ama.post("purchase", json=purchase(3, "after")).status_code == 200
    shop.wait_until_final()
    shop.check_books()


@pytest.mark.soak
def test_a_dump_is_loaded_into_a_new_folder_and_never_into_a_shop(fresh_shop: Shop, keys: Keys, tmp_path: Path) -> None:
    shop, dump = fresh_shop, tmp_path / "telvend.dump"
    shop.start()
    with shop.client(keys.ama) as ama:
        assert ama.post("purchase", json=purchase(1, "sold")).status_code == 200
    shop.wait_until_final()
    assert run("pg_dump", "--format=custom", f"--file={dump}", shop.telvend("db", "url")["url"]).returncode == 0
    assert shop.stop() == 0
    again = shop.run("db", "load", str(dump))  # Not served, and not empty.
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    truncated = tmp_path / "half.dump"
    truncated.write_bytes(dump.read_bytes()[: dump.stat().st_size * 2 // 3])
    restored = Shop(tmp_path / "restored")
    try:
        assert restored.run("db", "load", str(truncated)).returncode == 1
        done = restored.run("db", "load", str(dump))
        assert done.returncode == 0, done.stderr
        restored.start(halted=True)
        with restored.client(keys.ama) as ama:
            assert ama.post("purchase", json=purchase(2, "new")).status_code == 503
        restored.telvend("shop", "release", "--reason", "compared", "--by", "Efua")
        wait_for(restored.is_ready, 5, "ready")
        with restored.client(keys.ama) as ama:
            assert ama.post("purchase", json=purchase(1, "sold")).status_code == 409  # Within a minute of the first.
            assert ama.post("purchase", json=purchase(2, "new")).status_code == 200
        restored.wait_until_final()
        restored.check_books()
    finally:
        restored.end()
