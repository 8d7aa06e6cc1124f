"""What the drawing of the rooms promises and import-linter cannot see: where SQL, Starlette and httpx may stand.

Also that every file says what it is for, and that none of them knows the machine it was written on.
"""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "telvend"
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
TREES = {str(path): ast.parse((SOURCE / path).read_text("utf-8")) for path in FILES}

SQL = re.compile(
    r"\bselect\b.+\b(from|nextval|pg_|current_setting)|\binsert\s+into\b|\bupdate\s+\S+(\s+as\s+\w+)?\s+set\b"
    r"|\bdelete\s+from\b|\b(create|alter|drop)\s+(table|role|database|index|schema|extension)\b|\bset\s+local\b",
    re.IGNORECASE | re.DOTALL,
)
SQL_STANDS_IN = re.compile(
    # The embedded server is set up with SQL of its own: its role, its database.
    r"(.+/)?(store|invariants)\.py|database/(connections|due|session)\.py|embedded_postgres/creation\.py|database/migrations/.+"
)
STARLETTE_STANDS_IN = re.compile(r"(dialects|web)/.+")
HTTPX_STANDS_IN = re.compile(r"kit/http\.py")

CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}
ROOMS = {path.parts[0].removesuffix(".py") for path in FILES} - {"__init__", "__main__"}
DIALECTS = {path.parts[1] for path in FILES if path.parts[0] == "dialects" and len(path.parts) > 2}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string of the program with its line: f-strings in one piece, docstrings left out."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    # A string that stands alone below an attribute is its documentation.
    docstrings |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            yield node.lineno, "".join(map(str, parts))


def imported(tree: ast.AST) -> set[str]:
    """The packages that are imported when the program runs; what only a type checker imports does not count."""
    ignored = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_sql_stands_only_in_stores_and_the_few_other_places() -> None:
    found = [
        f"{path}:{line}: {text[:60]!r}"
        for path, tree in TREES.items()
        if not SQL_STANDS_IN.fullmatch(path)
        for line, text in texts(tree)
        if SQL.search(text)
    ]
    assert found == []


def test_every_store_has_sql_so_the_search_sees_it() -> None:
    stores = [path for path in TREES if path.endswith("/store.py")]
    assert len(stores) >= 5
    for path in [*stores, "database/connections.py", "database/due.py", "database/session.py"]:
        assert any(SQL.search(text) for _, text in texts(TREES[path])), path


OWNED_TOGETHER = (
    # An order before and after its answer.
    {"orders", "fulfilment"},
    # A subscriber's row guards what the subscriber has, which is written by account and read by whole sets.
    {"operator/subscribers", "operator/usage", "operator/plans"},
    # What stands in a wallet's row is its owner's list as well as its balance.
    {"ledger", "wallets"},
)
"""Rooms that read each other's tables on the path of a sale, where a view or a call would be one more statement."""

READ_ELSEWHERE = {
    # By their keys, to see whether the database still has what a node remembers of it.
    "sales/continuity": {"orders", "attempt", "verification", "refill", "transfer", "installation"},
    "corrections": {"orders"},
    "orders": {"reseller"},
    "funding": {"reseller", "wallet"},
    "resellers": {"wallet"},
    "operator/vouchers": {"subscriber", "refill"},
    "catalog": {"revision"},
}
"""What is still read past its owner and without a view. It may only become less."""


def tables() -> set[str]:
    """The tables of the schema."""
    made = re.compile(r"create (?:unlogged )?table (?:if not exists )?([a-z_]+)")
    return {
        name
        for file in (SOURCE / "database" / "migrations" / "sql").glob("*.sql")
        for name in made.findall(file.read_text())
    }


def room_of(path: str) -> str:
    """`operator/plans`, `sales/continuity`, and else the first folder."""
    folders = path.split("/")[:-1]
    deep = folders[0] == "operator" or folders[:2] == ["sales", "continuity"]
    return "/".join(folders[: 2 if deep else 1])


def test_a_rooms_tables_are_read_by_that_room_and_by_the_audit() -> None:
    known = tables()
    assert len(known) > 40
    # Written by migrations and their triggers alone.
    written = {"installation": {"ledger"}, "wallet_block": {"wallets"}}
    read: dict[str, set[str]] = {}
    words = re.compile(r"\b(from|join|into|update)\s+([a-z_]+)\b")
    for path, tree in TREES.items():
        if not SQL_STANDS_IN.fullmatch(path) or path.endswith("/invariants.py") or "migrations" in path:
            continue
        for _, text in texts(tree):
            for word, name in words.findall(text):
                if name in known:
                    (written if word in ("into", "update") else read).setdefault(name, set()).add(room_of(path))
    for name, rooms in written.items():
        assert any(rooms <= together for together in OWNED_TOGETHER) or len(rooms) == 1, (name, rooms)
    elsewhere: dict[str, set[str]] = {}
    for name, rooms in read.items():
        owners = written[name]
        for room in rooms - owners:
            if not any({room, *owners} <= together for together in OWNED_TOGETHER):
                elsewhere.setdefault(room, set()).add(name)
    assert elsewhere == READ_ELSEWHERE


