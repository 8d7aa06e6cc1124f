"""People on a real database: signing up and in, sessions, links, second factors, PINs, roles, and what strangers can learn."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.errors import InvalidFields
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.people.keys import PeopleKeys
from telvend.people.mail.outbox import MailOutbox
from telvend.people.model import (
    EmailTaken,
    FromWhere,
    SessionToken,
    SignInRefused,
    SignUp,
    SignUpRefused,
    Visitor,
)
from telvend.people.passwords import Passwords
from telvend.people.service import People, PeoplePolicy
from telvend.people.signing_in import MOST_SHARING
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets
from tests.clocks import FakeClock

HOME = FromWhere("197.210.1.2", "Mozilla/5.0 (Linux; Android 14) Chrome/141.0")
ELSEWHERE = FromWhere("41.66.9.9", "Opera Mini/76")
PASSWORD = Secret("correct horse")
NEW_PASSWORD = Secret("battery staple")

T = TypeVar("T")


class Portal:
    """A shop whose people are tested, with a clock in hand. Its passwords cost little to check."""

    def __init__(self, database: Database, folder: Path, policy: PeoplePolicy | None = None) -> None:
        self.database = database
        self.clock = FakeClock()
        self.resellers = Resellers(database, Ledger(database), APIS)
        self.wallets = Wallets(database)
        self.keys = PeopleKeys(database, folder)
        self.mail = MailOutbox(database, self.keys, self.clock)
        self.passwords = Passwords(time_cost=1, memory_kib=64)
        self.people = People(
            database,
            self.resellers,
            self.keys,
            self.mail,
            policy or PeoplePolicy(sign_up=SignUp.OPEN),
            passwords=self.passwords,
            clock=self.clock,
        )

    def pass_time(self, **duration: float) -> None:
        self.clock.pass_time(timedelta(**duration).total_seconds())

    async def ama(self, email: str = "ama@example.com", phone: str = "0241234567") -> SessionToken:
        return await self.people.sign_up("Ama Mensah", email, phone, PASSWORD, HOME)

    async def visits(self, token: SessionToken) -> Visitor:
        found = await self.people.visitor(token.secret.reveal(), token.surface)
        assert found is not None
        return found

    async def opens(self, token: SessionToken) -> bool:
        return await self.people.visitor(token.secret.reveal(), token.surface) is not None

    async def owner(self, email: str = "owner@example.com") -> SessionToken:
        token = (await self.people.console_link(by="root")).rpartition("/")[2]
        return await self.people.open_console(token, email, PASSWORD, HOME)


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> Portal:
    return Portal(database, tmp_path)


async def both(*work: Awaitable[T]) -> tuple[list[T], list[BaseException]]:
    """What of the work has succeeded, and what has raised."""
    found = await asyncio.gather(*work, return_exceptions=True)
    return [one for one in found if not isinstance(one, BaseException)], [
        one for one in found if isinstance(one, BaseException)
    ]


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
