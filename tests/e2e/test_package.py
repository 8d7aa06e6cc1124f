"""The wheel and the sdist: what is in them, and that each Python that pyproject.toml names has a working shop from the wheel alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from telvend import __version__
from telvend.kit.commit import commit_of_checkout
from tests.e2e.guides.page import ROOT
from tests.e2e.shop import free_port

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_VERSION: Final = re.compile(r"Programming Language :: Python :: (3\.[0-9]+)")
PYTHONS: Final = [found[1] for name in PROJECT["classifiers"] if (found := _VERSION.fullmatch(name))]
OURS: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"
COMMIT: Final = commit_of_checkout(ROOT)


def run(*words: str | Path, cwd: Path, timeout: float = 300, **environment: str) -> str:
    """Run a program far from the checkout and its environment; what it printed. Fails with that where it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TELVEND", "VIRTUAL"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(target: str, source: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel; of its own list, which has no order, the sorted lines."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    return {
        name: b"\n".join(sorted(data.splitlines())) if name.endswith("/RECORD") else data
        for name, data in found.items()
    }


def test_the_wheel_has_every_file_of_the_package_and_the_commit(wheel: Path) -> None:
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "telvend").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = contents(wheel)
    ours = {name for name in packed if name.startswith("telvend/")}
    assert ours - {"telvend/commit.txt"} == source
    assert COMMIT is not None
    assert packed["telvend/commit.txt"].decode().strip() == COMMIT
    (metadata,) = (text.decode() for name, text in packed.items() if name.endswith(".dist-info/METADATA"))
    assert f"\nVersion: {__version__}\n" in metadata
    assert f"\nRequires-Python: {PROJECT['requires-python']}\n" in metadata


@pytest.mark.soak
def test_a_wheel_that_is_built_from_the_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path, filter="data")
    base = f"telvend-{__version__}"
    assert {
        f"{base}/{name}"
        for name in ("LICENSE", "NOTICE", "CHANGELOG.md", "requirements/telvend.lock", "deploy/telvend.service")
    } <= set(names)
    assert not [name for name in names if "/tests/" in name or "/.venv/" in name]
    again = build("wheel", tmp_path / base, tmp_path / "dist")
    assert contents(again) == contents(wheel)


def test_every_python_that_is_named_is_new_enough() -> None:
    assert PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_the_version_has_a_section_of_the_changelog() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] in ("Not released yet", __version__)
    assert __version__ in headings


def test_the_lock_of_everything_optional_holds_the_lock_of_the_rest() -> None:
    def pinned(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text("utf-8")
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", text, re.MULTILINE))

    extras = pinned("extras.lock")
    assert pinned("telvend.lock") <= extras <= pinned("development.lock")
    for name in ("obstore", "opentelemetry-sdk"):
        assert any(one.startswith(f"{name}==") for one in extras)


# Installed -----------------------------------------------------------------------------------------------------------------


def interpreter(version: str) -> Path | None:
    """Return a Python of this version on this machine: on the PATH, or of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"))]
    program = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, [sys.executable if version == OURS else None, *candidates]):
        asked = subprocess.run([candidate, "-c", program], capture_output=True, text=True, timeout=30, check=False)
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return Path(candidate)
    return None


def install(python: Path, wheel: Path, folder: Path, lock: str = "telvend.lock") -> Path:
    """Make an empty environment and install the wheel into it, everything else by the hashes of a lock. Return its programs."""
    run(python, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", programs / "python")
    run(*pip, "install", "--no-compile", "--require-hashes", "-r", ROOT / "requirements" / lock, cwd=folder)
    run(*pip, "install", "--no-deps", wheel, cwd=folder)
    run(*pip, "check", cwd=folder)
    return programs


def sell(programs: Path, folder: Path) -> None:
    """Sell with an installation: a shop of its own, opened, a bundle delivered, the books audited."""
    assert COMMIT is not None
    told = run(programs / "telvend", "--version", cwd=folder)
    assert told == f"telvend {__version__} (commit {COMMIT[:12]})\n"
    place = ("--data-dir", folder / "shop")
    shown = run(programs / "telvend", "demo", "--once", *place, cwd=folder, timeout=120, TELVEND_PORT=str(free_port()))
    assert "delivered" in shown
    assert json.loads(run(programs / "telvend", "ledger", "check", "--json", *place, cwd=folder))["ok"] is True


@pytest.mark.parametrize(
    "version", [pytest.param(version, marks=[] if version == OURS else [pytest.mark.soak]) for version in PYTHONS]
)
def test_the_wheel_sells_in_an_empty_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Telvend names Python {version}, and this machine has none: it was not tried.")
    sell(install(python, wheel, tmp_path), tmp_path)
