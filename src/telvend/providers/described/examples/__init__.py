"""Descriptions to begin with: `telvend provider example` prints one. Which of their lines are facts, each says at its head."""

from importlib import resources
from typing import Final

NAMES: Final = ("easyaccess", "husmodata", "mobilesix", "telitab", "wazodata")


def example(name: str) -> str:
    """Return the text of an example. Raises KeyError for one that there is not."""
    if name not in NAMES:
        raise KeyError(name)
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
