"""One suite over every dialect: each error has a row of its own, each documented example goes through the wire types.

The registry is `dialects.py`.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import telvend.dialects
from telvend import errors
from telvend.dialects import openapi
from telvend.dialects.contract import Endpoint, Request
from telvend.dialects.forms import Form
from telvend.dialects.headers import header_values
from telvend.errors import TelvendError
from telvend.kit.money import GHS, Money
from tests.contract.dialects import DIALECTS, Registered

SECRET = "what only we may know"
SAMPLES: dict[type[TelvendError], TelvendError] = {
    errors.TelvendError: errors.TelvendError("Something."),
    errors.InvalidInput: errors.InvalidInput("network", "must be one of MTN, Telecel, AirtelTigo"),
    errors.InvalidFields: errors.InvalidFields({"network": "field is required", "phone": "must be a string"}),
    errors.HostNotValid: errors.HostNotValid("is missing"),
    errors.BodyNotReadable: errors.BodyNotReadable("The request body is not valid JSON."),
    errors.MediaTypeNotRead: errors.MediaTypeNotRead(),
    errors.BodyTooLarge: errors.BodyTooLarge(65536),
    errors.NotAuthenticated: errors.NotAuthenticated(),
    errors.NotPermitted: errors.NotPermitted("buy"),
    errors.NotFound: errors.NotFound("Order"),
    errors.UnknownPath: errors.UnknownPath("/nowhere"),
    errors.MethodNotAllowed: errors.MethodNotAllowed(("GET", "HEAD")),
    errors.ReferenceReused: errors.ReferenceReused("my-ref-001"),
    errors.TooManyRequests: errors.TooManyRequests(12, 60),
    errors.InsufficientBalance: errors.InsufficientBalance(Money(450, GHS), Money(50, GHS)),
    errors.ProductUnavailable: errors.ProductUnavailable("MTN", "1GB"),
    errors.AlreadyExists: errors.AlreadyExists("The reseller"),
    errors.Busy: errors.Busy(),
    errors.SalesHalted: errors.SalesHalted(),
    errors.InvariantBroken: errors.InvariantBroken(SECRET),
}
# Where HTTP or the page of decisions leaves no choice, whatever the dialect.
STATUSES = {
    errors.HostNotValid: 400,
    errors.BodyNotReadable: 400,
    errors.BodyTooLarge: 413,
    errors.NotAuthenticated: 401,
    errors.UnknownPath: 404,
    errors.MethodNotAllowed: 405,
    errors.TooManyRequests: 429,
    errors.Busy: 503,
    errors.InvariantBroken: 500,
}

_encode = msgspec.json.Encoder(decimal_format="number").encode


def tree(root: type[TelvendError] = TelvendError) -> Iterator[type[TelvendError]]:
    """The root and everything below it."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from tree(kind)


@pytest.fixture(params=DIALECTS)
def registered(request: pytest.FixtureRequest) -> Registered:
    return DIALECTS[request.param]


def test_every_dialect_of_the_source_is_registered() -> None:
    (source,) = telvend.dialects.__path__
    assert sorted(folder.parent.name for folder in Path(source).glob("*/routes.py")) == sorted(DIALECTS)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_declares_what_it_sells(name: str) -> None:
    assert DIALECTS[name].dialect.sells


def test_every_error_has_a_sample_here() -> None:
    assert set(tree()) == SAMPLES.keys()


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_of_its_own_and_renders_in_the_dialects_shape(
    registered: Registered, kind: type[TelvendError]
) -> None:
    assert kind in registered.error_table
    for request in requests_of(registered):
        answer = registered.dialect.error(SAMPLES[kind], request)
        assert 400 <= answer.status <= 599
        assert answer.status == STATUSES.get(kind, answer.status)
        shape = type(answer.body)
        assert shape in error_shapes(registered)
        body = _encode(answer.body)
        assert msgspec.json.decode(body, type=shape) == answer.body
        assert SECRET.encode() not in body


def test_beside_the_tree_the_table_knows_only_what_the_rooms_add_to_it(registered: Registered) -> None:
    for kind in registered.error_table.keys() - set(tree()):
        assert issubclass(kind, TelvendError)
        assert kind.__module__.endswith(".model")


def requests_of(registered: Registered) -> Iterator[Request]:
    """A request of each endpoint, and one of an address that is nobody's."""
    for endpoint in registered.dialect.endpoints:
        yield request_to(endpoint.method, endpoint.path)
    yield request_to("GET", "")


