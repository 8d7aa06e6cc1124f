"""Declaring a form: each field once, for validation and for the OpenAPI document.

    class Airtime(msgspec.Struct, frozen=True):
        phone: Annotated[str, PHONE]
        amount: Annotated[Money, amount_between(SMALLEST, LARGEST)]

    AIRTIME = Form("AirtimeForm", Airtime)
    form = AIRTIME.read(Fields(call.form))     # raises InvalidFields that names every wrong field

A `Field` says how its value is read and which values the document allows. `tests/contract/test_forms.py` holds the two against
each other: what a document allows is never refused for its form, and what it forbids always is. Three things stand outside:

- Whether a word is known today (a network, a plan, a product) is no question of form.
- A courtesy is taken beside the document; a field says in `beside` what that is.
- JSON Schema cannot see how a number is written (`1.0` is `1`), and its patterns know the letters of ASCII only: a word in any
  case may also hold a character that Unicode folds to such a letter, as the Kelvin sign for `k`.

A value of two types is documented with `if` and without `type`: from an `anyOf` of a number and a string several client
generators make a class that can hold neither.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import get_annotations
from typing import Any, Final, Generic, TypeVar

import msgspec

from telvend.dialects.fields import FormFields

Schema = dict[str, Any]
T = TypeVar("T", bound=msgspec.Struct)

PRINTABLE: Final = "printable"
"""The format of a text without control characters, line ends and other characters that Unicode does not count as printable."""

NOT_BLANK: Final[Schema] = {"type": "string", "pattern": "[^\\s\\x1c-\\x1f\\x85]"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `read` takes the dialect's `FormFields` and the field's name, and notes what is wrong with it.

    `schema` is what the document allows; None for a value that is derived from other fields and not sent. A field that is not
    `required` may also be null. `beside`: whether a body has this field in a spelling that is accepted but not documented.
    """

    read: Callable[[Any, str], Any]
    schema: Schema | Callable[[], Schema] | None
    required: bool = True
    default: Any = None
    about: str = ""
    name: str = ""
    beside: Callable[[Mapping[str, Any]], bool] = lambda _: False

    def property(self) -> Schema:
        """Return the schema of the property, with null where it may be."""
        schema = dict(self.schema() if callable(self.schema) else self.schema or {})
        more: Schema = {"description": self.about} if self.about else {}
        if self.required:
            return schema | more
        if "if" in schema:
            schema["else"] = {"anyOf": [schema["else"], {"type": "null"}]}
            return {"default": self.default, **schema, **more}
        return {"default": self.default, "anyOf": [schema, {"type": "null"}], **more}


class Form(Generic[T]):
    """What a body may be. `of` is a struct whose attributes are annotated with their fields, in the order of reading.

    `name` is what the document calls it. `spelt` makes the name on the wire from the attribute's, unless the field has one.
    `rules` are words of JSON Schema about the whole object; `components` are other schemas that the fields refer to.
    """

    def __init__(
        self,
        name: str,
        of: type[T],
        *,
        about: str = "",
        spelt: Callable[[str], str] = str,
        rules: Mapping[str, Any] | None = None,
        components: Mapping[str, Schema] | None = None,
    ) -> None:
        self.name = name
        self.components: Final = dict(components or {})
        self._of = of
        self._about = about
        self._rules = dict(rules or {})
        declared = [(attribute, field.name or spelt(attribute), field) for attribute, field in _fields(of)]
        self._fields: Final = {name: field for _, name, field in declared}
        self._readers: Final = tuple((attribute, name, field.read) for attribute, name, field in declared)

    def read(self, fields: FormFields) -> T:
        """Read every field. Raises InvalidFields naming all that are wrong, in the order of the form."""
        values = fields.values
        for attribute, name, read in self._readers:
            if attribute not in values:
                values[attribute] = read(fields, name)
        fields.raise_if_any()
        return self._of(**values)

    def read_one(self, attribute: str, fields: FormFields) -> Any:
        """Read one field before the others, which need it; `read` keeps its value."""
        (value,) = (read(fields, name) for found, name, read in self._readers if found == attribute)
        fields.values[attribute] = value
        return value

    def uses_courtesy(self, body: Mapping[str, Any]) -> bool:
        """Whether the body has a spelling that is accepted but not documented."""
        return any(field.beside(body) for field in self._fields.values())

    def schema(self) -> Schema:
        """Return the JSON Schema of what the form allows."""
        sent = {name: field for name, field in self._fields.items() if field.schema is not None}
        required = [name for name, field in sent.items() if field.required]
        return {
            "title": self.name,
            **({"description": self._about} if self._about else {}),
            "type": "object",
            **({"required": required} if required else {}),
            "properties": {name: field.property() for name, field in sent.items()},
            **self._rules,
        }


