"""The lists that the catalogue comes with, as CSV."""

from typing import Final

LISTS: Final = ("nigeria", "ghana")
"""Nigeria first, so that its networks are 1 to 4 and its first plans 1 to 3, as in the networkdatasub document."""


def read(name: str) -> str:
    """Return the text of one of these files."""
    # Imported late: only a first start and sales of billers' products read a list.
    from importlib.resources import files

    return (files(__name__) / name).read_text("utf-8")
