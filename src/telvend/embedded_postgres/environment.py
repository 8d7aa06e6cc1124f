"""The address of a database as environment variables for the programs of PostgreSQL; only their own user can read them.

A URL among a program's arguments is read by everybody who can list processes, password and all.
Source: PostgreSQL 18 documentation, 32.1.1.2 "Connection URIs" and 32.15 "Environment Variables".
"""

from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from telvend.embedded_postgres.refused import PostgresRefused

_VARIABLES: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "require_auth": "PGREQUIREAUTH",
    "channel_binding": "PGCHANNELBINDING",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcertmode": "PGSSLCERTMODE",
    "requirepeer": "PGREQUIREPEER",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "client_encoding": "PGCLIENTENCODING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
}


def environment_of(url: str) -> dict[str, str]:
    """The variables of libpq (PGHOST, PGPASSWORD, …) that say what `url` says. Raises PostgresRefused."""
    try:
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        name, has_password, password = user.partition(":")
        found = {
            "user": unquote(name),
            "password": unquote(password) if has_password else "",
            "dbname": unquote(parts.path.removeprefix("/")),
        } | _hosts(hosts)
        found |= dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        # What Python says of it may quote a part of the password.
        raise PostgresRefused("The address of the database cannot be read.") from None
    for option in found.keys() - _VARIABLES.keys():
        raise PostgresRefused(
            f"The address of the database says {option}, for which PostgreSQL's programs have no variable."
        )
    return {_VARIABLES[option]: value for option, value in found.items() if value}


def _hosts(text: str) -> dict[str, str]:
    """`a:1,b` as the lists that libpq takes: hosts, and as many ports, empty for the usual one."""
    hosts, ports = [], []
    for one in filter(None, text.split(",")):
        host, _, port = one.rpartition(":") if ":" in one.rpartition("]")[2] else (one, "", "")
        hosts.append(unquote(host.strip("[]")))
        ports.append(port)
    return {"host": ",".join(hosts), "port": ",".join(ports) if any(ports) else ""}
