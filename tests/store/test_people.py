"""People on a real database: signing up and in, sessions, links, second factors, PINs, roles, and what strangers can learn."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pyotp
import pytest

from telvend.database.connections import Database
from telvend.errors import AlreadyExists, InvalidFields, InvalidInput, NotFound, NotPermitted
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.kit.secret import Secret
from telvend.people.model import (
    AccountSuspended,
    CodeRefused,
    EmailNotVerified,
    EmailTaken,
    FromWhere,
    LinkEnded,
    PurchasePinLocked,
    PurchasePinRefused,
    Purpose,
    Role,
    SecondFactorNeeded,
    SignInRefused,
    SignUp,
    SignUpRefused,
    Surface,
    TooManyAttempts,
    Visitor,
)
from telvend.people.passwords import Passwords
from telvend.people.service import PeoplePolicy
from telvend.people.signing_in import MOST_SHARING
from tests.store.portals import ELSEWHERE, HOME, NEW_PASSWORD, PASSWORD, Portal, both, token_in


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> Portal:
    return Portal(database, tmp_path)


# Signing up -------------------------------------------------------------------------------------------------------------


async def test_signing_up_makes_the_reseller_its_wallets_the_person_and_a_session(portal: Portal) -> None:
    token = await portal.ama()
    visitor = await portal.visits(token)
    assert (visitor.person.email, visitor.person.phone, visitor.person.zone) == (
        "ama@example.com",
        "+233241234567",
        "Africa/Accra",
    )
    assert visitor.mode is Mode.LIVE
    assert not visitor.person.email_verified
    reseller = await portal.resellers.find("AMA@example.com")
    assert visitor.reseller_id == reseller.id
    wallets = await portal.wallets.of_reseller(reseller.id)
    assert {(one.balance.currency, one.mode) for one in wallets} == {
        (currency, mode) for currency in (GHS, NGN) for mode in Mode
    }


async def test_everything_that_is_wrong_with_a_form_is_said_at_once(portal: Portal) -> None:
    with pytest.raises(InvalidFields) as refused:
        await portal.people.sign_up(" ", "ama", "12", Secret("short"), HOME)
    assert refused.value.problems.keys() == {"name", "email", "phone", "password"}
    assert "short" not in str(refused.value.problems)


async def test_of_two_who_sign_up_with_one_address_at_once_one_does(portal: Portal) -> None:
    done, refused = await both(*(portal.ama(email) for email in ("ama@example.com", "AMA@example.com") * 2))
    assert len(done) == 1
    assert all(isinstance(one, EmailTaken) for one in refused)
    assert len(await portal.resellers.list_resellers()) == 1


@pytest.mark.parametrize("sign_up", [SignUp.INVITE, SignUp.CLOSED])
async def test_nobody_signs_up_where_that_takes_an_invitation(
    database: Database, tmp_path: Path, sign_up: SignUp
) -> None:
    portal = Portal(database, tmp_path, PeoplePolicy(sign_up=sign_up))
    with pytest.raises(SignUpRefused):
        await portal.ama()


# Signing in -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["ama@example.com", " AMA@Example.com ", "0241234567", "+233 24 123 4567"])
async def test_somebody_signs_in_by_address_or_number(portal: Portal, login: str) -> None:
    await portal.ama()
    visitor = await portal.visits(await portal.people.sign_in(login, PASSWORD, HOME))
    assert visitor.person.email == "ama@example.com"


async def test_among_accounts_that_share_a_number_the_password_decides(portal: Portal) -> None:
    await portal.ama("ama@example.com")
    await portal.people.sign_up("Kofi", "kofi@example.com", "0241234567", NEW_PASSWORD, HOME)
    for password, email in ((PASSWORD, "ama@example.com"), (NEW_PASSWORD, "kofi@example.com")):
        visitor = await portal.visits(await portal.people.sign_in("0241234567", password, HOME))
        assert visitor.person.email == email


@pytest.mark.parametrize(
    ("known", "unknown"), [("ama@example.com", "nobody@example.com"), ("0241234567", "0209999999")]
)
async def test_an_unknown_login_costs_and_says_what_a_wrong_password_does(
    portal: Portal, known: str, unknown: str
) -> None:
    await portal.ama()
    said = []
    for login in (known, unknown):
        before = portal.passwords.checks
        with pytest.raises(SignInRefused) as refused:
            await portal.people.sign_in(login, NEW_PASSWORD, HOME)
        said.append((str(refused.value), portal.passwords.checks - before))
    assert said[0] == said[1]
    assert said[0][1] == (MOST_SHARING if known.startswith("0") else 1)


@pytest.mark.parametrize("login", ["", "nobody", "a\x00@b.co", "\udcff@b.co", "x" * 10_000, "0" * 40])
async def test_a_login_that_cannot_be_is_refused_like_any_other(portal: Portal, login: str) -> None:
    with pytest.raises(SignInRefused):
        await portal.people.sign_in(login, Secret("\udcff" * 12), HOME)


async def test_a_password_is_hashed_anew_when_the_parameters_have_changed(portal: Portal) -> None:
    await portal.ama()
    before = await _hash(portal)
    portal.people._passwords.__init__(time_cost=2, memory_kib=64)
    await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    after = await _hash(portal)
    assert "t=1" in before
    assert "t=2" in after
    await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert await _hash(portal) == after


async def test_a_password_of_today_costs_what_it_should() -> None:
    hashed = await Passwords().hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_suspended_account_is_told_so_only_with_the_right_password(portal: Portal) -> None:
    token = await portal.ama()
    await portal.resellers.suspend("ama@example.com", "chargeback")
    assert not await portal.opens(token)
    with pytest.raises(AccountSuspended):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME)
    await portal.resellers.resume("ama@example.com")
    assert await portal.opens(token)


async def test_a_suspended_person_opens_nothing_and_its_sessions_are_gone(portal: Portal) -> None:
    token = await portal.ama()
    owner = await portal.visits(await portal.owner())
    person_id = (await portal.visits(token)).person.id
    await portal.people.suspend(person_id, "stolen phone", owner)
    assert not await portal.opens(token)
    with pytest.raises(AccountSuspended):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    await portal.people.resume(person_id, "found again", owner)
    assert not await portal.opens(token)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", PASSWORD, HOME))


# Attempts ---------------------------------------------------------------------------------------------------------------


async def until_slowed(attempt: Callable[[int], Awaitable[object]], refusal: type[Exception], most: int = 100) -> int:
    """How many attempts are looked at, and refused, before there are too many."""
    for count in range(most):
        with pytest.raises((refusal, TooManyAttempts)) as refused:
            await attempt(count)
        if isinstance(refused.value, TooManyAttempts):
            assert 0 < refused.value.retry_after_s <= 120
            return count
    return most


async def wrong(portal: Portal, login: str, from_where: FromWhere) -> int:
    return await until_slowed(lambda _: portal.people.sign_in(login, NEW_PASSWORD, from_where), SignInRefused)


@pytest.mark.parametrize("login", ["ama@example.com", "nobody@example.com"])
async def test_guessing_one_account_from_one_network_is_slowed_known_or_not(portal: Portal, login: str) -> None:
    await portal.ama()
    assert await wrong(portal, login, ELSEWHERE) == 10
    before = portal.passwords.checks
    assert await wrong(portal, login, ELSEWHERE) == 0
    assert portal.passwords.checks == before
    portal.pass_time(minutes=3)
    assert await wrong(portal, login, ELSEWHERE) == 3


async def test_a_stranger_who_guesses_from_everywhere_does_not_keep_the_owner_out(portal: Portal) -> None:
    await portal.ama()
    guesses = [await wrong(portal, "ama@example.com", FromWhere(f"41.66.9.{host}")) for host in range(5)]
    assert guesses == [10, 10, 0, 0, 0]
    assert await portal.opens(await portal.people.sign_in("ama@example.com", PASSWORD, HOME))
    # On another network, where the account was never used, a reset opens the way.
    travelling = FromWhere("102.89.1.1", "Chrome")
    with pytest.raises(TooManyAttempts):
        await portal.people.sign_in("ama@example.com", PASSWORD, travelling)
    await portal.people.ask_reset("ama@example.com", travelling)
    await portal.people.reset(await portal.link("reset"), NEW_PASSWORD, travelling)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", NEW_PASSWORD, travelling))


async def test_one_address_that_tries_many_accounts_is_slowed_and_those_who_succeed_there_are_not(
    portal: Portal,
) -> None:
    await portal.ama()
    for _ in range(40):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert (
        await until_slowed(
            lambda number: portal.people.sign_in(f"user{number}@example.com", PASSWORD, HOME), SignInRefused
        )
        == 30
    )


async def test_many_attempts_at_once_are_no_more_than_one_after_the_other(portal: Portal) -> None:
    await portal.ama()
    _, refused = await both(*(portal.people.sign_in("ama@example.com", NEW_PASSWORD, ELSEWHERE) for _ in range(25)))
    assert sum(isinstance(one, SignInRefused) for one in refused) == 10
    assert sum(isinstance(one, TooManyAttempts) for one in refused) == 15


async def test_signing_in_forgets_what_failed_before(portal: Portal) -> None:
    await portal.ama()
    for _ in range(3):
        for _ in range(9):
            with pytest.raises(SignInRefused):
                await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME)
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)


async def test_signing_up_is_slowed_by_address(portal: Portal) -> None:
    for number in range(20):
        await portal.ama(f"ama{number}@example.com")
    with pytest.raises(TooManyAttempts):
        await portal.ama("ama20@example.com")
    portal.pass_time(minutes=1)
    await portal.ama("ama20@example.com")


# Sessions ---------------------------------------------------------------------------------------------------------------


async def test_a_session_is_known_by_its_token_alone_and_only_the_digest_is_stored(portal: Portal) -> None:
    token = await portal.ama()
    secret = token.secret.reveal()
    assert len(secret) >= 43
    visitor = await portal.visits(token)
    assert visitor.csrf not in secret
    assert secret not in visitor.csrf
    assert secret not in repr(token)
    async with portal.database.connection() as tx:
        assert not await tx.fetchval(
            "select exists (select from person_session s where s::text like $1)", f"%{secret}%"
        )
    for other in ("", "x", secret[:-1], secret.swapcase(), "\udcff", "x" * 100_000):
        assert await portal.people.visitor(other) is None


async def test_a_session_ends_when_it_is_idle_and_after_its_time(portal: Portal) -> None:
    idle, busy = await portal.ama(), await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    for _ in range(6):
        portal.pass_time(days=1.1)
        assert await portal.opens(busy)
    portal.pass_time(days=1.1)
    assert not await portal.opens(idle)
    for _ in range(20):
        assert await portal.opens(busy)
        portal.pass_time(days=1.1)
    portal.pass_time(days=1.1)
    assert not await portal.opens(busy)


async def test_a_session_of_the_console_lasts_hours(portal: Portal) -> None:
    token = await portal.owner()
    portal.pass_time(hours=1.9)
    assert await portal.opens(token)
    portal.pass_time(hours=2.1)
    assert not await portal.opens(token)


async def test_last_seen_is_written_once_a_minute(portal: Portal) -> None:
    token = await portal.ama()
    seen = []
    for _ in range(8):
        seen.append((await portal.visits(token)).session.seen_at)
        portal.pass_time(seconds=20)
    assert len(set(seen)) == 3


async def test_sessions_are_listed_and_revoked_one_by_one_and_all_others(portal: Portal) -> None:
    first, second, third = [
        await portal.ama(),
        await portal.people.sign_in("ama@example.com", PASSWORD, ELSEWHERE),
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME),
    ]
    ama = await portal.visits(first)
    listed = await portal.people.sessions(ama)
    assert sorted(one.address for one in listed) == ["197.210.1.2", "197.210.1.2", "41.66.9.9"]
    (elsewhere,) = [one for one in listed if one.address == ELSEWHERE.address]
    kofi = await portal.visits(await portal.people.sign_up("Kofi", "kofi@example.com", "0201234567", PASSWORD, HOME))
    with pytest.raises(NotFound):
        await portal.people.revoke(kofi, elsewhere.id)
    await portal.people.revoke(ama, elsewhere.id)
    assert [await portal.opens(one) for one in (first, second, third)] == [True, False, True]
    assert await portal.people.revoke_others(ama) == 1
    assert [await portal.opens(one) for one in (first, second, third)] == [True, False, False]
    await portal.people.sign_out(first.secret.reveal())
    assert not await portal.opens(first)


async def test_changing_the_password_ends_all_other_sessions_and_tells_its_owner(portal: Portal) -> None:
    first, second = await portal.ama(), await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    ama = await portal.visits(first)
    with pytest.raises(InvalidInput) as refused:
        await portal.people.change_password(ama, NEW_PASSWORD, NEW_PASSWORD)
    assert refused.value.field == "password"
    with pytest.raises(InvalidInput) as refused:
        await portal.people.change_password(ama, PASSWORD, Secret("short"))
    assert refused.value.field == "new_password"
    await portal.people.change_password(ama, PASSWORD, NEW_PASSWORD)
    assert [await portal.opens(one) for one in (first, second)] == [True, False]
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert [about for _, about, _ in await portal.post()] == ["verify", "password_changed"]


@pytest.mark.parametrize(("length", "taken"), [(9, False), (10, True), (200, True), (201, False)])
async def test_a_password_has_ten_characters_or_more_up_to_a_bound_and_no_other_rule(
    portal: Portal, length: int, taken: bool
) -> None:
    password = Secret("a" * length)
    try:
        await portal.people.sign_up("Ama", "ama@example.com", "0241234567", password, HOME)
    except InvalidFields:
        assert not taken
    else:
        assert taken
        assert await portal.opens(await portal.people.sign_in("ama@example.com", password, HOME))


async def test_the_mode_is_of_one_session(portal: Portal) -> None:
    first, second = await portal.ama(), await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    await portal.people.set_mode(await portal.visits(first), Mode.TEST)
    assert [(await portal.visits(one)).mode for one in (first, second)] == [Mode.TEST, Mode.LIVE]


async def test_neither_half_of_the_pages_opens_the_other(portal: Portal) -> None:
    ama, owner = await portal.ama(), await portal.owner()
    assert await portal.people.visitor(ama.secret.reveal(), Surface.CONSOLE) is None
    assert await portal.people.visitor(owner.secret.reveal(), Surface.PORTAL) is None
    for login, surface in (("ama@example.com", Surface.CONSOLE), ("owner@example.com", Surface.PORTAL)):
        before = portal.passwords.checks
        with pytest.raises(SignInRefused):
            await portal.people.sign_in(login, PASSWORD, HOME, surface=surface)
        assert portal.passwords.checks == before + 1


async def test_somebody_of_both_halves_has_no_rights_of_the_console_in_the_portal(portal: Portal) -> None:
    await portal.ama()
    await portal.owner("ama@example.com")
    in_portal = await portal.visits(await portal.people.sign_in("ama@example.com", PASSWORD, HOME))
    in_console = await portal.visits(
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME, surface=Surface.CONSOLE)
    )
    assert (in_portal.roles, in_console.roles) == (frozenset(), frozenset({Role.OWNER}))


async def test_a_new_browser_is_told_of_and_a_new_version_or_network_is_not(portal: Portal) -> None:
    await portal.ama()
    for from_where in (
        HOME,
        FromWhere("102.89.1.1", HOME.agent.replace("141.0", "142.0.7")),
        ELSEWHERE,
        ELSEWHERE,
    ):
        await portal.people.sign_in("ama@example.com", PASSWORD, from_where)
    told = [text for _, about, text in await portal.post() if about == "new_device"]
    assert len(told) == 1
    assert "Opera Mini/76" in told[0]
    assert "from 41.66.9.9" in told[0]


async def test_a_person_changes_name_number_and_zone(portal: Portal) -> None:
    token = await portal.ama()
    await portal.people.change_profile(await portal.visits(token), " Ama B. ", "08031234567", "Africa/Lagos")
    person = (await portal.visits(token)).person
    assert (person.name, person.phone, person.zone) == ("Ama B.", "+2348031234567", "Africa/Lagos")
    with pytest.raises(InvalidFields) as refused:
        await portal.people.change_profile(await portal.visits(token), "", "1", "../etc/passwd")
    assert refused.value.problems.keys() == {"name", "phone", "zone"}


# Links ------------------------------------------------------------------------------------------------------------------


async def test_nothing_is_bought_with_real_money_before_the_address_is_proven(portal: Portal) -> None:
    token = await portal.ama()
    ama = await portal.visits(token)
    with pytest.raises(EmailNotVerified):
        portal.people.require_verified(ama)
    await portal.people.set_mode(ama, Mode.TEST)
    portal.people.require_verified(await portal.visits(token))
    await portal.people.set_mode(ama, Mode.LIVE)
    link = await portal.link("verify")
    assert (await portal.people.link(Purpose.VERIFY, link)).email == "ama@example.com"
    await portal.people.confirm_email(link)
    portal.people.require_verified(await portal.visits(token))
    profile = await portal.resellers.profile(ama.reseller_id)
    assert profile.email_verified
    with pytest.raises(LinkEnded):
        await portal.people.confirm_email(link)


async def test_without_verify_email_everybody_buys(database: Database, tmp_path: Path) -> None:
    portal = Portal(database, tmp_path, PeoplePolicy(sign_up=SignUp.OPEN, verify_email=False))
    portal.people.require_verified(await portal.visits(await portal.ama()))


async def test_a_newer_link_ends_the_older_one(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    first = await portal.link("verify")
    await portal.people.ask_verification(ama)
    second = await portal.link("verify")
    assert first != second
    with pytest.raises(LinkEnded):
        await portal.people.confirm_email(first)
    await portal.people.confirm_email(second)


async def test_a_reset_ends_all_sessions_and_works_once(portal: Portal) -> None:
    token = await portal.ama()
    await portal.people.ask_reset("AMA@example.com", ELSEWHERE)
    link = await portal.link("reset")
    with pytest.raises(InvalidInput):
        await portal.people.reset(link, Secret("short"), ELSEWHERE)
    done, refused = await both(*(portal.people.reset(link, NEW_PASSWORD, ELSEWHERE) for _ in range(3)))
    assert len(done) == 1
    assert all(isinstance(one, LinkEnded) for one in refused)
    assert not await portal.opens(token)
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME))


async def test_a_reset_link_is_good_for_an_hour_from_when_it_was_sent(portal: Portal) -> None:
    await portal.ama()
    await portal.people.ask_reset("ama@example.com", HOME)
    portal.pass_time(hours=5)
    link = await portal.link("reset")
    portal.pass_time(minutes=61)
    with pytest.raises(LinkEnded):
        await portal.people.reset(link, NEW_PASSWORD, HOME)


async def test_asking_for_a_reset_does_the_same_work_for_an_unknown_address(portal: Portal) -> None:
    await portal.ama()
    await portal.post()
    written = []
    for email in ("ama@example.com", "nobody@example.com"):
        assert await portal.people.ask_reset(email, HOME) is None
        written.append(await portal.mail.listed(limit=1))
    assert [(one.kind, one.state, one.facts) for (one,) in written] == [("reset", "waiting", {})] * 2
    assert [to for to, about, text in await portal.post() if about == "reset" and text] == ["ama@example.com"]
    assert [str(one.state) for one in await portal.mail.listed(limit=2)] == ["dropped", "kept"]


async def test_asking_for_resets_is_slowed_for_known_and_unknown_alike(portal: Portal) -> None:
    await portal.ama()
    for email in ("ama@example.com", "nobody@example.com"):
        for _ in range(3):
            await portal.people.ask_reset(email, HOME)
        with pytest.raises(TooManyAttempts):
            await portal.people.ask_reset(email.upper(), HOME)
    with pytest.raises(InvalidInput):
        await portal.people.ask_reset("ama@example.com\nbcc: x@y.example", HOME)


async def test_an_invited_reseller_gets_its_person(portal: Portal) -> None:
    reseller = await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    old = token_in(await portal.people.invite("Kofi@example.com", by="root"))
    path = await portal.people.invite("kofi@example.com", by="root")
    assert path.startswith("/invitation/")
    with pytest.raises(LinkEnded):
        await portal.people.link(Purpose.INVITE, old)
    assert (await portal.people.link(Purpose.INVITE, token_in(path))).name == "Kofi"
    done, refused = await both(*(portal.people.accept_invitation(token_in(path), PASSWORD, HOME) for _ in range(3)))
    (token,) = done
    assert all(isinstance(one, LinkEnded) for one in refused)
    kofi = await portal.visits(token)
    assert (kofi.reseller_id, kofi.person.name, kofi.person.phone) == (reseller.id, "Kofi", "+233241234567")
    portal.people.require_verified(kofi)
    with pytest.raises(LinkEnded):
        await portal.people.link(Purpose.INVITE, token_in(path))
    with pytest.raises(AlreadyExists):
        await portal.people.invite("kofi@example.com", by="root")
    with pytest.raises(NotFound):
        await portal.people.invite("nobody@example.com", by="root")
    with pytest.raises(NotFound) as never:
        await portal.people.link(Purpose.INVITE, "x" * 43)
    assert not isinstance(never.value, LinkEnded)


async def test_an_address_that_was_corrected_after_the_invitation_is_the_one_that_counts(portal: Portal) -> None:
    await portal.resellers.add("kofi@exmaple.com", "Kofi", "0241234567")
    link = token_in(await portal.people.invite("kofi@exmaple.com", by="root"))
    await portal.resellers.rename("kofi@exmaple.com", new_email="kofi@example.com")
    assert (await portal.people.link(Purpose.INVITE, link)).email == "kofi@example.com"
    kofi = await portal.visits(await portal.people.accept_invitation(link, PASSWORD, HOME))
    assert kofi.person.email == "kofi@example.com"


async def test_an_invitation_takes_nobody_away_from_another_reseller(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.resellers.rename("ama@example.com", new_email="other@example.com")
    await portal.resellers.add("ama@example.com", "Somebody else", "0241234567")
    link = token_in(await portal.people.invite("ama@example.com", by="root"))
    with pytest.raises(EmailTaken):
        await portal.people.accept_invitation(link, PASSWORD, HOME)
    assert (await portal.people.find("ama@example.com")).member_of == ama.reseller_id


async def test_somebody_of_the_console_who_is_invited_is_one_person_with_one_password(portal: Portal) -> None:
    console = await portal.owner("kofi@example.com")
    await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    link = token_in(await portal.people.invite("kofi@example.com", by="root"))
    with pytest.raises(InvalidInput):
        await portal.people.accept_invitation(link, NEW_PASSWORD, ELSEWHERE)
    kofi = await portal.visits(await portal.people.accept_invitation(link, PASSWORD, HOME))
    assert kofi.person.id == (await portal.visits(console)).person.id
    assert kofi.person.phone == "+233241234567"


async def test_an_invitation_is_good_for_three_days(portal: Portal) -> None:
    await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    link = token_in(await portal.people.invite("kofi@example.com", by="root"))
    portal.pass_time(hours=73)
    with pytest.raises(LinkEnded):
        await portal.people.accept_invitation(link, PASSWORD, HOME)


async def test_an_invitation_may_be_sent_by_email(portal: Portal) -> None:
    await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    await portal.people.send_invitation("kofi@example.com", by="root")
    assert await portal.opens(await portal.people.accept_invitation(await portal.link("invite"), PASSWORD, HOME))


async def test_closed_takes_nobody_new_and_lets_the_others_in(
    portal: Portal, database: Database, tmp_path: Path
) -> None:
    token = await portal.ama()
    await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    link = token_in(await portal.people.invite("kofi@example.com", by="root"))
    closed = Portal(database, tmp_path, PeoplePolicy(sign_up=SignUp.CLOSED))
    assert await closed.opens(token)
    with pytest.raises(SignUpRefused):
        await closed.people.accept_invitation(link, PASSWORD, HOME)
    with pytest.raises(SignUpRefused):
        await closed.people.invite("kofi@example.com", by="root")


async def test_the_operator_passes_a_reset_on(portal: Portal) -> None:
    await portal.ama()
    path = await portal.people.reset_link("ama@example.com", by="root")
    await portal.people.reset(token_in(path), NEW_PASSWORD, HOME)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME))


async def test_a_new_address_takes_the_place_of_the_old_one_once_it_is_proven(portal: Portal) -> None:
    token = await portal.ama()
    ama = await portal.visits(token)
    with pytest.raises(InvalidInput) as refused:
        await portal.people.ask_new_email(ama, NEW_PASSWORD, "new@example.com")
    assert refused.value.field == "password"
    await portal.people.ask_new_email(ama, PASSWORD, "new@example.com")
    assert (await portal.visits(token)).person.email == "ama@example.com"
    await portal.people.confirm_email(await portal.link("new_address"))
    person = (await portal.visits(token)).person
    assert (person.email, person.email_verified) == ("new@example.com", True)
    assert (await portal.resellers.profile(ama.reseller_id)).email == "new@example.com"
    *_, (to, about, _) = await portal.post()
    assert (to, about) == ("ama@example.com", "address_changed")
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert await portal.opens(await portal.people.sign_in("new@example.com", PASSWORD, HOME))


async def test_an_address_that_somebody_took_meanwhile_stays_theirs(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.ask_new_email(ama, PASSWORD, "new@example.com")
    link = await portal.link("new_address")
    await portal.ama("new@example.com")
    with pytest.raises(EmailTaken):
        await portal.people.confirm_email(link)
    # And one that is taken already is sent nothing.
    await portal.people.ask_new_email(ama, PASSWORD, "new@example.com")
    await portal.post()
    (last,) = await portal.mail.listed(limit=1)
    assert (last.kind, last.state) == ("new_address", "dropped")


async def test_the_operator_gives_a_reseller_another_address_and_its_person_follows(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.confirm_email(await portal.link("verify"))
    await portal.resellers.rename("ama@example.com", new_email="new@example.com")
    assert await portal.people.follow(ama.reseller_id, "ama@example.com", "new@example.com")
    found = await portal.people.find("new@example.com")
    assert not found.email_verified
    await portal.owner()
    assert not await portal.people.follow(ama.reseller_id, "new@example.com", "owner@example.com")
    assert (await portal.people.find("new@example.com")).id == ama.person.id


# The console ------------------------------------------------------------------------------------------------------------


async def test_a_console_link_makes_an_owner_once_within_an_hour(portal: Portal) -> None:
    assert not await portal.people.has_owner()
    first, second = [token_in(await portal.people.console_link(by="root")) for _ in range(2)]
    with pytest.raises(LinkEnded):
        await portal.people.open_console(first, "owner@example.com", PASSWORD, HOME)
    emails = ("owner@example.com", "thief@example.com")
    done, refused = await both(*(portal.people.open_console(second, email, PASSWORD, HOME) for email in emails))
    assert len(done) == 1
    assert isinstance(refused[0], LinkEnded)
    assert len(await portal.people.staff()) == 1
    assert await portal.people.has_owner()
    third = token_in(await portal.people.console_link(by="root"))
    portal.pass_time(minutes=61)
    with pytest.raises(LinkEnded):
        await portal.people.open_console(third, "owner@example.com", PASSWORD, HOME)


async def test_a_lost_owner_comes_back_by_another_link_without_the_second_factor(portal: Portal) -> None:
    token = await portal.owner()
    owner = await portal.visits(token)
    secret = (await portal.people.begin_totp(owner)).secret.reveal()
    await portal.people.confirm_totp(owner, pyotp.TOTP(secret).at(portal.clock.now()))
    link = token_in(await portal.people.console_link(by="root"))
    again = await portal.people.open_console(link, "OWNER@example.com", NEW_PASSWORD, ELSEWHERE)
    assert (await portal.visits(again)).person.id == owner.person.id
    assert not await portal.opens(token)
    assert not (await portal.visits(again)).person.has_totp


async def test_a_role_that_is_taken_away_ends_at_once(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())
    path = await portal.people.invite_staff("efua@example.com", [Role.FINANCE, Role.SUPPORT], "new", owner)
    efua = await portal.people.accept_staff(token_in(path), PASSWORD, HOME)
    visitor = await portal.visits(efua)
    assert visitor.roles == {Role.FINANCE, Role.SUPPORT}
    await portal.people.set_roles(visitor.person.id, [Role.SUPPORT], "moved on", owner)
    assert not await portal.opens(efua)
    token = await portal.people.sign_in("efua@example.com", PASSWORD, HOME, surface=Surface.CONSOLE)
    assert (await portal.visits(token)).roles == {Role.SUPPORT}
    await portal.people.set_roles(visitor.person.id, [], "left", owner)
    assert not await portal.opens(token)
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("efua@example.com", PASSWORD, HOME, surface=Surface.CONSOLE)


async def test_the_console_keeps_an_owner_whoever_is_quick(portal: Portal) -> None:
    first = await portal.visits(await portal.owner())
    second = await portal.visits(await portal.owner("second@example.com"))
    done, refused = await both(
        portal.people.set_roles(first.person.id, [Role.SUPPORT], "a", second),
        portal.people.set_roles(second.person.id, [], "b", first),
    )
    assert len(done) == 1
    assert isinstance(refused[0], NotPermitted)
    (left,) = [one for one in await portal.people.staff() if Role.OWNER in one.roles]
    with pytest.raises(NotPermitted):
        await portal.people.suspend(left.person.id, "no", first)


async def test_an_invitation_to_the_console_does_not_take_an_account_over(portal: Portal) -> None:
    await portal.ama()
    owner = await portal.visits(await portal.owner())
    path = await portal.people.invite_staff("ama@example.com", [Role.SUPPORT], "helps", owner)
    with pytest.raises(InvalidInput):
        await portal.people.accept_staff(token_in(path), NEW_PASSWORD, ELSEWHERE)
    tried = await until_slowed(
        lambda _: portal.people.accept_staff(token_in(path), NEW_PASSWORD, ELSEWHERE), InvalidInput
    )
    assert tried == 9
    portal.pass_time(minutes=1)
    token = await portal.people.accept_staff(token_in(path), PASSWORD, HOME)
    assert (await portal.visits(token)).roles == {Role.SUPPORT}
    assert await portal.opens(await portal.people.sign_in("ama@example.com", PASSWORD, HOME))


async def test_only_an_owner_gives_roles_and_suspends_who_has_some(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())
    path = await portal.people.invite_staff("efua@example.com", [Role.FINANCE], "new", owner)
    efua = await portal.visits(await portal.people.accept_staff(token_in(path), PASSWORD, HOME))
    for refused in (
        portal.people.invite_staff("thief@example.com", [Role.OWNER], "x", efua),
        portal.people.set_roles(efua.person.id, [Role.OWNER], "x", efua),
        portal.people.suspend(owner.person.id, "x", efua),
    ):
        with pytest.raises(NotPermitted):
            await refused
    ama = await portal.visits(await portal.ama())
    await portal.people.suspend(ama.person.id, "asked for it", efua)
    with pytest.raises(InvalidInput):
        await portal.people.invite_staff("efua@example.com", [], "x", owner)


async def test_what_has_ended_is_removed_after_a_while(portal: Portal) -> None:
    token = await portal.ama()
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("nobody@example.com", PASSWORD, HOME)
    await portal.link("verify")
    assert await portal.people.clean() == 0
    assert await portal.opens(token)
    portal.pass_time(days=2)
    assert await portal.people.clean() >= 3
    assert await portal.opens(token)
    portal.pass_time(days=40)
    assert await portal.people.clean() == 2
    async with portal.database.connection() as tx:
        for table in ("person_session", "person_token", "person_attempt"):
            assert not await tx.fetchval(f"select exists (select from {table})")


# Second factors ---------------------------------------------------------------------------------------------------------


async def with_factor(portal: Portal) -> tuple[Visitor, pyotp.TOTP, list[str]]:
    """Ama with a second factor: her session, her app, and her recovery codes."""
    ama = await portal.visits(await portal.ama())
    totp = pyotp.TOTP((await portal.people.begin_totp(ama)).secret.reveal())
    with pytest.raises(CodeRefused):
        await portal.people.confirm_totp(ama, "000000" if totp.at(portal.clock.now()) != "000000" else "000001")
    codes = await portal.people.confirm_totp(ama, totp.at(portal.clock.now()))
    portal.pass_time(minutes=5)
    return ama, totp, [code.reveal() for code in codes]


async def test_the_password_alone_opens_nothing_where_there_is_a_second_factor(portal: Portal) -> None:
    _, totp, _ = await with_factor(portal)
    with pytest.raises(SecondFactorNeeded) as needed:
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    with pytest.raises(CodeRefused):
        await portal.people.second_step(needed.value.ticket, "no code", HOME)
    token = await portal.people.second_step(needed.value.ticket, totp.at(portal.clock.now()), HOME)
    assert await portal.opens(token)
    portal.pass_time(minutes=1)
    with pytest.raises(LinkEnded):
        await portal.people.second_step(needed.value.ticket, totp.at(portal.clock.now()), HOME)
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME, otp=totp.at(portal.clock.now()))


async def test_of_two_who_use_one_step_at_once_one_gets_in(portal: Portal) -> None:
    _, totp, _ = await with_factor(portal)
    code = totp.at(portal.clock.now())
    done, refused = await both(*(portal.people.sign_in("ama@example.com", PASSWORD, HOME, otp=code) for _ in range(4)))
    assert len(done) == 1
    assert all(isinstance(one, CodeRefused) for one in refused)
    # The code of the step before is good for clocks that are slow, and not once a later one was used.
    with pytest.raises(CodeRefused):
        await portal.people.sign_in(
            "ama@example.com", PASSWORD, HOME, otp=totp.at(int(portal.clock.now().timestamp()) - 30)
        )


async def test_a_recovery_code_counts_once(portal: Portal) -> None:
    ama, _, codes = await with_factor(portal)
    assert len(set(codes)) == 10
    assert await portal.opens(
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME, otp=f" {codes[0].upper()} ")
    )
    with pytest.raises(CodeRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME, otp=codes[0])
    assert await portal.people.recovery_codes_left(ama) == 9
    fresh = await portal.people.new_recovery_codes(ama, PASSWORD)
    with pytest.raises(CodeRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME, otp=codes[1])
    assert len(fresh) == 10


async def test_guessing_codes_is_slowed(portal: Portal) -> None:
    await with_factor(portal)
    with pytest.raises(SecondFactorNeeded) as needed:
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)
    assert (
        await until_slowed(lambda _: portal.people.second_step(needed.value.ticket, "no code", HOME), CodeRefused) == 6
    )


async def test_the_secret_of_a_second_factor_is_sealed_and_removed_with_the_password(portal: Portal) -> None:
    ama, totp, _ = await with_factor(portal)
    async with portal.database.connection() as tx:
        row = await tx.fetchval("select person::text from person where lower(email) = 'ama@example.com'")
    assert totp.secret not in row
    with pytest.raises(AlreadyExists):
        await portal.people.begin_totp(ama)
    with pytest.raises(InvalidInput):
        await portal.people.end_totp(ama, NEW_PASSWORD)
    await portal.people.end_totp(ama, PASSWORD)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", PASSWORD, HOME))


async def test_the_operator_helps_somebody_who_has_lost_device_and_codes(portal: Portal) -> None:
    await with_factor(portal)
    link = token_in(await portal.people.reset_link("ama@example.com", "root", ends_second_factor=True))
    await portal.people.reset(link, NEW_PASSWORD, HOME)
    assert await portal.opens(await portal.people.sign_in("ama@example.com", NEW_PASSWORD, HOME))
    told = [text for _, about, text in await portal.post() if about == "second_factor"]
    assert ["turned on" in told[0], "turned off" in told[1], len(told)] == [True, True, 2]


# The purchase PIN -------------------------------------------------------------------------------------------------------


async def test_a_purchase_pin_is_off_until_its_owner_sets_one(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.check_pin(ama, None)
    with pytest.raises(InvalidInput):
        await portal.people.set_pin(ama, PASSWORD, Secret("12345"))
    with pytest.raises(InvalidInput):
        await portal.people.set_pin(ama, NEW_PASSWORD, Secret("1234"))
    await portal.people.set_pin(ama, PASSWORD, Secret("1234"))
    await portal.people.check_pin(ama, Secret(" 1234 "))
    for missing in (None, Secret("")):
        with pytest.raises(InvalidInput):
            await portal.people.check_pin(ama, missing)
    await portal.people.remove_pin(ama, PASSWORD)
    await portal.people.check_pin(ama, None)


async def test_wrong_pins_lock_purchases_until_the_password_is_given(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.set_pin(ama, PASSWORD, Secret("1234"))
    left = []
    for _ in range(5):
        with pytest.raises(PurchasePinRefused) as refused:
            await portal.people.check_pin(ama, Secret("9999"))
        left.append(refused.value.left)
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(PurchasePinLocked):
        await portal.people.check_pin(ama, Secret("1234"))
    with pytest.raises(InvalidInput):
        await portal.people.unlock_pin(ama, NEW_PASSWORD)
    await portal.people.unlock_pin(ama, PASSWORD)
    await portal.people.check_pin(ama, Secret("1234"))


async def test_many_pins_at_once_are_no_more_than_one_after_the_other(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.set_pin(ama, PASSWORD, Secret("1234"))
    _, refused = await both(*(portal.people.check_pin(ama, Secret(f"000{n % 10}")) for n in range(12)))
    assert sum(isinstance(one, PurchasePinRefused) for one in refused) == 5
    assert sum(isinstance(one, PurchasePinLocked) for one in refused) == 7


async def test_confirming_by_password_is_slowed(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    assert await until_slowed(lambda _: portal.people.unlock_pin(ama, NEW_PASSWORD), InvalidInput) == 10


async def test_a_password_that_changes_while_it_is_compared_opens_nothing(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    fits = portal.passwords.fits

    async def slow(hashed: str | None, text: str) -> bool:
        found = await fits(hashed, text)
        portal.passwords.fits = fits
        await portal.people.change_password(ama, PASSWORD, NEW_PASSWORD)
        return found

    portal.passwords.fits = slow
    with pytest.raises(SignInRefused):
        await portal.people.sign_in("ama@example.com", PASSWORD, HOME)


async def _hash(portal: Portal) -> str:
    async with portal.database.connection() as tx:
        return str(await tx.fetchval("select password from person"))
