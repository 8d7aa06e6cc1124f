"""What the path of a page names."""

from typing import Final

from starlette.requests import Request

from telvend.errors import NotFound

_MOST_DIGITS: Final = 18
"""So many always fit into the database's bigint."""


def number_in_path(request: Request, what: str, name: str = "number") -> int:
    """Return the number in the path of a page; `what` has that number. Raises NotFound for a text that is none."""
    text: str = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise NotFound(what)
    return int(text)