@pytest.mark.parametrize(
    ("package", "where"), [("starlette", STARLETTE_STANDS_IN), ("httpx", HTTPX_STANDS_IN)], ids=["starlette", "httpx"]
)
def test_a_library_stands_only_where_the_drawing_says(package: str, where: re.Pattern[str]) -> None:
    users = {path for path, tree in TREES.items() if package in imported(tree)}
    assert users
    assert [path for path in users if not where.fullmatch(path)] == []


def listed(modules: list[str]) -> set[str]:
    """The rooms that a contract of import-linter names."""
    return {name.strip().split(".")[1] for line in modules for name in line.split("|")}


def test_the_drawing_of_import_linter_has_every_room() -> None:
    assert listed(CONTRACTS["layers"]["layers"]) == ROOMS
    assert listed(CONTRACTS["web-framework"]["source_modules"]) == ROOMS - {"bootstrap", "dialects", "web"}
    assert listed(CONTRACTS["concrete-providers"]["source_modules"]) == ROOMS - {"bootstrap", "cli"}
    assert set(CONTRACTS["dialects"]["modules"]) == {f"telvend.dialects.{name}" for name in DIALECTS}


def test_no_room_below_the_dialects_knows_the_name_of_one() -> None:
    name = re.compile("|".join(DIALECTS), re.IGNORECASE)
    found = [
        f"{path}:{line}: {text[:60]!r}"
        for path, tree in TREES.items()
        # A setting may be about one dialect, and says so in its sentence. Whoever sells us under one is a vendor of that name.
        if path.split("/")[0] not in ("dialects", "bootstrap", "cli", "web", "config.py", "provider_tables.py")
        and not path.startswith(tuple(f"providers/{word}" for word in (*DIALECTS, "connectors.py")))
        for line, text in texts(tree)
        if name.search(text)
    ]
    assert found == []


def test_no_ready_made_layer_between_us_and_the_database() -> None:
    # Alembic brings SQLAlchemy; it stays in the process that migrates.
    users = {path for path, tree in TREES.items() if {"sqlalchemy", "alembic", "psycopg"} & imported(tree)}
    assert all(path.startswith("database/migrations/") for path in users), users


def test_every_file_says_in_its_first_lines_what_it_is_for() -> None:
    for path, tree in TREES.items():
        text = ast.get_docstring(tree) if isinstance(tree, ast.Module) else None
        empty = (SOURCE / path).stat().st_size == 0
        assert text or path.endswith("__main__.py") or (empty and path.endswith("__init__.py")), path


def test_no_float_is_made_of_money_in_the_rooms_that_count() -> None:
    for path, tree in TREES.items():
        # What jobs and the keyring make floats of are durations.
        counts = path.split("/")[0] in ("ledger", "catalog", "orders")
        if counts or path == "kit/money.py":
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            assert not [call.lineno for call in calls if ast.unparse(call.func) == "float"], path


def test_nothing_is_left_for_later() -> None:
    later = re.compile("\\b(TO" + "DO|FIX" + "ME|XX" + "X|NotImplemented(Error)?)\\b")
    for path in FILES:
        assert not later.search((SOURCE / path).read_text("utf-8")), path


@pytest.mark.parametrize(("folder", "more_than"), [("postman", 100), ("clients", 100), ("browser", 0)])
def test_a_lock_of_npm_names_hashes_and_no_addresses(folder: str, more_than: int) -> None:
    lock = json.loads((ROOT / "tests" / folder / "package-lock.json").read_text("utf-8"))
    packages = [found for name, found in lock["packages"].items() if name]
    assert len(packages) > more_than
    assert all("integrity" in found and "resolved" not in found for found in packages)


def of_the_project() -> list[Path]:
    """Every file that is the project's; what a checkout ignores is not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        # An unpacked archive.
        folders = ("src", "tests", "docs", "bench", "requirements")
        found = [*ROOT.glob("*"), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def test_no_file_knows_a_package_registry_or_the_machine_it_was_written_on() -> None:
    odd = re.compile(
        # Put together here, so that this file passes its own test.
        "|".join(
            (
                r"\bpypi" + r"\.org", "python" + r"hosted\.org", r"registry" + r"\.npmjs", r"(?<!emit-)index" + "-url",
                r"(?<![\w.])/work" + "/", "/ho" + r"me/(?!telvend\b)\w", "/Us" + r"ers/\w", r"(?<![\w.`])/ro" + r"ot/\w",
                r"C:\\Us" + "ers",
            )
        )
    )  # fmt: skip
    found = []
    for path in of_the_project():
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # A picture.
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(lines, 1)
            if odd.search(line)
        ]
    assert found == []
