"""The documentation is what the code says, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs import generate
from telvend import errors
from telvend.config import CONNECTIONS_BESIDE_POOL, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder, pattern in (
        (ROOT, "*.md"),
        (ROOT / "docs", "**/*.md"),
        (ROOT / "tests", "**/*.md"),
        (ROOT / "bench", "*.md"),
    )
    for page in folder.glob(pattern)
    if "node_modules" not in page.parts
)
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text("utf-8"))


def links(page: Path) -> Iterator[str]:
    """Where the page's links lead, those to other sites left out."""
    for found in _LINK.findall(_CODE.sub("", prose(page))):
        if not found.startswith(("https://", "http://", "mailto:")):
            yield found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(prose(page))
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


@EACH_PAGE
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_the_documentation_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page) if link.partition("#")[0])
        waiting += [target for target in targets if target.suffix == ".md"]
    assert set((ROOT / "docs").glob("**/*.md")) <= reached


@pytest.mark.parametrize("name", generate.pages())
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert name not in generate.outdated(), "run `make docs`"


@EACH_PAGE
def test_no_command_downloads_without_a_hash_or_shows_a_password_to_everybody(page: Path) -> None:
    for block in _FENCED.findall(page.read_text("utf-8")):
        for line in block.splitlines():
            if "pip install" in line:
                assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line, line
            assert "telvend db url)" not in line, line
            assert not re.search(r"--database-url\S* *\S*://\S+:\S+@", line), line


def test_what_builds_the_program_is_locked_by_hash() -> None:
    lock = (ROOT / "requirements" / "build.lock").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert any(entry.startswith("hatchling==") for entry in entries)
    assert all(re.match(r"[a-z0-9-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)


# As rendered ------------------------------------------------------------------------------------------------------------

LANGUAGES = {
    *(
        "sh",
        "text",
        "json",
        "python",
        "toml",
        "sql",
        "mermaid",
        "php",
        "ts",
        "js",
        "yaml",
        "ini",
        "nginx",
        "html",
        "csv",
    ),
}

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_LIKE_A_SAMPLE = re.compile(
    r"""
      ```                                              # what should have begun or ended a fence
    | ^\$\s                                            # a prompt
    | ^(telvend|curl|make|pip|sudo|apt-get|export)\s    # a command
    | ^(GET|POST|PUT|PATCH|DELETE)\s+/                 # a request
    | ^[\[{]\s*["{\[]                                  # JSON
    | \b[A-Za-z][\w.-]*,[\w.-]*,[\w.-]*,[\w.-]*,      # CSV
    | ^\|                                              # a row of no table
    """,
    re.VERBOSE,
)


def complaints(text: str) -> Iterator[str]:
    """What a reader of the rendered page would see that nobody meant."""
    lines = text.splitlines()
    tokens = _MARKDOWN.parse(text)
    samples = {line.strip() for token in tokens if token.type == "fence" for line in token.content.splitlines()}
    samples = {line for line in samples if len(line) > 24}
    before = ""
    for token in tokens:
        first, last = token.map or (0, 0)
        where = f"line {first + 1}"
        if token.type == "fence":
            if token.info.partition(" ")[0] not in LANGUAGES:
                yield f"{where}: a fence without a language: {token.info!r}"
            if lines[last - 1].strip() != token.markup:
                yield f"{where}: a fence that nothing ends"
        elif token.type == "code_block":
            yield f"{where}: indented like a sample, and in no fence"
        elif token.type == "ordered_list_open" and token.attrGet("start") is not None and before != "heading_close":
            yield f"{where}: a list that begins with {token.attrGet('start')}: what stands before it has ended the list"
        elif token.type == "table_open":
            columns = {cells(line) for line in lines[first:last]}
            if len(columns) > 1:
                yield f"{where}: a table whose rows have {sorted(columns)} columns"
        elif token.type == "inline" and before not in ("heading_open", "th_open", "td_open"):
            for line in prose_of(token):
                if _LIKE_A_SAMPLE.search(line):
                    yield f"{where}: a sample outside of a fence: {line[:60]!r}"
                elif any(sample in line for sample in samples):
                    yield f"{where}: a line of a sample inside a sentence: {line[:60]!r}"
        before = token.type


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row.strip().strip("|"))) + 1


def prose_of(token: Token) -> Iterator[str]:
    """The lines of a paragraph; what stands between backticks is dots."""
    line = ""
    for part in token.children or ():
        if part.type in ("softbreak", "hardbreak"):
            yield line
            line = ""
        else:
            line += "\u2026" if part.type == "code_inline" else part.content
    yield line


@EACH_PAGE
def test_no_sample_stands_outside_its_fence(page: Path) -> None:
    assert list(complaints(page.read_text("utf-8"))) == []


FENCE = "```"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2. Edit it and save it as    code,country,network,kind\n   GH-1,GH,Telecel,data (UTF-8).", "begins with 2"),
        ("1. Save it as code,country,network,kind,type (UTF-8).", "outside of a fence"),
        ("Then:\n\n    telvend serve", "indented"),
        ("Then:\ntelvend serve", "outside of a fence"),
        (f"{FENCE}sh\nls", "nothing ends"),
        (f"{FENCE}\nls\n{FENCE}", "without a language"),
        (f"1. One\n\n{FENCE}sh\nls\n{FENCE}\n\n2. Two", "begins with 2"),
        ("It says\n{\"ok\": true}", "outside of a fence"),
        ("| a | b |\n|---|---|\n| 1 |", "columns"),
        ("| a | b |\n| 1 | 2 |", "outside of a fence"),
        (f"{FENCE}text\nThe books hold. 28 transfers, 19 orders.\n{FENCE}\n\nIt is The books hold. 28 transfers, 19 orders.",
         "inside a sentence"),
    ],
)  # fmt: skip
def test_what_a_page_may_not_look_like_is_noticed(text: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(text)), list(complaints(text))


def test_the_number_of_connections_is_the_one_that_the_code_knows() -> None:
    page = (ROOT / "docs" / "howto" / "install-on-a-server.md").read_text("utf-8")
    each = CONNECTIONS_BESIDE_POOL + Settings().pool_size
    assert f"up to `pool_size` connections and {CONNECTIONS_BESIDE_POOL} more" in page
    assert f"With four processes and the default of {Settings().pool_size} that is {4 * each}" in " ".join(page.split())


def test_the_table_in_the_guide_to_dialects_has_a_row_for_every_error() -> None:
    page = (ROOT / "docs" / "howto" / "add-a-dialect.md").read_text("utf-8")
    named = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.TelvendError)
    }
    assert named == set(re.findall(r"^    errors\.(\w+): \(\d+, \d+\),$", page, re.MULTILINE))
