"""The public APIs, as the pages about them need them: bootstrap hands in what the dialects know."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from markupsafe import Markup, escape

from telvend.errors import InvalidInput
from telvend.resellers.model import Caller


class Field(Protocol):
    """A parameter of an endpoint, or a field of its body."""

    @property
    def name(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def required(self) -> bool: ...


class Endpoint(Protocol):
    """An endpoint of an API."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def fields(self) -> Sequence[Field]: ...
    @property
    def tryable(self) -> bool: ...


class Reference(Protocol):
    """All of an API."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def pages(self) -> Sequence[Any]: ...
    @property
    def folders(self) -> Sequence[tuple[str, Sequence[Any]]]: ...


class TriedAnswer(Protocol):
    """What an API has answered."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, str]]: ...
    @property
    def body(self) -> str: ...


class Apis(Protocol):
    """The APIs of this shop. `titles`: what each is called in lists."""

    names: tuple[str, ...]
    titles: dict[str, str]

    def reference(self, name: str) -> Reference: ...
    def page(self, name: str, page_id: str) -> Any: ...
    def snippets(self, name: str, page: Any, base_url: str, key: str) -> Sequence[Any]: ...
    def first_call(self, name: str, base_url: str, key: str) -> str: ...
    def example(self, name: str, page: Any, base_url: str) -> tuple[dict[str, str], str]: ...
    async def call(
        self,
        name: str,
        caller: Caller,
        method: str,
        path: str,
        *,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        base_url: str,
    ) -> TriedAnswer: ...


_CODE: Final = re.compile(r"`([^`\n]+)`")


def prose(text: str) -> Markup:
    """A text of a document as HTML: what stands between backticks is code, a blank line begins a paragraph."""
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(_inline(part)) for part in paragraphs)


def _inline(text: str) -> Markup:
    pieces = _CODE.split(text)  # Every second one stood between backticks.
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


FIELD_WORDS: Final[Mapping[str, str]] = {
    "api": "This account",
    "amount": "The amount",
    "delivery": "This message",
    "event": "The event",
    "key": "This key",
    "purchase_limit": "The limit",
    "read_limit": "The limit",
    "url": "The URL",
    "webhook": "This endpoint",
}


def sentence_of(error: InvalidInput) -> str:
    """What a service says is wrong with a field, as a sentence for a page."""
    return f"{FIELD_WORDS.get(error.field, 'This')} {error.problem}."