def _fields(of: type[msgspec.Struct]) -> list[tuple[str, Field]]:
    found = []
    for attribute, annotation in get_annotations(of).items():
        declared = [part for part in getattr(annotation, "__metadata__", ()) if isinstance(part, Field)]
        if len(declared) != 1:
            raise TypeError(f"{of.__name__}.{attribute} is not annotated with its Field")
        found.append((attribute, declared[0]))
    return found


# Schemas ----------------------------------------------------------------------------------------------------------------


def text(longest: int, *, shortest: int = 0) -> Schema:
    """Printable text of so many characters. The pattern holds the part of it that every validator knows."""
    limits = {"minLength": shortest, "maxLength": longest} if shortest else {"maxLength": longest}
    return {"type": "string", **limits, "pattern": "^[^\\x00-\\x1f\\x7f]*$", "format": PRINTABLE}


@dataclass(frozen=True, slots=True)
class PrintableText:
    """Text of 1 to `longest` printable characters: what the document allows, and the check."""

    longest: int

    @property
    def schema(self) -> Schema:
        return text(self.longest, shortest=1)

    def holds(self, given: str) -> bool:
        """Return whether this is such a text."""
        return 1 <= len(given) <= self.longest and given.isprintable()


def matching(pattern: str, **more: Any) -> Schema:
    """Text that matches the pattern as a whole. Use portable syntax only: no `\\d`, no look-ahead."""
    return {"type": "string", "pattern": f"^(?:{pattern})$", **more}


def text_or(text_pattern: str, other: Schema) -> Schema:
    """Text that matches, or a value of another type."""
    return {"if": {"type": "string"}, "then": {"pattern": f"^(?:{text_pattern})$"}, "else": other}


# Patterns ---------------------------------------------------------------------------------------------------------------


def any_case(word: str, between: str = "") -> str:
    """The word in any case; `between` matches what may stand around and between its letters."""
    letters = (f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)
    return between + between.join(letters) + between


def whole_number(low: int, high: int, most_digits: int) -> str:
    """The digits of a number of this range, zeros in front allowed, in at most so many digits."""
    return "|".join(
        f"{_zeros(0, most_digits - size)}{_one_of(_same_length(*_ends(low, high, size)))}"
        for size in range(len(str(low)), len(str(high)) + 1)
    )


def _one_of(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def decimal_number(low: int, high: int, decimals: int, most_digits: int) -> str:
    """A number of this range with at most so many decimals. `low` 0 stands for anything above zero."""
    if not decimals:
        return whole_number(max(low, 1), high, most_digits)
    below = f"(?:{whole_number(max(low, 1), high - 1, most_digits)})(?:\\.[0-9]{{1,{decimals}}})?"
    top = f"(?:{whole_number(high, high, most_digits)})(?:\\.0{{1,{decimals}}})?"
    choices = [below, top]
    if not low:
        fractions = "|".join(f"{_zeros(zeros, zeros)}[1-9]{_any(0, decimals - zeros - 1)}" for zeros in range(decimals))
        choices.append(f"{_zeros(1, most_digits)}\\.(?:{fractions})")
    return "|".join(choices)


def _zeros(fewest: int, most: int) -> str:
    return _times("0", fewest, most)


def _any(fewest: int, most: int) -> str:
    return _times("[0-9]", fewest, most)


def _times(pattern: str, fewest: int, most: int) -> str:
    if not most:
        return ""
    if fewest == most:
        return pattern if most == 1 else f"{pattern}{{{most}}}"
    return f"{pattern}?" if most == 1 else f"{pattern}{{{fewest},{most}}}"


def _ends(low: int, high: int, size: int) -> tuple[str, str]:
    """The smallest and the largest number of the range that has so many digits."""
    return str(max(low, 10 ** (size - 1) if size > 1 else 0)), str(min(high, 10**size - 1))


def _same_length(low: str, high: str) -> list[str]:
    """Patterns of the numbers from `low` to `high`, which have equally many digits."""
    rest = len(low) - 1
    if rest < 0:
        return [""]
    if low[0] == high[0]:
        return [low[0] + more for more in _same_length(low[1:], high[1:])]
    first, last = int(low[0]), int(high[0])
    begin: list[str] = []
    end: list[str] = []
    if low[1:].strip("0"):
        begin = [low[0] + more for more in _same_length(low[1:], "9" * rest)]
        first += 1
    if high[1:].strip("9"):
        end = [high[0] + more for more in _same_length("0" * rest, high[1:])]
        last -= 1
    middle = [f"[{first}-{last}]{_any(rest, rest)}"] if first <= last else []
    return begin + middle + end
