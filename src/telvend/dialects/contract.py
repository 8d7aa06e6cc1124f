"""What a dialect is: a table of endpoints, a way to read the key, and a table from every error to status and body.

`routes.py` of a dialect fills in these records; `serving.py` turns them into an ASGI application; `openapi.py` turns
the same records into the document that clients are generated from. A form's fields are declared once, as `forms.py` says: so a
route, its validation and its documentation cannot differ.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from telvend.dialects.examples import Parameter, Step, Variable
from telvend.dialects.forms import Form
from telvend.errors import TelvendError
from telvend.kit.addresses import server_url
from telvend.kit.allowance import AllowanceKind
from telvend.resellers.model import Caller
from telvend.sales.model import SaleKind
from telvend.services import Services

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Response:
    """A status, a body (a msgspec struct or plain data; None for none) and headers beyond the usual ones."""

    status: int
    body: Any
    headers: tuple[Header, ...] = ()


class Request(msgspec.Struct, gc=False):
    """A request as it stands on the wire, known before anybody has looked whose it is; an error is rendered with it.

    `path` is decoded, `route` the endpoint's pattern of it (empty for an address that is nobody's), `query` the raw query
    string, `client` the address that the connection comes from. `request_id` is what X-Request-ID of the answer says. `trace` is
    the client's own name for the request, where the dialect has such a thing; a handler may learn a better one.
    """

    method: str
    path: str
    route: str
    query: bytes
    headers: Mapping[bytes, bytes]
    scheme: str
    client: str
    request_id: bytes
    public_url: str
    trace: str

    @property
    def base_url(self) -> str:
        """See kit/addresses.py."""
        return server_url(self.public_url, self.scheme, self.headers.get(b"host", b"localhost").decode("latin-1"))


FormT = TypeVar("FormT")


class Context(msgspec.Struct, Generic[FormT]):
    """One authenticated request, read as far as it can be without the database.

    `form` is the decoded body; for a declared form it is the JSON object as sent. `path` maps the path's placeholders to values.
    """

    services: Services
    caller: Caller
    form: FormT
    path: Mapping[str, str]
    request: Request

    @property
    def query(self) -> bytes:
        return self.request.query

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return self.request.headers

    @property
    def base_url(self) -> str:
        return self.request.base_url


KeyOf = Callable[[Mapping[bytes, bytes]], str | None]
"""How a key is found in the headers; None or empty where there is none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of a dialect's table. `answers` maps each documented status to the type of its body."""

    method: str
    path: str
    handler: Callable[[Context[Any]], Awaitable[Response]]
    summary: str
    answers: Mapping[int, type[Any]]
    allowance: AllowanceKind = AllowanceKind.READ
    form: type[msgspec.Struct] | Form[Any] | None = None
    """What the body is, for validation and for the document. A struct is decoded before the handler is called. A declared form is
    read by the handler, which knows what is sold; all wrong fields are then named at once."""
    url_encoded: bool = False
    """Whether the body may also be an application/x-www-form-urlencoded form. Only with a declared form."""
    read_other: Callable[[bytes, bytes], dict[str, Any] | None] | None = None
    """Reads a body that is not JSON, given its Content-Type; None where it is JSON. Only with a declared form."""
    key_in_form: Callable[[Any, Mapping[bytes, bytes]], str | None] | None = None
    """How this endpoint finds the key where the form carries it (the headers are given too); the form is then read first."""
    parameters: tuple[Parameter, ...] = ()
    """What the handler reads from the query and the headers, for the documents."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A public API. `key_of` finds the key in the headers; `error` renders what went wrong, for every error there is."""

    name: str
    title: str
    base_path: str
    endpoints: tuple[Endpoint, ...]
    key_of: KeyOf
    error: Callable[[TelvendError, Request], Response]
    sells: frozenset[SaleKind] = frozenset()
    """The kinds of sale that it sells or ever sold: a reference is looked up in each of them. Empty: in every kind."""
    courtesies: tuple[Endpoint, ...] = ()
    """Addresses beside the contract, for clients that know them already. They are served and in no document or story."""
    security: Mapping[str, Any] = field(default_factory=dict)
    """The OpenAPI security scheme of the key."""
    more_security: Mapping[str, Any] = field(default_factory=dict)
    """OpenAPI security schemes of what may be sent instead of the key, by name."""
    second_key_of: KeyOf | None = None
    """A second credential that may stand beside the first. Where both are sent, both must be of one key."""
    trace_of: Callable[[Mapping[bytes, bytes]], str] | None = None
    """What the client calls this request, or a name that is made for it; `trace_header` of every answer repeats it."""
    trace_header: bytes = b""
    minds_media_type: bool = False
    """Whether a body whose Content-Type is neither JSON's nor a form's is refused; else only what it holds counts."""
    mounts: tuple[str, ...] = ()
    """The paths below which every request is this dialect's; empty: its base path."""
    about: str = ""
    """What the documents say of it first."""
    key_text: str = "{key}"
    """How the key stands in its header."""
    variables: tuple[Variable, ...] = ()
    """What the story's texts leave open, beside the address and the key."""
    story: tuple[Step, ...] = ()
    """At least one request for each endpoint, in an order that works; see examples.py."""


def alike(render: Callable[[TelvendError], Response]) -> Callable[[TelvendError, Request], Response]:
    """For a dialect whose errors look the same whatever was asked for."""
    return lambda error, _: render(error)


def nearest_row(table: Mapping[type[TelvendError], Any], error: TelvendError) -> Any:
    """The row of the most particular class of `error` that the table knows; every table has one for the root."""
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    raise LookupError(type(error).__name__)
