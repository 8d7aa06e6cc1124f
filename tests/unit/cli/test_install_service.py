"""`telvend install-service`: makes what is missing once, and leaves what somebody has changed."""

import grp
import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from telvend.cli import app, install_service
from telvend.upkeep import service_unit


class Machine:
    """Folders that stand for /etc and /var/lib, and the programs of the system that were run."""

    def __init__(self, folder: Path) -> None:
        self.unit = folder / "systemd" / "telvend.service"
        self.data = folder / "lib" / "telvend"
        self.environment = folder / "etc" / "telvend.env"
        self.program = folder / "opt" / "telvend"
        self.program.parent.mkdir()
        self.program.write_text("#!/bin/sh\n")
        self.program.chmod(0o755)
        self.ran: list[tuple[str, ...]] = []

    def run(self, *options: str, code: int = 0) -> Result:
        places = ("--unit-file", self.unit, "--data-dir", self.data, "--environment-file", self.environment)
        done = CliRunner().invoke(app, ["install-service", *map(str, places), *options])
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return done


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(install_service, "_program", lambda: made.program)
    monkeypatch.setattr(install_service, "_run", lambda *words: made.ran.append(words))
    monkeypatch.setattr(install_service, "_not_runnable", lambda _: None)
    # These folders stand for others, and whoever runs the tests for the user `telvend` and for root.
    monkeypatch.setattr(service_unit, "_HIDDEN", ())
    monkeypatch.setattr(install_service.os, "geteuid", lambda: 0)
    entry = install_service.pwd.getpwuid(os.getuid())
    monkeypatch.setattr(install_service.pwd, "getpwnam", lambda _: entry)
    monkeypatch.setattr(install_service.grp, "getgrnam", lambda _: grp.getgrgid(os.getgid()))
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_made_once_and_a_second_time_nothing(machine: Machine) -> None:
    first = json.loads(machine.run("--json").stdout)
    assert first["changed"] is True
    assert first["next"] == ["systemctl enable --now telvend telvend-audit.timer"]
    assert f"ExecStart={machine.program} serve" in machine.unit.read_text()
    assert (mode(machine.unit), mode(machine.data), mode(machine.environment)) == (0o644, 0o700, 0o600)
    assert sorted(path.name for path in machine.unit.parent.iterdir()) == [
        "telvend-audit.service", "telvend-audit.timer", "telvend.service",
    ]  # fmt: skip
    assert f"ExecStart={machine.program} audit" in machine.unit.with_name("telvend-audit.service").read_text()
    before = machine.unit.stat().st_mtime_ns
    again = json.loads(machine.run("--json").stdout)
    assert (again["changed"], again["did"]) == (False, [])
    assert machine.unit.stat().st_mtime_ns == before


def test_printing_changes_nothing(machine: Machine) -> None:
    printed = machine.run("--print").stdout
    assert "# Written by `telvend install-service`." in printed
    assert "[Timer]" in printed
    assert not machine.unit.exists()
    assert not machine.data.exists()
    assert not machine.ran


def test_a_unit_that_somebody_has_changed_is_left_and_the_difference_shown(machine: Machine) -> None:
    machine.run()
    changed = machine.unit.read_text().replace("LimitNOFILE=65536", "LimitNOFILE=1024")
    machine.unit.write_text(changed)
    refused = machine.run(code=1)
    assert "-LimitNOFILE=1024" in refused.stderr
    assert "+LimitNOFILE=65536" in refused.stderr
    assert "--replace" in refused.stderr
    assert machine.unit.read_text() == changed
    machine.run("--replace")
    assert "LimitNOFILE=65536" in machine.unit.read_text()
    assert machine.unit.with_name("telvend.service.before").read_text() == changed


def test_what_others_may_read_is_closed(machine: Machine) -> None:
    machine.run()
    machine.environment.chmod(0o644)
    machine.data.chmod(0o755)
    assert "Closed" in machine.run().stdout
    assert (mode(machine.environment), mode(machine.data)) == (0o600, 0o700)


