"""How everything is done that changes money or access: a form with its reason, what it will do in figures, then one POST.

    resolve = Verb(
        path="/console/orders/{reference}/resolve", right=Right.DECIDE, title="Resolve the order", button="Confirm",
        what="order.resolve", on=orders, fields=(…), preview=preview, perform=perform,
    )

    GET              the form
    POST             what it will do, in figures, with a button "Confirm"; nothing has changed
    POST confirmed   it is done once, recorded with who, when, from where, before and after, and the browser goes on

Where the figures have changed since they were shown, nothing is done and the new ones are shown.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.approvals.model import WaitsForSecondPerson
from telvend.errors import (
    AlreadyExists,
    InsufficientBalance,
    InvalidFields,
    InvalidInput,
    NotPermitted,
    ReferenceReused,
    TelvendError,
)
from telvend.kit.money import Currency, Money
from telvend.kit.text import LONGEST_REASON
from telvend.people.model import Act, Visitor
from telvend.web.console.frame import Console
from telvend.web.console.rights import Right
from telvend.web.console.tables import Value
from telvend.web.shell import Form, Upload, read_form
from telvend.web.shell.forms import FORM_BYTES

S = TypeVar("S")

REASON: Final = "reason"
_CONFIRMED: Final = "confirmed"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `kind`: text, lines, date, email, file, select or tick. `start`: what it begins with."""

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()
    required: bool = True
    start: str = ""
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a verb will do: figures, and what to beware of. `before` and `after` are what is recorded.

    `moment`: how things stand right now, such as a balance, which may change before it is confirmed.
    """

    figures: Sequence[tuple[str, Value]]
    text: str = ""
    warning: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    moment: Sequence[tuple[str, Value]] = ()
    carried: Mapping[str, str] = field(default_factory=dict)
    """What the next form brings along beside its fields."""

    @property
    def mark(self) -> str:
        """What tells these figures from others."""
        text = repr([(label, str(value)) for label, value in self.figures])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class NotYet(Exception):
    """Raised by a preview that cannot be shown before something else is done: the browser goes to `path`, which says `text`."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed: by name, without blanks around it."""

    values: Mapping[str, str]
    file: Upload | None = None

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def reason(self) -> str:
        return self.values.get(REASON, "")


@dataclass(frozen=True, slots=True)
class On(Generic[S]):
    """What verbs act on. `load` finds it, and raises NotFound; `thing` and `key` name it in the audit log; `back` is its page."""

    thing: str
    load: Callable[[Request], Awaitable[S]]
    key: Callable[[S], str]
    back: Callable[[S], str]


@dataclass(frozen=True, slots=True)
class Verb(Generic[S]):
    """Something that a person does. `perform` returns what the next page says; `what` names it in the audit log.

    `choices`: fields that depend on the subject. `first`: see Desk.acting.
    """

    path: str
    right: Right
    title: str
    button: str
    what: str
    on: On[S]
    preview: Callable[[S, Given], Awaitable[Preview]]
    perform: Callable[[S, Given, Visitor], Awaitable[object]]
    fields: Sequence[Field] = ()
    choices: Callable[[S], Sequence[Field]] | None = None
    lead: str = ""
    danger: bool = False
    first: bool = False
    needs_reason: bool = True
    form_bytes: int = FORM_BYTES
    waits_outside: bool = False
    records: bool = True
    """Whether the act is recorded here; else the service does it."""
    answer: Callable[[Request, Visitor, object, Given], Response] | None = None
    """Makes the page that follows from what `perform` returned, where it is shown this once; else that is the next page's message."""

    def fields_of(self, subject: S) -> Sequence[Field]:
        """The fields of its form."""
        own = self.fields if self.choices is None else self.choices(subject)
        if not self.needs_reason:
            return own
        hint = "Kept in the audit log, for whoever looks at this later."
        return (*own, Field(REASON, "Reason", hint=hint))


def routes_of(console: Console, verb: Verb[S]) -> Route:
    """The route of a verb."""
    pages = _Pages(console, verb)
    return console.page(
        verb.path,
        verb.right,
        pages.ask,
        post=pages.answer,
        form_bytes=verb.form_bytes,
        waits_outside=verb.waits_outside,
    )


