"""One suite over every authority: what each must do whatever its vendor is like. The registry is `authority_rigs.py`."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import telvend.authorities
from telvend.authorities.contract import (
    ANSWERS,
    Answer,
    Blocked,
    Found,
    NotOnRecord,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.authorities.reading import picture
from telvend.kit.secret import Secret
from tests.contract.authority_rigs import KEY, RIGS, Rig, Situation, WireRig

ANSWER: dict[Situation, type[Any]] = {
    Situation.FOUND: Found,
    Situation.NOT_ON_RECORD: NotOnRecord,
    Situation.BLOCKED: Blocked,
    Situation.DOWN: Unavailable,
    Situation.KEY_REFUSED: Unavailable,
    Situation.FLOAT_EMPTY: Unavailable,
    Situation.GARBAGE: VerificationUnknown,
    Situation.UNDOCUMENTED: VerificationUnknown,
    Situation.ANOTHER_PERSON: VerificationUnknown,
    Situation.SILENCE: Unavailable,
    Situation.NO_CONNECTION: Unavailable,
}
OURS = frozenset({Situation.KEY_REFUSED, Situation.FLOAT_EMPTY})


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    made = RIGS[request.param]()
    yield made
    await made.authority.close()


async def answer_of(rig: Rig, situation: Situation, kind: VerificationKind) -> tuple[Answer, str] | None:
    number = rig.number(situation, kind)
    if number is None:
        return None
    answer = await (rig.authority.nin(number) if kind is VerificationKind.NIN else rig.authority.bvn(number))
    return answer, number.reveal()


def test_every_authority_of_the_source_is_registered() -> None:
    (source,) = telvend.authorities.__path__
    vendors = {folder.parent.name for folder in Path(source).glob("*/client.py")}
    assert vendors | {"personas"} == RIGS.keys()


def test_a_rigs_authority_bears_its_name() -> None:
    assert all(make().authority.name == name for name, make in RIGS.items())


@pytest.mark.parametrize("kind", VerificationKind)
@pytest.mark.parametrize("situation", Situation)
async def test_every_situation_has_its_answer(rig: Rig, situation: Situation, kind: VerificationKind) -> None:
    found = await answer_of(rig, situation, kind)
    if found is None:
        return  # Cannot happen with this one.
    answer, _ = found
    assert type(answer) is ANSWER[situation]
    if isinstance(answer, Unavailable):
        assert answer.ours_to_mend == (situation in OURS)
        assert 1 <= answer.retry_after_s <= 3600


@pytest.mark.parametrize("kind", VerificationKind)
async def test_every_authority_finds_and_does_not_find(rig: Rig, kind: VerificationKind) -> None:
    assert await answer_of(rig, Situation.FOUND, kind) is not None
    assert await answer_of(rig, Situation.NOT_ON_RECORD, kind) is not None


@pytest.mark.parametrize("kind", VerificationKind)
async def test_a_record_is_in_the_one_form(rig: Rig, kind: VerificationKind) -> None:
    found = await answer_of(rig, Situation.FOUND, kind)
    assert found is not None
    answer, number = found
    assert isinstance(answer, Found)
    record = answer.record
    assert record.first_name
    assert record.last_name
    assert not record.first_name.isupper()
    assert isinstance(record.date_of_birth, date)
    assert record.gender in ("Male", "Female")
    assert picture(record.photo) == record.photo != ""
    assert record.mobile.isdigit()
    assert number not in repr(answer)
    assert record.last_name not in repr(answer)


@pytest.mark.parametrize("kind", VerificationKind)
@pytest.mark.parametrize("situation", Situation)
async def test_no_text_gives_a_number_a_name_or_a_key_away(
    rig: Rig, situation: Situation, kind: VerificationKind
) -> None:
    found = await answer_of(rig, situation, kind)
    if found is None:
        return
    answer, number = found
    assert isinstance(answer, ANSWERS)
    shown = repr(answer)
    for secret in (number, KEY, "NGOZI", "Ngozi", "DOE", "JOHN", "John"):
        assert secret not in shown


@pytest.mark.parametrize("name", ["prembly", "dojah"])
@pytest.mark.parametrize("kind", VerificationKind)
async def test_the_number_leaves_once_and_the_key_only_in_a_header(name: str, kind: VerificationKind) -> None:
    rig = RIGS[name]()
    assert isinstance(rig, WireRig)
    number = rig.number(Situation.FOUND, kind) or Secret("")
    await (rig.authority.nin(number) if kind is VerificationKind.NIN else rig.authority.bvn(number))
    (request,) = rig.requests
    assert KEY in request.headers.values()
    assert KEY not in str(request.url)
    assert KEY.encode() not in request.content
    assert (str(request.url).count(number.reveal()), request.content.count(number.reveal().encode())) in (
        (1, 0),
        (0, 1),
    )
    assert request.url.scheme == "https"
    await rig.authority.close()
