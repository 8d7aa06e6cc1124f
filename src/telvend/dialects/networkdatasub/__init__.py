"""Networkdatasub: airtime, bundles, identity checks and funding in Nigeria. Named here: the API, and what its keys begin with."""

from typing import Final

from telvend.resellers.keyforms import KeyForm

KEYS: Final = KeyForm("networkdatasub", "nds_")
