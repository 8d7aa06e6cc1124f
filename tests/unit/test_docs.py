"""The documentation is what the code says, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import generate

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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
