"""PINs, serials, states and the printed sheet."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.cli.vouchers import odds
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.operator.vouchers import sheet
from telvend.operator.vouchers.model import (
    FIRST_SERIAL,
    BatchState,
    LockedOut,
    NewVoucher,
    PinRefused,
    VoucherState,
    serial_number,
    serial_text,
    state_of,
)
from telvend.operator.vouchers.pins import PinKey, new_pins, spaced

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_pins_are_sixteen_digits_all_different_and_of_no_pattern() -> None:
    pins = new_pins(20_000)
    assert len(set(pins)) == 20_000
    assert all(re.fullmatch(r"[0-9]{16}", pin, re.ASCII) for pin in pins)
    for place in range(16):
        counts = [sum(pin[place] == digit for pin in pins) for digit in "0123456789"]
        # 2,000 each, give or take eight standard deviations: once in 10**15 runs.
        assert all(abs(count - 2000) < 340 for count in counts), (place, counts)
    assert pins != sorted(pins)


def test_a_pin_is_printed_in_groups_of_four() -> None:
    assert spaced("0123456789012345") == "0123 4567 8901 2345"


def test_a_hash_hangs_on_the_key_and_gives_nothing_away() -> None:
    one, two = PinKey(bytes(32)), PinKey(b"\x01" * 32)
    assert one.hash("0123456789012345") == PinKey(bytes(32)).hash("0123456789012345")
    assert one.hash("0123456789012345") != two.hash("0123456789012345")
    assert one.hash("0123456789012345") != one.hash("123456789012345"), "leading zeros count"
    assert one.id != two.id
    assert len(one.hash("1")) == 32
    assert bytes(32).hex() not in repr(one)


@given(serial=st.integers(1, 10**17))
def test_serials_are_read_as_they_are_written(serial: int) -> None:
    assert serial_number(f" {serial_text(serial)} ") == serial


def test_serials_have_twelve_digits_and_begin_with_none_that_a_spreadsheet_drops() -> None:
    assert serial_text(FIRST_SERIAL) == "100000000001"


@pytest.mark.parametrize("text", ["", "x", "1" * 19, "-1", "１２", "1.5"])
def test_what_is_no_serial(text: str) -> None:
    assert serial_number(text) is None


@given(
    own=st.sampled_from(["available", "reserved", "used", "damaged", "stolen"]),
    batch=st.sampled_from(BatchState),
    expires=st.sampled_from([None, NOW - timedelta(1), NOW, NOW + timedelta(1)]),
    until=st.sampled_from([NOW - timedelta(1), NOW, NOW + timedelta(1)]),
)
def test_a_voucher_can_be_loaded_only_if_nothing_forbids_it(
    own: str, batch: BatchState, expires: datetime | None, until: datetime
) -> None:
    state = state_of(own, batch, expires, until if own == "reserved" else None, NOW)
    free = own == "available" or (own == "reserved" and until <= NOW)
    loadable = free and batch is BatchState.AVAILABLE and (expires is None or expires > NOW)
    assert (state is VoucherState.AVAILABLE) == loadable
    if own == "used":
        assert state is VoucherState.USED
    if state is VoucherState.RESERVED:
        assert own == "reserved"
        assert until > NOW


def test_every_reason_is_one_sentence_to_the_outside() -> None:
    texts = {str(PinRefused(state)) for state in VoucherState}
    assert texts == {"The voucher cannot be loaded."}
    assert "used" not in str(PinRefused("used"))
    assert LockedOut(30).retry_after_s == 30


def test_the_odds_are_told_for_the_batch() -> None:
    assert "once in 10,000,000,000 tries" in odds(1_000_000)
    assert "once in 10,000,000,000,000,000 tries" in odds(1)


class _Seen(HTMLParser):
    """The tags, what they refer to, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data.strip())


def test_a_sheet_is_one_whole_page_that_fetches_nothing() -> None:
    amount, pins = Money(100_00, NGN), new_pins(30)
    vouchers = [NewVoucher(serial_text(FIRST_SERIAL + place), Secret(pin)) for place, pin in enumerate(pins)]
    ends = datetime(2028, 1, 1, tzinfo=UTC)
    page = "".join(
        [sheet.head(amount), *(sheet.card(voucher, amount, Mode.LIVE, ends) for voucher in vouchers), sheet.TAIL]
    )
    seen = _Seen()
    seen.feed(page)
    assert (seen.open, seen.outside) == ([], [])
    assert not re.search(r"url\(|@import|https?:|<script|javascript", page)
    assert seen.tags.count("article") == 30
    for voucher in vouchers:
        assert spaced(voucher.pin.reveal()) in seen.text
        assert f"serial {voucher.serial}" in seen.text
    assert seen.text.count("NGN 100.00") == 30
    assert seen.text.count("until 31 Dec 2027") == 30
    assert "play money" not in page


def test_a_card_of_play_money_says_so_and_one_without_end_no_date() -> None:
    card = sheet.card(NewVoucher("100000000001", Secret("1" * 16)), Money(5_00, NGN), Mode.TEST, None)
    assert "play money" in card
    assert "until" not in card
