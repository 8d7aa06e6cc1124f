"""Remembering keys: what is answered from memory, when it is not trusted, and what never reaches the database."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from telvend.bootstrap import APIS
from telvend.errors import Busy, NotAuthenticated
from telvend.kit.mode import Mode
from telvend.resellers import keyring
from telvend.resellers.keyforms import KeyForm, KeyForms
from telvend.resellers.keyring import REFUSED_S, TRUSTED_S, Keyring
from telvend.resellers.model import Caller

KEY = "np_live_" + "a" * 40
OTHER = "np_live_" + "b" * 40


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def caller(api: str = "netpluse") -> Caller:
    key_id = uuid4()
    return Caller(uuid4(), 1, key_id, key_id.bytes, api, Mode.LIVE, 60, 30, {"GHS": 1, "NGN": 2})


class Books:
    """Stands in for the database: whose keys there are, what was asked, and a gate that holds answers back."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callers: dict[str, Caller] = {KEY: caller()}
        self.asked: list[str] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.keyring = Keyring(self.ask, KeyForms(APIS), self.clock)
        self.keyring.refreshed(self.clock.monotonic())

    async def ask(self, key_text: str) -> Caller | None:
        self.asked.append(key_text)
        found = self.callers.get(key_text)
        await self.gate.wait()
        if self.away:
            raise Busy
        return found

    async def refused(self, key_text: str, api: str = "netpluse") -> bool:
        try:
            await self.keyring.authenticate(api, key_text)
        except NotAuthenticated:
            return True
        return False


TOKEN = "mtn_token_" + "t" * 40


async def test_a_token_is_remembered_no_longer_than_it_lasts() -> None:
    books = Books()
    books.callers[TOKEN] = replace(caller("madapi"), expires_in_s=2.0)
    first = await books.keyring.authenticate("madapi", TOKEN)
    assert books.keyring.cached("madapi", TOKEN) is first
    assert books.keyring.cached("netpluse", TOKEN) is None
    books.clock.seconds += 2.0
    books.keyring.refreshed(books.clock.monotonic())
    assert books.keyring.cached("madapi", TOKEN) is None
    del books.callers[TOKEN]
    assert await books.refused(TOKEN, "madapi")
    assert books.asked == [TOKEN, TOKEN]


async def test_tokens_are_forgotten_with_the_keys() -> None:
    books = Books()
    books.callers[TOKEN] = replace(caller("madapi"), expires_in_s=3599.0)
    await books.keyring.authenticate("madapi", TOKEN)
    books.keyring.forget()
    del books.callers[TOKEN]
    assert books.keyring.cached("madapi", TOKEN) is None
    assert await books.refused(TOKEN, "madapi")


async def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "_MOST_TOKENS", 2)
    books = Books()
    texts = [f"mtn_token_{letter * 40}" for letter in "abc"]
    for text in texts:
        books.callers[text] = replace(caller("madapi"), expires_in_s=3599.0)
        await books.keyring.authenticate("madapi", text)
    assert [books.keyring.cached("madapi", text) is not None for text in texts] == [False, True, True]


async def test_a_token_belongs_to_madapi_alone() -> None:
    books = Books()
    assert await books.refused(TOKEN, "netpluse")
    assert await books.refused("mtn_token_" + "t" * 39, "madapi")
    assert books.asked == []


async def test_a_key_is_asked_about_once_and_then_remembered() -> None:
    books = Books()
    assert books.keyring.cached("netpluse", KEY) is None
    first = await books.keyring.authenticate("netpluse", KEY)
    assert first is books.callers[KEY]
    assert books.keyring.cached("netpluse", KEY) is first
    assert await books.keyring.authenticate("netpluse", KEY) is first
    assert books.asked == [KEY]


