"""Where a key of a TOML file stands. tomllib says what a file means, and not where.

    >>> index('[a]\\nb = { c = 1 }\\n')
    {('a',): 1, ('a', 'b'): 2, ('a', 'b', 'c'): 2}

`index` takes a text that tomllib has accepted, so that it need not look for mistakes.
"""

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]
"""Keys from the top; positions where there are arrays."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2}(?!"))'
    r"|'''.*?'''(?:'{0,2}(?!'))"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")


def index(text: str) -> dict[Path, int]:
    """Return the line of each key and of each array's item, counted from 1; of a table its first header."""
    scan = _Scan(text.replace("\r\n", "\n"))
    scan.document()
    return scan.found


def syntax_line(error: tomllib.TOMLDecodeError) -> int:
    """Return the line that a mistake in the syntax names; 0 for the end of the document."""
    named = re.search(r"\(at line (\d+)", str(error))
    return int(named[1]) if named else 0


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        # How many items each array of tables has by now; a header goes on in the last one.
        self._lengths: dict[Path, int] = {}
        self._line, self._counted = 1, 0

    def document(self) -> None:
        table: Path = ()
        while self._past_blanks():
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _past_blanks(self) -> bool:
        self.at = _end(_BLANK, self.text, self.at)
        return self.at < len(self.text)

    def _note(self, path: Path, at: int) -> None:
        self._line += self.text.count("\n", self._counted, at)
        self._counted = at
        self.found.setdefault(path, self._line)

    def _header(self) -> Path:
        start, array = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        path: Path = ()
        keys = self._keys()
        for position, key in enumerate(keys):
            path += (key,)
            self._note(path, start)
            if array and position == len(keys) - 1:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path += (self._lengths[path] - 1,)
                self._note(path, start)
        self.at += 2 if array else 1
        return path

    def _keys(self) -> list[str]:
        """The parts of a dotted key; afterwards `at` is behind it and the blanks after it."""
        keys = []
        while True:
            self.at = _end(_SPACE, self.text, self.at)
            if self.text[self.at] in "\"'":
                found = _STRING.match(self.text, self.at)
                assert found is not None  # noqa: S101 - tomllib has read it
                keys.append(str(tomllib.loads(f"k = {found[0]}")["k"]))
            else:
                found = _BARE_KEY.match(self.text, self.at)
                assert found is not None  # noqa: S101
                keys.append(found[0])
            self.at = _end(_SPACE, self.text, found.end())
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._keys():
            path += (key,)
            self._note(path, start)
        self.at += 1  # The equals sign.
        self.at = _end(_SPACE, self.text, self.at)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case "[":
                self._items(path)
            case "{":
                self._pairs(path)
            case '"' | "'":
                self.at = _end(_STRING, self.text, self.at)
            case _:
                self.at = _end(_SCALAR, self.text, self.at)

    def _items(self, path: Path) -> None:
        self.at += 1
        position = 0
        while True:
            self._past_blanks()
            if self.text[self.at] == "]":
                break
            if self.text[self.at] == ",":
                self.at += 1
                continue
            item = (*path, position)
            self._note(item, self.at)
            self._value(item)
            position += 1
        self.at += 1

    def _pairs(self, path: Path) -> None:
        self.at += 1
        while True:
            self._past_blanks()
            if self.text[self.at] == "}":
                break
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
