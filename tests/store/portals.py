"""A shop whose people are tested, with a clock in hand."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.people.keys import PeopleKeys
from telvend.people.mail.outbox import MailOutbox
from telvend.people.mail.sender import EmailSender
from telvend.people.mail.transport import KeptHere, Transport
from telvend.people.model import FromWhere, SessionToken, SignUp, Visitor
from telvend.people.passwords import Passwords
from telvend.people.service import People, PeoplePolicy
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets
from tests.clocks import FakeClock

HOME: Final = FromWhere("197.210.1.2", "Mozilla/5.0 (Linux; Android 14) Chrome/141.0")
ELSEWHERE: Final = FromWhere("41.66.9.9", "Opera Mini/76")
PASSWORD: Final = Secret("correct horse")
NEW_PASSWORD: Final = Secret("battery staple")
BASE: Final = "https://shop.example"

T = TypeVar("T")


class Portal:
    """Its passwords cost little to check."""

    def __init__(self, database: Database, folder: Path, policy: PeoplePolicy | None = None) -> None:
        self.database = database
        self.folder = folder
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
        token = token_in(await self.people.console_link(by="root"))
        return await self.people.open_console(token, email, PASSWORD, HOME)

    def sender(self, transport: Transport | None = None) -> EmailSender:
        used = KeptHere(self.folder / "outbox") if transport is None else transport
        return EmailSender(
            self.database, self.keys, self.clock, used, base_url=lambda: BASE, sender="Shop <shop@shop.example>"
        )

    async def post(self) -> list[tuple[str, str, str]]:
        """Send what waits, and return everything that was kept: to whom, about what, the text; oldest first."""
        await self.sender().work()
        kept = reversed(await self.mail.listed())
        return [(one.recipient, str(one.kind), await self.mail.text(one.id) or "") for one in kept]

    async def link(self, kind: str) -> str:
        """The token in the last e-mail of a kind."""
        texts = [text for _, about, text in await self.post() if about == kind and text]
        (line,) = [line for line in texts[-1].splitlines() if line.startswith(f"{BASE}/")]
        return token_in(line)


def token_in(path: str) -> str:
    return path.rpartition("/")[2]


async def both(*work: Awaitable[T]) -> tuple[list[T], list[BaseException]]:
    """What of the work has succeeded, and what has raised, all begun at once."""
    found = await asyncio.gather(*work, return_exceptions=True)
    done = [one for one in found if not isinstance(one, BaseException)]
    return done, [one for one in found if isinstance(one, BaseException)]
