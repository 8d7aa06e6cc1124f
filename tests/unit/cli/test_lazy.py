"""A command imports what it needs, when it needs it; what its help says does not depend on that."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

from telvend.cli import COMMANDS
from telvend.cli.lazy import LazyCommand, LazyGroup

HEAVY = (
    "alembic", "argon2", "asyncpg", "cryptography", "httpx", "jinja2", "phonenumbers", "prometheus_client", "psycopg", "pydantic",
    "redis", "sqlalchemy", "starlette", "structlog", "uvicorn", "uvloop",
)  # fmt: skip
ROOMS = ("telvend.bootstrap", "telvend.database", "telvend.dialects", "telvend.orders.service", "telvend.web")

PROGRAM = """
import sys
from telvend.__main__ import main
try:
    main()
finally:
    sys.stdout.flush()
    print(*sys.modules, file=open({path!r}, "w"))
"""


def imported_by(path: Any, *arguments: str) -> set[str]:
    """The modules that are loaded when `telvend ARGUMENTS` ends well."""
    code = [sys.executable, "-c", PROGRAM.format(path=str(path)), *arguments]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    return set(path.read_text().split())


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["order", "list", "--help"], ["user", "add", "--help"]], ids=" ".join
)
def test_help_loads_neither_libraries_nor_rooms(arguments: list[str], tmp_path: Any) -> None:
    loaded = imported_by(tmp_path / "modules", *arguments)
    assert "telvend.cli" in loaded
    assert loaded.isdisjoint((*HEAVY, *ROOMS))


def test_the_version_is_printed_without_rich(tmp_path: Any) -> None:
    assert imported_by(tmp_path / "modules", "--version").isdisjoint({"rich", "msgspec", "telvend.cli.common"})


@pytest.mark.parametrize("command", [one for one in COMMANDS if isinstance(one, LazyCommand)], ids=lambda one: one.name)
def test_the_list_says_of_a_command_what_the_command_says_of_itself(command: LazyCommand) -> None:
    loaded = command._loaded
    assert (command.name, command.help, command.hidden) == (loaded.name, inspect.cleandoc(loaded.help), loaded.hidden)


@pytest.mark.parametrize("group", [one for one in COMMANDS if isinstance(one, LazyGroup)], ids=lambda one: one.name)
def test_every_group_has_commands(group: LazyGroup) -> None:
    assert group.commands
    assert group.help
