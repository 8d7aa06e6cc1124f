"""Who else may write or read what belongs to a shop: its data directory, its key files, its settings.

Each function returns None where all is well, else one sentence without its full stop, with the command that mends it. A
name that does not exist is well, and so is something else in the place of a folder. Folders above the data directory are not
looked at: /tmp, which everybody may write, is a usual parent.
"""

import os
import shlex
import stat
from pathlib import Path
from typing import Final

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ANY: Final = stat.S_IRWXG | stat.S_IRWXO


def folder_refusal(folder: Path, what: str) -> str | None:
    """Why a folder is not safe to keep a shop in: somebody else owns it or may write to it."""
    found = _status(folder)
    if found is None or not stat.S_ISDIR(found.st_mode):
        return None
    return write_refusal(folder, what)


def write_refusal(path: Path, what: str) -> str | None:
    """Why a file or folder is not safe from changes: somebody else owns it or may write to it."""
    found = _status(path)
    if found is None:
        return None
    return _owner_refusal(found, path, what) or (
        f"{what} {path} may be written by other users; run: chmod go-w {shlex.quote(str(path))}"
        if found.st_mode & _OTHERS_WRITE
        else None
    )


def secret_refusal(path: Path, what: str) -> str | None:
    """Why a file or folder is not safe to hold secrets: somebody else owns it, or may read or write it."""
    found = _status(path)
    if found is None:
        return None
    return _owner_refusal(found, path, what) or (
        f"{what} {path} may be read or written by other users; run: chmod go= {shlex.quote(str(path))}"
        if found.st_mode & _OTHERS_ANY
        else None
    )


def reachable_secret_refusal(file: Path, what: str) -> str | None:
    """The same for a file that a person writes: in a folder that nobody else may enter, its own mode does not matter."""
    folder = _status(file.parent)
    if folder is not None and not folder.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
        return folder_refusal(file.parent, "The folder")
    return secret_refusal(file, what)


def _owner_refusal(found: os.stat_result, path: Path, what: str) -> str | None:
    # Root may work for the owner, and whoever root has set something up for trusts root.
    if os.geteuid() == 0 or found.st_uid in (0, os.geteuid()):
        return None
    return f"{what} {path} belongs to another user (number {found.st_uid}); run Telvend as that user, or chown it"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None  # What cannot be looked at cannot be used either, and that is said where it is used.
