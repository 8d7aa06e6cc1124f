"""What the tests of identity checks start from: a reseller with money, keys, and an authority that does as it is told."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telvend.audit.service import audit_books
from telvend.authorities.contract import Answer, Authority, Found, Record, VerificationKind
from telvend.authorities.personas import Personas
from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.funding.credits.service import Credits
from telvend.identity.custody import Custody
from telvend.identity.model import VerificationPolicy, VerificationRequest, VerificationResult
from telvend.identity.service import Identity
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret, digest
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from telvend.resellers.service import Resellers
from telvend.resellers.store import caller_of
from tests.clocks import FakeClock

NUMBER = "70123456789"
PRICE_MINOR = 10_000
OKAFOR = Record(first_name="Ngozi", last_name="Okafor")
QUICK = VerificationPolicy(timeout_s=0.4, grace_s=0.3)
_numbers = itertools.count(1)


class Obedient:
    """An authority that answers what the test says, when it says. It finds `record`, and counts its calls."""

    def __init__(self, name: str = "prembly", record: Record = OKAFOR) -> None:
        self._name = name
        self.answer: Answer | Callable[[str], Answer] = Found(record)
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()

    @property
    def name(self) -> str:
        return self._name

    async def nin(self, number: Secret) -> Answer:
        self.asked += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return self.answer(number.reveal()) if callable(self.answer) else self.answer

    bvn = nin

    async def close(self) -> None:
        pass


def wants(number: str = NUMBER, reference: str | None = None, **more: Any) -> VerificationRequest:
    """A standard check of a NIN."""
    return VerificationRequest(
        **{
            "kind": VerificationKind.NIN,
            "number": Secret(number),
            "card_type": "standard",
            "client_reference": reference,
        }
        | more
    )


@dataclass(slots=True)
class VerificationShop:
    """A shop that sells identity checks, and Ama, who buys them with a live key."""

    database: Database
    ledger: Ledger
    data_dir: Path
    ama: Caller
    identity: Identity
    others: list[Identity] = field(default_factory=list)

    async def check(self, number: str = NUMBER, reference: str | None = None, **more: Any) -> VerificationResult:
        return await self.identity.check(self.ama, wants(number, reference, **more))

    def another_process(
        self, authorities: Mapping[str, Authority] | None = None, policy: VerificationPolicy | None = None
    ) -> Identity:
        made = identity_of(self.database, self.data_dir, authorities, policy)
        self.others.append(made)
        return made

    async def close(self) -> None:
        for identity in (self.identity, *self.others):
            await identity.close()

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def balance(self) -> int:
        return int(await self.value("select balance_minor from wallet where account_id = $1", self.ama.wallets["NGN"]))

    async def house(self) -> dict[str, int]:
        """What the accounts of the house hold, those with nothing left out, fundings too."""
        return {
            f"{total.kind} {total.owner}".strip(): total.total.minor
            for total in await self.ledger.totals()
            if total.kind not in ("wallet", "funding") and total.total.minor
        }

    async def check_books(self) -> None:
        assert (await audit_books(self.database)).findings == ()


def identity_of(
    database: Database,
    data_dir: Path,
    authorities: Mapping[str, Authority] | None = None,
    policy: VerificationPolicy | None = None,
) -> Identity:
    """Identity as one process has it. Its personas are in no hurry to be slow."""
    return Identity(
        database, Ledger(database), Custody(database, data_dir), Personas(FakeClock()), authorities, policy=policy
    )


async def caller(database: Database, *, ngn_minor: int = 0, mode: Mode = Mode.LIVE) -> Caller:
    """A new reseller with so much money and a key for networkdatasub."""
    ledger = Ledger(database)
    resellers = Resellers(database, ledger, APIS)
    email = f"ada{next(_numbers)}@example.com"
    reseller = await resellers.add(email, "Ada", "08031234567")
    if ngn_minor:
        await Credits(database, ledger).add(reseller.id, Money(ngn_minor, NGN), mode, "opening")
    return await new_key(database, email, mode)


async def new_key(database: Database, email: str, mode: Mode = Mode.LIVE) -> Caller:
    _, text, _ = await Resellers(database, Ledger(database), APIS).add_key(email, "networkdatasub", mode)
    async with database.connection() as tx:
        found = await caller_of(tx, digest(text.reveal()))
    assert found is not None
    return found


async def verification_shop(
    database: Database,
    data_dir: Path,
    authorities: Mapping[str, Authority] | None = None,
    *,
    ngn_minor: int = 500_000,
    policy: VerificationPolicy | None = None,
) -> VerificationShop:
    """A shop with NGN 5,000.00 in Ama's wallet."""
    ama = await caller(database, ngn_minor=ngn_minor)
    return VerificationShop(
        database, Ledger(database), data_dir, ama, identity_of(database, data_dir, authorities, policy)
    )