def test_secrets_that_stand_in_the_environment_file_stay(machine: Machine) -> None:
    machine.run()
    machine.environment.write_text("TELVEND_PAYSTACK_SECRET_KEY=sk_live_x\n")
    machine.run()
    assert machine.environment.read_text() == "TELVEND_PAYSTACK_SECRET_KEY=sk_live_x\n"


def test_the_url_of_a_database_goes_into_a_new_file_of_secrets(machine: Machine) -> None:
    url = "postgresql://telvend:s3cret@db.example/telvend"
    assert "s3cret" not in machine.run("--database-url", url).stdout
    assert f"\nTELVEND_DATABASE_URL={url}\n" in machine.environment.read_text()
    assert mode(machine.environment) == 0o600
    assert "s3cret" not in machine.unit.read_text()
    assert "nothing has changed" in machine.run("--database-url", url).stdout


@pytest.mark.parametrize("url", ["postgresql://a b", "postgresql://x\nTELVEND_PORT=1", 'postgresql://"x"'])
def test_a_url_that_is_no_line_of_that_file_makes_nothing(machine: Machine, url: str) -> None:
    assert "--database-url must be" in machine.run("--database-url", url, code=1).stderr
    assert not machine.environment.exists()
    assert not machine.data.exists()


def test_a_file_of_secrets_that_is_there_is_not_written_to(machine: Machine) -> None:
    machine.run()
    before = machine.environment.read_text()
    refused = machine.run("--database-url", "postgresql://db.example/telvend", code=1).stderr
    assert "was left as it is" in refused
    assert machine.environment.read_text() == before


def test_a_user_who_is_not_there_is_made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = install_service.pwd.getpwuid(os.getuid())

    def lookup(name: str) -> object:
        if not any(words[0] == "useradd" for words in machine.ran):
            raise KeyError(name)
        return entry

    monkeypatch.setattr(install_service.pwd, "getpwnam", lookup)
    assert "Made the user telvend." in machine.run().stdout
    (made,) = (words for words in machine.ran if words[0] == "useradd")
    assert made[-1] == "telvend"
    assert {"--system", "/usr/sbin/nologin"} <= set(made)


def test_only_root_installs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_service.os, "geteuid", lambda: 1000)
    assert "--print" in machine.run(code=1).stderr
    assert not machine.unit.exists()


def test_a_data_directory_of_another_user_is_refused_before_anything_is_written(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.data.mkdir(parents=True)

    class Other:
        pw_uid, pw_gid = os.getuid() + 1, os.getgid()

    monkeypatch.setattr(install_service.pwd, "getpwnam", lambda _: Other())
    assert "belongs to" in machine.run(code=1).stderr
    assert not machine.unit.exists()


def test_a_program_in_a_closed_folder_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "telvend"
    program.touch(mode=0o755)
    assert str(closed) in str(install_service._not_runnable(program))


def test_a_user_named_root_is_refused(machine: Machine) -> None:
    assert "root" in machine.run("--user", "root", code=1).stderr


def test_a_node_that_delivers_has_no_audit_and_units_that_are_enabled_are_not_named_again(machine: Machine) -> None:
    told = json.loads(machine.run("--work", "--json").stdout)
    assert told["next"] == ["systemctl enable --now telvend"]
    assert not machine.unit.with_name("telvend-audit.timer").exists()
    wanted = machine.unit.parent / "multi-user.target.wants"
    wanted.mkdir()
    (wanted / machine.unit.name).symlink_to(machine.unit)
    assert json.loads(machine.run("--work", "--json").stdout)["next"] == []


def test_a_changed_timer_is_left_too(machine: Machine) -> None:
    machine.run()
    timer = machine.unit.with_name("telvend-audit.timer")
    timer.write_text(timer.read_text().replace("03:30", "04:30"))
    assert "-OnCalendar=*-*-* 04:30" in machine.run(code=1).stderr
    assert "04:30" in timer.read_text()
