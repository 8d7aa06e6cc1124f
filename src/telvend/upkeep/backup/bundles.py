"""The keys and settings of a shop as two small archives: one that holds secrets, and one that does not."""

import io
import tarfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from telvend.config import SECRETS, Settings
from telvend.provider_tables import FILE_SUFFIX, holds_secrets
from telvend.upkeep.backup.model import BackupDamaged, BackupRefused

KEYS: Final = "secret/"
SETTINGS: Final = "settings/"
BOOK: Final = "book/"
_SETTINGS_FILE: Final = "telvend.toml"
_KEY_SETTINGS: Final = ("identity_master_key", "voucher_key", "payload_key", "webhook_key", "people_key")


@dataclass(slots=True)
class Bundles:
    """What goes along with the database: names in the archive to bytes. `elsewhere`: keys that come from the settings."""

    secret: dict[str, bytes] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def secret_names(self) -> list[str]:
        """What the secret one holds, as people call it."""
        return sorted(name.removeprefix(KEYS) for name in self.secret)


def collect(settings: Settings, settings_file: Path | None) -> Bundles:
    """Read the keys, the settings and the memory of the book of a data directory. Raises BackupRefused."""
    found = Bundles()
    data_dir = Path(settings.data_dir)
    try:
        for path in _files(data_dir / "secret"):
            # The passwords of the embedded server are made anew by a restore.
            if not path.name.startswith(".") and not path.name.endswith("-password"):
                found.secret[f"{KEYS}{path.name}"] = path.read_bytes()
        if settings_file is not None:
            _collect_settings(found, settings_file)
        for path in sorted((data_dir / "book").glob("*/*.json")):
            found.plain[f"{BOOK}{path.parent.name}/{path.name}"] = path.read_bytes()
    except FileNotFoundError:
        # A process has just ended, or a key was just rewritten: look again.
        return collect(settings, settings_file)
    except OSError as error:
        raise BackupRefused(f"{error.filename} cannot be read: {error.strerror}.") from None
    for name in _KEY_SETTINGS:
        if getattr(settings, name) is not None:
            found.elsewhere.append(name.replace("_", "-"))
            found.notes.append(
                f"The key {name} comes from the settings: where it stands in the environment, keep a copy of it yourself."
            )
    return found


def _collect_settings(found: Bundles, file: Path) -> None:
    text = file.read_bytes()
    try:
        values = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        values = {}
    tables = values.get("providers")
    secret = holds_secrets(tables) or any(values.get(name) for name in SECRETS)
    (found.secret if secret else found.plain)[f"{SETTINGS}{_SETTINGS_FILE}"] = text
    folder = file.parent.resolve()
    for key, name in _named(tables):
        path = (folder / name).resolve()
        if not path.is_file():
            continue
        if not path.is_relative_to(folder):
            found.notes.append(f"{path} is named by the settings and lies outside of {folder}: keep a copy yourself.")
            continue
        target = found.secret if key.endswith(FILE_SUFFIX) else found.plain
        target[f"{SETTINGS}{path.relative_to(folder).as_posix()}"] = path.read_bytes()


def names_database(text: bytes) -> bool:
    """Whether a settings file names a database of its own; also where nobody can read it."""
    try:
        return bool(tomllib.loads(text.decode()).get("database_url"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return True


def _named(tables: Any) -> Iterable[tuple[str, str]]:
    """The files that tables of providers name."""
    if not isinstance(tables, dict):
        return
    for table in tables.values():
        if isinstance(table, dict):
            for key, value in table.items():
                if (key == "file" or key.endswith(FILE_SUFFIX)) and isinstance(value, str):
                    yield key, value


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def packed(files: Mapping[str, bytes]) -> bytes:
    """The files as a tar archive, readable for their owner alone."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def unpacked(text: bytes, name: str) -> dict[str, bytes]:
    """The files of such an archive. Raises BackupDamaged, also for a name that leads elsewhere."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(text)) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or path.is_absolute() or ".." in path.parts:
                    raise BackupDamaged(f"{name} holds {member.name!r}, which no backup holds.")
                found[member.name] = content.read()
    except tarfile.TarError as error:
        raise BackupDamaged(f"{name} is damaged: {error}.") from None
    return found
