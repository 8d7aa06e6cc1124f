"""What is counted of a book that has gone back."""

from typing import Final

from telvend.kit.metrics import Gauge

BOOK_BEHIND: Final = Gauge("telvend_book_behind", "Processes that sell nothing because the database has gone back.")
