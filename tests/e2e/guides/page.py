"""A guide as its reader follows it: the fenced blocks of a page in order, and what is to be done with each.

The first word after the fence is the language, which is all that a renderer looks at. What follows says what the block is for:

    ```sh                                 run it; every command ends with 0
    ```sh exit=1                          run it; the last command that fails ends with 1
    ```sh terminal=shop                   run it in another terminal and do not wait: it serves
    ```sh again                           run it, and once more a moment later until the output below has come
    ```text   ```json   ```csv            what the commands above have printed (transcript.py)
    ```python file=src/telvend/x.py       the whole file
    ```python into=PATH imports           lines for the file's imports
    ```python into=PATH before=RIGS       lines to put before the line that begins with `RIGS`; `after=` likewise
    ```python into=PATH inside=RIGS       lines to put at the end of the brackets that the line `RIGS` opens
    ```python into=PATH replacing=TEXT    what stands there instead of the line that begins with TEXT
    ```toml file=$TELVEND_DATA_DIR/…      environment variables of the main terminal may stand in a path
    ```sh sample="why"                    not executed, and why not
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).parents[3]
GUIDES: Final = (
    ROOT / "README.md",
    ROOT / "docs" / "quickstart.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
)
COMMANDS: Final = frozenset({"sh"})
OUTPUT: Final = frozenset({"text", "json", "csv"})
PLACES: Final = frozenset({"imports", "before", "after", "inside", "replacing"})
KNOWN: Final = PLACES | {"exit", "terminal", "again", "file", "into", "sample"}

_MARKDOWN: Final = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """One fence. `before` is the text since the last heading; `line` counts from 1."""

    line: int
    language: str
    marks: dict[str, str]
    text: str
    before: str

    @property
    def is_sample(self) -> bool:
        return "sample" in self.marks

    @property
    def runs(self) -> bool:
        return self.language in COMMANDS and not self.is_sample

    @property
    def writes(self) -> str | None:
        """The file that it makes or changes."""
        return None if self.is_sample else self.marks.get("file") or self.marks.get("into")

    @property
    def is_output(self) -> bool:
        return self.language in OUTPUT and self.writes is None and not self.is_sample


def name_of(guide: Path) -> str:
    return str(guide.relative_to(ROOT))


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    lines = text.splitlines()
    found: list[Block] = []
    heading = 0
    for token in _MARKDOWN.parse(text):
        first = token.map[0] if token.map else 0
        if token.type == "heading_open":
            heading = first
        elif token.type == "fence":
            language, *words = shlex.split(token.info) or [""]
            marks = {name: value for name, _, value in (word.partition("=") for word in words)}
            found.append(Block(first + 1, language, marks, token.content, "\n".join(lines[heading:first])))
    return found


def complaints(text: str) -> list[str]:
    """Return the problems of a guide: blocks that would not be executed, and blocks that cannot be."""
    found: list[str] = []
    output_of: Block | None = None
    for block in blocks(text):
        where = f"line {block.line}"
        if unknown := block.marks.keys() - KNOWN:
            found.append(f"{where}: nobody knows what {sorted(unknown)} means")
        if block.is_sample:
            if len(block.marks["sample"].split()) < 3:
                found.append(f"{where}: a sample that does not say why it is not executed")
            if block.language in COMMANDS:
                output_of = None
        elif block.runs:
            output_of = block
        elif block.writes is not None:
            if "into" in block.marks and len(block.marks.keys() & PLACES) != 1:
                found.append(f"{where}: where in {block.writes} does it belong?")
            if re.sub(r".*[/}]", "", block.writes) not in block.before:
                found.append(f"{where}: a reader is not told that this is {block.writes}")
        elif not block.is_output:
            found.append(f"{where}: {block.language} that is neither executed nor marked as a sample")
        elif output_of is None:
            found.append(f"{where}: output of a command that is not executed")
    return found
