"""CSV files that a command writes beside its input: atomically, with mode 0600, and never over a file of another origin."""

import csv
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from telvend.embedded_postgres.files import synchronize_folder
from telvend.errors import InvalidInput
from telvend.kit.spreadsheet import csv_cell


class OwnCsv:
    """A CSV file with these columns. `field` is what errors call it.

    It is replaced atomically: readers see the previous file until then, also after a crash. Its mode is 0600.
    """

    def __init__(self, path: Path, columns: Sequence[str], field: str) -> None:
        self.path = path
        self._columns = columns
        self._field = field

    def require_writable(self) -> None:
        """Raise InvalidInput if it cannot be written, or if a file of another origin has its name."""
        if self.path.is_dir():
            raise InvalidInput(self._field, f"{self.path} is a directory")
        try:
            if self.path.exists() and not self._is_own():
                raise InvalidInput(self._field, f"{self.path} exists already and was not written by this command")
            self._remove_abandoned()
            descriptor, name = self._temporary()
            os.close(descriptor)
            Path(name).unlink()
        except OSError as error:
            raise self._refused(error) from None

    @contextmanager
    def replacing(self) -> "Iterator[RowWriter]":
        """Yield a writer; the file is replaced once everything is on the disk. Raises InvalidInput if that fails."""
        try:
            descriptor, name = self._temporary()
        except OSError as error:
            raise self._refused(error) from None
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                writer = RowWriter(file)
                writer.write([self._columns])
                yield writer
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.path)
            synchronize_folder(self.path.parent)
        except OSError as error:
            raise self._refused(error) from None
        finally:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file if this command wrote it."""
        with suppress(OSError):
            if self._is_own():
                self.path.unlink()

    def _is_own(self) -> bool:
        with self.path.open("rb") as file:
            return file.readline().strip() == ",".join(self._columns).encode()

    def _temporary(self) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=f".{self.path.name}.{os.getpid()}.", dir=self.path.parent)

    def _remove_abandoned(self) -> None:
        """Remove temporary files of killed processes: they may hold secrets."""
        begun = re.compile(rf"\.{re.escape(self.path.name)}\.([0-9]+)\.[a-z0-9_]+", re.ASCII)
        for path in self.path.parent.iterdir():
            found = begun.fullmatch(path.name)
            if found is not None and not _runs(int(found[1])):
                path.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> InvalidInput:
        return InvalidInput(self._field, f"{self.path} cannot be written: {error.strerror}")


class RowWriter:
    """Writes rows, each cell through `csv_cell`."""

    def __init__(self, file: Any) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        self._writer.writerows([csv_cell(cell) for cell in row] for row in rows)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # A process of another user, or a number too large for one.
    return True
