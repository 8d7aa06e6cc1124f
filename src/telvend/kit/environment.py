"""Remove environment variables that are meant for other programs and that libraries here would read.

Libraries read variables that were set for other programs: libpq and asyncpg read PGSERVICE, PGOPTIONS and forty more,
uvicorn reads WEB_CONCURRENCY, prometheus_client a directory, ssl a file to write session keys into. What is this shop's own is
decided by its settings alone, so `clean` takes all of these out of the process before the libraries are imported, and
every child process starts without them.

    environment.clean()                    # first, in __main__.py
    environment.clean_for_embedded()       # once it is known that the database is the embedded one

tests/unit/kit/test_environment.py looks for every variable that an installed library reads, and holds it against the names
below: a new one has to be put into one of the two lists.
"""

import os
from collections.abc import MutableMapping
from typing import Final

_REMOVED_PREFIXES: Final = (
    "PG",  # libpq, psycopg, asyncpg and PostgreSQL's programs
    "PSYCOPG_",
    "PROMETHEUS_",
    "UVICORN_",
    "ALEMBIC_",
    "COREDIS_",
    "PYDANTIC_",
)
_REMOVED: Final = frozenset(
    (
        # uvicorn
        "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS",
        # httpx and whoever else looks for a proxy
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY",
        # ssl: other authorities than those that come along (httpx) or that a URL names (PostgreSQL, Redis); and a file
        # into which the keys of every connection would be written.
        "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        # typer
        "TYPER_STANDARD_TRACEBACK", "_TYPER_STANDARD_TRACEBACK", "TYPER_USE_RICH",
        # rich: how a notebook would show things
        "JUPYTER_COLUMNS", "JUPYTER_LINES", "DATABRICKS_RUNTIME_VERSION", "UNICODE_VERSION",
        # click: what the completion of a shell would ask
        "_TELVEND_COMPLETE",
    )
)  # fmt: skip

FOR_DATABASE_URL: Final = frozenset(("PGPASSFILE", "PGSSLROOTCERT"))
"""What stays for a database of the setting `database_url`: it keeps a password out of the address. Not for the embedded one."""

LEFT: Final = frozenset(
    (
        # How a terminal looks.
        "COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "TERMINAL_WIDTH",
        "TTY_COMPATIBLE", "TTY_INTERACTIVE",
        # Where this user's things are; the default data directory is below XDG_DATA_HOME.
        "HOME", "PATH", "XDG_DATA_HOME",
        # OpenSSL's policy of the whole machine.
        "OPENSSL_CONF",
    )
)  # fmt: skip
"""What is left where it is, and why. Names that no library reads are left too."""


def is_removed(name: str) -> bool:
    """Whether a variable of this name is taken out. Some libraries read their variables in small letters as well."""
    capitals = name.upper()
    if capitals in FOR_DATABASE_URL:
        return False
    return capitals in _REMOVED or capitals.startswith(_REMOVED_PREFIXES)


def clean(environment: MutableMapping[str, str] | None = None) -> None:
    """Take out what was set for other programs."""
    environment = os.environ if environment is None else environment
    for name in [name for name in environment if is_removed(name)]:
        del environment[name]


def clean_for_embedded(environment: MutableMapping[str, str] | None = None) -> None:
    """Take out what only a database of the setting `database_url` may be told, too."""
    environment = os.environ if environment is None else environment
    for name in FOR_DATABASE_URL:
        environment.pop(name, None)
