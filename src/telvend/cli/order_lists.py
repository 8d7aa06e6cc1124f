"""`telvend order place --csv`: a list is checked, asked about, sold, and its result written beside it.

Prompts and progress go to stderr; the outcome is the command's output. The rules are those of orders/list_sales.py.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from telvend.bootstrap import Shop
from telvend.catalog.sheet import Problem
from telvend.cli.common import Output, progress, table
from telvend.cli.list_files import OwnCsv, RowWriter
from telvend.cli.receipts import reader_named
from telvend.cli.stopping import stopping
from telvend.errors import Busy, InvalidInput, TelvendError
from telvend.kit.keyfile import KeyRefused
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import require_text
from telvend.orders.list_sales import CheckedList, ListedSale, WalletTotal, is_pending
from telvend.orders.model import Order, OrderState
from telvend.orders.purchase_list import LONGEST_NAME, MAXIMUM_BYTES, name_of_list, read_rows, text_of
from telvend.orders.receipts import receipt_of

_SHOWN: Final = 20
"""So many problems are printed; the file beside the list has all."""

RESULT_COLUMNS: Final = (
    "line", "reference", "state", "order", "product", "to", "amount", "email", "price", "currency", "receipt", "error", "note",
)  # fmt: skip
PROBLEM_COLUMNS: Final = ("line", "field", "problem")
NOT_SOLD: Final = "not sold"

_GO_ON: Final = "Give the same command again to go on: it sells what is not sold, and nothing twice."


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What the command line asks for; see the options of `order place`."""

    csv: Path
    email: str | None
    mode: Mode
    batch: str | None
    result: Path | None
    wait_s: int
    dry_run: bool
    yes: bool
    repeats: bool


@dataclass(slots=True)
class _Outcome:
    """The rows with an order, counted by its state, and the ids of the orders that are not final."""

    sold: int = 0
    there: int = 0
    states: Counter[str] = field(default_factory=Counter)
    pending: list[int] = field(default_factory=list)


async def place_list(shop: Shop, request: ListRequest) -> Output:
    """Check a list and sell it. Raises InvalidInput where it cannot be read, or its result could not be written; Busy."""
    if request.batch is not None:
        require_text("batch", request.batch, LONGEST_NAME)
    path = request.csv
    problems_file = OwnCsv(path.with_name(f"{path.name}.problems.csv"), PROBLEM_COLUMNS, "csv")
    result_file = OwnCsv(request.result or path.with_name(f"{path.name}.result.csv"), RESULT_COLUMNS, "result")
    if not request.dry_run:
        result_file.require_writable()
    text = text_of(_bytes_of(path))
    await shop.watch.look()  # The catalogue, and whether anything may be sold.
    with _bar() as bar:
        task = bar.add_task("checking", total=text.count("\n"))
        checked = await shop.list_sales.check(
            read_rows(text),
            name=request.batch or name_of_list(path.name),
            email=request.email,
            mode=request.mode,
            advance=lambda count: bar.advance(task, count),
        )
    del text
    wrong = checked.problems or ([] if request.repeats else checked.repeats)
    if wrong:
        return _refused(path, wrong, problems_file, are_repeats=not checked.problems)
    problems_file.remove()
    if request.dry_run:
        return _looked(checked, _halts(shop, request.mode))
    # A script, which has no terminal, sells as it does with a single purchase.
    if any(total.count for total in checked.totals) and not request.yes and sys.stdin.isatty():
        _console().print(_needed(checked), markup=False)
        for text in _waiting(checked):
            _console().print(text, markup=False)
        table("", *_totals_table(checked), "")(_console())
        if not _agreed(checked, request.mode):
            return Output(_totals_data(checked) | {"sold": 0}, "Nothing was sold.", exit_code=1)
    return await _sell(shop, request, checked, result_file)


