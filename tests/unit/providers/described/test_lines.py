"""Lines of keys: held against tomllib over documents that hypothesis writes in every form that TOML has."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from telvend.providers.described.lines import index, syntax_line

DOCUMENT = '''\
# A comment with = and [brackets]
title = "a # b" # not a comment inside

[one]
"quoted key" = "it's"
[one.two]
a.b = 1
list = [ 1, # one ]
  "]", { x = "}" },
]
text = """
fake = 1
[fake]
"""
[[many]]
n = 1
[[many]]
n = 2
[many.inner]
m = 3
'''


def test_a_line_is_that_of_the_key() -> None:
    found = index(DOCUMENT)
    lines = DOCUMENT.splitlines()
    assert found["title",] == 2
    assert found["one",] == 4
    assert found["one", "quoted key"] == 5
    assert found["one", "two", "a", "b"] == 7
    assert found["one", "two", "list", 1] == 9
    assert found["one", "two", "list", 2, "x"] == 9
    assert found["many", 0, "n"] == lines.index("n = 1") + 1
    assert found["many", 1, "n"] == lines.index("n = 2") + 1
    assert found["many", 1, "inner", "m"] == lines.index("m = 3") + 1
    assert not any("fake" in path for path in found)


KEYS = st.one_of(
    st.text("abcdeZ_-19", min_size=1, max_size=4),
    st.sampled_from(['"a b"', "'c.d'", '"e\\"f"', "'#'", '"[x]"', '"ü"', '""']),
)
SCALARS = st.sampled_from(
    [
        "1", "-2.5e3", "true", '"x"', "'y'", '"# no"', "'[no]'", '"\\\\"', '"\\""', "1979-05-27T07:32:00Z", "1979-05-27 07:32:00",
        '"""a\n"b" # c\n[d]\n"""', "'''e\n''f'\n'''", '"""x\\\n  y"""', '"""q""""', "''''r'''", '"""\\""""', "inf", "0x1F",
    ]
)  # fmt: skip
BLANKS = st.sampled_from(["", " ", "\t", "  "])
LINE_ENDS = st.sampled_from(["\n", "\r\n", " # a comment = [1]\n", "\n\n", "\n# {\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    form = draw(st.sampled_from(["scalar", "array", "table"])) if depth else "scalar"
    if form == "scalar":
        return draw(SCALARS)
    if form == "array":
        items = draw(st.lists(values(depth - 1), max_size=3))
        between = draw(st.sampled_from([", ", ",\n  ", " , # comment ]\n"]))
        end = draw(st.sampled_from(["", ","])) if items else ""
        return f"[{draw(st.sampled_from(['', chr(10), ' ']))}{between.join(items)}{end}{draw(BLANKS)}]"
    pairs = draw(st.lists(st.tuples(KEYS, values(depth - 1)), max_size=3))
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"


@st.composite
def documents(draw: st.DrawFn) -> str:
    text = ""
    for _ in range(draw(st.integers(0, 8))):
        dotted = draw(BLANKS).join(["", "."])
        key = dotted.join(draw(st.lists(KEYS, min_size=1, max_size=3)))
        form = draw(st.sampled_from(["pair", "pair", "header", "array"]))
        if form == "pair":
            text += f"{draw(BLANKS)}{key}{draw(BLANKS)}={draw(BLANKS)}{draw(values())}"
        else:
            brackets = ("[", "]") if form == "header" else ("[[", "]]")
            text += f"{draw(BLANKS)}{brackets[0]}{draw(BLANKS)}{key}{draw(BLANKS)}{brackets[1]}"
        text += draw(LINE_ENDS)
    return text


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    for key, one in inner:
        found |= paths(one, (*path, key))
    return found


@given(documents())
def test_every_key_that_tomllib_reads_has_a_line_and_nothing_else_has(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        reject()
    found = index(text)
    assert set(found) == paths(document)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


@given(st.lists(st.tuples(KEYS, SCALARS), max_size=6, unique_by=lambda pair: pair[0]))
def test_the_line_is_where_the_key_was_written(pairs: list[tuple[str, str]]) -> None:
    text, wanted = "", {}
    for key, value in pairs:
        name = next(iter(tomllib.loads(f"{key} = 1")))
        if name in wanted:
            continue
        wanted[name] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    assert {path[0]: line for path, line in index(text).items()} == wanted


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ('x = "', 0)])
def test_a_mistake_of_syntax_has_a_line(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert syntax_line(caught.value) == line
