"""Forms as browsers send them: urlencoded and multipart, bounded in every direction, and decoded strictly.

    form = await read_form(request)
    name = form.text("name")
    if not name:
        form.error("name", "Enter a name.")
    if form.errors:
        return shell.render(request, "portal/thing.html", status=422, form=form)

What cannot be a form at all is refused with one sentence (InvalidInput, BodyTooLarge). What is wrong with one field is an
error of this field, beside what was typed.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from telvend.errors import BodyTooLarge, InvalidFields, InvalidInput
from telvend.kit.turnstile import Budget

FORM_BYTES: Final = 64 * 1024
"""The longest body of a form without files."""

MOST_FIELDS: Final = 400
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 200
LONGEST_LINES: Final = 10_000
_MOST_FILES: Final = 4
_LONGEST_PART_HEADER: Final = 2048

# Its warnings repeat bytes of what was sent.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

_SUBJECTS: Final = {
    "name": "The name",
    "email": "The e-mail address",
    "phone": "The phone number",
    "password": "The password",
    "new_password": "The new password",
    "pin": "The PIN",
    "zone": "The time zone",
    "amount": "The amount",
    "reason": "The reason",
}
"""How a sentence about a field begins where a service only says how it goes on."""

_READ_HERE: Final = "A form is sent as application/x-www-form-urlencoded or multipart/form-data."


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent with a form. Its name is what the browser says: for showing, never for a path."""

    name: str
    content: bytes


class Form:
    """The fields of a form, and what is wrong with them. An empty one is what a page begins with.

    `values` are what fields begin with, as text.
    """

    def __init__(
        self,
        fields: dict[str, list[str]] | None = None,
        files: dict[str, list[Upload]] | None = None,
        **values: str | None,
    ) -> None:
        self._fields = fields or {}
        self._fields |= {name: [value] for name, value in values.items() if value is not None}
        self._files = files or {}
        self.errors: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str:
        """Return what was typed into one line, without blanks around it; "" where nothing was.

        What is too long, has control characters in it or is there twice becomes an error of the field.
        """
        return self._one(name, longest).strip()

    def secret(self, name: str, *, longest: int = LONGEST_TEXT) -> str:
        """Return what was typed, with the blanks around it: passwords may have them."""
        return self._one(name, longest)

    def lines(self, name: str, *, longest: int = LONGEST_LINES) -> str:
        """Return what was typed into several lines, which end with a line feed each."""
        return self._one(name, longest, breaks=True)

    def choice(self, name: str, options: Iterable[str], sentence: str = "Choose one of the list.") -> str:
        """Return the option that was chosen; "" and an error where none of `options` was."""
        chosen = self._one(name, LONGEST_TEXT)
        if chosen in options:
            return chosen
        self.error(name, sentence)
        return ""

    def every(self, name: str) -> list[str]:
        """Return all values of a field that may be there several times, those without control characters."""
        return [value for value in self._fields.get(name, []) if value.isprintable() and len(value) <= LONGEST_TEXT]

    def ticked(self, name: str) -> bool:
        """Whether a check box was ticked."""
        return bool(self._fields.get(name))

    def file(self, name: str) -> Upload | None:
        """Return the file that was chosen; None where none was."""
        chosen = [upload for upload in self._files.get(name, []) if upload.name or upload.content]
        if len(chosen) > 1:
            self.error(name, "Choose one file.")
        return chosen[0] if chosen else None

    def error(self, name: str, sentence: str) -> None:
        """Say what is wrong with a field; the first sentence of each counts. "" is the form as a whole."""
        self.errors.setdefault(name, sentence)

    def take(self, error: InvalidInput, fields: Mapping[str, str] | None = None) -> None:
        """Take what a service says is wrong as errors of the fields; `fields` maps its names to those of the form.

        What completes a sentence about the field gets its beginning.
        """
        problems = error.problems if isinstance(error, InvalidFields) else {error.field: error.problem}
        for name, problem in problems.items():
            sentence = problem if problem[:1].isupper() else f"{_SUBJECTS.get(name, 'This')} {problem}"
            self.error((fields or {}).get(name, name), sentence if sentence.endswith((".", "?")) else f"{sentence}.")

    def typed(self, name: str, default: str = "") -> str:
        """What to put into the field again. Control characters, which no page can show, are replaced."""
        values = self._fields.get(name)
        if not values:
            return default
        return "".join(c if c.isprintable() or c in "\r\n\t" else "\ufffd" for c in values[0])

    def _one(self, name: str, longest: int, *, breaks: bool = False) -> str:
        values = self._fields.get(name)
        if not values:
            return ""
        if len(values) > 1:
            self.error(name, "This was sent more than once.")
            return ""
        value = values[0].replace("\r\n", "\n").replace("\r", "\n") if breaks else values[0]
        if len(value) > longest:
            self.error(name, f"Use at most {longest} characters.")
            return ""
        if not (value.replace("\n", "").replace("\t", "") if breaks else value).isprintable():
            self.error(name, "There are characters in this that cannot be printed. Type it again.")
            return ""
        return value


