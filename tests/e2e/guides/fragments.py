"""Puts what a guide prints into the files that it names."""

from pathlib import Path

from tests.e2e.guides.page import PLACES, Block

_CLOSE = {"(": ")", "[": "]", "{": "}"}


def write(block: Block, file: Path) -> None:
    """Make the file, or change it, as the block's marks say."""
    if "file" in block.marks:
        # A table that was exported is edited; anything else is new.
        assert file.suffix == ".csv" or not file.exists(), f"line {block.line}: {file} is there already"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, "utf-8")
        return
    lines = file.read_text("utf-8").splitlines(keepends=True)
    (place,) = block.marks.keys() & PLACES
    file.write_text("".join(_changed(lines, place, block)), "utf-8")


def _changed(lines: list[str], place: str, block: Block) -> list[str]:
    new = block.text.splitlines(keepends=True)
    if place == "imports":
        first = next(number for number, line in enumerate(lines) if line.startswith(("import ", "from ")))
        return lines[:first] + new + lines[first:]
    number = _line(lines, block.marks[place], block)
    match place:
        case "before":
            return [*lines[:number], *new, "\n", "\n", *lines[number:]]
        case "after":
            return lines[: number + 1] + new + lines[number + 1 :]
        case "replacing":
            return lines[:number] + new + lines[number + 1 :]
        case _:
            indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
            close = indent + _CLOSE[lines[number].rstrip()[-1]]
            end = next(later for later in range(number + 1, len(lines)) if lines[later].startswith(close))
            return lines[:end] + new + lines[end:]


def _line(lines: list[str], beginning: str, block: Block) -> int:
    found = [number for number, line in enumerate(lines) if line.strip().startswith(beginning)]
    assert len(found) == 1, f"line {block.line}: {len(found)} lines begin with {beginning!r}"
    return found[0]
