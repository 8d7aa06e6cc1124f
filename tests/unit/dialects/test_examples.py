"""The stories that dialects tell: they reach every endpoint, their examples are what the types say, their variables known."""

import itertools
import json
import re
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import validate

from telvend.dialects import openapi, postman
from telvend.dialects.contract import Dialect
from telvend.dialects.examples import (
    Holds,
    Less,
    MapOf,
    Maybe,
    More,
    OneOf,
    Sometimes,
    Step,
    Variable,
    filled,
    names_in,
    shape,
)
from telvend.dialects.madapi.routes import MADAPI
from telvend.dialects.netpluse.routes import NETPLUSE
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.dialects.openapi import Schemas, plain_path
from telvend.webhooks.examples import HEADERS
from telvend.webhooks.model import EventType

DIALECTS = (NETPLUSE, NETWORKDATASUB, MADAPI)
_ANYWHERE = (401, 429, 500, 503)
_encode = msgspec.json.Encoder(decimal_format="number").encode


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def plain(value: Any) -> Any:
    """As it leaves."""
    return json.loads(_encode(value))


def endpoint_of(dialect: Dialect, step: Step) -> Any:
    (found,) = [e for e in dialect.endpoints if f"{e.method} {plain_path(e.path)}" == step.endpoint]
    return found


# Stories ----------------------------------------------------------------------------------------------------------------


def test_a_story_has_a_successful_step_for_every_endpoint(dialect: Dialect) -> None:
    reached = {step.endpoint for step in dialect.story if step.status < 300}
    assert reached == {f"{endpoint.method} {plain_path(endpoint.path)}" for endpoint in dialect.endpoints}


def test_every_step_has_a_name_of_its_own_a_sentence_and_a_status_that_is_declared(dialect: Dialect) -> None:
    names = [step.name for step in dialect.story]
    assert len(set(names)) == len(names)
    for step in dialect.story:
        assert step.about.endswith("."), step.name
        assert step.status in (*endpoint_of(dialect, step).answers, *_ANYWHERE), step.name


def test_the_first_step_of_every_endpoint_shows_its_answer(dialect: Dialect) -> None:
    for endpoint in dialect.endpoints:
        assert openapi.steps_of(dialect, endpoint)[0].answer is not None, endpoint.path


def test_folders_do_not_change_the_order_of_the_story(dialect: Dialect) -> None:
    folders = [folder for folder, _ in itertools.groupby(step.folder for step in dialect.story)]
    assert len(set(folders)) == len(folders)


def test_variables_are_made_before_they_are_used(dialect: Dialect) -> None:
    known = {variable.name: variable for variable in dialect.variables}
    assert len(known) == len(dialect.variables)
    there = {"key", *(variable.name for variable in dialect.variables if not variable.from_story)}
    for step in dialect.story:
        there |= step.makes.keys()
        sent = [step.path, step.query, step.headers, dict(step.body or {})]
        values = [
            value.properties
            if isinstance(value, Holds)
            else list(value.values)
            if isinstance(value, OneOf)
            else value.by
            if isinstance(value, More)
            else value
            for value in step.expects.values()
        ]
        needed = set().union(*map(names_in, [*sent, *values, step.says]))
        needed |= {value.variable for value in step.expects.values() if isinstance(value, Less | More)}
        # What is kept of an answer may be compared with another part of the same answer only from the next step on.
        assert needed <= there, (step.name, needed - there)
        assert names_in(step.answer) <= known.keys(), step.name
        there |= step.keeps.keys()
    assert there - {"key"} <= known.keys(), "every variable says what it is"


def test_every_placeholder_of_a_path_is_filled(dialect: Dialect) -> None:
    for step in dialect.story:
        assert step.path.keys() == set(re.findall(r"\{(\w+)\}", step.endpoint)), step.name


def test_what_a_story_sends_in_query_and_headers_is_told_as_a_parameter(dialect: Dialect) -> None:
    for step in dialect.story:
        told = {parameter.name for parameter in endpoint_of(dialect, step).parameters}
        assert {*step.query, *step.headers} - {"Content-Type"} <= told | {"Authorization"}, step.name


# Examples ---------------------------------------------------------------------------------------------------------------


