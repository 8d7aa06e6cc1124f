"""The OpenAPI document of a dialect, from the same table that serves it and the story that is run against it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from telvend import errors
from telvend.dialects.contract import Dialect, Endpoint, Request
from telvend.dialects.examples import Step, filled, shape
from telvend.dialects.forms import Form
from telvend.errors import TelvendError
from telvend.kit.allowance import AllowanceKind
from telvend.kit.money import GHS, Money
from telvend.webhooks.examples import EXAMPLE_HEADERS, HEADERS, SUMMARIES, body_schema, example
from telvend.webhooks.model import EventType

_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_REF: Final = "#/components/schemas/"

_EVERYWHERE: Final = (401, 429, 500, 503)
"""Statuses that any endpoint may answer with."""

_SAMPLES: Final[tuple[TelvendError, ...]] = (
    errors.InvalidInput("field", "is required"),
    errors.BodyNotReadable("The request body is not valid JSON."),
    errors.MediaTypeNotRead(),
    errors.BodyTooLarge(65536),
    errors.NotAuthenticated(),
    errors.NotPermitted("do this"),
    errors.NotFound("What was asked for"),
    errors.MethodNotAllowed(("GET", "HEAD")),
    errors.ReferenceReused("ORDER-1001"),
    errors.TooManyRequests(12, 60),
    errors.InsufficientBalance(Money(450, GHS), Money(120, GHS)),
    errors.ProductUnavailable("MTN", "3GB"),
    errors.Busy(),
    errors.SalesHalted(),
    errors.InvariantBroken("something"),
)
"""One of each kind, rendered by the dialect itself: what the document shows of an error is what a client gets."""

_HEADERS: Final[dict[str, tuple[str, str]]] = {
    "X-Request-ID": ("string", "Names this request in the server's log; yours, where you have sent one."),
    "RateLimit-Limit": ("integer", "How many such requests the key may make in a minute."),
    "RateLimit-Remaining": ("integer", "How many of them are left."),
    "RateLimit-Reset": ("integer", "In how many seconds all of them are there again."),
    "Retry-After": ("integer", "After how many seconds it may be tried again."),
    "Idempotent-Replayed": ("string", "`true` where the request was known and its first answer is repeated."),
}


def document(dialect: Dialect, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of one dialect, without `servers`: see `with_address`."""
    schemas = Schemas(dialect)
    paths: dict[str, dict[str, Any]] = {}
    names: dict[str, int] = {}
    for endpoint in dialect.endpoints:
        path = plain_path(dialect.base_path + endpoint.path)
        # One handler may serve two addresses; what a client generator calls its functions must differ all the same.
        count = names[endpoint.handler.__name__] = names.get(endpoint.handler.__name__, 0) + 1
        name = endpoint.handler.__name__ + (str(count) if count > 1 else "")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(dialect, endpoint, schemas, name)
    folders = dict.fromkeys(step.folder for step in dialect.story if step.folder)
    info: dict[str, Any] = {"title": dialect.title, "version": version}
    if dialect.about:
        info["description"] = dialect.about
    return {
        "openapi": "3.1.0",
        "info": info,
        "paths": paths,
        "webhooks": {str(kind): {"post": _webhook(kind)} for kind in EventType},
        "components": {
            "schemas": schemas.components,
            "headers": {
                name: {"description": about, "schema": {"type": kind}} for name, (kind, about) in _HEADERS.items()
            },
            "securitySchemes": {"key": dict(dialect.security), **dialect.more_security},
        },
        "security": [{"key": []}, *({name: []} for name in dialect.more_security)],
        **({"tags": [{"name": folder} for folder in folders]} if folders else {}),
    }


def _webhook(kind: EventType) -> dict[str, Any]:
    """The message of an event, as the operation of an endpoint. Its schema stands in it: no client needs another type for it."""
    return {
        "operationId": kind.replace(".", "_"),
        "summary": str(kind),
        "description": f"{SUMMARIES[kind]} Sent to the endpoints of the reseller, signed by Standard Webhooks.",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": about,
                "schema": {"type": "string"},
                "example": EXAMPLE_HEADERS[name],
            }
            for name, about in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {
                    "schema": body_schema(kind),
                    "examples": {"example": {"summary": str(kind), "value": example(kind)}},
                }
            },
        },
        "responses": {
            "204": {"description": "Taken. Any 2xx status does."},
            "410": {
                "description": "Nothing is wanted any more: the endpoint is ended. Any other status is tried again."
            },
        },
    }


def with_address(made: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The document for the server at this address."""
    schemes = {
        name: _with_token_url(scheme, base_url) for name, scheme in made["components"]["securitySchemes"].items()
    }
    return made | {
        "info": made["info"] | {"contact": {"name": "The operator of this shop", "url": base_url}},
        "servers": [{"url": base_url}],
        "components": made["components"] | {"securitySchemes": schemes},
    }


def _with_token_url(scheme: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """Generated clients fetch a token from `tokenUrl` as it stands; relative to the server it is no use to them."""
    flows = {
        name: flow | {"tokenUrl": base_url + flow["tokenUrl"]} if flow.get("tokenUrl", "").startswith("/") else flow
        for name, flow in scheme.get("flows", {}).items()
    }
    return {**scheme, **({"flows": flows} if flows else {})}


def plain_path(path: str) -> str:
    """A path with its placeholders and without the router's words: `/order-status/{reference}`."""
    return _PLACEHOLDER.sub(r"{\1}", path)


def steps_of(dialect: Dialect, endpoint: Endpoint) -> list[Step]:
    """The steps of the story that go to this endpoint, in the story's order."""
    name = f"{endpoint.method} {plain_path(endpoint.path)}"
    return [step for step in dialect.story if step.endpoint == name]


class Schemas:
    """The JSON Schemas of a dialect's wire types."""

    def __init__(self, dialect: Dialect) -> None:
        types = list(_types(dialect.endpoints))
        made, components = msgspec.json.schema_components(types, ref_template=_REF + "{name}")
        self.components: dict[str, Any] = {name: _portable(schema) for name, schema in components.items()}
        self._by_type = dict(zip(types, map(_portable, made), strict=True))
        for form in (endpoint.form for endpoint in dialect.endpoints):
            if isinstance(form, Form):
                for name, schema in (form.components | {form.name: form.schema()}).items():
                    self.named(name, _portable(schema))

    def form(self, kind: type[Any] | Form[Any]) -> dict[str, Any]:
        if isinstance(kind, Form):
            return {"$ref": _REF + kind.name}
        schema: dict[str, Any] = self._by_type[kind]
        return schema

    def answer(self, kind: type[Any], example: Any) -> dict[str, Any]:
        """Of a body; where its type leaves a property open, the example says what stands there.

        The two are merged into one object. Of an `allOf` client generators make what they can: a base class, a union, nothing.
        """
        schema = self.form(kind)
        whole = self.components.get(schema.get("$ref", "").removeprefix(_REF), schema)
        properties = whole.get("properties", {})
        is_open = {name for name, inner in properties.items() if not inner.keys() - {"default", "description"}}
        if example is None or not is_open:
            return schema
        seen = _portable(shape(example))
        told = seen.get("properties", {})
        return {
            "type": "object",
            "required": list(dict.fromkeys([*whole.get("required", []), *seen.get("required", [])])),
            "properties": {
                name: told.get(name, inner) if name in is_open else inner for name, inner in properties.items()
            },
        }

    def named(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """A reference to the schema as a component of this name: what a generated client calls its type."""
        if "$ref" in schema:
            return schema
        if self.components.setdefault(name, schema) != schema:
            raise errors.InvariantBroken(f"Two schemas have the name {name}.")
        return {"$ref": _REF + name}

    def standalone(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with every component that it reaches, so that it can be used by itself.

        Without `double` and `int64`: they choose a type of a language, and a validator may refuse what it does not know.
        """
        reached: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            for name in _references(waiting.pop()):
                if name not in reached:
                    reached[name] = self.components[name]
                    waiting.append(reached[name])
        whole = {"allOf": [schema], "components": {"schemas": reached}} if reached else schema
        plain: dict[str, Any] = _without_formats(whole)
        return plain


def _without_formats(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_formats(inner)
            for name, inner in schema.items()
            if name != "format" or inner not in _FORMATS.values()
        }
    return [_without_formats(inner) for inner in schema] if isinstance(schema, list) else schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_REF)
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _types(endpoints: Iterable[Endpoint]) -> list[type[Any]]:
    found: dict[type[Any], None] = {}
    for endpoint in endpoints:
        if endpoint.form is not None and not isinstance(endpoint.form, Form):
            found[endpoint.form] = None
        found.update(dict.fromkeys(endpoint.answers.values()))
    return list(found)


def _operation(dialect: Dialect, endpoint: Endpoint, schemas: Schemas, name: str) -> dict[str, Any]:
    steps = steps_of(dialect, endpoint)
    operation: dict[str, Any] = {"operationId": name, "summary": endpoint.summary}
    if steps:
        operation["description"] = steps[0].about
        if steps[0].folder:
            operation["tags"] = [steps[0].folder]
    if parameters := [*_path_parameters(dialect, endpoint, steps), *_parameters(dialect, endpoint, steps)]:
        operation["parameters"] = parameters
    if endpoint.form is not None:
        content: dict[str, Any] = {"schema": schemas.form(endpoint.form)}
        if examples := _named(dialect, ((step, step.body) for step in steps if step.status < 400)):
            content["examples"] = examples
        operation["requestBody"] = {"required": True, "content": {_media_type(steps): content}}
        if endpoint.url_encoded and _media_type(steps) == _JSON:
            operation["description"] = (
                f"{operation.get('description', '')} The body may also be a form, `{_FORM}`.".strip()
            )
    if endpoint.key_in_form is not None:
        operation["security"] = []
    operation["responses"] = _responses(dialect, endpoint, schemas, steps, name)
    return operation


def _media_type(steps: list[Step]) -> str:
    """JSON, unless the story sends a form. Only one: given two, generated clients send one as if it were the other."""
    sent = (value for step in steps[:1] for name, value in step.headers.items() if name.lower() == "content-type")
    return next(sent, _JSON)


_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


def _path_parameters(dialect: Dialect, endpoint: Endpoint, steps: list[Step]) -> Iterator[dict[str, Any]]:
    told = {parameter.name: parameter for parameter in endpoint.parameters if parameter.where == "path"}
    for match in _PLACEHOLDER.finditer(endpoint.path):
        made: dict[str, Any] = {"name": match[1], "in": "path", "required": True}
        if match[1] in told:
            made["description"] = told[match[1]].about
        made["schema"] = {"type": "string", "minLength": 1}
        if match[1] in told:
            made["schema"] |= told[match[1]].limits
        example = next((step.path[match[1]] for step in steps if match[1] in step.path), None)
        if example is not None:
            made["example"] = filled(example, dialect.variables)
        yield made


def _parameters(dialect: Dialect, endpoint: Endpoint, steps: list[Step]) -> Iterator[dict[str, Any]]:
    for parameter in endpoint.parameters:
        if parameter.where == "path":
            continue
        made: dict[str, Any] = {
            "name": parameter.name,
            "in": parameter.where,
            "required": parameter.required,
            "description": parameter.about,
            "schema": _portable({"type": parameter.kind, **parameter.limits}),
        }
        sent = [step.query if parameter.where == "query" else step.headers for step in steps if step.status < 400]
        example = next((given[parameter.name] for given in sent if parameter.name in given), None)
        if example is not None:
            text = filled(example, dialect.variables)
            made["example"] = msgspec.json.decode(text) if parameter.kind != "string" else text
        yield made


def _responses(dialect: Dialect, endpoint: Endpoint, schemas: Schemas, steps: list[Step], name: str) -> dict[str, Any]:
    samples = _samples(dialect, endpoint)
    declared = dict(endpoint.answers)
    refusal = next((kind for status, kind in declared.items() if status >= 400), None)
    if refusal is not None:
        declared = dict.fromkeys(_EVERYWHERE, refusal) | declared
    responses = {}
    for status, kind in sorted(declared.items()):
        shown = [step for step in steps if step.status == status and step.answer is not None]
        # Errors are of one type each, whatever the example; only of a success a type may leave something open.
        schema = schemas.answer(kind, shown[0].answer if shown and status < 400 else None)
        content: dict[str, Any] = {"schema": schemas.named(_type_name(name, status), schema)}
        examples = _named(dialect, ((step, step.answer) for step in shown))
        for error, body in samples.get(status, ()):
            examples.setdefault(type(error).__name__, {"summary": str(error), "value": body})
        if examples:
            content["examples"] = examples
        responses[str(status)] = {
            "description": _described(status, samples),
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers(endpoint, status)},
            "content": {"application/json": content},
        }
    return responses


def _named(dialect: Dialect, shown: Iterable[tuple[Step, Any]]) -> dict[str, Any]:
    return {
        step.name: {"summary": step.name, "value": filled(value, dialect.variables)}
        for step, value in shown
        if value is not None
    }


def _samples(dialect: Dialect, endpoint: Endpoint) -> dict[int, list[tuple[TelvendError, Any]]]:
    """Errors by status, each with the body that the dialect gives it at this endpoint."""
    route = dialect.base_path + endpoint.path
    given = {name: value for step in reversed(steps_of(dialect, endpoint)) for name, value in step.path.items()}
    path = _PLACEHOLDER.sub(lambda found: str(filled(given.get(found[1], found[0]), dialect.variables)), route)
    headers = {b"host": b"localhost:8000"}
    request = Request(endpoint.method, path, route, b"", headers, "http", "", b"8842017731", "", "TX-20261122-000017")
    found: dict[int, list[tuple[TelvendError, Any]]] = {}
    for error in _SAMPLES:
        answer = dialect.error(error, request)
        if answer.body is not None:
            found.setdefault(answer.status, []).append(
                (error, msgspec.to_builtins(answer.body, builtin_types=(Decimal,)))
            )
    return found


_WORDS: Final = {
    200: "Success",
    201: "Made",
    202: "Accepted; what becomes of it is not known yet",
    207: "Success in part: what could not be read is null",
    409: "The reference is taken",
    500: "Something went wrong inside the server",
    503: "Try again in a moment; nothing happened",
}


def _described(status: int, samples: Mapping[int, list[tuple[TelvendError, Any]]]) -> str:
    if status in _WORDS:
        return _WORDS[status]
    sentences = [_first_sentence(type(error)) for error, _ in samples.get(status, ())]
    return " Or: ".join(sentences) if sentences else "Refused"


def _first_sentence(kind: type[TelvendError]) -> str:
    text = " ".join((kind.__doc__ or "Refused").replace("`", "").split())
    return text.partition(". ")[0].rstrip(".")


def _headers(endpoint: Endpoint, status: int) -> list[str]:
    names = ["X-Request-ID"]
    if status != 401:
        names += ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
    if status in (429, 503):
        names.append("Retry-After")
    if status < 300 and endpoint.allowance is AllowanceKind.PURCHASE:
        names.append("Idempotent-Replayed")
    return names


def _type_name(operation: str, status: int) -> str:
    """`wallet_balance` answers a `WalletBalanceAnswer`; with another status than 200, a `WalletBalanceAnswer404`."""
    return (
        "".join(word.capitalize() for word in operation.split("_")) + "Answer" + ("" if status == 200 else str(status))
    )


def _portable(schema: Any) -> Any:
    """The schema in words that every client generator makes the right type of.

    Amounts go over the wire as exact JSON numbers; msgspec's schema says that a Decimal is a string. Without a format Go reads
    a number as float32, which keeps seven digits, and Java an integer as 32 bits. A schema that is only null has no type in
    most languages: what is always null is an object that is never there.
    """
    if isinstance(schema, list):
        return [_portable(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and schema.get("format") == "decimal":
        return {"type": "number", "format": "double"}
    made = {key: _portable(value) for key, value in schema.items() if key not in ("properties", "anyOf")}
    if "properties" in schema:
        made["properties"] = {name: _portable(value) for name, value in schema["properties"].items()}
    if "anyOf" in schema:
        made["anyOf"] = [choice if choice == _NULL else _portable(choice) for choice in schema["anyOf"]]
    elif schema == _NULL:
        made = {"anyOf": [{"type": "object"}, _NULL], "description": "Always null."}
    elif schema.get("type") in _FORMATS:
        made.setdefault("format", _FORMATS[schema["type"]])
    return made


_NULL: Final = {"type": "null"}
_FORMATS: Final = {"number": "double", "integer": "int64"}
