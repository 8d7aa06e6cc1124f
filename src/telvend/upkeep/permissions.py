"""Check of files: whether other users may read or write what belongs to this shop."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from telvend.kit.permissions import folder_refusal, reachable_secret_refusal, secret_refusal
from telvend.upkeep.findings import Finding, Level

_CHECK: Final = "file permissions"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_permissions(data_dir: Path, settings_file: Path | None = None) -> list[Finding]:
    """Look at the data directory, its keys and passwords, and the settings file; one finding where all is well.

    Returns nothing where there is neither, as on a node that has everything from its environment.
    """
    if not os.path.lexists(data_dir) and settings_file is None:
        return []
    found = list(_findings(data_dir, settings_file))
    return found or [Finding(_CHECK, Level.OK, "No other user may read or write what belongs to this shop.")]


def _findings(data_dir: Path, settings_file: Path | None) -> Iterator[Finding]:
    refusals = [folder_refusal(data_dir, "The data directory")]
    secrets = data_dir / "secret"
    refusals.append(secret_refusal(secrets, "The folder of keys and passwords"))
    refusals += [secret_refusal(path, "The key file") for path in _inside(secrets)]
    refusals += [folder_refusal(path, "The folder") for path in (data_dir / "run", data_dir / "postgres")]
    for text in filter(None, refusals):
        yield _finding(Level.FAILURE, text)
    try:
        mode = data_dir.stat().st_mode
        if stat.S_ISDIR(mode) and mode & _OTHERS and not any(refusals):
            yield Finding(
                _CHECK,
                Level.WARNING,
                f"The data directory {data_dir} may be looked into by other users.",
                f"Run: chmod go= {data_dir}.",
            )
    except FileNotFoundError:
        pass  # The settings file is somewhere else.
    except OSError as error:
        yield Finding(_CHECK, Level.WARNING, f"The data directory {data_dir} cannot be looked at: {error.strerror}.")
    if (
        settings_file is not None
        and (refusal := reachable_secret_refusal(settings_file, "The settings file")) is not None
    ):
        yield _finding(Level.WARNING, refusal)


def _finding(level: Level, refusal: str) -> Finding:
    said, _, command = refusal.partition("; ")
    return Finding(_CHECK, level, f"{said}.", f"{command[:1].upper()}{command[1:]}.")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
