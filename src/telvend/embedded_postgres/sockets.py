"""The folder of the server's socket: short, private, and verified to be so.

The path of a socket has at most 107 bytes (sun_path in unix(7)), a data directory may have more; so the folder is
/tmp/telvend-<hash>, and since everybody may write to /tmp, it is used only when nobody else could have made it.
"""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from telvend.embedded_postgres.privileges import OsAccount
from telvend.embedded_postgres.refused import PostgresRefused

PORT = 5432
"""Of the socket's name only; the server listens on no network."""
SOCKETS_PARENT = Path("/tmp")  # noqa: S108 see the file's docstring
_NAMES_TRIED = 10


def socket_folder(data_dir: Path, account: OsAccount) -> Path:
    """A folder with mode 0700 that belongs to `account`, the same each time for the same data directory.

    Raises PostgresRefused when somebody has occupied all the names that we try.
    """
    digest = hashlib.sha256(f"{account.uid}:{data_dir.resolve()}".encode()).hexdigest()[:12]
    for number in range(_NAMES_TRIED):
        folder = SOCKETS_PARENT / (f"telvend-{digest}" if number == 0 else f"telvend-{digest}-{number}")
        if _make_ours(folder, account):
            return folder
    raise PostgresRefused(
        f"Somebody else has taken the folder {SOCKETS_PARENT}/telvend-{digest} of the database's socket."
    )


def remove_stale_sockets(folder: Path) -> None:
    """Remove what a killed server left: its lock file would stop the next one when its pid has been recycled.

    Only for the holder of the data directory's lock, when no server process is left.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)


def remove_socket_folder(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()  # Only when it is empty.


def _make_ours(folder: Path, account: OsAccount) -> bool:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if account.changed and found.st_uid == os.geteuid():
            os.fchown(fd, account.uid, account.gid)
            found = os.fstat(fd)
        return found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == 0o700
    finally:
        os.close(fd)