class _Pages(Generic[S]):
    def __init__(self, console: Console, verb: Verb[S]) -> None:
        self._console = console
        self._verb = verb

    async def ask(self, request: Request, visitor: Visitor) -> Response:
        """The form, filled with what the address brings along."""
        subject = await self._verb.on.load(request)
        begun = {one.name: request.query_params.getlist(one.name)[:1] for one in self._verb.fields_of(subject)}
        return self._form(request, visitor, subject, Form({name: values for name, values in begun.items() if values}))

    async def answer(self, request: Request, visitor: Visitor) -> Response:
        """What it will do; or do it."""
        verb = self._verb
        subject = await verb.on.load(request)
        form = await read_form(request)
        given = _read(form, verb.fields_of(subject))
        preview = None
        if not form.errors:
            try:
                preview = await verb.preview(subject, given)
            except NotYet as first:
                return self._console.shell.go(request, first.path, first.text, "wait")
            except (InvalidInput, AlreadyExists, ReferenceReused, NotPermitted, InsufficientBalance) as error:
                _tell(form, error, verb.fields_of(subject))
        if preview is None:
            return self._form(request, visitor, subject, form, status=422)
        seen = form.text(_CONFIRMED, longest=64)
        if seen != preview.mark:
            return self._confirmation(request, visitor, subject, form, given, preview, changed=bool(seen))
        act = Act(verb.what, verb.on.thing, verb.on.key(subject), given.reason, preview.before, preview.after)
        address = "" if request.client is None else request.client.host
        try:
            if verb.records:
                async with self._console.desk.acting(act, visitor, address, first=verb.first):
                    said = await verb.perform(subject, given, visitor)
            else:
                said = await verb.perform(subject, given, visitor)
        except WaitsForSecondPerson as waits:
            text = f"{waits} Somebody else confirms it below Approvals."
            return self._console.shell.go(request, verb.on.back(subject), text, "wait")
        except (InvalidInput, AlreadyExists, ReferenceReused, NotPermitted, InsufficientBalance) as error:
            _tell(form, error, verb.fields_of(subject))
            return self._form(request, visitor, subject, form, status=422)
        if verb.answer is not None:
            return verb.answer(request, visitor, said, given)
        return self._console.shell.go(request, verb.on.back(subject), str(said))

    def _form(self, request: Request, visitor: Visitor, subject: S, form: Form, status: int = 200) -> Response:
        verb = self._verb
        return self._console.render(
            request, visitor, "console/verb.html", status=status, title=verb.title, lead=verb.lead, form=form,
            fields=verb.fields_of(subject), back=verb.on.back(subject), subject=verb.on.key(subject),
        )  # fmt: skip

    def _confirmation(
        self,
        request: Request,
        visitor: Visitor,
        subject: S,
        form: Form,
        given: Given,
        preview: Preview,
        *,
        changed: bool,
    ) -> Response:
        verb = self._verb
        carried = [
            (field.name, given.values.get(field.name, "")) for field in verb.fields_of(subject) if field.kind != "file"
        ]
        return self._console.render(
            request, visitor, "console/confirm.html", title=verb.title, preview=preview, button=verb.button,
            carried=[*((name, value) for name, value in carried if value), *preview.carried.items()],
            danger=verb.danger, changed=changed, reason=given.reason, back=verb.on.back(subject), subject=verb.on.key(subject),
            form=form,
        )  # fmt: skip


def _read(form: Form, fields: Sequence[Field]) -> Given:
    values: dict[str, str] = {}
    file = None
    for one in fields:
        if one.kind == "file":
            file = form.file(one.name)
            # The confirmation brings the text along that was read from the file.
            values[one.name] = form.lines(one.name, longest=4_000_000)
            if file is None and not values[one.name] and one.required:
                form.error(one.name, f"Choose a file: {one.label}.")
            continue
        if one.kind == "select":
            values[one.name] = form.choice(one.name, [option for option, _ in one.options])
            continue
        if one.kind == "tick":
            values[one.name] = "yes" if form.ticked(one.name) and form.text(one.name) else ""
            continue
        longest = LONGEST_REASON if one.name == REASON else 10_000 if one.kind == "lines" else 200
        read = form.lines if one.kind == "lines" else form.text
        values[one.name] = read(one.name, longest=longest).strip()
        if one.required and not values[one.name]:
            form.error(one.name, "Say why: it is kept." if one.name == REASON else f"Fill this in: {one.label}.")
    return Given(values, file)


def _tell(form: Form, error: TelvendError, fields: Sequence[Field]) -> None:
    """Put an error beside the field that it is about; on top where it is about none of them."""
    names = {one.name for one in fields}
    if isinstance(error, InvalidFields):
        for name, problem in error.problems.items():
            form.error(name if name in names else "", _sentence(name, problem, names))
        return
    if isinstance(error, InvalidInput):
        name = _FIELD_OF.get(error.field, error.field)
        form.error(name if name in names else "", _sentence(name, error.problem, names))
        return
    form.error("", str(error))


_FIELD_OF: Final = {"text": REASON, "note": REASON}
"""Fields by which services call what a form calls otherwise."""


def _sentence(name: str, problem: str, names: set[str]) -> str:
    text = problem if name in names or not name else f"{name.replace('_', ' ')} {problem}"
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def figures(**pairs: Value) -> list[tuple[str, Value]]:
    """Figures of a preview by their labels, with blanks for underscores."""
    return [(label.replace("_", " ").capitalize(), value) for label, value in pairs.items()]


def amount_of(text: str, currency: Currency, field: str = "amount") -> Money:
    """Read an amount in whole units, with or without commas. Raises InvalidInput."""
    try:
        return Money.parse(text.replace(",", "").replace(" ", ""), currency)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None


def plus(one: Money, other: Money) -> Money:
    """The sum of two amounts of one currency."""
    return Money(one.minor + other.minor, one.currency)
