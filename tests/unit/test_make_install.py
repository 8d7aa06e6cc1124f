"""`make install` in the states that strangers found it in, with a Python, a pip and an apt-get that take no time."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Does what `requirements/environment.sh` asks of a Python. What it cannot do is a file in the folder $STATE.
PYTHON = """#!/bin/sh
case "$*" in
  *"version_info < (3, 11)"*) test ! -e "$STATE/old" ;;
  *"sys.prefix == sys.base_prefix"*) case $0 in *.venv/*) exit 0 ;; *) exit 1 ;; esac ;;
  *"_base_executable"*) echo "3.11.2 $IDENTITY" ;;
  *"import venv, ensurepip"*) test ! -e "$STATE/no-ensurepip" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$STATE/python3" "$3/bin/python" && cp "$STATE/python3" "$3/bin/python3"
    sed -i "2i IDENTITY=$IDENTITY" "$3/bin/python" "$3/bin/python3"
    if [ -e "$STATE/no-ensurepip" ]; then exit 1; fi
    touch "$3/pip"; echo venv >> "$STATE/did" ;;
  *"import pip"*) test -e "$(dirname "$0")/../pip" ;;
  "-m pip install"*) if [ -e "$STATE/no-room" ]; then exit 1; fi; echo pip >> "$STATE/did" ;;
  *) echo "asked: $*" >&2; exit 9 ;;
esac
"""
APT = """#!/bin/sh
case "$*" in *install*) echo "$*" >> "$STATE/apt"; rm "$STATE/no-ensurepip" ;; esac
"""


class Project:
    """A copy of what `make install` reads, with programs of our own on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.state = folder / "state"
        self.state.mkdir()
        (self.folder / "requirements").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "requirements/environment.sh", "requirements/system.sh"):
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "requirements" / "development.lock").write_text("one\n")
        self.program("python3", PYTHON)
        for name in (
            "sh",
            "make",
            "cat",
            "cksum",
            "cut",
            "dirname",
            "rm",
            "mv",
            "cp",
            "sed",
            "mkdir",
            "touch",
            "id",
            "env",
        ):
            found = shutil.which(name)
            assert found
            (self.state / name).symlink_to(found)

    def program(self, name: str, text: str) -> None:
        path = self.state / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def install(self, *words: str, identity: str = "/usr/bin/python3.11") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.state), "STATE": str(self.state), "IDENTITY": identity, "HOME": os.devnull}
        return subprocess.run(
            ["make", "install", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def did(self) -> list[str]:
        """What was made since it was asked last."""
        record = self.state / "did"
        done = record.read_text().split() if record.exists() else []
        record.unlink(missing_ok=True)
        return done


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ANEW = ["venv", "pip", "pip"]


def test_an_environment_is_made_once(project: Project) -> None:
    assert project.install().returncode == 0
    assert project.did() == ANEW
    again = project.install()
    assert (again.returncode, again.stdout, project.did()) == (0, "", [])


def test_without_ensurepip_the_package_is_installed_first(project: Project) -> None:
    (project.state / "no-ensurepip").touch()
    project.program("apt-get", APT)
    project.program("sudo", '#!/bin/sh\nexec "$@"\n')
    done = project.install()
    assert done.returncode == 0, done.stderr
    assert "python3.11-venv" in (project.state / "apt").read_text()
    assert project.did() == ANEW


def test_without_ensurepip_and_apt_it_says_what_is_missing_and_leaves_nothing(project: Project) -> None:
    (project.state / "no-ensurepip").touch()
    done = project.install()
    assert done.returncode != 0
    assert "venv and ensurepip" in done.stderr
    assert "python3.11-venv" in done.stderr
    assert not (project.folder / ".venv").exists()


def test_a_python_of_ones_own_without_ensurepip_is_named(project: Project) -> None:
    (project.state / "no-ensurepip").touch()
    done = project.install(identity="/opt/python/bin/python3.11")
    assert done.returncode != 0
    assert "/opt/python/bin/python3.11 has no modules venv and ensurepip" in done.stderr


@pytest.mark.parametrize("left", ["nothing in it", "a Python without pip", "a Python that is gone"])
def test_half_an_environment_is_made_anew(project: Project, left: str) -> None:
    folder = project.folder / ".venv"
    if left == "nothing in it":
        folder.mkdir()
    else:
        assert project.install().returncode == 0
        (folder / "pip").unlink()
        if left == "a Python that is gone":
            (folder / "bin" / "python").unlink()
            (folder / "bin" / "python").symlink_to("/nowhere/python3.10")
        project.did()
    done = project.install()
    assert "Making .venv anew" in done.stdout
    assert (done.returncode, project.did()) == (0, ANEW)


def test_an_installation_that_ended_in_the_middle_is_begun_anew(project: Project) -> None:
    (project.state / "no-room").touch()
    assert project.install().returncode != 0
    (project.state / "no-room").unlink()
    project.did()
    assert project.install().returncode == 0
    assert project.did() == ANEW


def test_an_update_that_ended_in_the_middle_is_begun_anew(project: Project) -> None:
    assert project.install().returncode == 0
    (project.folder / "requirements" / "development.lock").write_text("two\n")
    (project.state / "no-room").touch()
    assert project.install().returncode != 0
    (project.state / "no-room").unlink()
    project.did()
    assert project.install().returncode == 0
    assert project.did() == ANEW


def test_other_dependencies_are_installed_into_the_same_environment(project: Project) -> None:
    assert project.install().returncode == 0
    (project.folder / "requirements" / "development.lock").write_text("two\n")
    project.did()
    assert project.install().returncode == 0
    assert project.did() == ["pip", "pip"]


def test_another_python_counts_where_it_was_named(project: Project) -> None:
    assert project.install().returncode == 0
    project.did()
    assert project.install(identity="/opt/python3.12").returncode == 0
    assert project.did() == []
    named = project.install("PYTHON=python3", identity="/opt/python3.12")
    assert "it is not of python3" in named.stdout
    assert project.did() == ANEW
    assert project.install("PYTHON=python3", identity="/opt/python3.12").returncode == 0
    assert project.did() == []


def test_an_environment_that_was_moved_is_made_anew(project: Project) -> None:
    assert project.install().returncode == 0
    project.did()
    project.folder = project.folder.rename(project.folder.with_name("elsewhere"))
    assert "another folder" in project.install().stdout
    assert project.did() == ANEW


@pytest.mark.parametrize("named", ["python3", "/nowhere/python3"])
def test_a_python_that_is_old_or_missing_is_named_and_nothing_is_touched(project: Project, named: str) -> None:
    assert project.install().returncode == 0
    (project.folder / ".venv" / "pip").unlink()
    (project.state / "old").touch()
    done = project.install(f"PYTHON={named}")
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr
    assert (project.folder / ".venv" / "bin").exists()
