"""Follows a guide: types its commands, writes its files, compares its output."""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.guides import fragments
from tests.e2e.guides.page import ROOT, Block
from tests.e2e.guides.terminal import Terminal
from tests.e2e.guides.transcript import Known, Missing, compare
from tests.e2e.shop import free_port, load

PROGRAMS = Path(sys.executable).parent
WITHIN_S = 60.0
_AGAIN_S = 20.0


class Reader:
    """Somebody with a machine of their own: a home, a port, and the folder that commands are typed in.

    The port of the guides is this port here; `places` are folders of the guide with what takes their place here.
    """

    def __init__(
        self, folder: Path, work: Path, *, port: int = 0, places: Mapping[str, Path] = {}, **environment: str
    ) -> None:
        self.port = port or free_port()
        self.known = Known({"127.0.0.1:8000": f"127.0.0.1:{self.port}"})
        self.known.values |= {name: str(place) for name, place in places.items()}
        self._folder = folder
        self._work = work
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("TELVEND_", "PYTEST"))}
        self._environment = ours | {
            "HOME": str(home),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "TELVEND_PORT": str(self.port),
            "COLUMNS": "200",
            "USER": "reader",
            **environment,
        }
        self._terminals: dict[str, Terminal] = {}
        self._came: list[str] = []
        self._place = 0
        self._wrong: list[str] = []

    def follow(self, blocks: Sequence[Block]) -> None:
        """Do what each block says, in order. Stop at a command that fails; report output that differs at the end."""
        last: Block | None = None
        for number, block in enumerate(blocks):
            if block.runs:
                after = blocks[number + 1] if number + 1 < len(blocks) else None
                self._run(block, fresh=last is None or not last.runs, expected=after)
            elif path := block.writes:
                fragments.write(block, self._work / self.terminal("").value(self.known.put(path)))
            elif block.is_output:
                self._compare(block)
            last = block
        assert not self._wrong, "\n\n".join(self._wrong)

    def terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            folder = self._folder / f"terminal-{name or 'main'}"
            self._terminals[name] = Terminal(folder, self._work, self._environment)
        return self._terminals[name]

    def close(self) -> None:
        for terminal in self._terminals.values():
            terminal.end()

    def _run(self, block: Block, *, fresh: bool, expected: Block | None) -> None:
        if fresh:
            self._came, self._place = [], 0
        text = self.known.put(block.text)
        name = block.marks.get("terminal")
        if name is not None:
            old = self._terminals.pop(name, None)
            if old is not None:
                old.end()
                shutil.rmtree(self._folder / f"terminal-{name}")
            self.terminal(name).start(text)
            self._screen = self.terminal(name)
            self._await(expected)
            return
        if "telvend serve &" in text:
            text += f"until curl -sf http://127.0.0.1:{self.port}/healthz > /dev/null; do sleep 0.1; done\n"
        until = time.monotonic() + _AGAIN_S * load()
        while True:
            code, printed = self.terminal("").run(text, WITHIN_S)
            shown = "\n".join(printed)
            assert code == int(block.marks.get("exit", "0")), f"line {block.line}: exit code {code}\n{shown}"
            came = [*self._came, *printed]
            if "again" not in block.marks or expected is None or time.monotonic() > until:
                break
            if isinstance(compare(expected.text, came, Known(dict(self.known.values)), self._place), int):
                break
            time.sleep(0.5)
        self._came = came

    def _await(self, expected: Block | None) -> None:
        """Wait until the printed output has come in the other terminal."""
        until = time.monotonic() + WITHIN_S * load()
        wanted = expected.text if expected is not None and expected.is_output else "Telvend serves on …"
        while True:
            self._came = self._screen.printed()
            found = compare(wanted, self._came, Known(dict(self.known.values)), 0)
            if isinstance(found, int):
                return
            assert time.monotonic() < until, f"never came: {found.line}\n" + "\n".join(self._came[-40:])
            time.sleep(0.1)

    def _compare(self, block: Block) -> None:
        found = compare(block.text, self._came, self.known, self._place)
        if isinstance(found, Missing):
            came = "\n".join(self._came[-60:])
            self._wrong.append(f"line {block.line}: this never came: {found.line}\nThis did:\n{came}")
            return
        self._place = found


def checkout(folder: Path) -> Path:
    """Copy this checkout for a guide that changes it. The copy shares the virtual environment, with `PYTHONPATH` on its own source."""
    left_out = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in ("src", "tests", "docs", "bench", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for file in ROOT.glob("[!.]*"):
        if file.is_file():
            shutil.copy2(file, folder)
    # Not a link: PostgreSQL runs as another account than root, which cannot enter this folder.
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for program in PROGRAMS.iterdir():
        own = programs / program.name
        own.write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
        own.chmod(0o755)
    # Everything is installed already; tests/unit/test_make_install.py tests the installation.
    (folder / "requirements" / "environment.sh").write_text("#!/bin/sh\n")
    return folder


def python_of(copy: Path) -> Mapping[str, str]:
    """The environment in which the programs of a copy of the checkout run instead of this one's."""
    return {"PYTHONPATH": f"{copy / 'src'}:{copy}"}
