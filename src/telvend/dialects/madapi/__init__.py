"""MADAPI: what MTN's partners call, in every market of MTN. Named here: the API, and what its keys begin with."""

from typing import Final

from telvend.resellers.keyforms import KeyForm

KEYS: Final = KeyForm("madapi", "mtn_", token_prefix="mtn_token_")  # noqa: S106 - no token, only its beginning
