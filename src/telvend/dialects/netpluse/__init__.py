"""Netpluse: airtime and bundles in Ghana. Named here: the API, and what its keys begin with."""

from typing import Final

from telvend.resellers.keyforms import KeyForm

KEYS: Final = KeyForm("netpluse", "np_")
