"""The commit that this program was built from, for `telvend --version` and bug reports.

A wheel has it in the file `commit.txt` beside this package's `__init__.py`; hatch_build.py writes it, also into the sdist. A
checkout is asked by reading Git's own files: no program is started and nothing is imported.

hatch_build.py loads this file by its path, so it imports nothing of Telvend.
"""

import os
import re
from pathlib import Path
from typing import Final

FILE: Final = "commit.txt"
SHOWN: Final = 12
"""The digits that are shown: as many as Git itself shows in a large repository."""
_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PACKAGE: Final = Path(__file__).parents[1]


def commit(package: Path = _PACKAGE) -> str | None:
    """Return the commit of this installation, shortened; None where neither the wheel nor a checkout says it."""
    found = _hash_in(package / FILE) or commit_of_checkout(package.parents[1])
    return None if found is None else found[:SHOWN]


def commit_of_checkout(root: Path) -> str | None:
    """Return the commit that is checked out in `root`, whole; None where that is no checkout of Git."""
    folder = root / ".git"
    if (pointer := _text(folder)) is not None and pointer.startswith("gitdir: "):
        folder = root / pointer.removeprefix("gitdir: ")  # A worktree, or a submodule.
    head = _text(folder / "HEAD")
    if head is None:
        return None
    if not head.startswith("ref: "):
        return head if _HASH.fullmatch(head) else None
    reference = head.removeprefix("ref: ")
    shared = folder
    if (common := _text(folder / "commondir")) is not None:
        shared = folder / common
    return _hash_in(folder / reference) or _hash_in(shared / reference) or _packed(shared / "packed-refs", reference)


def _packed(file: Path, reference: str) -> str | None:
    for line in (_text(file) or "").splitlines():
        found, _, name = line.partition(" ")
        if name == reference and _HASH.fullmatch(found):
            return found
    return None


def _hash_in(file: Path) -> str | None:
    text = _text(file)
    return text if text is not None and _HASH.fullmatch(text) else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def named(environment: "os._Environ[str] | dict[str, str]", root: Path) -> str | None:
    """Return the commit for a build in `root`: TELVEND_BUILD_COMMIT where the checkout is not at hand, as in a Dockerfile."""
    given = environment.get("TELVEND_BUILD_COMMIT", "").strip()
    if given and not _HASH.fullmatch(given):
        raise ValueError(f"TELVEND_BUILD_COMMIT is {given!r}: not the whole hash of a commit.")
    return given or _hash_in(root / "src" / "telvend" / FILE) or commit_of_checkout(root)
