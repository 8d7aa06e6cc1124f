"""Where `telvend voucher issue` puts new vouchers: a CSV file, a sheet of cards to print, or stdout.

Nobody sees their PINs again. A file is new, for its owner alone, and on the disk before its vouchers can be loaded; one that
is not finished is removed.
"""

import csv
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from telvend.cli.common import json_text
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.operator.vouchers import sheet
from telvend.operator.vouchers.model import Batch, NewVoucher
from telvend.operator.vouchers.pins import spaced
from telvend.operator.vouchers.service import AT_A_TIME

_CSV_COLUMNS: Final = ("serial", "pin", "printed", "amount", "currency", "expires")


class VoucherOutput:
    """Writes new vouchers to everything that was asked for."""

    def __init__(self, files: "Sequence[NewFile]", printed: "Printed | None", bar: Progress, count: int) -> None:
        self._files = files
        self._printed = printed
        self._bar = bar
        self._task = bar.add_task("issuing", total=count)

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        for file in self._files:
            file.write(vouchers)
        if self._printed is not None:
            self._printed.write(vouchers)
        self._bar.advance(self._task, len(vouchers))

    async def finish(self) -> None:
        for file in self._files:
            file.keep()
        if self._printed is not None:
            self._printed.flush()


class NewFile:
    """A file for its owner alone that did not exist before. Without `keep` it does not exist afterwards either."""

    def __init__(self, path: Path, text_of: "Callable[[Sequence[NewVoucher] | None], str]") -> None:
        self.path = path
        self._text_of = text_of
        self._file: TextIO | None = None
        self._kept = False

    def __enter__(self) -> "NewFile":
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InvalidInput("file", f"{self.path} exists already") from None
        except OSError as error:
            raise InvalidInput("file", f"{self.path} cannot be made: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        return self

    def write(self, vouchers: Sequence[NewVoucher]) -> None:
        assert self._file is not None  # noqa: S101 - it is open between enter and exit
        try:
            self._file.write(self._text_of(vouchers))
        except OSError as error:
            raise InvalidInput("file", f"{self.path} cannot be written: {error.strerror}") from None

    def keep(self) -> None:
        """There are no more: on the disk it is what it is."""
        assert self._file is not None  # noqa: S101
        try:
            self._file.write(self._text_of(None))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InvalidInput("file", f"{self.path} cannot be written: {error.strerror}") from None
        self._kept = True

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        if not self._kept:
            self.path.unlink(missing_ok=True)


def csv_lines(amount: Money, mode: Mode, expires_at: datetime | None) -> "Callable[[Sequence[NewVoucher] | None], str]":
    """Lines of CSV. A spreadsheet takes sixteen digits for a number and loses the last: `printed` it leaves alone."""
    del mode
    until = "" if expires_at is None else f"{expires_at - timedelta(days=1):%Y-%m-%d}"
    begun = False

    def text_of(vouchers: Sequence[NewVoucher] | None) -> str:
        nonlocal begun
        out = StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not begun:
            begun = True
            writer.writerow(_CSV_COLUMNS)
        for voucher in vouchers or ():
            pin = voucher.pin.reveal()
            writer.writerow((voucher.serial, pin, spaced(pin), amount.text, amount.currency.code, until))
        return out.getvalue()

    return text_of


def cards(amount: Money, mode: Mode, expires_at: datetime | None) -> "Callable[[Sequence[NewVoucher] | None], str]":
    begun = False

    def text_of(vouchers: Sequence[NewVoucher] | None) -> str:
        nonlocal begun
        pieces = [] if begun else [sheet.head(amount)]
        begun = True
        pieces += [sheet.card(voucher, amount, mode, expires_at) for voucher in vouchers or ()]
        if vouchers is None:
            pieces.append(sheet.TAIL)
        return "".join(pieces)

    return text_of


class Printed:
    """Vouchers on stdout, piece by piece: one JSON object, or lines for people."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._count = 0

    def write(self, vouchers: Sequence[NewVoucher]) -> None:
        for voucher in vouchers:
            pin = voucher.pin.reveal()
            if self._as_json:
                sys.stdout.write(", " if self._count else '{"vouchers": [')
                sys.stdout.write(json_text({"serial": voucher.serial, "pin": pin}))
            else:
                if not self._count:
                    sys.stdout.write("serial        PIN\n")
                sys.stdout.write(f"{voucher.serial}  {spaced(pin)}\n")
            self._count += 1

    def flush(self) -> None:
        """They have left us: then they can be loaded."""
        if self._as_json:
            sys.stdout.write("]")
        sys.stdout.flush()

    def close(self, batch: Batch, data: Mapping[str, Any]) -> None:
        """The end of what is printed; `data`: the batch, for programs."""
        if self._as_json:
            sys.stdout.write(f', "batch": {json_text(data)}}}\n')
        else:
            sys.stdout.write(f"\nBatch {batch.id}: {batch.count:,} vouchers of {batch.amount} can be loaded now.\n")
        sys.stdout.flush()


def bar(count: int) -> Progress:
    """What takes long shows on stderr how far it has come."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=count <= AT_A_TIME,
    )
