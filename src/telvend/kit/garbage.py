"""How often Python looks for garbage in cycles: seldom in a command, as usual in a process that stays.

A command imports modules, works and ends. Of what it has made nearly nothing is garbage, and looking for it, last of all when
the process ends, takes a quarter of its time.

    garbage.look_seldom()      # first, in __main__.py
    garbage.look_as_usual()    # once it is clear that this process stays
"""

import atexit
import gc
from typing import Final

_USUAL: Final = gc.get_threshold()

_SELDOM: Final = 200_000
"""New objects between two looks: more than a short command makes; few enough for one that prints millions of rows."""


def look_seldom() -> None:
    """Let a process begin, and end, without looking through all that it has."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])
    # What is frozen is not looked through; the memory goes back to the system with the process.
    atexit.register(gc.freeze)


def look_as_usual() -> None:
    """Go back to what Python began with."""
    gc.set_threshold(*_USUAL)