async def read_form(request: Request) -> Form:
    """Return the form of this request, which the shell has read and found to come from this site."""
    form = request.scope.get(FORM)
    return form if form is not None else Form()


FORM: Final = "telvend.form"
"""The key in a request's scope under which its form stands."""


async def receive_form(request: Request, limit_bytes: int, together: Budget) -> Form:
    """Read the body of a form, at most `limit_bytes` of it.

    Raises InvalidInput where it is none, BodyTooLarge, Busy where `together` is used up, ClientDisconnect.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    if kind not in (b"application/x-www-form-urlencoded", b"multipart/form-data"):
        raise InvalidInput("", _READ_HERE)
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > limit_bytes):
        raise BodyTooLarge(limit_bytes)
    body = bytearray()
    try:
        async for part in request.stream():
            together.grow(len(body), len(body) + len(part))
            body += part
            if len(body) > limit_bytes:
                raise BodyTooLarge(limit_bytes)
        if kind == b"multipart/form-data":
            return _multipart(bytes(body), options.get(b"boundary", b""))
        return _urlencoded(bytes(body))
    finally:
        together.shrink(len(body))


def _urlencoded(body: bytes) -> Form:
    if body.count(b"&") >= MOST_FIELDS:
        raise InvalidInput("", f"A form has at most {MOST_FIELDS} fields.")
    fields: dict[str, list[str]] = {}
    for pair in body.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            _add(fields, _decoded(unquote_to_bytes(name)), _decoded(unquote_to_bytes(value)))
    return Form(fields)


class _Parts:
    """Collects the parts of a multipart body as the parser finds them."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self.files: dict[str, list[Upload]] = {}
        self.ended = False
        self._count = 0
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._content: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._grow(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
            "on_header_end": self._header_ends,
            "on_part_data": lambda data, start, end: self._content.append(data[start:end]),
            "on_part_end": self._part_ends,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_FIELDS:
            raise InvalidInput("", f"A form has at most {MOST_FIELDS} fields.")
        self._headers, self._content = {}, []

    def _grow(self, text: bytearray, more: bytes) -> None:
        text += more
        if len(text) > _LONGEST_PART_HEADER:
            raise InvalidInput("", "A part of the form has too long a header.")

    def _header_ends(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()
        if len(self._headers) > 10:
            raise InvalidInput("", "A part of the form has too many headers.")

    def _part_ends(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise InvalidInput("", "A part of the form has no name.")
        name = _decoded(options[b"name"])
        content = b"".join(self._content)
        if b"filename" not in options:
            _add(self.fields, name, _decoded(content))
            return
        if sum(map(len, self.files.values())) >= _MOST_FILES:
            raise InvalidInput("", f"A form has at most {_MOST_FILES} files.")
        _check_name(name)
        title = options[b"filename"].decode("utf-8", "replace")[-LONGEST_TEXT:]
        shown = "".join(c if c.isprintable() else "\ufffd" for c in title)
        self.files.setdefault(name, []).append(Upload(shown, content))

    def _end(self) -> None:
        self.ended = True


def _multipart(body: bytes, boundary: bytes) -> Form:
    if not 1 <= len(boundary) <= 70:
        raise InvalidInput("", "The form's Content-Type has no usable boundary.")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except MultipartParseError:
        raise InvalidInput("", "The form is not multipart/form-data as its Content-Type says.") from None
    if not parts.ended:
        raise InvalidInput("", "The form was cut off.")
    return Form(parts.fields, parts.files)


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("", "The form is not written in UTF-8.") from None


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput("", "The name of a field cannot be used.")


def _add(fields: dict[str, list[str]], name: str, value: str) -> None:
    _check_name(name)
    fields.setdefault(name, []).append(value)
