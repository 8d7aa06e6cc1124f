"""Identity checks in a story, answered by one authority called `prembly`, as the steps say.

It takes 60.00 for a record of a NIN and 10.00 for the answer that there is none; a standard check sells for 100.00. A step names
a number by one word, `Ada`; the eleven digits do not matter. The column `check` is the state of the last check, `asked` how often
the authority was called.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from telvend.authorities.contract import (
    Answer,
    Blocked,
    Found,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.authorities.personas import Personas
from telvend.database.connections import Database
from telvend.identity.custody import Custody
from telvend.identity.model import VerificationRequest, VerificationResult, VerificationState
from telvend.identity.service import Identity
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from tests.clocks import FakeClock

AUTHORITY: Final = "prembly"
FOUND: Final = Money(6000, NGN)
WITHOUT: Final = Money(1000, NGN)
PATIENCE_S: Final = 10.0

NUMBERS: Final = {"Ada": "70123456789", "Bola": "70123456790", "nobody": "70123456791"}

ANSWERS: Final[dict[str, Answer]] = {
    "finds the record": Found(Record(first_name="Ada", last_name="Obi")),
    "has no record": NotOnRecord(),
    "says that it is blocked": Blocked(),
    "is away": Unavailable(),
    "answers garbage": VerificationUnknown("not JSON"),
}


class ScriptedAuthority:
    """An authority whose answers wait for the story."""

    name = AUTHORITY

    def __init__(self) -> None:
        self.calls: asyncio.Queue[asyncio.Future[Answer]] = asyncio.Queue()
        self.times = 0

    async def nin(self, _: Secret) -> Answer:
        self.times += 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        await self.calls.put(answer)
        return await answer

    bvn = nin

    async def close(self) -> None:
        """Nothing is held."""


class VerificationStage:
    """The steps of a story about identity checks. `caller` returns who buys them."""

    def __init__(
        self, database: Database, ledger: Ledger, data_dir: Path, caller: Callable[[], Awaitable[Caller]]
    ) -> None:
        self._database = database
        self._caller = caller
        self._authority = ScriptedAuthority()
        custody = Custody(database, data_dir)
        self._identity = Identity(database, ledger, custody, Personas(FakeClock()), {AUTHORITY: self._authority})
        self._last: VerificationRequest | None = None
        self._checks: list[asyncio.Task[VerificationResult]] = []
        self._count = 0

    def verbs(self) -> list[tuple[str, Callable[..., Awaitable[None]]]]:
        """Patterns of steps, with what each does."""
        return [
            (r"what prembly takes is known", self._know_costs),
            (r"check (Ada|Bola|nobody)", self._check),
            (r"check (Ada) anew", lambda who: self._check(who, force_new=True)),
            (r"same check again", self._check_again),
            (rf"{AUTHORITY} ({'|'.join(ANSWERS)})", self._answer),
            (r"the check's process dies, and is given up", self._give_up),
        ]

    def columns(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Columns that are no balances, with how each is read."""
        return {"check": self._state, "asked": self._asked}

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for the authority."""
        return self._authority.calls.empty() and all(check.done() for check in self._checks)

    async def close(self) -> None:
        for check in self._checks:
            check.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        for task in self._identity._checking._asking.values():
            task.cancel()
        await self._identity.close()

    async def _state(self) -> str:
        async with self._database.connection() as tx:
            return str(await tx.fetchval("select state from verification order by id desc limit 1") or "")

    async def _asked(self) -> str:
        return str(self._authority.times)

    async def _know_costs(self) -> None:
        await self._identity.set_costs(AUTHORITY, VerificationKind.NIN, FOUND, WITHOUT)

    async def _check(self, who: str, *, force_new: bool = False) -> None:
        self._count += 1
        self._last = VerificationRequest(
            kind=VerificationKind.NIN,
            number=Secret(NUMBERS[who]),
            card_type="standard",
            force_new=force_new,
            use_real_api=True,
            client_reference=f"check {self._count}",
        )
        await self._begin()

    async def _check_again(self) -> None:
        """Under the same reference. One that is still being asked is waited for, so that this ends with the answer."""
        await self._begin()

    async def _begin(self) -> None:
        """Begin a check, and come back when it is final or the authority is being asked."""
        assert self._last is not None
        caller, last = await self._caller(), self._last
        check = asyncio.create_task(self._identity.check(caller, last))
        waiting = asyncio.create_task(self._until_asked())
        self._checks.append(check)
        await asyncio.wait([check, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
        waiting.cancel()
        if check.done():
            self._checks.remove(check)
            assert self._authority.calls.empty() or self._checks, (
                "it was answered, and the authority is asked all the same"
            )
            check.result()

    async def _until_asked(self) -> None:
        while self._authority.calls.empty():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _answer(self, words: str) -> None:
        answer = await asyncio.wait_for(self._authority.calls.get(), PATIENCE_S)
        answer.set_result(ANSWERS[words])
        done, late = await asyncio.wait(self._checks, timeout=PATIENCE_S)
        assert not late, "a check that has its answer does not end"
        self._checks.clear()
        # A repeat in the meantime gets the same check.
        assert len({check.result().verification.id for check in done}) == 1

    async def _give_up(self) -> None:
        """As kill -9 does it: nobody waits any more, the answer is lost, and its time has run out."""
        for task in [*self._identity._checking._asking.values(), *self._checks]:
            task.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        self._checks.clear()
        while not self._authority.calls.empty():
            self._authority.calls.get_nowait()
        async with self._database.connection() as tx:
            rows = await tx.fetch("select id, wallet_id from verification where state = $1", VerificationState.ASKING)
        for row in rows:
            assert await self._identity._checking.give_up(row["id"], row["wallet_id"])
