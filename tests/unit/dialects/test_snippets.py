"""Requests that are printed to be copied: whatever a text holds, the program that is printed sends it."""

import ast
import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.bootstrap.registry import APIS, routes_of
from telvend.config import Settings
from telvend.dialects import openapi
from telvend.dialects.reference import reference
from telvend.dialects.snippets import LANGUAGES, Call, call_of, curl, php, python

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
BODIES = st.dictionaries(
    TEXTS, st.one_of(TEXTS, st.booleans(), st.none(), st.integers(), st.lists(TEXTS, max_size=2)), max_size=4
)
DIALECTS = [routes_of(keys).dialect(Settings()) for keys in APIS]


@given(BODIES, TEXTS)
def test_curl_sends_what_was_meant(body: dict[str, object], header: str) -> None:
    words = shlex.split(curl(Call("POST", "https://shop.example/x?a=b", {"X": header}, body)).replace("\\\n", " "))
    assert words[:4] == ["curl", "-X", "POST", "https://shop.example/x?a=b"]
    assert words[words.index("-H") + 1] == f"X: {header}"
    assert json.loads(words[words.index("-d") + 1]) == body


@given(BODIES)
def test_python_sends_what_was_meant(body: dict[str, object]) -> None:
    (call,) = [
        node
        for node in ast.walk(ast.parse(python(Call("POST", "https://shop.example", {}, body))))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "post"
    ]
    given_body = next(word.value for word in call.keywords if word.arg == "json")
    assert ast.literal_eval(given_body) == body


@given(TEXTS)
def test_a_text_of_php_ends_where_it_ends(text: str) -> None:
    printed = php(Call("POST", "https://shop.example", {}, {"a": text}))
    found = re.search(r"'a' => '((?:[^'\\]|\\.)*)',\n", printed, re.DOTALL)
    assert found is not None
    assert re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL) == text


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_endpoint_has_a_request_that_succeeds_in_every_language(dialect: openapi.Dialect) -> None:
    found = reference(dialect, openapi.document(dialect, "1"))
    assert {page.endpoint.path for page in found.pages} == {endpoint.path for endpoint in dialect.endpoints}
    assert len({page.anchor for page in found.pages}) == len(dialect.endpoints)
    for page in found.pages:
        assert page.step is not None, page.path
        assert page.step.status < 400, page.path
        call = call_of(dialect, page.step, "https://shop.example", key="MY-KEY")
        assert "{" not in call.url, page.path
        for _, _, write in LANGUAGES:
            text = write(call)
            assert "{{" not in text, page.path
            assert "https://shop.example/" in text, page.path
            assert "MY-KEY" in text, page.path


def test_a_value_of_the_reader_stands_for_an_example() -> None:
    netpluse = next(dialect for dialect in DIALECTS if dialect.name == "netpluse")
    step = next(step for step in netpluse.story if step.endpoint.startswith("GET /order-status"))
    url = call_of(netpluse, step, "https://x", values={"orderReference": "a/b c"}).url
    assert url == "https://x/api/v1/order-status/a%2Fb%20c"
