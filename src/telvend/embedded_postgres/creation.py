"""Making a new database: initdb, our role, our database; all of it, or nothing.

Everything happens in <data_dir>/postgres.new, which becomes <data_dir>/postgres by a rename at the very end. Whoever is
killed in the middle leaves a postgres.new behind that the next one throws away.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from telvend.embedded_postgres.binaries import Binaries
from telvend.embedded_postgres.files import password_of, synchronize_folder
from telvend.embedded_postgres.privileges import OsAccount, run
from telvend.embedded_postgres.refused import PostgresRefused

SUPERUSER = "postgres"
APPLICATION_ROLE = "telvend"
DATABASE = "telvend"


def create_database(data_dir: Path, account: OsAccount, binaries: Binaries, say: Callable[[str], None]) -> None:
    """Make <data_dir>/postgres, owned by `account`. One to two seconds. The caller holds the lock.

    Raises PostgresRefused with the last line that initdb printed when it failed.
    """
    say("Creating the database (once, a few seconds) ...")
    unfinished = data_dir / "postgres.new"
    _remove_unfinished(unfinished)
    unfinished.mkdir(mode=0o700)
    pgdata_fd = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if account.changed:
            os.fchown(pgdata_fd, account.uid, account.gid)
        _initialise(data_dir, pgdata_fd, account, binaries)
        _create_role_and_database(data_dir, pgdata_fd, account, binaries)
    finally:
        os.close(pgdata_fd)
    unfinished.rename(data_dir / "postgres")
    synchronize_folder(data_dir)


def _remove_unfinished(unfinished: Path) -> None:
    """A killed initdb's own child may write for another moment until it notices."""
    for _ in range(40):
        shutil.rmtree(unfinished, ignore_errors=True)
        if not unfinished.exists():
            return
        time.sleep(0.05)
    raise PostgresRefused(f"The remains of an interrupted installation cannot be removed: delete {unfinished}.")


def _initialise(data_dir: Path, pgdata_fd: int, account: OsAccount, binaries: Binaries) -> None:
    # The password goes over in memory: the account of the server may read no file of ours.
    password_fd = os.memfd_create("password")
    try:
        os.write(password_fd, password_of(data_dir, SUPERUSER, create=True).encode() + b"\n")
        os.lseek(password_fd, 0, os.SEEK_SET)
        arguments = [
            binaries.program("initdb"),
            f"--pgdata=/proc/self/fd/{pgdata_fd}",
            f"--username={SUPERUSER}",
            f"--pwfile=/proc/self/fd/{password_fd}",
            "--auth-local=scram-sha-256",
            "--auth-host=reject",
            # Sorts by code point whatever the machine, and knows upper and lower case beyond ASCII.
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        _run_or_refuse(data_dir, account, arguments, pass_fds=(pgdata_fd, password_fd))
    finally:
        os.close(password_fd)


def _create_role_and_database(data_dir: Path, pgdata_fd: int, account: OsAccount, binaries: Binaries) -> None:
    """In single-user mode: without a server that somebody could reach before it is complete."""
    password = password_of(data_dir, APPLICATION_ROLE, create=True)
    # One statement a line. A generated password holds letters, digits, - and _ only. The role owns the database and
    # with it the schema public, so it may create tables; it is no superuser.
    statements = (
        f"CREATE ROLE {APPLICATION_ROLE} LOGIN PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {APPLICATION_ROLE}\n"
    )
    _run_single(data_dir, pgdata_fd, account, binaries, statements)


def set_passwords(data_dir: Path, account: OsAccount, binaries: Binaries) -> None:
    """Give both roles of a database that is stopped the passwords in `secret/`, made where there are none.

    Raises PostgresRefused.
    """
    statements = "".join(
        f"ALTER ROLE {role} PASSWORD '{password_of(data_dir, role, create=True)}'\n"
        for role in (SUPERUSER, APPLICATION_ROLE)
    )
    fd = os.open(data_dir / "postgres", os.O_RDONLY | os.O_DIRECTORY)
    try:
        _run_single(data_dir, fd, account, binaries, statements)
    finally:
        os.close(fd)


def _run_single(data_dir: Path, pgdata_fd: int, account: OsAccount, binaries: Binaries, statements: str) -> None:
    """Run statements in single-user mode, one a line."""
    arguments = [
        binaries.program("postgres"),
        "--single",
        "-D",
        f"/proc/self/fd/{pgdata_fd}",
        "-c",
        "exit_on_error=on",
        "template1",
    ]
    _run_or_refuse(data_dir, account, arguments, pass_fds=(pgdata_fd,), text=statements)


def _run_or_refuse(
    data_dir: Path, account: OsAccount, arguments: list[str], pass_fds: tuple[int, ...], text: str | None = None
) -> None:
    try:
        status, printed = run(account, arguments, pass_fds=pass_fds, text=text)
    except OSError as error:
        raise PostgresRefused(f"A new database could not be created in {data_dir}: {error}.") from error
    if status != 0:
        raise PostgresRefused(
            f"A new database could not be created in {data_dir}: {telling_line(printed)}", last_lines(printed)
        )


def last_lines(text: str, count: int = 10) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


def telling_line(text: str) -> str:
    """The line that says what went wrong, of PostgreSQL's output: the last FATAL, PANIC or error, else the last one."""
    if "No space left on device" in text:
        return "there is no space left on the disk"  # What fails after that is only a consequence.
    lines = [line.strip() for line in text.strip().splitlines()]
    telling = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "ERROR:", "error:"))]
    chosen = (telling or lines or ["it gave no reason"])[-1]
    for word in ("FATAL:", "PANIC:", "ERROR:", "error:"):
        chosen = chosen.partition(word)[2].strip() or chosen
    return chosen
