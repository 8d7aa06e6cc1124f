"""Handlers leave errors to their dialect's table, and get values of their forms that need no assertion."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import telvend.dialects
from telvend.errors import TelvendError

(FOLDER,) = telvend.dialects.__path__
ROUTES = sorted(Path(FOLDER).glob("*/routes.py"))
EACH_DIALECT = pytest.mark.parametrize("path", ROUTES, ids=lambda path: path.parent.name)


def caught(path: Path) -> Iterator[str]:
    """The names that `except` clauses of a file catch."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            yield from (ast.unparse(kind) for kind in kinds)


@EACH_DIALECT
def test_no_handler_catches_what_the_table_can_render(path: Path) -> None:
    module = importlib.import_module(f"telvend.dialects.{path.parent.name}.routes")
    for name in caught(path):
        kind = eval(name, vars(module))  # noqa: S307 - the name of a class in our own source
        assert not issubclass(kind, TelvendError), name
        assert not issubclass(TelvendError, kind), name


@EACH_DIALECT
def test_no_handler_asserts_what_its_form_has_not_said(path: Path) -> None:
    asserted = [node.lineno for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Assert)]
    assert asserted == []