def test_every_example_is_what_its_type_says(dialect: Dialect) -> None:
    schemas = Schemas(dialect)
    for step in dialect.story:
        endpoint = endpoint_of(dialect, step)
        if step.body is not None and step.status < 400 and endpoint.form is not None:
            schema = schemas.standalone(schemas.form(endpoint.form))
            jsonschema_rs.validate(schema, plain(filled(dict(step.body), dialect.variables)))
        if step.answer is not None and step.status in endpoint.answers:
            schema = schemas.standalone(schemas.answer(endpoint.answers[step.status], step.answer))
            jsonschema_rs.validate(schema, plain(filled(step.answer, dialect.variables)))


def test_the_document_is_valid_and_its_examples_too(dialect: Dialect) -> None:
    document = plain(openapi.document(dialect, "1"))
    validate(openapi.with_address(document, "https://shop.example"))
    seen = 0
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        assert operation["description"]
        assert operation["tags"]
        contents = [answer["content"]["application/json"] for answer in operation["responses"].values()]
        for content in (*contents, *operation.get("requestBody", {}).get("content", {}).values()):
            schema = {"allOf": [content["schema"]], "components": document["components"]}
            for example in content.get("examples", {}).values():
                jsonschema_rs.validate(schema, example["value"])
                seen += 1
    assert seen > len(dialect.endpoints) * 4


def test_every_event_stands_in_the_document_with_an_example_and_the_headers_that_sign_it(dialect: Dialect) -> None:
    document = plain(openapi.with_address(openapi.document(dialect, "1"), "https://shop.example"))
    assert list(document["webhooks"]) == [str(kind) for kind in EventType]
    named = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    for kind, methods in document["webhooks"].items():
        (operation,) = methods.values()
        named.append(operation["operationId"])
        assert [one["name"] for one in operation["parameters"]] == list(HEADERS)
        content = operation["requestBody"]["content"]["application/json"]
        (example,) = content["examples"].values()
        jsonschema_rs.validate(content["schema"], example["value"], validate_formats=True)
        assert example["value"]["type"] == kind
        # Of the dialect's own types nothing is used, and none is added.
        assert "$ref" not in str(operation)
    assert len(set(named)) == len(named)


def test_errors_in_the_document_are_told_in_words(dialect: Dialect) -> None:
    document = openapi.document(dialect, "1")
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for status, answer in operation["responses"].items():
            assert answer["description"] != "Refused", (operation["operationId"], status)
        assert operation["responses"]["429"]["headers"].keys() >= {"Retry-After", "RateLimit-Limit"}
        assert operation["responses"]["401"]["content"]["application/json"]["examples"]


# Collections ------------------------------------------------------------------------------------------------------------

