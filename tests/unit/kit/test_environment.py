"""What other programs' environment may say: every variable that an installed library reads is taken out, or left on purpose."""

import importlib.metadata
import os
import re
import subprocess
import sys

import psycopg
import pytest

from telvend.kit import environment
from tests.hostile import FOR_THE_EMBEDDED, HOSTILE

# What we import, and what that is made of.
LIBRARIES = (
    "alembic", "asyncpg", "click", "coredis", "httpx", "limits", "prometheus-client", "psycopg", "redis", "rich", "sqlalchemy",
    "starlette", "structlog", "typer", "uvicorn", "uvloop",
)  # fmt: skip
READS = re.compile(
    r"(?:environ(?:\.get|\.pop|\.setdefault)?[\[(]|getenv\()\s*[rf]?[\"']([A-Za-z_][A-Za-z_0-9]*)[\"']"
    r"|[\"']([A-Za-z_0-9]+)[\"']\s+(?:not )?in (?:os\.)?environ"
)
# Read in parts of the libraries that nobody here calls: WSGI, their own tests and builds, completion of a shell, a pager.
NOT_READ_HERE = re.compile(
    r"(CONTENT|HTTP|PATH|QUERY|REMOTE|REQUEST|SCRIPT|SERVER)_[A-Z_]+|PYTEST_.*|MYPY_.*|REQUIRE_SQLALCHEMY_CEXT|COMP_.*"
    r"|_TYPER_(COMPLETE|FORCE).*|GITHUB_ACTIONS|ASYNCPG_DEBUG_SERVER|USE_UVLOOP|PAGER|LESS|XDG_CONFIG_HOME|PYTHON[A-Z]+"
)


def variables_of(library: str) -> set[str]:
    found: set[str] = set()
    for file in importlib.metadata.files(library) or []:
        if file.suffix in (".py", ".pyx"):
            text = file.locate().read_text("utf-8", "replace")  # type: ignore[union-attr]
            found |= {first or second for first, second in READS.findall(text)}
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_variable_that_a_library_reads_is_taken_out_or_left_on_purpose(library: str) -> None:
    left = environment.LEFT | environment.FOR_DATABASE_URL
    unknown = {
        name
        for name in variables_of(library)
        if not environment.is_removed(name) and name not in left and not NOT_READ_HERE.fullmatch(name)
    }
    assert unknown == set()


def test_the_search_sees_what_is_there() -> None:
    assert {"PGSERVICE", "PGHOST", "PGSSLROOTCERT"} <= variables_of("asyncpg")
    assert "WEB_CONCURRENCY" in variables_of("uvicorn")
    assert "prometheus_multiproc_dir" in variables_of("prometheus-client")


def test_of_what_libpq_reads_only_the_two_that_keep_secrets_out_of_the_address_are_left() -> None:
    names = {option.envvar.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar}
    assert len(names) > 20
    assert {name for name in names if not environment.is_removed(name)} == {"PGPASSFILE", "PGSSLROOTCERT"}


def test_an_environment_is_cleaned_of_others_and_keeps_what_is_ours() -> None:
    ours = {"TELVEND_PORT": "1", "PATH": "/bin", "HOME": "/", "TERM": "dumb", "XDG_DATA_HOME": "/x", "TZ": "UTC"}
    variables = HOSTILE | FOR_THE_EMBEDDED | ours
    environment.clean(variables)
    assert variables == {"LC_ALL": HOSTILE["LC_ALL"], "LANG": "C"} | FOR_THE_EMBEDDED | ours
    environment.clean_for_embedded(variables)
    assert not FOR_THE_EMBEDDED.keys() & variables.keys()


def test_the_program_cleans_before_it_loads_anything() -> None:
    code = """
import sys
import telvend.__main__
import os
from telvend.kit import environment
assert not [name for name in os.environ if environment.is_removed(name)], os.environ
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | HOSTILE | FOR_THE_EMBEDDED,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
