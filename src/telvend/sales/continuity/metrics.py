"""The metric of a database that has gone back to an earlier state."""

from typing import Final

from telvend.kit.metrics import Gauge

BOOK_BEHIND: Final = Gauge("telvend_book_behind", "Processes that sell nothing because the database has gone back.")
