"""The Postman collection of a dialect: its story as requests that can be sent, with tests of every answer.

Source of the form: Postman Collection Format v2.1.0. What scripts may use: Postman's sandbox (`pm`, and lodash).
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from telvend.dialects.contract import Dialect, Endpoint
from telvend.dialects.examples import Holds, Less, More, OneOf, Pattern, Step, filled
from telvend.dialects.openapi import Schemas, plain_path

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

_NAMESPACE: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""For identifiers that stay the same from one download to the next: Postman then offers to replace a collection."""

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_NUMBER_PLACE: Final = re.compile(r'"\{\{#(\w+)\}\}"')
_NUMBER: Final = re.compile(r"\{\{#(\w+)\}\}")
_NAMED: Final = re.compile(r'"?\{\{#?(\w+)\}\}"?')
"""A variable in a test's title: a title is not filled, and braces in it would look forgotten."""

_PATH_PLACE: Final = re.compile(r"\{(\w+)\}")


def collection(dialect: Dialect, version: str) -> dict[str, Any]:
    """The collection, without an address: see `with_address`."""
    schemas = Schemas(dialect)
    endpoints = {f"{e.method} {plain_path(e.path)}": e for e in dialect.endpoints}
    folders: dict[str, list[dict[str, Any]]] = {}
    for step in dialect.story:
        item = _item(dialect, endpoints[step.endpoint], step, schemas)
        folders.setdefault(step.folder, []).append(item)
    items = folders.pop("", [])
    items += [{"name": folder, "item": inside} for folder, inside in folders.items()]
    return {
        "info": {
            "_postman_id": str(uuid.uuid5(_NAMESPACE, f"telvend/{dialect.name}")),
            "name": f"{dialect.title} (Telvend {version})",
            "description": _about(dialect),
            "schema": SCHEMA,
        },
        "auth": _auth(dialect),
        "variable": [
            {"key": "baseUrl", "value": "", "description": "Where the server is, without a path."},
            {"key": "key", "value": "", "description": f"Made by: telvend key add EMAIL --api {dialect.name}"},
            *(
                {
                    "key": variable.name,
                    "value": "" if variable.from_story else variable.example,
                    "description": variable.about,
                }
                for variable in dialect.variables
            ),
        ],
        "item": items,
    }


