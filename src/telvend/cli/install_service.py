"""`telvend install-service`: make a systemd service of this installation."""

import difflib
import grp
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from telvend.cli.common import Output, as_json_of, emit, fail
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.upkeep.service_unit import (
    DATA_DIR,
    ENVIRONMENT,
    ENVIRONMENT_FILE,
    UNIT_FILE,
    USER,
    ServiceUnit,
)

app = typer.Typer()

_RUNNING: Final = Path("/run/systemd/system")
"""It exists where systemd is the init of this machine. Source: sd_booted(3)."""
_OTHERS_ENTER: Final = stat.S_IXOTH
_PLAIN_LINE: Final = re.compile(r"[^\s\"'\\]+\n")
"""A line that an environment file of systemd takes as it stands. Source: systemd.exec(5), EnvironmentFile."""


@app.command("install-service")
def install_service(
    context: typer.Context,
    print_only: Annotated[bool, typer.Option("--print", help="Print the unit and change nothing.")] = False,
    user: Annotated[str, typer.Option(metavar="USER", help="The user it runs as; made where there is none.")] = USER,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    environment_file: Annotated[
        Path, typer.Option(metavar="FILE", help="A file of settings that are secrets, for root alone.")
    ] = ENVIRONMENT_FILE,
    unit_file: Annotated[Path, typer.Option(metavar="FILE", help="The unit file to write.")] = UNIT_FILE,
    work: Annotated[bool, typer.Option("--work", help="A node that delivers and does not listen.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a unit that differs; the old one is kept beside it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a systemd service of this installation: its user, its data directory, its unit. Run it as root.

    Running it again is harmless. A unit that somebody has changed is left as it is, and the difference is shown.
    A --database-url is written into a new file of secrets.
    """
    before: Where = context.find_object(Where) or Where()
    folder = Path(data_dir or before.data_dir or DATA_DIR)
    unit = ServiceUnit(_program(), user, folder, environment_file, delivers_only=work)
    refusal = unit.refusal()
    if refusal is not None:
        fail(refusal)
    if print_only:
        units = unit.units(unit_file.stem)
        shown = "\n".join(f"# {unit_file.with_name(name)}\n{text}" for name, text in units.items())
        emit(Output({"unit": unit.text(), "units": units}, shown.rstrip()), as_json_of(context, as_json))
        return
    if os.geteuid() != 0:
        fail("Only root can install a service; --print shows the unit.")
    try:
        did = _install(unit, unit_file, database_url or before.database_url, replace=replace)
    except OSError as error:
        fail(f"{error.filename or unit_file}: {error.strerror}.")
    begins = [unit_file, *unit_file.parent.glob(f"{unit_file.stem}-audit.timer")]
    waiting = [_name_of(one) for one in begins if not _is_enabled(one)]
    following = [f"systemctl enable --now {' '.join(waiting)}"] if waiting else []
    lines = did or ["Everything was in place; nothing has changed."]
    if following:
        lines = [*lines, f"Start it now and at every boot: {following[0]}"]
    elif did:
        lines = [*lines, f"It takes effect at the next start: systemctl restart {unit_file.stem}"]
    output = Output(
        {"unit_file": str(unit_file), "changed": bool(did), "did": did, "next": following}, "\n".join(lines)
    )
    emit(output, as_json_of(context, as_json), reading=False)


def _program() -> Path:
    """Return the `telvend` that is running, as an absolute path."""
    beside = Path(sys.executable).with_name("telvend")
    if beside.exists():
        return beside
    found = shutil.which("telvend")
    if found is None:
        fail("There is no program `telvend` beside this Python; install the wheel into an environment of its own.")
    return Path(found).absolute()


def _install(unit: ServiceUnit, unit_file: Path, database_url: str | None, *, replace: bool) -> list[str]:
    """Bring everything into place. Return a sentence for each thing that was changed. Raises OSError."""
    files = {unit_file.with_name(name): text for name, text in unit.units(unit_file.stem).items()}
    before = {path: _read(path) for path in files}
    changed = [path for path, text in files.items() if before[path] not in (None, text)]
    if changed and not replace:
        shown = "\n".join(_difference(path, before[path] or "", files[path]) for path in changed)
        names = ", ".join(map(str, changed))
        fail(f"{names}: somebody has changed this, and it was left as it is:\n{shown}\nWith --replace it is replaced.")
    if (why := _not_runnable(unit.program)) is not None:
        fail(why)
    line = _database_line(unit.environment_file, database_url)
    did = [*_make_user(unit), *_make_folder(unit), *_make_environment(unit, line)]
    written = {path: text for path, text in files.items() if before[path] != text}
    if written:
        _verify(files)
    for path, text in written.items():
        if path in changed:
            kept = path.with_name(f"{path.name}.before")
            kept.write_text(before[path] or "", "utf-8")
            did.append(f"Kept the unit of before as {kept}.")
        _write(path, text, 0o644)
        did.append(f"Wrote {path}.")
    if written and _RUNNING.is_dir():
        _run("systemctl", "daemon-reload")
    return did


def _difference(path: Path, before: str, text: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), text.splitlines(), str(path), "what this version writes", "", "", 1, ""
    )
    return "\n".join(lines)


def _make_user(unit: ServiceUnit) -> list[str]:
    try:
        pwd.getpwnam(unit.user)
    except KeyError:
        _run(
            "useradd", "--system", "--user-group", "--home-dir", str(unit.data_dir), "--shell", "/usr/sbin/nologin", unit.user
        )  # fmt: skip
        return [f"Made the user {unit.user}."]
    try:
        grp.getgrnam(unit.user)
    except KeyError:
        fail(f"The user {unit.user} exists, and no group of this name; make it: groupadd --system {unit.user}")
    return []


def _make_folder(unit: ServiceUnit) -> list[str]:
    folder, owner = unit.data_dir, pwd.getpwnam(unit.user)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        return [f"Made the data directory {folder}."]
    found = folder.stat()
    if found.st_uid != owner.pw_uid:
        whose = f"user {found.st_uid}"
        fail(
            f"{folder} belongs to {whose}, not to {unit.user}: chown -R {unit.user}: {folder}, or name another with --data-dir."
        )
    if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        folder.chmod(0o700)
        return [f"Closed the data directory {folder} to other users."]
    return []


def _database_line(file: Path, database_url: str | None) -> str:
    """Return the line of the database for the file of secrets; nothing where none is named, or it stands there."""
    if database_url is None:
        return ""
    line = f"TELVEND_DATABASE_URL={database_url}\n"
    if not _PLAIN_LINE.fullmatch(line):
        fail("--database-url must be a URL on one line, without blanks, quotes and backslashes.")
    if not file.exists():
        return line
    if line not in file.read_text("utf-8"):
        fail(
            f"{file} is there and was left as it is: write TELVEND_DATABASE_URL into it, and leave --database-url out."
        )
    return ""


def _make_environment(unit: ServiceUnit, line: str) -> list[str]:
    file = unit.environment_file
    if file.exists():
        if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            file.chmod(0o600)
            return [f"Closed {file} to other users."]
        return []
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, ENVIRONMENT + line, 0o600)
    return [f"Made {file}, for settings that are secrets."]


def _verify(files: dict[Path, str]) -> None:
    """Let systemd look at the units before they are put in place, where it is here."""
    if shutil.which("systemd-analyze") is None:
        return
    with tempfile.TemporaryDirectory(prefix="telvend-units-") as folder:
        drafts = [Path(folder) / path.name for path in files]
        for draft, text in zip(drafts, files.values(), strict=True):
            draft.write_text(text, "utf-8")
        _run("systemd-analyze", "verify", "--man=no", *map(str, drafts))


def _not_runnable(program: Path) -> str | None:
    """Return why another user than root cannot run the program, or None."""
    for path in (program, Path(os.path.realpath(sys.executable))):
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & _OTHERS_ENTER:
                return (
                    f"Other users than root cannot run {path}: {folder} is closed to them. Install Telvend below /opt."
                )
    return None


def _is_enabled(unit_file: Path) -> bool:
    return any(wanted.is_symlink() for wanted in unit_file.parent.glob(f"*.target.wants/{unit_file.name}"))


def _name_of(unit_file: Path) -> str:
    """The name as systemctl takes it; of a service without its ending."""
    return unit_file.name.removesuffix(".service")


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return None


def _write(file: Path, text: str, mode: int) -> None:
    """Write a file whole: a machine that loses power has the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".new-{file.name}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(new, file)


def _run(*words: str) -> None:
    """Run a program of the system. Ends the command where that fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        fail(f"`{' '.join(words)}` could not be run: {error}.")
    if done.returncode:
        fail(f"`{' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
