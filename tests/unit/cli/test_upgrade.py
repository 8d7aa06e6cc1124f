"""What `telvend upgrade --check` says of programs from before."""

import pytest

from telvend.database.migrations import SchemaStanding, SchemaStep


def pending(revision: str, oldest_reader: str | None) -> SchemaStanding:
    return SchemaStanding(revision, "0014", [SchemaStep("0014", "", oldest_reader, "")], None, is_newer=False)


@pytest.mark.parametrize(
    ("revision", "oldest_reader", "start_again"),
    [
        ("0007", None, False),
        ("0011", None, False),
        ("0012", None, True),
        ("0012", "0013", False),
        ("0013", "0013", True),
    ],
)
def test_a_program_starts_again_where_it_reads_the_steps_and_each_lets_it(
    revision: str, oldest_reader: str | None, start_again: bool
) -> None:
    assert pending(revision, oldest_reader).older_programs_start_again is start_again


def test_nothing_changes_for_programs_where_nothing_is_pending() -> None:
    assert SchemaStanding("0007", "0007", [], None, is_newer=False).older_programs_start_again
