"""Every place that ends something, or takes from a wallet, also writes what its owner is told of it, in the same function.

A new place that calls one of these verbs without telling fails here.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "telvend"

ENDS = {
    "write_orders": "settlement of orders",
    "write_steps": "escalation of orders",
    "write_refund": "refund",
    "finish_verified": "check with its record",
    "finish_released": "check without one",
    "complete": "funding that was paid",
    "end": "funding that was not",
}
"""Verbs of stores that end something."""

TAKES = ("hold", "debit", "void")
"""Verbs of journals that take from a wallet; `open` of a kind of sale holds."""

Function = ast.AsyncFunctionDef | ast.FunctionDef


@cache
def functions() -> tuple[tuple[str, Function], ...]:
    return tuple(
        (str(path.relative_to(SOURCE)), node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    )


@cache
def called(function: Function) -> set[str]:
    """`store.end`, `events.tell`, `self._outbox.write`: every call of the function, by its text."""
    return {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}


def tells(calls: set[str]) -> bool:
    return "events.tell" in calls or "self._outbox.write" in calls


@pytest.mark.parametrize("verb", ENDS)
def test_whoever_ends_something_tells_of_it(verb: str) -> None:
    callers = [
        (path, function.name, tells(called(function)))
        for path, function in functions()
        if f"store.{verb}" in called(function)
        # Provisional credits end with the order that they were for, which is told of.
        and not (verb == "end" and path == "fulfilment/provisional/ending.py")
    ]
    assert callers
    assert [one for one in callers if not one[2]] == []


def test_whoever_takes_from_a_wallet_looks_at_its_threshold() -> None:
    """By file: decisions are plain Python, and whoever writes them looks."""
    takes = {
        path
        for path, function in functions()
        if any(call in {f"journal.{verb}" for verb in TAKES} | {"self.sale.open", "self._sale.open", "self.sale.hold"}
               for call in called(function))
        and path != "sales/kind.py"
    }  # fmt: skip
    looks = {path for path, function in functions() if "self._outbox.notice_balances" in called(function)}
    written_by = {"operator/refills/decisions.py": "operator/refills/placement.py"}
    assert len(takes) >= 5
    assert {written_by.get(path, path) for path in takes} == looks
