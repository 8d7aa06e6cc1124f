"""Secrets on the command line, which every user of the machine can read in the list of processes."""

import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import typer

WARNING: Final = (
    "the password in --database-url can be read by every user of this machine; put the address into TELVEND_DATABASE_URL,"
    " database_url of telvend.toml, or its password into the file that PGPASSFILE names"
)
_told: list[str] = []


def warn_of_password(url: str | None, arguments: Sequence[str] | None = None) -> None:
    """Say once, on stderr, that the password of `url` stands in the arguments of this process, if it does."""
    arguments = sys.argv if arguments is None else arguments
    if url is None or _told or not has_password(url) or not any(url in argument for argument in arguments):
        return
    _told.append(url)
    typer.echo(f"telvend: {WARNING}.", err=True)


def has_password(url: str) -> bool:
    """Whether an address of a database holds a password."""
    try:
        parts = urlsplit(url)
        return bool(parts.password) or any(name == "password" for name, _ in parse_qsl(parts.query))
    except ValueError:
        return "@" in url
