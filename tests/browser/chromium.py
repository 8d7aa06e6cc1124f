"""The browser of the system, which `make browser` installs."""

import shutil

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The path of Chromium: the shell that has no windows, which opens a page in a third of the time, or a whole browser."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    assert found is not None, "There is no Chromium here: make browser"
    return found
