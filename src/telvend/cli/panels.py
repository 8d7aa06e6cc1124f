"""The two groups of `telvend --help`."""

from typing import Final

EVERY_DAY: Final = "Every day"
OPERATOR: Final = "The operator's side: our own network, the machine and the database"
