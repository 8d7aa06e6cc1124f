"""The systemd unit: what systemd itself says of it, what must stand in it, and what cannot be a service."""

import shutil
import subprocess
from pathlib import Path

import pytest

from telvend.upkeep.service_unit import ServiceUnit
from tests.e2e.guides.page import ROOT

UNIT = ServiceUnit(Path("/opt/telvend/bin/telvend"))


def values(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.partition("=")[0] == name]


def test_the_units_in_deploy_are_those_that_the_command_writes() -> None:
    for name, text in UNIT.units("telvend").items():
        assert (ROOT / "deploy" / name).read_text("utf-8") == text


def test_the_unit_says_what_the_server_relies_on() -> None:
    text = UNIT.text()
    assert values(text, "Type") == ["notify"]
    assert values(text, "WatchdogSec") == ["15"]
    assert values(text, "KillMode") == ["mixed"]
    assert values(text, "ExecStart") == ["/opt/telvend/bin/telvend serve"]
    assert values(text, "Environment") == ["TELVEND_DATA_DIR=/var/lib/telvend"]
    # The socket of the embedded database is in /tmp, which commands must see too.
    assert values(text, "ReadWritePaths") == ["/var/lib/telvend /tmp"]
    assert values(text, "PrivateTmp") == ["no"]


def test_a_node_that_delivers_only_has_another_command() -> None:
    unit = ServiceUnit(Path("/opt/telvend/bin/telvend"), delivers_only=True)
    assert values(unit.text(), "ExecStart") == ["/opt/telvend/bin/telvend work"]


@pytest.mark.parametrize(
    ("unit", "part"),
    [
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), user="root"), "not run as root"),
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), user="a b"), "cannot be the name"),
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), user="x\nExecStartPre=/bin/sh"), "cannot be the name"),
        (ServiceUnit(Path("/home", "ama", "venv", "bin", "telvend")), "home directory"),
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), data_dir=Path("/run/user/1000/shop")), "home directory"),
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), data_dir=Path("shop")), "absolute path"),
        (ServiceUnit(Path("/opt/my shop/telvend")), "absolute path"),
        (ServiceUnit(Path("/opt/telvend/bin/telvend"), data_dir=Path("/srv/100%h")), "absolute path"),
    ],
)
def test_what_cannot_be_a_service_is_refused_with_the_reason(unit: ServiceUnit, part: str) -> None:
    assert part in str(unit.refusal())


def test_an_ordinary_one_is_not_refused() -> None:
    assert UNIT.refusal() is None
    assert ServiceUnit(Path("/srv/telvend-0.2/bin/telvend"), "shop_1", Path("/srv/shop")).refusal() is None


def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("There is no systemd-analyze on this machine.")
    # What it checks besides the text: that the program exists.
    for name, text in UNIT.units("telvend").items():
        (tmp_path / name).write_text(text.replace("/opt/telvend/bin/telvend", "/bin/true"))
    file = tmp_path / "telvend.service"
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout
