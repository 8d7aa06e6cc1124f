"""What a page about a dialect shows: its endpoints with parameters, fields and answers, read from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from telvend.dialects.contract import Dialect, Endpoint
from telvend.dialects.examples import Step
from telvend.dialects.openapi import plain_path, steps_of

_REF: Final = "#/components/schemas/"
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode

_LONGEST_EXAMPLE: Final = 1600
"""Of a longer example the end is left out: the document has it whole."""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body. `where`: path, query, header or body."""

    name: str
    where: str
    kind: str
    required: bool
    about: str
    example: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A documented status, and an example of its body; empty without one."""

    status: int
    about: str
    example: str


@dataclass(frozen=True, slots=True)
class Page:
    """An endpoint. `step` is the request that is shown; None where the story has none. `tryable`: it may be tried on a page."""

    id: str
    method: str
    path: str
    title: str
    about: str
    fields: tuple[Field, ...]
    answers: tuple[Answer, ...]
    step: Step | None
    endpoint: Endpoint
    buys: bool
    tryable: bool

    @property
    def anchor(self) -> str:
        """The name of its place on the page."""
        return self.id.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Reference:
    """All of a dialect: its endpoints by folders, in the table's order."""

    name: str
    title: str
    about: str
    base_path: str
    folders: tuple[tuple[str, tuple[Page, ...]], ...]

    @property
    def pages(self) -> tuple[Page, ...]:
        return tuple(page for _, pages in self.folders for page in pages)

    def page(self, page_id: str) -> Page | None:
        """The endpoint of this id; None where there is none."""
        return next((page for page in self.pages if page.id == page_id), None)


def reference(dialect: Dialect, document: Mapping[str, Any]) -> Reference:
    """Arrange what the document of a dialect says for people."""
    folders: dict[str, list[Page]] = {}
    for endpoint in dialect.endpoints:
        path = plain_path(dialect.base_path + endpoint.path)
        operation = document["paths"][path][endpoint.method.lower()]
        folder = next(iter(operation.get("tags", ())), "")
        folders.setdefault(folder, []).append(_page(dialect, endpoint, path, operation, document))
    return Reference(
        dialect.name,
        dialect.title,
        dialect.about,
        dialect.base_path,
        tuple((folder, tuple(pages)) for folder, pages in folders.items()),
    )


def _page(
    dialect: Dialect, endpoint: Endpoint, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Page:
    steps = steps_of(dialect, endpoint)
    shown = next((step for step in steps if step.status < 400 and not step.keyless), steps[0] if steps else None)
    fields = [_parameter(given) for given in operation.get("parameters", ())]
    fields += _body_fields(operation.get("requestBody"), document)
    return Page(
        operation["operationId"],
        endpoint.method,
        path,
        operation["summary"],
        operation.get("description", ""),
        tuple(fields),
        tuple(_answers(operation)),
        shown,
        endpoint,
        endpoint.allowance.name == "PURCHASE",
        tryable=endpoint.key_in_form is None,
    )


def _parameter(given: Mapping[str, Any]) -> Field:
    return Field(
        given["name"],
        given["in"],
        _kind(given["schema"]),
        bool(given.get("required", False)),
        given.get("description", ""),
        str(given.get("example", "")),
    )


def _body_fields(body: Mapping[str, Any] | None, document: Mapping[str, Any]) -> list[Field]:
    if body is None:
        return []
    (content,) = body["content"].values()
    schema = _resolved(content["schema"], document)
    examples = [example["value"] for example in content.get("examples", {}).values()]
    example = examples[0] if examples and isinstance(examples[0], Mapping) else {}
    required = schema.get("required", ())
    return [
        Field(
            name,
            "body",
            _kind(_resolved(inner, document)),
            name in required,
            _resolved(inner, document).get("description", ""),
            "" if name not in example else _text(example[name]),
        )
        for name, inner in schema.get("properties", {}).items()
    ]


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "")
    found: Mapping[str, Any] = document["components"]["schemas"][name.removeprefix(_REF)] if name else schema
    return found


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value in a word or two, with its limits."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return " or ".join(dict.fromkeys(_kind(choice) for choice in choices))
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kinds = schema.get("type", "any")
    kind = " or ".join(one for one in kinds if one != "null") if isinstance(kinds, list) else str(kinds)
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        return f"{kind}, {low or 0} to {high} characters"
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{kind}, {low} to {high}" if low is not None and high is not None else kind


def _answers(operation: Mapping[str, Any]) -> Iterator[Answer]:
    for status, answer in operation["responses"].items():
        contents: list[Mapping[str, Any]] = list(answer.get("content", {}).values())
        examples = contents[0].get("examples", {}) if contents else {}
        value = next((example["value"] for example in examples.values()), None)
        yield Answer(int(status), answer["description"], "" if value is None else _pretty(value))


def _pretty(value: Any) -> str:
    text = msgspec.json.format(_encode(value), indent=2).decode()
    if len(text) <= _LONGEST_EXAMPLE:
        return text
    return text[:_LONGEST_EXAMPLE].rpartition("\n")[0] + "\n  …"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