async def test_a_key_of_another_api_is_refused_without_the_database() -> None:
    books = Books()
    await books.keyring.authenticate("netpluse", KEY)
    assert books.keyring.cached("networkdatasub", KEY) is None
    assert await books.refused(KEY, "networkdatasub")
    assert await books.refused(KEY, "nonsense")
    assert books.asked == [KEY]


@pytest.mark.parametrize(
    "text",
    ["", " ", "np_live_", "np_live_" + "a" * 39, "np_live_" + "a" * 41, "NP_LIVE_" + "a" * 40, "np_live_" + "é" * 40,
     "np_live_" + "٣" * 40, KEY + "\n", "\x00" * 48, "\ud800" * 48, "a" * 10_000, "np_demo_" + "a" * 40],
)  # fmt: skip
async def test_what_cannot_be_a_key_is_refused_without_the_database(text: str) -> None:
    books = Books()
    assert books.keyring.cached("netpluse", text) is None
    assert await books.refused(text)
    assert books.asked == []


async def test_a_revoked_key_is_refused_after_forget() -> None:
    books = Books()
    await books.keyring.authenticate("netpluse", KEY)
    del books.callers[KEY]
    books.keyring.forget()
    assert books.keyring.cached("netpluse", KEY) is None
    assert await books.refused(KEY)


async def test_nothing_remembered_is_trusted_when_nobody_watches() -> None:
    books = Books()
    await books.keyring.authenticate("netpluse", KEY)
    books.clock.seconds += TRUSTED_S + 0.01
    assert books.keyring.cached("netpluse", KEY) is None
    await books.keyring.authenticate("netpluse", KEY)
    del books.callers[KEY]
    assert await books.refused(KEY)
    assert books.asked == [KEY] * 3


async def test_nothing_is_trusted_before_the_first_look() -> None:
    books = Books()
    books.keyring = Keyring(books.ask, KeyForms(APIS), books.clock)
    await books.keyring.authenticate("netpluse", KEY)
    assert books.keyring.cached("netpluse", KEY) is None


async def test_what_is_remembered_is_trusted_again_when_the_watcher_is_back() -> None:
    books = Books()
    known = await books.keyring.authenticate("netpluse", KEY)
    books.clock.seconds += 60
    assert books.keyring.cached("netpluse", KEY) is None
    books.keyring.refreshed(books.clock.monotonic())
    assert books.keyring.cached("netpluse", KEY) is known


async def test_a_key_found_revoked_while_nobody_watched_stays_refused_when_the_watcher_is_back() -> None:
    books = Books()
    await books.keyring.authenticate("netpluse", KEY)
    books.clock.seconds += 60
    del books.callers[KEY]
    assert await books.refused(KEY)
    books.keyring.refreshed(books.clock.monotonic())
    assert books.keyring.cached("netpluse", KEY) is None


