"""Nothing in a guide is left out: tests/e2e/test_guides.py executes every block that does not say why it cannot be."""

import re
import tomllib
from pathlib import Path

import pytest

from telvend.config import Settings
from tests.e2e.guides.fragments import write
from tests.e2e.guides.page import GUIDES, ROOT, blocks, complaints, name_of
from tests.e2e.guides.transcript import Known, Missing, compare
from tests.e2e.test_guides import FOLLOWED

FENCE = "```"


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_every_block_of_a_guide_is_executed_or_says_why_not(guide: Path) -> None:
    text = guide.read_text("utf-8")
    assert complaints(text) == []
    for block in blocks(text):
        for file in re.findall(r"\btests/\S+\.py\b", block.marks.get("sample", "")):
            assert (ROOT / file).is_file(), f"line {block.line}: {file}"


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_settings_that_a_guide_prints_exist_even_where_they_are_only_a_sample(guide: Path) -> None:
    for block in blocks(guide.read_text("utf-8")):
        if block.language == "toml" and block.is_sample:
            assert tomllib.loads(block.text).keys() <= set(Settings.__struct_fields__)


def test_every_guide_with_something_to_execute_is_followed() -> None:
    executable = {
        name_of(guide)
        for guide in GUIDES
        if any(block.runs or block.writes for block in blocks(guide.read_text("utf-8")))
    }
    assert executable == FOLLOWED


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{FENCE}text\nhello\n{FENCE}", "not executed"),
        (f"{FENCE}python\nprint()\n{FENCE}", "neither executed"),
        (f'{FENCE}sh sample=""\nls\n{FENCE}', "does not say why"),
        (f'{FENCE}sh sample="needs another machine"\nls\n{FENCE}\n\n{FENCE}text\nhello\n{FENCE}', "not executed"),
        (f"{FENCE}sh background\nls\n{FENCE}", "nobody knows"),
        (f"{FENCE}python into=src/x.py\nx = 1\n{FENCE}", "where in"),
        (f"# The file `y.py`\n\n{FENCE}python file=src/x.py\nx = 1\n{FENCE}", "is not told"),
    ],
)
def test_what_would_not_be_executed_is_noticed(text: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(text)), complaints(text)


CAME = [
    "a line of the log",
    "number  reference         placed (UTC)         state",
    "    21  NPAPI-21-zzzzz1   2027-01-02 03:04:05  delivered",
    '{"reference":"NPAPI-21-zzzzz1","price":4.50}',
    "The books hold. 4 transfers.",
]


@pytest.mark.parametrize(
    ("printed", "missing"),
    [
        ("number reference placed (UTC) state\n21 NPAPI-2-nbke06 2026-11-22 17:49:14 delivered", None),
        ('21 NPAPI-2-nbke06 2026-11-22 17:49:14 delivered\n{"reference":"NPAPI-2-nbke06","price":4.50}', None),
        ("…   (other lines)\nThe books hold. … transfers.", None),
        ("The books hold. 5 transfers.", "The books hold. 5 transfers."),
        ("The books hold. 4 transfers.\na line of the log", "a line of the log"),
        ('{"reference":"NPAPI-2-nbke06","price":4.60}', '{"reference":"NPAPI-2-nbke06","price":4.60}'),
        ("21 NPAPI-2-nbke06 2026-11-22 17:49:14 failed", "21 NPAPI-2-nbke06 2026-11-22 17:49:14 failed"),
        ("The books", "The books"),
    ],
)
def test_printed_output_is_compared_line_by_line_but_for_what_is_different_each_time(
    printed: str, missing: str | None
) -> None:
    found = compare(printed, CAME, Known())
    assert isinstance(found, Missing) == (missing is not None)
    if isinstance(found, Missing):
        assert found.line == missing


def test_what_came_in_the_place_of_a_reference_is_meant_from_then_on() -> None:
    known = Known()
    compare("21 NPAPI-2-nbke06 2026-11-22 17:49:14 delivered", CAME, known)
    assert known.put("telvend order show NPAPI-2-nbke06") == "telvend order show NPAPI-21-zzzzz1"
    assert isinstance(compare("NPAPI-2-nbke06", ["NPAPI-22-abcdef"], known), Missing)


def test_a_pin_is_typed_without_its_spaces() -> None:
    known = Known()
    compare("100000000001  7510 2813 5131 0420", ["100000000001  1111 2222 3333 4444"], known)
    assert known.put("PIN=7510281351310420") == "PIN=1111222233334444"


def test_a_reference_that_is_printed_twice_is_one_reference() -> None:
    printed = "NPAPI-2-nbke06 went to NPAPI-2-nbke06"
    assert compare(printed, ["NPAPI-3-aaaaa1 went to NPAPI-3-aaaaa1"], Known()) == 1
    assert isinstance(compare(printed, ["NPAPI-3-aaaaa1 went to NPAPI-4-aaaaa1"], Known()), Missing)


@pytest.mark.parametrize(
    ("marks", "changed"),
    [
        ("imports", "NEW\nimport a\n\n\nRIGS = {\n    1: 2,\n}\n"),
        ("before=RIGS", "import a\n\n\nNEW\n\n\nRIGS = {\n    1: 2,\n}\n"),
        ("after=import", "import a\nNEW\n\n\nRIGS = {\n    1: 2,\n}\n"),
        ("inside=RIGS", "import a\n\n\nRIGS = {\n    1: 2,\nNEW\n}\n"),
        ("replacing=1:", "import a\n\n\nRIGS = {\nNEW\n}\n"),
    ],
)
def test_a_fragment_goes_to_where_its_fence_says(tmp_path: Path, marks: str, changed: str) -> None:
    file = tmp_path / "x.py"
    file.write_text("import a\n\n\nRIGS = {\n    1: 2,\n}\n")
    (block,) = blocks(f"{FENCE}python into=x.py {marks}\nNEW\n{FENCE}")
    write(block, file)
    assert file.read_text() == changed


def test_a_fragment_whose_place_is_gone_or_there_twice_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("import a\nimport b\n")
    for place in ("before=RIGS", "after=import"):
        (block,) = blocks(f"{FENCE}python into=x.py {place}\nNEW\n{FENCE}")
        with pytest.raises(AssertionError, match="lines begin with"):
            write(block, file)
