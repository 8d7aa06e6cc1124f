"""The pure rules of people: zones, where from, passwords, PINs, and what an error says."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.errors import InvalidInput, InvariantBroken
from telvend.kit.secret import Secret
from telvend.people import totp
from telvend.people.mail.model import LEASE_S
from telvend.people.mail.sender import sender_of
from telvend.people.mail.transport import SENT_WITHIN_S
from telvend.people.model import (
    IDLE,
    LASTS,
    FromWhere,
    LinkEnded,
    Purpose,
    Surface,
    TooManyAttempts,
    password_text,
    require_password,
    require_pin,
    zone_named,
    zone_of,
)
from tests.unit.people.visitors import visitor


@pytest.mark.parametrize(
    ("phone", "zone"),
    [
        ("+233241234567", "Africa/Accra"),
        ("+2348031234567", "Africa/Lagos"),
        ("+27821234567", "Africa/Johannesburg"),
        ("+26876123456", "Africa/Mbabane"),
        ("+447700900123", "Europe/Paris"),
    ],
)
def test_a_person_reads_times_of_the_country_of_the_number(phone: str, zone: str) -> None:
    assert zone_of(phone, "Europe/Paris") == zone


@pytest.mark.parametrize("name", ["", "Africa/Nowhere", "../etc/passwd", "\x00"])
def test_a_zone_that_this_machine_does_not_know_is_utc(name: str) -> None:
    assert zone_named(name).key == "UTC"
    assert zone_named("Africa/Accra").key == "Africa/Accra"


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_where_a_request_came_from_is_short_and_printable_whatever_was_sent(address: str, agent: str) -> None:
    made = FromWhere(address, agent)
    assert len(made.address) <= 64
    assert len(made.agent) <= 300
    assert (made.address + made.agent).isprintable()


def test_a_newer_version_is_the_same_device() -> None:
    old, new = (FromWhere("", f"Mozilla/5.0 (Android 14) Chrome/{version}") for version in ("141.0.1", "142.0"))
    assert old.device == new.device
    assert FromWhere("", "Opera Mini/76").device != old.device


@given(st.text(min_size=1, max_size=60))
def test_a_refused_password_is_not_repeated(text: str) -> None:
    if 10 <= len(password_text(Secret(text))) <= 200:
        assert require_password(Secret(text)) == password_text(Secret(text))
        return
    with pytest.raises(InvalidInput) as refused:
        require_password(Secret(text))
    assert refused.value.problem == "must have 10 to 200 characters"


def test_one_letter_typed_in_two_ways_is_one_password() -> None:
    assert password_text(Secret("café au lait")) == password_text(Secret("cafe\u0301 au lait"))
    assert password_text(Secret("\udcff" * 12)) == ""


@pytest.mark.parametrize("pin", ["", "123", "12345", "12a4", "١٢٣٤", "-123"])
def test_a_pin_has_four_digits(pin: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        require_pin(Secret(pin))
    assert not pin or pin not in str(refused.value)
    assert require_pin(Secret(" 0123 ")) == "0123"


@pytest.mark.parametrize(
    ("seconds", "wait"), [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "2 minutes")]
)
def test_too_many_attempts_says_when_to_come_back(seconds: int, wait: str) -> None:
    assert str(TooManyAttempts(seconds)) == f"Too many attempts; try again in {wait}."


def test_a_session_of_the_console_ends_sooner() -> None:
    for limits in (IDLE, LASTS):
        assert limits[Surface.CONSOLE] < limits[Surface.PORTAL]
    assert all(IDLE[half] < LASTS[half] for half in Surface)


def test_somebody_of_the_console_alone_has_no_reseller() -> None:
    with pytest.raises(InvariantBroken):
        _ = visitor(None).reseller_id
    reseller_id = uuid4()
    assert visitor(reseller_id).reseller_id == reseller_id
    assert "secret" not in repr(visitor(reseller_id))


@pytest.mark.parametrize(
    ("mail_from", "url", "sender"),
    [
        ("", "https://shop.example", "Telvend <no-reply@shop.example>"),
        ("", "http://127.0.0.1:8000", "Telvend <no-reply@localhost>"),
        ("Shop <a@b.co>", "https://shop.example", "Shop <a@b.co>"),
    ],
)
def test_emails_are_from_the_shop(mail_from: str, url: str, sender: str) -> None:
    assert sender_of(mail_from, url) == sender


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\udcff", "１２３４５６"])
def test_what_is_no_code_is_of_no_step(code: str) -> None:
    from datetime import UTC, datetime

    assert totp.step_of(totp.new_secret(), code, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_what_is_being_sent_ends_before_somebody_else_sends_it() -> None:
    assert SENT_WITHIN_S <= LEASE_S / 2


def test_an_ended_link_says_nothing_of_what_it_was_for() -> None:
    assert not [purpose for purpose in Purpose if purpose in str(LinkEnded())]
