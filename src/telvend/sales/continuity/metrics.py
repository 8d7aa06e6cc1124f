"""The metric of processes that sell nothing."""

from typing import Final

from telvend.kit.metrics import Gauge

SALES_HALTED: Final = Gauge(
    "telvend_sales_halted_processes",
    "Processes that sell nothing because the database has gone back, or somebody has halted sales.",
    formerly="telvend_book_behind",
)
