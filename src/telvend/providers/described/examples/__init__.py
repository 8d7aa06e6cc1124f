"""Descriptions to begin with; `telvend provider example NAME` prints one. Which of their lines are facts, each says at its head."""

from importlib import resources
from typing import Final

NAMES: Final = {
    "easyaccess": "data of Nigeria by form, as EasyAccess's API looks to public programs; parts are not confirmed",
    "husmodata": "data of Nigeria by JSON, as Husmodata's API looks to public programs; it takes no reference",
    "mobilesix": "made up: one address for everything, forms, kobo, numbers as statuses, two keys",
    "telitab": "made up: JSON with numbers, Basic authentication, a reference that is an idempotency key",
    "wazodata": "made up: plain JSON with a bearer key, airtime and data",
}
"""The examples and what each shows. Of the last three vendors only the names and the spellings of networks are known."""


def example(name: str) -> str:
    """Return the text of an example. Raises KeyError for one that there is not."""
    if name not in NAMES:
        raise KeyError(name)
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
