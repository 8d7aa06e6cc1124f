"""Where the pages of the running server are, for links that a command prints.

`telvend serve` may have been started with another host or port than the settings say, so it notes its address in its data directory.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from telvend.config import Settings
from telvend.kit.processes import is_running

FILE: Final = Path("run") / "served-at"


def console_address_of(settings: Settings) -> str | None:
    """Return where a console on a port of its own is reached; None where it is among the other pages."""
    return _local_address(settings.console_host, settings.console_port) if settings.console_port else None


def _local_address(host: str, port: int) -> str:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound to it
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def note_address(settings: Settings) -> None:
    """Note where this process serves, in the data directory where there is one. Does not raise: only printed links want it."""
    if not settings.data_dir:
        return
    file = Path(settings.data_dir) / FILE
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        noted = {"url": _local_address(settings.host, settings.port), "console": console_address_of(settings)}
        temporary.write_text(json.dumps({**noted, "pid": os.getpid()}))
        temporary.replace(file)


def served_at(settings: Settings) -> str:
    """Return `public_url`, else the address of the server that runs in this data directory, else that of the settings."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return _noted(settings).get("url") or _local_address(settings.host, settings.port)


def console_at(settings: Settings) -> str | None:
    """Return where the running server has its console, or where the settings put it; None where it is among the other pages."""
    return console_address_of(settings) or _noted(settings).get("console")


def _noted(settings: Settings) -> dict[str, str]:
    """What the server that runs in this data directory has noted of itself; nothing where none runs."""
    try:
        noted = json.loads((Path(settings.data_dir) / FILE).read_text("utf-8"))
        if is_running(int(noted["pid"])):
            return {name: str(noted[name]) for name in ("url", "console") if noted.get(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}
