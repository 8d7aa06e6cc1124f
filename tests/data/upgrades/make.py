"""Make the dumps beside this file: a shop as an earlier version of Telvend has left it, with something of everything that it sold.

    .venv/bin/python tests/data/upgrades/make.py NAME COMMIT [PYTHON]

The code of that commit runs in a folder of its own, with the libraries of PYTHON, or of this environment. NAME is the schema's
revision. Only run it again for a version that is not here yet: what the old code has written is what upgrades are tested with.
"""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PORT = 18_531

COMMANDS = (
    "user add ama@example.com --name Ama --phone 0241234567",
    "user add obi@example.com --name Obi --phone 08031234567",
    "wallet credit ama@example.com 500 GHS --reference cash-1",
    "wallet credit ama@example.com 50 GHS --reference test-1 --mode test",
    "wallet credit obi@example.com 20000 NGN --reference cash-2",
    "wallet debit ama@example.com 12.50 GHS --reference back-1 --reason mistake",
    "subscriber add +233241230001 --tariff-plan Basic --currency GHS",
    "voucher issue --amount 5 --currency GHS --count 3",
)
ENDINGS = ("0001", "0002", "0003", "0007", "0016", "0017", "0004", "0005")
"""Ends of numbers; some steer the simulator to refuse, to say nothing, to wait."""


def main(name: str, commit: str, python: str) -> None:
    with tempfile.TemporaryDirectory(prefix="telvend-old-") as text:
        folder = Path(text)
        folder.chmod(0o755)
        archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        shop = Old(folder, python)
        shop.serve()
        try:
            shop.furnish()
            written = shop.dump()
        finally:
            shop.stop()
    with gzip.GzipFile(Path(__file__).with_name(f"{name}.sql.gz"), "wb", mtime=0) as file:
        file.write(written)


class Old:
    """A shop of an earlier version."""

    def __init__(self, folder: Path, python: str) -> None:
        self._python = python
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TELVEND_")} | {
            "PYTHONPATH": str(folder / "src"),
            "TELVEND_DATA_DIR": str(self._data),
            "TELVEND_OWN_NETWORK": "false",
            "TELVEND_SIMULATORS": "{simulator = {live = true, timeout_s = 0.5}}",
        }

    def serve(self) -> None:
        words = [self._python, "-m", "telvend", "serve", "--port", str(PORT)]
        self._process = subprocess.Popen(words, env=self._environment)
        until = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < until
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, *words: str) -> Any:
        done = subprocess.run(
            [self._python, "-m", "telvend", *words, "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return json.loads(done.stdout)

    def furnish(self) -> None:
        for line in COMMANDS:
            self.run(*line.split())
        for email, mode in (("ama@example.com", "live"), ("ama@example.com", "test")):
            key = self.run("key", "add", email, "--api", "netpluse", "--mode", mode)["key"]
            for ending in ENDINGS:
                body = {
                    "network": "MTN",
                    "phoneNumber": f"024123{ending}",
                    "capacity": "1GB",
                    "reference": f"{mode}-{ending}",
                }
                self.buy(key, body)
        until = time.monotonic() + 60
        while self.open_orders() > 4 and time.monotonic() < until:
            time.sleep(0.5)
        assert self.run("ledger", "check")["ok"]

    def buy(self, key: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/api/v1/purchase",
            json.dumps(body).encode(),
            {"content-type": "application/json", "x-api-key": key},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            assert answer.status == 200

    def open_orders(self) -> int:
        orders = self.run("order", "list")["orders"]
        return sum(order["state"] not in ("delivered", "failed") for order in orders)

    def dump(self) -> bytes:
        words = ["db", "run", "pg_dump", "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=100"]
        return subprocess.run(
            [self._python, "-m", "telvend", *words], env=self._environment, capture_output=True, check=True
        ).stdout

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if sys.argv[3:] else sys.executable)