# What Postman's format v2.1.0 demands of the parts that are used here, and nothing besides them.
_TEXT = {"type": "string"}
_PAIR = {
    "type": "object",
    "required": ["key", "value"],
    "properties": {"key": _TEXT, "value": _TEXT, "description": _TEXT, "type": {"enum": ["string", "text"]}},
    "additionalProperties": False,
}
_PAIRS = {"type": "array", "items": _PAIR}
_AUTH = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": ["apikey", "noauth"]}, "apikey": _PAIRS},
    "additionalProperties": False,
}
_FORMAT: dict[str, Any] = {
    "$defs": {
        "script": {
            "type": "object",
            "required": ["listen", "script"],
            "properties": {
                "listen": {"enum": ["test", "prerequest"]},
                "script": {
                    "type": "object",
                    "properties": {"type": {"const": "text/javascript"}, "exec": {"type": "array", "items": _TEXT}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "request": {
            "type": "object",
            "required": ["method", "url", "header"],
            "properties": {
                "method": {"enum": ["GET", "POST", "PATCH"]},
                "header": _PAIRS,
                "auth": _AUTH,
                "description": _TEXT,
                "url": {
                    "type": "object",
                    "required": ["raw", "host", "path"],
                    "properties": {
                        "raw": {"type": "string", "pattern": r"^\{\{baseUrl\}\}/"},
                        "host": {"const": ["{{baseUrl}}"]},
                        "path": {"type": "array", "items": {"type": "string", "minLength": 1}},
                        "query": _PAIRS,
                        "variable": _PAIRS,
                    },
                    "additionalProperties": False,
                },
                "body": {
                    "type": "object",
                    "required": ["mode"],
                    "properties": {
                        "mode": {"enum": ["raw", "urlencoded"]},
                        "raw": _TEXT,
                        "urlencoded": _PAIRS,
                        "options": {"const": {"raw": {"language": "json"}}},
                    },
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "item": {
            "type": "object",
            "required": ["name", "request", "event", "response"],
            "properties": {
                "name": _TEXT,
                "request": {"$ref": "#/$defs/request"},
                "event": {"type": "array", "items": {"$ref": "#/$defs/script"}},
                "response": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": _TEXT,
                            "originalRequest": {"$ref": "#/$defs/request"},
                            "code": {"type": "integer"},
                            "header": _PAIRS,
                            "body": _TEXT,
                            "_postman_previewlanguage": {"const": "json"},
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
        "folder": {
            "type": "object",
            "required": ["name", "item"],
            "properties": {"name": _TEXT, "item": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            "additionalProperties": False,
        },
    },
    "type": "object",
    "required": ["info", "item"],
    "properties": {
        "info": {
            "type": "object",
            "required": ["name", "schema"],
            "properties": {"_postman_id": {"format": "uuid"}, "name": _TEXT, "description": _TEXT,
                           "schema": {"const": postman.SCHEMA}},
            "additionalProperties": False,
        },
        "auth": _AUTH,
        "variable": _PAIRS,
        "item": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/folder"}, {"$ref": "#/$defs/item"}]}},
    },
    "additionalProperties": False,
}  # fmt: skip


def test_a_collection_is_in_postmans_format(dialect: Dialect) -> None:
    jsonschema_rs.validate(_FORMAT, plain(postman.collection(dialect, "1")), validate_formats=True)


def test_a_collection_asks_for_the_address_and_the_key_and_gives_nothing_away(dialect: Dialect) -> None:
    made = postman.with_address(plain(postman.collection(dialect, "1")), "https://shop.example")
    variables = {variable["key"]: variable["value"] for variable in made["variable"]}
    assert variables["baseUrl"] == "https://shop.example"
    assert variables["key"] == ""
    assert "{{key}}" in json.dumps(made["auth"])
    assert plain(postman.collection(dialect, "1")) == plain(postman.collection(dialect, "1"))


def test_every_body_is_json_once_its_variables_are_filled(dialect: Dialect) -> None:
    examples = {"key": "k", **{variable.name: variable.example for variable in dialect.variables}}
    for folder in plain(postman.collection(dialect, "1"))["item"]:
        for item in folder["item"]:
            body = item["request"].get("body", {})
            if body.get("mode") == "raw":
                assert isinstance(json.loads(re.sub(r"\{\{(\w+)\}\}", lambda m: examples[m[1]], body["raw"])), dict)


# The pieces -------------------------------------------------------------------------------------------------------------

VARIABLES = (Variable("who", "Ama", ""), Variable("count", "7", ""))


def test_variables_are_filled_wherever_they_stand() -> None:
    value = {
        "z": Sometimes("{{who}}", shown=False),
        "a": ["hello {{who}}", Maybe("{{who}}"), Maybe("{{who}}", null=True), Sometimes("{{who}}")],
        "b": {"n": "{{#count}}", "t": "{{count}}"},
        "c": None,
        "d": True,
    }
    assert filled(value, VARIABLES) == {
        "a": ["hello Ama", "Ama", None, "Ama"],
        "b": {"n": 7, "t": "7"},
        "c": None,
        "d": True,
    }
    assert names_in(value) == {"who", "count"}
    with pytest.raises(KeyError):
        filled("{{nobody}}", VARIABLES)


@pytest.mark.parametrize(
    ("example", "fits", "does_not"),
    [("text", ["", "other"], [1, None]), (1, [2], [2.5, "1", None, True]),
     (Decimal(1), [2, 2.5], ["1", None, True]), (True, [False], [0, "true"]),
     ("{{#count}}", [5], ["5"]), (None, [None, 1, "x"], []), (Maybe("x"), [None, "y"], [1]),
     (Maybe("x", null=True), [None, "y"], [1]), (MapOf("x"), [{}, {"a": "y"}], [{"a": 1}, None]),
     ({"a": Sometimes("x"), "b": 1}, [{"b": 1}, {"a": "y", "b": 1}], [{"a": "y"}, {"a": None, "b": 1}]),
     ([{"a": 1}], [[], [{"a": 2}], [{"a": 3, "more": 1}]], [[{}], [{"a": "x"}], {}, None]),
     ({"a": {"b": "x"}}, [{"a": {"b": ""}}], [{}, {"a": {}}, {"a": None}])],
)  # fmt: skip
def test_a_shape_asks_for_every_property_and_its_kind(example: Any, fits: list[Any], does_not: list[Any]) -> None:
    schema = shape(example)
    for value in fits:
        jsonschema_rs.validate(schema, value)
    for value in does_not:
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, value)
