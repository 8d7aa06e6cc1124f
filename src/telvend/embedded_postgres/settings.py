"""What PostgreSQL is told on its command line.

Command line settings win over postgresql.conf and over ALTER SYSTEM, so a data directory cannot switch a promise off.
"""

import re
from collections.abc import Mapping

from telvend.embedded_postgres.refused import PostgresRefused

# An acknowledged sale has reached the disk. Nothing may change these three.
PROMISES: Mapping[str, str] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

# For a server with two cores that commits many tiny transactions.
TUNING: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "192MB",
    "wal_buffers": "16MB",
    # A crash is repaired by replaying what was written since the last checkpoint: roughly this much at worst (it is a
    # target, not a limit). Updates all over a table larger than shared_buffers were replayed at about 60 MB a second
    # on two shared cores (445 MB in 6.7 s, 190 MB in 2.9 s), a second or two of starting comes on top, and we promise
    # to be back within five.
    "max_wal_size": "192MB",
    # Before it repairs itself the server makes sure that all of its files are on the disk: one call for the file system takes
    # a moment where one for each of a thousand files took seconds under load.
    "recovery_init_sync_method": "syncfs",
    # It is meant that checkpoints are frequent under load; the log need not say so every few seconds.
    "checkpoint_warning": "0",
    "min_wal_size": "96MB",
    "checkpoint_timeout": "5min",
    "checkpoint_completion_target": "0.9",
    # The wheel is built without lz4 and zstd. pglz would halve the page images, and cost a sale from one of a thousand
    # wallets a third of its speed: 2,400 a second with it, 3,450 without (bench, spread-256-alone, one run after the other).
    "wal_compression": "off",
    # No replicas hang on an embedded server; backups are copied from it while it sells (upkeep/backup).
    "wal_level": "replica",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    # A backup that stalls fails rather than fill the disk.
    "max_slot_wal_keep_size": "4GB",
    "max_logical_replication_workers": "0",
    # Our statements are short; compiling or splitting them costs more than it gives, and /dev/shm may be tiny.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Everything hot is in shared_buffers; three I/O processes would only compete for the two cores.
    "io_method": "sync",
    # The order table is a queue: its rows are updated several times within seconds, so it is cleaned early and often.
    "autovacuum_naptime": "10s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_insert_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.02",
    "autovacuum_vacuum_cost_limit": "1000",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


def command_line(own: Mapping[str, str], extra: Mapping[str, str]) -> list[str]:
    """The `-c name=value` arguments: tuning, then what the caller adds, then what nobody may change.

    `own` are the settings of this very server (its socket, its name). Raises PostgresRefused for an extra setting
    that would change one of `own` or of the promises, or whose name is not one.
    """
    for name in extra:
        if name in PROMISES or name in own:
            raise PostgresRefused(f"The database setting {name} is fixed by Telvend and cannot be changed.")
        if not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
            raise PostgresRefused(f"{name!r} is not the name of a database setting.")
    merged = {**TUNING, **extra, **own, **PROMISES}
    return [part for name, value in merged.items() for part in ("-c", f"{name}={value}")]
