"""The OpenAPI documents: what a client generated from one sends and gets is what the server takes and says."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from telvend.dialects import openapi
from telvend.dialects.contract import Context, Dialect, Endpoint, Response, alike
from telvend.dialects.madapi.routes import MADAPI
from telvend.dialects.netpluse.routes import NETPLUSE
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB


class Inner(msgspec.Struct):
    price: Decimal


class Form(msgspec.Struct, rename="camel"):
    phone_number: str
    amount: Decimal
    note: str | None = None


class Thing(msgspec.Struct):
    items: list[Inner]
    balance: Decimal | None


async def things(call: Context[Any]) -> Response:
    return Response(200, None)


async def buy(call: Context[Any]) -> Response:
    return Response(200, None)


DIALECT = Dialect(
    name="test",
    title="Test",
    base_path="/base",
    key_of=lambda _: None,
    error=alike(lambda _: Response(500, None)),
    security={"type": "apiKey", "in": "header", "name": "x-key"},
    endpoints=(
        Endpoint("GET", "/things/{number:int}/{name:path}", things, "One", {200: Thing, 404: Inner}),
        Endpoint("POST", "/things", buy, "Buy", {200: Thing, 400: Inner}, form=Form),
        Endpoint("GET", "/things", things, "All", {200: Thing}),
    ),
)


@pytest.fixture(params=[DIALECT, NETPLUSE], ids=lambda dialect: dialect.name)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    # As it leaves: what cannot be encoded is no document.
    made: dict[str, Any] = json.loads(msgspec.json.encode(openapi.document(request.param, "1.2")))
    return made


def everything(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(inner)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [found["$ref"] for found in everything(document) if isinstance(found, dict) and "$ref" in found]
    assert references
    known = {f"#/components/{kind}/{name}" for kind, made in document["components"].items() for name in made}
    assert set(references) <= known


def test_every_placeholder_is_a_required_parameter_without_the_routers_word(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        assert ":" not in path
        parameters = [found for found in operation.get("parameters", []) if found["in"] == "path"]
        assert [parameter["name"] for parameter in parameters] == re.findall(r"\{(\w+)\}", path)
        assert all(parameter["required"] for parameter in parameters)


def test_amounts_are_numbers_everywhere(document: dict[str, Any]) -> None:
    assert not [found for found in everything(document) if isinstance(found, dict) and found.get("format") == "decimal"]
    text = json.dumps(document)
    assert '"type": "number"' in text


def test_every_path_asks_for_the_key(document: dict[str, Any]) -> None:
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["type"] == "apiKey"
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2"


def test_methods_of_one_path_stand_together() -> None:
    paths = openapi.document(DIALECT, "1")["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/base/things/{number}/{name}": {"get"},
        "/base/things": {"get", "post"},
    }


def test_a_form_is_required_and_spelt_as_the_client_sends_it() -> None:
    document = openapi.document(DIALECT, "1")
    body = document["paths"]["/base/things"]["post"]["requestBody"]
    assert body["required"]
    schema = document["components"]["schemas"][body["content"]["application/json"]["schema"]["$ref"].split("/")[-1]]
    assert schema["properties"].keys() == {"phoneNumber", "amount", "note"}
    assert set(schema["required"]) == {"phoneNumber", "amount"}


def test_every_operation_has_an_answer_and_a_sentence(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert "200" in operation["responses"]


@pytest.mark.parametrize("prices", [[], ["4.50"], ["0.01", "99999999.99"]])
def test_what_is_encoded_fits_its_own_schema(prices: list[str]) -> None:
    document = openapi.document(DIALECT, "1")
    thing = Thing([Inner(Decimal(price)) for price in prices], None)
    body = msgspec.json.Encoder(decimal_format="number").encode(thing)
    schema = {"$ref": "#/components/schemas/Thing", "components": document["components"]}
    jsonschema_rs.validate(schema, json.loads(body))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, {"items": [{"price": "4.50"}], "balance": None})


# What client generators stumble over ------------------------------------------------------------------------------------

RESERVED = {
    "error",
    "package",
    "object",
    "string",
    "number",
    "date",
    "map",
    "list",
    "set",
    "array",
    "class",
    "type",
    "function",
}
"""Names that some language has already, and a generator renames."""


@pytest.fixture(params=[NETPLUSE, NETWORKDATASUB, MADAPI], ids=lambda dialect: dialect.name)
def public(request: pytest.FixtureRequest) -> dict[str, Any]:
    encode = msgspec.json.Encoder(decimal_format="number").encode
    made: dict[str, Any] = json.loads(encode(openapi.with_address(openapi.document(request.param, "1"), "https://a.b")))
    return made


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Every schema of a document; a property may have the name of a word of JSON Schema, and an example is none."""
    if isinstance(value, list):
        for inner in value:
            yield from schemas(inner)
    if isinstance(value, dict):
        if isinstance(value.get("type"), str) or "anyOf" in value or "allOf" in value:
            yield value
        for name, inner in value.items():
            if name == "properties":
                for schema in inner.values():
                    yield from schemas(schema)
            elif name not in ("example", "examples", "default", "enum"):
                yield from schemas(inner)


def test_no_schema_is_only_null_and_none_is_put_together(public: dict[str, Any]) -> None:
    found = list(schemas(public))
    assert len(found) > 30
    for schema in found:
        assert "allOf" not in schema
        if "anyOf" in schema:
            value, null = schema["anyOf"]
            assert null == {"type": "null"}
            assert value != null
    # Null stands inside of `anyOf` only, whose choices are shown as schemas of their own.
    nulls = sum(schema == {"type": "null"} for schema in found)
    assert nulls == sum("anyOf" in schema for schema in found)


def test_numbers_have_room_in_every_language(public: dict[str, Any]) -> None:
    wanted = {"number": "double", "integer": "int64"}
    found = [
        schema for schema in schemas(public["paths"] | public["components"]["schemas"]) if schema.get("type") in wanted
    ]
    assert [schema for schema in found if schema.get("format") != wanted[schema["type"]]] == []


def test_names_are_nobody_elses_and_used_once(public: dict[str, Any]) -> None:
    names = [name.lower() for name in public["components"]["schemas"]]
    assert len(names) == len(set(names))
    assert not RESERVED & set(names)
    ids = [operation["operationId"] for _, _, operation in operations(public)]
    assert len(ids) == len(set(ids))


def test_answers_are_types_with_names_and_forms_have_one_media_type(public: dict[str, Any]) -> None:
    for _, _, operation in operations(public):
        for answer in operation["responses"].values():
            assert answer["content"]["application/json"]["schema"].keys() == {"$ref"}
        if "requestBody" in operation:
            assert len(operation["requestBody"]["content"]) == 1


def test_what_is_required_is_described(public: dict[str, Any]) -> None:
    for schema in schemas(public):
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()


def test_the_document_says_who_and_where_in_full(public: dict[str, Any]) -> None:
    assert public["info"]["contact"]["url"] == "https://a.b"
    for scheme in public["components"]["securitySchemes"].values():
        for flow in scheme.get("flows", {}).values():
            assert flow["tokenUrl"] == "https://a.b/v1/oauth/access_token"


def test_a_schema_by_itself_has_no_words_that_a_validator_may_not_know() -> None:
    made = openapi.Schemas(NETPLUSE)
    schema = made.standalone(made.form(next(iter(NETPLUSE.endpoints[2].answers.values()))))
    assert "format" not in json.dumps(schema)