def request_to(method: str, route: str) -> Request:
    return Request(method, f"/somewhere{route}", route, b"", {}, "http", "127.0.0.1", b"r-1", "", "TX-000017")


def error_shapes(registered: Registered) -> set[type[Any]]:
    """What errors look like: one shape, unless the dialect registers several."""
    return registered.error_shapes or {
        type(registered.dialect.error(TelvendError("Something."), request_to("GET", "")).body)
    }


EXAMPLES = [
    pytest.param(registered, path, id=f"{name}/{path.stem}")
    for name, registered in DIALECTS.items()
    for path in sorted(registered.examples.glob("*.json"))
]


def read(path: Path) -> dict[str, Any]:
    example: dict[str, Any] = json.loads(path.read_text(), parse_float=Decimal)
    return example


def endpoint_of(registered: Registered, example: dict[str, Any]) -> Endpoint:
    (found,) = [
        endpoint
        for endpoint in registered.dialect.endpoints
        if f"{endpoint.method} {endpoint.path}" == example["endpoint"]
    ]
    return found


def wire_type(form: Any) -> Any:
    """The type of a form; of a declared one a type with its fields and nothing else."""
    if not isinstance(form, Form):
        return form
    schema = form.schema()
    required = [(name, Any) for name in schema["properties"] if name in schema["required"]]
    return msgspec.defstruct(
        form.name, [*required, *((name, Any, None) for name in schema["properties"] if name not in schema["required"])]
    )


@pytest.mark.parametrize(("registered", "path"), EXAMPLES)
def test_a_documented_example_goes_through_the_wire_types_unchanged(registered: Registered, path: Path) -> None:
    example = read(path)
    assert example["source"]
    endpoint = endpoint_of(registered, example)
    part = "request" if "request" in example else "response"
    kind: Any = wire_type(endpoint.form) if part == "request" else endpoint.answers.get(example["status"])
    if kind is None:
        (kind,) = error_shapes(registered)
    decoded = msgspec.json.decode(msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])[part], type=kind)
    # What the request leaves out, the type may know as null or false.
    encoded = json.loads(_encode(decoded), parse_float=Decimal)
    if part == "request":
        encoded = {
            name: value for name, value in encoded.items() if value not in (None, False) or name in example[part]
        }
    assert encoded == example[part]


def test_every_endpoint_has_an_example_of_its_answer_and_of_its_form(registered: Registered) -> None:
    examples = [read(path) for path in registered.examples.glob("*.json")]
    for endpoint in registered.dialect.endpoints:
        name = f"{endpoint.method} {endpoint.path}"
        own = [example for example in examples if example["endpoint"] == name]
        # What makes something new may answer 201.
        assert any(example.get("status") in endpoint.answers.keys() & {200, 201} for example in own), name
        assert endpoint.form is None or any("request" in example for example in own), name
    assert {example["status"] for example in examples if "status" in example} == registered.documented_statuses


def test_the_openapi_document_has_every_endpoint_and_every_type(registered: Registered) -> None:
    document = openapi.document(registered.dialect, "0")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(registered.dialect.endpoints)
    for endpoint, operation in zip(registered.dialect.endpoints, operations, strict=True):
        anywhere = {"401", "429", "500", "503"}
        assert operation["responses"].keys() == {str(status) for status in endpoint.answers} | anywhere
        assert ("requestBody" in operation) is (endpoint.form is not None)


def test_the_key_is_found_in_the_headers_and_nowhere_else(registered: Registered) -> None:
    assert not registered.dialect.key_of({})
    assert not registered.dialect.key_of({b"cookie": b"key=np_live_x"})


def test_blanks_around_the_value_of_a_header_are_no_part_of_a_key(registered: Registered) -> None:
    """Optional whitespace is not part of a value (RFC 9110, section 5.5): `X-API-Key: KEY ` is the same key."""
    dialect = registered.dialect
    name = str(dialect.security["name"]).lower().encode() if "name" in dialect.security else b"authorization"
    for before, after in (("", " "), (" ", ""), ("\t", "\t "), ("", "")):
        sent = [(name, f"{before}{dialect.key_text.format(key='the-key')}{after}".encode())]
        assert dialect.key_of(header_values(sent)) == "the-key", (before, after)
