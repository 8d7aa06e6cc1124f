"""Dojah: NIN and BVN in Nigeria. Named here: what the settings and commands call it."""

from typing import Final

NAME: Final = "dojah"
