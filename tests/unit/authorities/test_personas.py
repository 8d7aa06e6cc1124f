"""The people who do not exist."""

import base64
import struct
import zlib
from datetime import date

from hypothesis import example, given
from hypothesis import strategies as st

from telvend.authorities.contract import Blocked, Found, Gender, NotOnRecord, Record, Unavailable, VerificationKind
from telvend.authorities.personas import JOHN, SLOW_S, Personas, persona
from telvend.kit.secret import Secret
from tests.clocks import FakeClock

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
numbers = st.from_regex(r"[0-9]{11}", fullmatch=True)


def test_john_is_the_one_of_the_document() -> None:
    nin = persona(VerificationKind.NIN, JOHN)
    assert (nin.first_name, nin.middle_name, nin.last_name) == ("John", "Doe", "Smith")
    assert (nin.date_of_birth, nin.gender, nin.issue_date) == (date(1990, 1, 1), Gender.MALE, date(2025, 5, 18))
    assert (nin.photo, nin.signature, nin.mobile) == (PIXEL, PIXEL, "08012345678")
    assert (nin.address, nin.state, nin.lga, nin.town) == ("123 Main Street", "Lagos", "Ikeja", "Ikeja")
    bvn = persona(VerificationKind.BVN, JOHN)
    assert (bvn.first_name, bvn.last_name, bvn.middle_name) == ("John", "Doe", "Smith")
    assert (bvn.email, bvn.photo, bvn.mobile) == ("[email protected]", PIXEL, "08012345678")


def test_somebody_stays_who_he_is_from_one_version_to_the_next() -> None:
    somebody = persona(VerificationKind.NIN, "70123456789")
    assert (somebody.first_name, somebody.last_name, somebody.date_of_birth, somebody.mobile, somebody.state) == (
        "Emeka", "Bello", date(1984, 3, 3), "08056160356", "Oyo"
    )  # fmt: skip


@given(number=numbers)
@example(number="83011118013")  # Whose second choice of a middle name was the first name too.
def test_every_number_is_one_plausible_person(number: str) -> None:
    record = persona(VerificationKind.NIN, number)
    assert record == persona(VerificationKind.NIN, number)
    if number != JOHN:
        assert record == persona(VerificationKind.BVN, number)
    for field in (record.first_name, record.middle_name, record.last_name, record.address, record.town, record.lga):
        assert field
    assert record.first_name != record.middle_name or number == JOHN
    assert record.date_of_birth is not None
    assert record.issue_date is not None
    assert date(1950, 1, 1) <= record.date_of_birth < date(2006, 1, 1)
    assert (record.issue_date - record.date_of_birth).days > 15 * 365
    assert len(record.mobile) == 11
    assert number not in repr(record)
    assert_is_a_whole_png(record)


def assert_is_a_whole_png(record: Record) -> None:
    if record.photo == PIXEL:
        return
    for picture in (record.photo, record.signature):
        file = base64.b64decode(picture, validate=True)
        assert file.startswith(b"\x89PNG\r\n\x1a\n")
        at, chunks = 8, {}
        while at < len(file):
            (length,) = struct.unpack(">I", file[at : at + 4])
            kind, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
            assert struct.unpack(">I", file[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
            chunks[kind] = data
            at += 12 + length
        width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
        lines = zlib.decompress(chunks[b"IDAT"])
        assert len(lines) == height * (width + 1)
        assert max(lines) < len(chunks[b"PLTE"]) // 3


async def test_some_numbers_are_situations() -> None:
    clock = FakeClock()
    personas = Personas(clock)
    assert isinstance(await personas.nin(Secret("71234560404")), NotOnRecord)
    assert isinstance(await personas.bvn(Secret("71234560404")), NotOnRecord)
    assert isinstance(await personas.nin(Secret("71234560503")), Unavailable)
    assert isinstance(await personas.bvn(Secret("71234560407")), Blocked)
    assert isinstance(await personas.nin(Secret("71234560407")), Found)
    assert clock.monotonic() == 0
    assert isinstance(await personas.nin(Secret("71234560408")), Found)
    assert clock.monotonic() == SLOW_S
    await personas.close()
