"""What a dialect is: a table of endpoints, a way to read the key, and a table from every error to status and body.

`routes.py` of a dialect fills in these records; `serving.py` turns them into an ASGI application; `openapi.py` turns
the same records into the document that clients are generated from. So a route, its validation and its documentation
cannot differ.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from telvend.errors import TelvendError
from telvend.kit.allowance import Kind
from telvend.resellers.model import Caller
from telvend.services import Services

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Answer:
    """A status, a body (a msgspec struct or plain data; None for none) and headers beyond the usual ones."""

    status: int
    body: Any
    headers: tuple[Header, ...] = ()


FormT = TypeVar("FormT")


@dataclass(slots=True)
class Call(Generic[FormT]):
    """One authenticated request, read as far as it can be without the database.

    `form` is the decoded body, `path` what the path's placeholders stood for, `query` the raw query string.
    """

    services: Services
    caller: Caller
    form: FormT
    path: Mapping[str, str]
    query: bytes
    headers: Mapping[bytes, bytes]
    scheme: str

    @property
    def base_url(self) -> str:
        """How the caller reaches this server: the setting `public_url`, else what the request says."""
        host = self.headers.get(b"host", b"localhost").decode("latin-1")
        return self.services.public_url or f"{self.scheme}://{host}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of a dialect's table. `answers` maps each documented status to the type of its body."""

    method: str
    path: str
    handler: Callable[[Call[Any]], Awaitable[Answer]]
    summary: str
    answers: Mapping[int, type[Any]]
    allowance: Kind = Kind.READ
    form: type[msgspec.Struct] | None = None
    gathers: bool = False
    """Whether the handler reads the fields itself, to name every wrong one; `form` then only documents them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A public API. `key_of` finds the key in the headers; `error` renders what went wrong, for every error there is."""

    name: str
    title: str
    base_path: str
    endpoints: tuple[Endpoint, ...]
    key_of: Callable[[Mapping[bytes, bytes]], str | None]
    error: Callable[[TelvendError], Answer]
    security: Mapping[str, Any] = field(default_factory=dict)
    """The OpenAPI security scheme of the key."""


def nearest_row(table: Mapping[type[TelvendError], Any], error: TelvendError) -> Any:
    """The row of the most particular class of `error` that the table knows; every table has one for the root."""
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    raise LookupError(type(error).__name__)