def with_address(made: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The collection for the server at this address."""
    first, *rest = made["variable"]
    return made | {"variable": [first | {"value": base_url}, *rest]}


def _about(dialect: Dialect) -> str:
    return (
        f"{dialect.about}\n\nSet the variable `key`, then send the requests one after the other, or run the whole collection:"
        " each takes what it needs from the answers before it, and each has tests."
    ).strip()


def _auth(dialect: Dialect) -> dict[str, Any]:
    scheme = dialect.security
    if scheme.get("type") == "http":
        return {"type": "bearer", "bearer": [{"key": "token", "value": "{{key}}", "type": "string"}]}
    return {
        "type": "apikey",
        "apikey": [
            {"key": "key", "value": scheme["name"], "type": "string"},
            {"key": "value", "value": dialect.key_text.format(key="{{key}}"), "type": "string"},
            {"key": "in", "value": scheme["in"], "type": "string"},
        ],
    }


def _item(dialect: Dialect, endpoint: Endpoint, step: Step, schemas: Schemas) -> dict[str, Any]:
    events = []
    if step.makes:
        events.append(_event("prerequest", _making(step)))
    events.append(_event("test", list(_tests(endpoint, step, schemas))))
    request = _request(dialect, endpoint, step)
    return {
        "name": step.name,
        "event": events,
        "request": request,
        "response": [_shown(dialect, step, request)] if step.answer is not None else [],
    }


def _event(listen: str, lines: list[str]) -> dict[str, Any]:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": lines}}


# Requests ---------------------------------------------------------------------------------------------------------------


def _request(dialect: Dialect, endpoint: Endpoint, step: Step) -> dict[str, Any]:
    made: dict[str, Any] = {
        "method": endpoint.method,
        "header": [{"key": name, "value": value} for name, value in step.headers.items()],
        "url": _url(dialect, endpoint, step),
        "description": step.about,
    }
    if step.keyless:
        made["auth"] = {"type": "noauth"}
    if step.body is not None:
        if any(name.lower() == "content-type" and "urlencoded" in value for name, value in step.headers.items()):
            fields = [{"key": name, "value": str(value), "type": "text"} for name, value in step.body.items()]
            made["body"] = {"mode": "urlencoded", "urlencoded": fields}
        else:
            made["header"].append({"key": "Content-Type", "value": "application/json"})
            made["body"] = {"mode": "raw", "raw": _json(step.body), "options": {"raw": {"language": "json"}}}
    return made


def _url(dialect: Dialect, endpoint: Endpoint, step: Step) -> dict[str, Any]:
    path = _PATH_PLACE.sub(r":\1", plain_path(dialect.base_path + endpoint.path)).lstrip("/")
    query = "&".join(f"{name}={value}" for name, value in step.query.items())
    made: dict[str, Any] = {
        "raw": f"{{{{baseUrl}}}}/{path}" + (f"?{query}" if query else ""),
        "host": ["{{baseUrl}}"],
        "path": path.split("/"),
    }
    told = {parameter.name: parameter.about for parameter in endpoint.parameters}
    if step.query:
        made["query"] = [_told({"key": name, "value": value}, told.get(name)) for name, value in step.query.items()]
    if step.path:
        made["variable"] = [_told({"key": name, "value": value}, told.get(name)) for name, value in step.path.items()]
    return made


def _told(entry: dict[str, Any], about: str | None) -> dict[str, Any]:
    return entry if about is None else entry | {"description": about}


def _json(body: Any) -> str:
    """The body as people read it, a variable that is a number without quotes."""
    return _NUMBER_PLACE.sub(r"{{\1}}", _pretty(body))


def _pretty(value: Any) -> str:
    return msgspec.json.format(_encode(value), indent=2).decode()


def _shown(dialect: Dialect, step: Step, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{step.name}: {step.status}",
        "originalRequest": request,
        "code": step.status,
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": _pretty(filled(step.answer, dialect.variables)),
    }


# Scripts ----------------------------------------------------------------------------------------------------------------


def _making(step: Step) -> list[str]:
    return [
        f"pm.collectionVariables.set({_js(name)}, pm.variables.replaceIn({_js(text)}));"
        for name, text in step.makes.items()
    ]


def _tests(endpoint: Endpoint, step: Step, schemas: Schemas) -> Iterator[str]:
    """Status, shape, headers and values, one named test each; then what is kept for later steps."""
    yield f'pm.test("status is {step.status}", () => pm.response.to.have.status({step.status}));'
    yield 'const lodash = require("lodash");'
    yield "const body = pm.response.json();"
    kind = endpoint.answers.get(step.status)
    if kind is not None:
        schema = schemas.standalone(schemas.answer(kind, step.answer))
        yield f'pm.test("the body has its shape", () => pm.response.to.have.jsonSchema({_js(schema)}));'
    for name, value in step.says.items():
        yield (
            f"pm.test({_titled(f'header {name} is {value}')}, () =>"
            f" pm.expect(pm.response.headers.get({_js(name)})).to.eql({_value(value)}));"
        )
    for path, expected in step.expects.items():
        yield f"pm.test({_titled(_title(path, expected))}, () => {_check(path, expected)});"
    for name, path in step.keeps.items():
        yield f"pm.collectionVariables.set({_js(name)}, {_at(path)});"


def _titled(text: str) -> str:
    return _js(_NAMED.sub(r"$\1", text))


def _title(path: str, expected: Any) -> str:
    if isinstance(expected, Pattern):
        return f"{path} is like {expected.text}"
    if isinstance(expected, OneOf):
        return f"{path} is one of {', '.join(map(str, expected.values))}"
    if isinstance(expected, Holds):
        return f"{path} holds {', '.join(f'{name} {value}' for name, value in expected.properties.items())}"
    if isinstance(expected, Less):
        return f"{path} is {{{{{expected.variable}}}}} less {expected.by}"
    if isinstance(expected, More):
        return f"{path} is {{{{{expected.variable}}}}} and {expected.by} more"
    return f"{path} is {_js(expected)}"


def _check(path: str, expected: Any) -> str:
    actual = f"pm.expect({_at(path)})"
    if isinstance(expected, Pattern):
        return f"{actual}.to.match(new RegExp({_js(expected.text)}))"
    if isinstance(expected, OneOf):
        return f"{actual}.to.be.oneOf([{', '.join(map(_value, expected.values))}])"
    if isinstance(expected, Holds):
        return f"pm.expect(lodash.find({_at(path)}, {_value(expected.properties)})).to.be.an('object')"
    if isinstance(expected, Less | More):
        before = f"Number(pm.variables.get({_js(expected.variable)}))"
        change = f"- Number({_at(expected.by)})"
        if isinstance(expected, More):
            change = f"+ Number({_value(expected.by)})"
        # Amounts have decimals, which a JavaScript number only comes near to.
        return f"pm.expect(Number({_at(path)})).to.be.closeTo({before} {change}, 0.001)"
    return f"{actual}.to.eql({_value(expected)})"


def _at(path: str) -> str:
    return f"lodash.get(body, {_js(path)})"


def _value(value: Any) -> str:
    """A value as an expression, variables in it looked up when the test runs."""
    if isinstance(value, str) and "{{" in value:
        number = _NUMBER.fullmatch(value)
        if number:
            return f"Number(pm.variables.get({_js(number[1])}))"
        return f"pm.variables.replaceIn({_js(value)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_js(name)}: {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _js(value)


def _js(value: Any) -> str:
    """A constant as JavaScript writes it."""
    return _encode(value).decode()