async def _sell(shop: Shop, request: ListRequest, checked: CheckedList, result_file: OwnCsv) -> Output:
    mode, selling = request.mode, shop.list_sales
    shop.orders.start()
    with stopping("telvend: stopping; what is on its way is finished first …") as stop:
        with _bar() as bar:
            task = bar.add_task("selling", total=len(checked.sales) - checked.there)
            stopped = await selling.sell(checked.sales, mode, stop, lambda count: bar.advance(task, count))
        outcome, unwritten = await _write(shop, request, checked.sales, result_file)
        if request.wait_s and outcome.pending and not stop.is_set():
            with _bar() as bar:
                task = bar.add_task("waiting", total=len(outcome.pending))
                await selling.until_final(outcome.pending, request.wait_s, stop, lambda count: bar.advance(task, count))
            outcome, unwritten = await _write(shop, request, checked.sales, result_file)
    left = len(checked.sales) - outcome.sold - outcome.there
    failed = outcome.states[OrderState.FAILED]
    unsettled = len(outcome.pending) + outcome.states[OrderState.REVIEW] if request.wait_s else 0
    reasons = _halts(shop, mode)
    data = {
        "rows": len(checked.sales),
        "sold": outcome.sold,
        "sold_before": outcome.there,
        "not_sold": left,
        "states": dict(sorted(outcome.states.items())),
        "stopped": stopped,
        "halted": reasons,
        "paused": sum(checked.pauses.values()),
        "result": None if unwritten else _shown(result_file.path),
        "problem_count": 0,
        "problems": [],
    }
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(outcome.states.items()))
    lines = [
        f"{_rows(len(checked.sales))}: {outcome.sold:,} sold now, {outcome.there:,} sold before, {left:,} not sold.",
        *([f"Orders: {states}."] if states else []),
        *([stopped] if stopped else []),
        *reasons,
        *_waiting(checked),
        unwritten or f"What has become of each row: {_shown(result_file.path)}",
        *([_GO_ON] if left or unwritten else []),
    ]
    if failed:
        lines.append(
            "What failed cost nothing and is not sold again under the same reference: list it under another one."
        )
    return Output(data, "\n".join(lines), exit_code=int(bool(left or failed or unsettled or unwritten)))


# The result ---------------------------------------------------------------------------------------------------------------


async def _write(
    shop: Shop, request: ListRequest, sales: Sequence[ListedSale], result_file: OwnCsv
) -> tuple[_Outcome, str]:
    """Look every row up and write the result; return the outcome, and a sentence if the file could not be written.

    A failure here undoes no sale.
    """
    outcome = _Outcome()
    try:
        with result_file.replacing() as writer:
            await _write_rows(shop, request.mode, sales, outcome, writer)
    except InvalidInput as error:
        # The file cannot be written; what has become of the rows can still be counted.
        outcome = _Outcome()
        with suppress(Busy):
            await _write_rows(shop, request.mode, sales, outcome, None)
        return outcome, f"The result could not be written: {error}."
    except Busy as error:
        outcome.sold = sum(not sale.error and not sale.there for sale in sales)
        outcome.there = sum(sale.there for sale in sales)
        return outcome, f"The result could not be written: {error}"
    return outcome, ""


async def _write_rows(
    shop: Shop, mode: Mode, sales: Sequence[ListedSale], outcome: _Outcome, writer: RowWriter | None
) -> None:
    reader = reader_named("order place --csv")
    with _bar() as bar:
        task = bar.add_task("writing the result", total=len(sales))
        async for part in shop.list_sales.orders_of(sales, mode):
            for sale, order in part:
                if order is None:
                    continue
                outcome.there += sale.there
                outcome.sold += not sale.there
                outcome.states[order.state] += 1
                if is_pending(order):
                    outcome.pending.append(order.id)
            if writer is not None:
                writer.write([await _result_row(shop, sale, order, reader) for sale, order in part])
            bar.advance(task, len(part))


async def _result_row(shop: Shop, sale: ListedSale, order: Order | None, reader: str) -> tuple[Any, ...]:
    row = sale.row
    asked_for = (row.product, sale.recipient, row.amount, sale.email)
    money = (sale.price.text, sale.price.currency.code)
    if order is None:
        return (row.line, sale.reference, NOT_SOLD, "", *asked_for, *money, "", sale.error, row.note)
    receipt, error = "", _ERRORS.get(order.state, "")
    try:
        found = await receipt_of(lambda: shop.payloads, order, reader)
    except (KeyRefused, TelvendError) as refused:
        error = f"The receipt could not be read: {refused}"
    else:
        receipt = "" if found is None else "; ".join(f"{label}: {text}" for label, text in found.lines())
    return (row.line, sale.reference, order.state, order.reference, *asked_for, *money, receipt, error, row.note)


_ERRORS: Final = {
    OrderState.FAILED: "Not delivered; the money went back to the wallet.",
    OrderState.REVIEW: "Nobody knows whether it was delivered; telvend order resolve decides.",
}


# What is said -------------------------------------------------------------------------------------------------------------


