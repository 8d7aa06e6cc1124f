"""What a dialect tells of itself beside its table: parameters that handlers read themselves, and a story.

A story is a list of steps: requests in an order that makes sense, each with an example of its answer and with what must be
true of it. `openapi.py` takes examples and descriptions from it; `postman.py` makes it a collection that can be run. So an
example that is shown is one that was sent, and what is shown as an answer is what was checked.

Texts may hold variables, `{{phoneNumber}}`; `{{#planId}}` alone is a number. Paths into an answer are those of lodash:
`data.plans[0].id`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

_EVERYWHERE: Final = {"baseUrl": "http://localhost:8000", "key": "YOUR-KEY"}
"""What every collection has."""

_VARIABLE: Final = re.compile(r"\{\{(#?)(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a handler reads from the query, a header or the path. `limits` are words of JSON Schema."""

    name: str
    about: str
    where: Literal["query", "header", "path"] = "query"
    kind: Literal["string", "integer", "boolean"] = "string"
    required: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variable:
    """A name for a value. `example` stands in the documents; the reader sets it, unless a step makes or keeps it."""

    name: str
    example: str
    about: str
    from_story: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that this regular expression (of JavaScript) finds something in."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """A list with at least one item that has these properties."""

    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Less:
    """The number that a variable holds, less what stands at a path of the same answer; as a number or a text."""

    variable: str
    by: str


@dataclass(frozen=True, slots=True)
class More:
    """The number that a variable holds, and `by` more; as a number or a text. `by` may be `{{anotherVariable}}`."""

    variable: str
    by: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """In an example of an answer: a value that may also be null. `null`: it is null in this example."""

    example: Any
    null: bool = False


@dataclass(frozen=True, slots=True)
class Sometimes:
    """In an example of an answer: a property that not every answer has. `shown`: this one has it."""

    example: Any
    shown: bool = True


@dataclass(frozen=True, slots=True)
class MapOf:
    """In an example of an answer: an object whose names are data, and whose values all look like this one."""

    example: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what must be true of its answer.

    `endpoint` is method and path as in the dialect's table, without the router's words: `GET /order-status/{reference}`.
    `makes` sets variables before the request; Postman's own, such as `{{$guid}}`, may stand in them. `keeps` takes them from the
    answer. `expects` maps a path in the answer to a value, or to one of the expectations above. `says` are headers of the
    answer. `keyless`: it is sent without a key.
    """

    name: str
    endpoint: str
    about: str
    folder: str = ""
    status: int = 200
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    answer: Any = None
    makes: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, str] = field(default_factory=dict)
    expects: Mapping[str, Any] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    keyless: bool = False


def filled(value: Any, variables: Iterable[Variable]) -> Any:
    """The value with the examples of the variables in their places."""
    examples = _EVERYWHERE | {variable.name: variable.example for variable in variables}

    def fill(inner: Any) -> Any:
        if isinstance(inner, Maybe):
            return None if inner.null else fill(inner.example)
        if isinstance(inner, Sometimes):
            return fill(inner.example)
        if isinstance(inner, MapOf):
            return {}
        if isinstance(inner, Mapping):
            there = ((key, item) for key, item in inner.items() if not isinstance(item, Sometimes) or item.shown)
            return {key: fill(item) for key, item in there}
        if isinstance(inner, list):
            return [fill(item) for item in inner]
        if not isinstance(inner, str):
            return inner
        whole = _VARIABLE.fullmatch(inner)
        if whole and whole[1]:
            return int(examples[whole[2]])
        return _VARIABLE.sub(lambda found: examples[found[2]], inner)

    return fill(value)


def names_in(value: Any) -> set[str]:
    """The variables that a value holds."""
    if isinstance(value, Maybe | Sometimes | MapOf):
        return names_in(value.example)
    if isinstance(value, Mapping):
        return set().union(*map(names_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    return {found[2] for found in _VARIABLE.finditer(value)} if isinstance(value, str) else set()


def shape(example: Any) -> dict[str, Any]:
    """The JSON Schema of values that look like the example: every property is there and of the same kind.

    More properties are allowed. A whole number stands for whole numbers; an amount is a Decimal, though it be whole. Null says
    nothing about what else may stand there; `Maybe` does.
    """
    if isinstance(example, Maybe):
        return {"anyOf": [shape(example.example), {"type": "null"}]}
    if isinstance(example, Sometimes):
        return shape(example.example)
    if isinstance(example, MapOf):
        return {"type": "object", "additionalProperties": shape(example.example)}
    if isinstance(example, Mapping):
        required = [name for name, value in example.items() if not isinstance(value, Sometimes)]
        return {
            "type": "object",
            **({"required": required} if required else {}),
            "properties": {name: shape(value) for name, value in example.items()},
        }
    if isinstance(example, list):
        return {"type": "array"} | ({"items": shape(example[0])} if example else {})
    if example is None:
        return {}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, str):
        whole = _VARIABLE.fullmatch(example)
        return {"type": "integer" if whole and whole[1] else "string"}
    return {"type": "integer" if isinstance(example, int) else "number"}
