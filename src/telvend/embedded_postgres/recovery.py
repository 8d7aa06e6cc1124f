"""Recovering a copied PGDATA: replay its write-ahead log up to a moment or to its end."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.creation import APPLICATION_ROLE, SUPERUSER
from telvend.embedded_postgres.files import password_of
from telvend.embedded_postgres.lock import LockRole
from telvend.embedded_postgres.privileges import choose_account
from telvend.embedded_postgres.refused import PostgresRefused

_PATIENCE_S: Final = 6 * 3600.0
_LAST: Final = re.compile(r"last completed transaction was at log time ([0-9-]+ [0-9:.]+)")
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"


class TargetNotReached(PostgresRefused):
    """The write-ahead log ends before the moment that was asked for. `newest`: what it reaches."""

    def __init__(self, at: datetime, newest: datetime | None) -> None:
        last = "" if newest is None else f": its last transaction was at {newest:%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(
            f"The backup does not reach {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{last}; leave out --at to go as far as it does."
        )
        self.newest = newest


def recover(data_dir: Path, at: datetime | None, say: Callable[[str], None]) -> datetime | None:
    """Replay the log in `<data_dir>/postgres/pg_wal`, up to `at` or its end; returns when the last transaction was.

    None where there was none. Raises PostgresRefused; TargetNotReached.
    """
    pgdata = data_dir / "postgres"
    account = choose_account(pgdata)
    for role in (SUPERUSER, APPLICATION_ROLE):
        password_of(data_dir, role, create=True)
    _write(pgdata / "recovery.signal", account.uid, account.gid)
    (pgdata / "standby.signal").unlink(missing_ok=True)
    settings = {
        # Everything that there is lies in pg_wal already.
        "restore_command": "false",
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
        "hot_standby": "off",
    }
    if at is not None:
        settings["recovery_target_time"] = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    cluster = Cluster(data_dir, role=LockRole.COMMAND, settings=settings, say=say)
    # Its log says how far it went.
    (data_dir / "postgres.log").unlink(missing_ok=True)
    try:
        cluster.prepare()
        cluster.start(announce=False, timeout_s=_PATIENCE_S)
    except PostgresRefused as error:
        log = _log(data_dir)
        if at is not None and _NOT_REACHED in log:
            raise TargetNotReached(at, _last(log)) from error
        raise
    finally:
        cluster.stop(timeout_s=300)
    return _last(_log(data_dir))


def _last(log: str) -> datetime | None:
    found = _LAST.findall(log)
    if not found:
        return None
    text = found[-1]
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _log(data_dir: Path) -> str:
    try:
        return (data_dir / "postgres.log").read_text(errors="replace")
    except OSError:
        return ""


def _write(path: Path, uid: int, gid: int) -> None:
    path.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
