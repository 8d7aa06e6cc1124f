"""The small files beside the database: who serves it (server.json) and the passwords (secret/).

All of them are written into a temporary file that is then renamed, so nobody ever reads half of one, and only their
owner may read them.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from telvend.embedded_postgres.refused import PostgresRefused


@dataclass(frozen=True, slots=True)
class ServerState:
    """The text of server.json. `pid` is our process, which also holds the lock, not PostgreSQL's.

    `ready` says that `url` accepts connections (and that whoever serves says that it may be used).
    """

    pid: int
    role: str
    url: str
    ready: bool


def write_state(data_dir: Path, state: ServerState) -> None:
    _write(data_dir / "server.json", json.dumps(asdict(state)), durable=False)


def read_state(data_dir: Path) -> ServerState | None:
    """What server.json says, or None when there is none. Only of worth when `pid` holds the lock."""
    try:
        found = json.loads((data_dir / "server.json").read_text())
        return ServerState(int(found["pid"]), str(found["role"]), str(found["url"]), bool(found["ready"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_state(data_dir: Path) -> None:
    (data_dir / "server.json").unlink(missing_ok=True)


def password_of(data_dir: Path, role: str, *, create: bool) -> str:
    """The password of a database role, generated when `create` is set and there is none.

    Raises PostgresRefused when there is none for a database that exists.
    """
    folder = data_dir / "secret"
    path = folder / f"{role}-password"
    if create:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _write(path, secrets.token_urlsafe(24), durable=True)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise PostgresRefused(
            f"The password file {path} of the database cannot be read ({error.strerror}); put it back from a backup."
        ) from error


def _write(path: Path, text: str, *, durable: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(fd)
    temporary.replace(path)
    if durable:
        synchronize_folder(path.parent)


def synchronize_folder(folder: Path) -> None:
    """Make names that were created or renamed in `folder` survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