def _refused(path: Path, wrong: Sequence[Problem], file: OwnCsv, *, are_repeats: bool) -> Output:
    """Say what is wrong with a list, of which nothing was sold: the first problems here, all of them in a file."""
    for problem in wrong[:_SHOWN]:
        typer.echo(f"{_shown(path)}: {problem}", err=True)
    where: str | None = _shown(file.path)
    try:
        file.require_writable()
        with file.replacing() as writer:
            writer.write((problem.line, problem.field, problem.problem) for problem in wrong)
    except InvalidInput as error:
        where = None
        progress(f"telvend: {error}.")
    if len(wrong) > _SHOWN:
        progress(f"… and {len(wrong) - _SHOWN:,} more{f': all of them are in {where}' if where else ''}")
    data = {
        "rows": 0,
        "sold": 0,
        "problem_count": len(wrong),
        "problems": [{"line": one.line, "field": one.field, "problem": one.problem} for one in wrong[:_SHOWN]],
        "problems_file": where,
    }
    text = f"Nothing was sold: {len(wrong):,} {'problem' if len(wrong) == 1 else 'problems'}."
    if are_repeats:
        text = (
            f"Nothing was sold: {len(wrong):,} {'row asks' if len(wrong) == 1 else 'rows ask'} for what was asked for before."
            " If that is meant, say so with --repeats."
        )
    return Output(data, text, exit_code=1)


def _halts(shop: Shop, mode: Mode) -> list[str]:
    """Why nothing is sold in this mode, if nothing is."""
    return list(shop.gate.reasons) if shop.gate.halts(mode) else []


def _looked(checked: CheckedList, halts: Sequence[str]) -> Output:
    """The output of a dry run; exit code 1 where a wallet could not pay for all of it, or nothing is sold at present."""
    data = _totals_data(checked) | {"sold": 0, "dry_run": True, "halted": halts}
    columns, rows = _totals_table(checked)

    def show(console: Console) -> None:
        console.print(_needed(checked), markup=False)
        table("", columns, rows, "")(console)
        for reason in (*_waiting(checked), *halts):
            console.print(reason, markup=False)
        console.print("Nothing was sold: a dry run.")

    short = any(total.short for total in checked.totals)
    return Output(data, show=show, exit_code=int(short or bool(halts)), only_looked=True)


def _waiting(checked: CheckedList) -> list[str]:
    """The rows that were not sold because their networks are paused."""
    return [f"{_rows(count)} left for later: {why}." for why, count in checked.pauses.items()]


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _needed(checked: CheckedList) -> str:
    text = f"{_rows(len(checked.sales))} without a mistake"
    return f"{text}; {checked.there:,} of them are sold already." if checked.there else f"{text}."


def _totals_data(checked: CheckedList) -> dict[str, Any]:
    return {
        "rows": len(checked.sales),
        "sold_before": checked.there,
        "paused": sum(checked.pauses.values()),
        "wallets": [
            {
                "email": total.email,
                "currency": total.price.currency.code,
                "rows": total.count,
                "sold_before": total.there,
                "price": total.price.decimal,
                "balance": total.balance.decimal,
                "missing": None if total.short is None else total.short.decimal,
            }
            for total in checked.totals
        ],
        "problem_count": 0,
        "problems": [],
    }


def _totals_table(checked: CheckedList) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    def row(total: WalletTotal) -> tuple[Any, ...]:
        short = total.short
        missing = "" if short is None else short.text
        return (
            total.email,
            total.count,
            total.price.decimal,
            total.balance.decimal,
            total.price.currency.code,
            missing,
        )

    return ("wallet of", "to sell", "price", "balance", "", "missing"), [row(total) for total in checked.totals]


def _agreed(checked: CheckedList, mode: Mode) -> bool:
    """Ask for confirmation on the terminal."""
    sums: dict[str, Money] = {}
    for total in checked.totals:
        code = total.price.currency.code
        sums[code] = sums[code] + total.price if code in sums else total.price
    price = " and ".join(str(one) for one in sums.values() if one.minor)
    count = sum(total.count for total in checked.totals)
    # The event loop would take the first Ctrl-C, and the question would go on waiting.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(f"Sell {_rows(count)} for {price} ({mode})?", err=True)
    finally:
        signal.signal(signal.SIGINT, before)


# While it runs --------------------------------------------------------------------------------------------------------------


class _Rate(ProgressColumn):
    """How many rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def _console() -> Console:
    return Console(stderr=True, highlight=False)


def _bar() -> Progress:
    """A progress bar, shown on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=_console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _shown(path: Path) -> str:
    """A path as text, also one whose bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidInput("csv", f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InvalidInput("csv", f"{path} cannot be read: {error.strerror}") from None