async def test_an_answer_from_before_forget_is_not_remembered() -> None:
    books = Books()
    books.gate.clear()
    slow = asyncio.create_task(books.keyring.authenticate("netpluse", KEY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert books.asked == [KEY]
    del books.callers[KEY]
    books.keyring.forget()
    books.gate.set()
    await slow
    assert books.keyring.cached("netpluse", KEY) is None
    assert await books.refused(KEY)


async def test_a_request_after_forget_does_not_wait_for_an_answer_from_before() -> None:
    books = Books()
    books.gate.clear()
    slow = asyncio.create_task(books.keyring.authenticate("netpluse", KEY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del books.callers[KEY]
    books.keyring.forget()
    late = asyncio.create_task(books.refused(KEY))
    await asyncio.sleep(0)
    books.gate.set()
    await slow
    assert await late


async def test_an_unknown_key_is_asked_about_once_a_second() -> None:
    books = Books()
    assert await books.refused(OTHER)
    assert await books.refused(OTHER)
    assert books.asked == [OTHER]
    books.clock.seconds += REFUSED_S
    assert await books.refused(OTHER)
    assert books.asked == [OTHER, OTHER]


async def test_a_key_that_is_added_later_works_after_forget() -> None:
    books = Books()
    assert await books.refused(OTHER)
    books.callers[OTHER] = caller()
    books.keyring.forget()
    assert await books.keyring.authenticate("netpluse", OTHER) is books.callers[OTHER]


async def test_guessing_does_not_fill_the_memory() -> None:
    books = Books()
    for number in range(5000):
        assert await books.refused(f"np_live_{number:040}")
    assert len(books.keyring._refused_at) == 4096
    assert len(books.keyring._asking) == 0


async def test_requests_that_come_together_ask_once() -> None:
    books = Books()
    books.gate.clear()
    requests = [asyncio.create_task(books.keyring.authenticate("netpluse", KEY)) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    requests[0].cancel()
    books.gate.set()
    answers = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(answer is books.callers[KEY] for answer in answers[1:])
    assert books.asked == [KEY]


async def test_a_database_that_is_away_is_busy_and_nothing_is_remembered_of_it() -> None:
    books = Books()
    books.away = True
    with pytest.raises(Busy):
        await books.keyring.authenticate("netpluse", KEY)
    books.away = False
    assert await books.keyring.authenticate("netpluse", KEY) is books.callers[KEY]


def test_every_api_has_a_prefix_of_its_own() -> None:
    assert len({form.prefix for form in APIS}) == len({form.api for form in APIS}) == len(APIS)


@pytest.mark.parametrize(
    "other", [KeyForm("a", "b_"), KeyForm("b", "a_"), KeyForm("b", "b_", "a_"), KeyForm("b", "t_")]
)
def test_two_apis_that_share_a_name_or_a_prefix_are_refused(other: KeyForm) -> None:
    with pytest.raises(ValueError, match="share a name or a prefix"):
        KeyForms([KeyForm("a", "a_", "t_"), other])


def test_a_key_fits_its_own_api_and_a_token_only_one_that_has_them() -> None:
    forms = KeyForms(APIS)
    assert forms.fits("netpluse", KEY)
    assert forms.fits("madapi", TOKEN)
    assert not forms.fits("madapi", KEY)
    assert not forms.fits("netpluse", "np_token_" + "t" * 40)
    assert not forms.fits("plain", KEY)
    assert forms.is_token(TOKEN)
    assert not forms.is_token(KEY)
    assert not KeyForms([KeyForm("plain", "pl_")]).is_token(TOKEN)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("np_live_" + "a" * 20 + "b" * 20, "np_live_aaaa...bbbb"),
        ("mtn_token_" + "a" * 20 + "b" * 20, "mtn_token_aaaa...bbbb"),
        ("np_live_" + "a" * 39, "np_live_... (47 characters)"),
        ("nds_test_\n\x1b", "nds_test_... (11 characters)"),
        ("sk_live_of_somebody_else", "... (24 characters)"),
        ("hunter2", "... (7 characters)"),
        ("", "... (0 characters)"),
        ("x" * 60_000, "... (60000 characters)"),
    ],
)
def test_a_hint_shows_the_ends_of_a_key_and_nothing_of_another_secret(text: str, hint: str) -> None:
    assert KeyForms(APIS).hint_of(text) == hint


async def test_invented_keys_are_looked_up_few_at_a_time_and_known_ones_do_not_wait_for_them() -> None:
    books = Books()
    assert await books.keyring.authenticate("netpluse", KEY)
    books.asked.clear()
    books.gate.clear()
    invented = [f"np_live_{number:040}" for number in range(3000)]
    asking = [asyncio.ensure_future(books.keyring.authenticate("netpluse", key)) for key in invented]
    await asyncio.sleep(0.05)
    assert len(books.asked) == 2
    assert books.keyring.cached("netpluse", KEY) is not None
    books.gate.set()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    kinds = [type(one) for one in ended]
    assert kinds.count(NotAuthenticated) == 2050
    assert kinds.count(Busy) == 950
    assert not books.keyring._asking
