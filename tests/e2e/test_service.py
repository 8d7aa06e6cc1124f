"""The units of `telvend install-service` under a real systemd, which is the first process of namespaces of its own.

Nothing of the machine is changed: /opt, /var/lib, /run and the list of users are others inside, and all ends with the first process.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.guides.page import ROOT
from tests.e2e.shop import free_port, purchase, wait_for
from tests.e2e.test_package import PYTHONS, build, install

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SYSTEMD = Path("/lib/systemd/systemd")
PYTHON = Path("/usr/bin/python3")
"""The system's: one below a home directory is hidden from services."""

FIRST_PROCESS = """#!/bin/bash
set -e
mount --make-rprivate /
mount -t proc proc /proc
for file in passwd group; do cp /etc/$file "$FOLDER/$file"; done
grep -q ^telvend: "$FOLDER/passwd" || echo 'telvend:x:64977:64977::/var/lib/telvend:/usr/sbin/nologin' >> "$FOLDER/passwd"
grep -q ^telvend: "$FOLDER/group" || echo 'telvend:x:64977:' >> "$FOLDER/group"
for file in passwd group; do chmod 644 "$FOLDER/$file"; mount --bind "$FOLDER/$file" /etc/$file; done
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir /opt/telvend "$FOLDER/lib"
mount --bind "$FOLDER/lib" /var/lib
mount --bind "$FOLDER/venv" /opt/telvend
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
/opt/telvend/bin/telvend install-service --unit-file /run/units/telvend.service --environment-file /run/telvend.env
mkdir -p /run/systemd
cp -r /run/units /run/systemd/system
echo "TELVEND_PORT=$PORT" >> /run/telvend.env
for unit in telvend telvend-audit; do
  mkdir /run/systemd/system/$unit.service.d
  # What a whole system would start before it.
  printf '[Unit]\\nDefaultDependencies=no\\nWants=\\nAfter=\\n' > /run/systemd/system/$unit.service.d/alone.conf
  printf '[Service]\\nStandardOutput=append:/run/out.log\\n' >> /run/systemd/system/$unit.service.d/alone.conf
done
printf '[Unit]\\nDefaultDependencies=no\\nWants=telvend.service\\n' > /run/systemd/system/first.target
exec env -i PATH="$PATH" container=telvend /lib/systemd/systemd --system --unit=first.target --show-status=no --log-target=console
"""


class Machine:
    """A machine whose first process is systemd, with the service on it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        script = folder / "first-process"
        script.write_text(FIRST_PROCESS)
        script.chmod(0o755)
        self._cgroup = Path(
            subprocess.check_output(["findmnt", "-nt", "cgroup2", "-o", "TARGET"], text=True).split()[0]
        )
        self._cgroup /= f"telvend-test-{os.getpid()}"
        self._cgroup.mkdir()
        self._log = (folder / "systemd.log").open("w")
        self._outside = subprocess.Popen(
            ["bash", "-c", f'echo $$ > {self._cgroup}/cgroup.procs; exec unshare -mpCu --fork --kill-child "{script}"'],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "FOLDER": str(folder), "PORT": str(self.port)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(self._is_ready, 60, "the service is ready")
        except BaseException:
            self.end()
            raise

    def _is_ready(self) -> bool:
        assert self._outside.poll() is None, (self.folder / "systemd.log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def first(self) -> str:
        pid = self._outside.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

    def run(self, *words: str) -> str:
        """Run a program there, as root."""
        done = subprocess.run(
            ["nsenter", "-t", self.first(), "-m", "-p", "-C", "-u", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def telvend(self, *words: str) -> str:
        """Run a command as the user of the service."""
        user = ("setpriv", "--reuid=telvend", "--regid=telvend", "--clear-groups", "env", "HOME=/var/lib/telvend")
        return self.run(*user, "TELVEND_DATA_DIR=/var/lib/telvend", "/opt/telvend/bin/telvend", *words)

    def end(self) -> None:
        if self._outside.poll() is None:
            # The first process of its namespace takes all the others with it.
            os.kill(int(self.first()), signal.SIGKILL)
        self._outside.wait(30)
        self._log.close()
        wait_for(self._has_gone, 20, "every process has ended")

    def _has_gone(self) -> bool:
        for folder in (*sorted(self._cgroup.glob("**/"), reverse=True), self._cgroup):
            try:
                folder.rmdir()
            except OSError:
                continue
        return not self._cgroup.exists()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for program in ("unshare", "nsenter", "setpriv", "findmnt"):
        if shutil.which(program) is None:
            pytest.skip(f"There is no {program} on this machine.")
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("Only root can start a systemd of its own, where there is one.")
    asked = [PYTHON, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if version not in PYTHONS:
        pytest.skip(f"The Python of this system, {version or 'none'}, is none that Telvend names.")
    programs = install(PYTHON, build("wheel", ROOT, tmp_path / "dist"), tmp_path)
    command = programs / "telvend"
    command.write_text(re.sub(r"\A#!.*", "#!/opt/telvend/bin/python", command.read_text()))
    made = Machine(tmp_path)
    yield made
    made.end()
    shutil.rmtree(tmp_path / "lib")


def test_the_service_sells_and_is_audited_with_everything_else_closed_to_it(machine: Machine) -> None:
    machine.telvend("user", "add", "ama@example.com", "--name", "Ama", "--phone", "0241234567")
    machine.telvend("wallet", "credit", "ama@example.com", "100", "GHS", "--reference", "cash-1")
    key = json.loads(machine.telvend("key", "add", "ama@example.com", "--api", "netpluse", "--json"))["key"]
    sold = httpx.post(
        f"http://127.0.0.1:{machine.port}/api/v1/purchase",
        headers={"x-api-key": key},
        json=purchase("0241230000"),
        timeout=20,
    )
    assert sold.status_code == 200, sold.text
    wait_for(lambda: '"delivered"' in machine.telvend("order", "list", "--json"), 20, "it is delivered")

    pid = machine.run("systemctl", "show", "telvend", "--property=MainPID", "--value").strip()
    status = machine.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^NoNewPrivs:\s1$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s0{16}$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)
    assert "64977" in re.findall(r"^Uid:.*$", status, re.MULTILINE)[0]

    # The watchdog would have ended it twice by now, had it not said that it lives.
    machine.run("sleep", "31")
    assert machine.run("systemctl", "show", "telvend", "--property=NRestarts", "--value").strip() == "0"

    machine.run("systemctl", "start", "telvend-audit")
    assert "The books held at" in machine.telvend("doctor")
    machine.run("systemctl", "stop", "telvend")
    ended = machine.run(
        "systemctl", "show", "telvend", "--property=Result", "--property=ActiveState", "--property=ExecMainStatus"
    )
    assert {"Result=success", "ActiveState=inactive", "ExecMainStatus=0"} <= set(ended.split())
