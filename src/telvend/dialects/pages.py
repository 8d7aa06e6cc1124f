"""The dialects as pages show them: their references, requests to copy, and requests to try in test mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from telvend.dialects.contract import Dialect
from telvend.dialects.reference import Page, Reference, reference
from telvend.dialects.snippets import LANGUAGES, call_of, curl
from telvend.dialects.trying import TestCalls, TriedAnswer
from telvend.errors import NotFound
from telvend.kit.allowance import Allowance
from telvend.resellers.model import Caller
from telvend.services import Services

SHORT_TITLES: Final = {"madapi": "MADAPI"}
"""What an API is called in lists, where that is not its title."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A request in one language."""

    language: str
    title: str
    text: str


class ApiPages:
    """The dialects of one shop. `documents` are their OpenAPI documents by name, without an address."""

    def __init__(
        self,
        dialects: Sequence[Dialect],
        documents: Mapping[str, Mapping[str, Any]],
        services: Services,
        limiter: Allowance,
    ) -> None:
        self._dialects = {dialect.name: dialect for dialect in dialects}
        self._references = {dialect.name: reference(dialect, documents[dialect.name]) for dialect in dialects}
        self._calls = {dialect.name: TestCalls(dialect, services, limiter) for dialect in dialects}
        self.names = tuple(self._dialects)
        self.titles = {name: SHORT_TITLES.get(name, dialect.title) for name, dialect in self._dialects.items()}

    def reference(self, name: str) -> Reference:
        """All of an API. Raises NotFound."""
        try:
            return self._references[name]
        except KeyError:
            raise NotFound("API") from None

    def page(self, name: str, page_id: str) -> Page:
        """One endpoint of an API. Raises NotFound."""
        found = self.reference(name).page(page_id)
        if found is None:
            raise NotFound("Endpoint")
        return found

    def snippets(
        self, name: str, page: Page, base_url: str, key: str, values: Mapping[str, str] | None = None
    ) -> list[Snippet]:
        """The request of an endpoint in every language; empty where it has none."""
        if page.step is None:
            return []
        call = call_of(self._dialects[name], page.step, base_url, key=key, values=values)
        return [Snippet(language, title, write(call)) for language, title, write in LANGUAGES]

    def first_call(self, name: str, base_url: str, key: str) -> str:
        """A command that shows that a key works, and costs nothing; empty where there is none."""
        step = next(
            (
                page.step
                for page in self.reference(name).pages
                if page.method == "GET" and page.step and not page.fields
            ),
            None,
        )
        return "" if step is None else curl(call_of(self._dialects[name], step, base_url, key=key))

    def example(self, name: str, page: Page, base_url: str) -> tuple[dict[str, str], str]:
        """What a form to try an endpoint begins with: parameters by `where.name`, and the body as JSON."""
        if page.step is None:
            return {}, ""
        call = call_of(self._dialects[name], page.step, base_url)
        given = {
            f"{field.where}.{field.name}": field.example
            for field in page.fields
            if field.where != "body" and _is_sent(field.where, field.name, page)
        }
        return given, "" if call.body is None else _indented(call.body)

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
    ) -> TriedAnswer:
        """Send a request in test mode from within. The caller must be in test mode."""
        return await self._calls[name].call(
            caller, method, path, query=query, headers=headers, body=body, base_url=base_url
        )


def _is_sent(where: str, name: str, page: Page) -> bool:
    """Whether the request that is shown has this parameter."""
    if where == "path" or page.step is None:
        return where == "path"
    return name in (page.step.query if where == "query" else page.step.headers)


def _indented(body: Any) -> str:
    return msgspec.json.format(msgspec.json.Encoder(decimal_format="number").encode(body), indent=2).decode()
