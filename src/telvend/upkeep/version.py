"""The check of the version: which Telvend this is, so that a report of an error says it."""

import platform
from collections.abc import Sequence

from telvend import __version__
from telvend.config import Settings
from telvend.kit.commit import commit
from telvend.upkeep.findings import Finding, Level


async def version(_: Settings) -> Sequence[Finding]:
    """Name the version, its commit and its Python."""
    built_from = commit()
    of = f" (commit {built_from})" if built_from else ""
    return [Finding("version", Level.OK, f"Telvend {__version__}{of} on Python {platform.python_version()}.")]
