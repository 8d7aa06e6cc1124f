"""What follows from a memory and a book that may have gone back; and the files in which memories lie."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from telvend.database.facts import Fact, FactKind, remember
from telvend.sales.continuity import files
from telvend.sales.continuity.model import BookStanding, Memory, Server, ShopRelease, judge, summary

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SHOP, OTHER = uuid4(), uuid4()
R1, R2 = uuid4(), uuid4()
SALE = Fact(FactKind.ORDER, 17, at=NOW, reference="NPAPI-17-abcdef")


def memory(*releases: UUID, shop: UUID | None = SHOP, checked_at: datetime = NOW) -> Memory:
    return Memory(shop, Server("1", 1), list(releases), [SALE], checked_at)


def book(*releases: UUID, shop: UUID = SHOP, released_at: datetime = NOW + timedelta(hours=1)) -> BookStanding:
    return BookStanding(shop, NOW, [ShopRelease(release, released_at) for release in releases])


@pytest.mark.parametrize(
    ("remembered", "standing", "absent", "halts", "forgives"),
    [
        (memory(), book(), [], False, False),
        (memory(), book(), [SALE], True, False),
        (memory(), book(R1), [SALE], False, True),
        (memory(R1), book(R1), [SALE], True, False),
        (memory(R1), book(R1, R2), [SALE], False, True),
        # The release went with the book; what was released since counts.
        (memory(R1), book(), [], True, False),
        (memory(R1, R2), book(R1), [], True, False),
        (memory(R1), book(R2), [SALE], False, True),
        # A first start, an empty folder.
        (Memory(), book(), [], False, False),
        (Memory(), book(R1), [], False, False),
        # Another shop: its own old releases say nothing.
        (memory(), book(shop=OTHER), [SALE], True, False),
        (memory(), book(R2, shop=OTHER, released_at=NOW - timedelta(hours=1)), [SALE], True, False),
        (memory(), book(R2, shop=OTHER), [SALE], False, True),
        (Memory(shop=SHOP), book(shop=OTHER), [], False, False),
    ],
)
def test_a_memory_and_a_book(
    remembered: Memory, standing: BookStanding, absent: list[Fact], halts: bool, forgives: bool
) -> None:
    judgement = judge(remembered, standing, absent)
    assert bool(judgement.missing) is halts
    assert bool(judgement.forgiven) is forgives


def test_what_is_missing_is_named_as_people_name_it() -> None:
    (text,) = judge(memory(), book(), [SALE]).missing
    assert text == "order NPAPI-17-abcdef of 2026-11-28 12:00:00 UTC"
    assert Fact(FactKind.ATTEMPT, 17, part=2, reference="NPAPI-17-abcdef-2").text == "attempt NPAPI-17-abcdef-2 (2)"
    assert Fact(FactKind.VERIFICATION, 5, final=True).text == "outcome of verification 5"
    assert summary([str(number) for number in range(7)]) == "0; 1; 2, and 4 more"


def test_a_fact_is_remembered_where_somebody_keeps_them() -> None:
    class Kept:
        def __init__(self) -> None:
            self.facts: dict[str, Fact] = {}

    kept = Kept()
    remember(kept, Fact(FactKind.ORDER, 16))
    remember(kept, SALE)
    remember(object(), SALE)
    assert list(kept.facts.values()) == [SALE]


def test_a_memory_comes_back_from_its_file_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    for facts in ([], [SALE]):
        assert files.write(folder, SHOP, Memory(SHOP, Server("1", 2), [R1], facts, NOW))
    own = files.path_of(folder, SHOP)
    assert files.read_all(folder, SHOP) == {own: Memory(SHOP, Server("1", 2), [R1], [SALE], NOW)}
    assert own.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == own.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_remembered_of_another_shop_is_apart(tmp_path: Path) -> None:
    assert files.other_shops(tmp_path / "nowhere", SHOP) == []
    for shop in (SHOP, OTHER):
        assert files.write(tmp_path, shop, Memory(shop))
    assert [found.shop for found in files.read_all(tmp_path, SHOP).values()] == [SHOP]
    assert files.other_shops(tmp_path, SHOP) == [str(OTHER)]


def test_a_file_that_cannot_be_read_is_logged_and_says_nothing(tmp_path: Path) -> None:
    folder = tmp_path / str(SHOP)
    folder.mkdir()
    (folder / "1.json").write_bytes(b"")
    (folder / "2.json").write_text('{"facts": [{"kind": "nothing"}]}')
    with capture_logs() as logs:
        assert files.read_all(tmp_path, SHOP) == {}
    assert [entry["event"] for entry in logs] == ["memory_of_the_book_unreadable"] * 2
    assert files.read_all(tmp_path / "nowhere", SHOP) == {}


def test_a_folder_that_cannot_be_written_is_logged(tmp_path: Path) -> None:
    (tmp_path / "book").write_text("")
    with capture_logs() as logs:
        for _ in range(3):
            assert not files.write(tmp_path / "book", SHOP, Memory())
    # Once a minute, though it is tried once a second.
    assert [entry["event"] for entry in logs] == ["memory_of_the_book_not_written"]


def test_only_the_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in (f"{os.getpid()}.json", "1.json", "4194303.json", "notes.json")]
    for path in paths:
        path.touch()
    files.remove_ended(paths)
    assert [path.exists() for path in paths] == [True, True, False, True]
