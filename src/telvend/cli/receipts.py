"""Receipts on the command line: who reads them, and how they are printed."""

from typing import TYPE_CHECKING

from telvend.cli.who import user_of_machine

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.orders.receipts import Receipt


def reader_named(command_name: str) -> str:
    """Who reads a receipt, for the note that is kept of it."""
    return f"{command_name}, {user_of_machine()}"


def print_receipt(console: "Console", receipt: "Receipt") -> None:
    """A receipt for people."""
    console.print()
    width = max(len(label) for label, _ in receipt.lines())
    for label, text in receipt.lines():
        console.print(f"{label:<{width}}  {text}", markup=False, highlight=False)
