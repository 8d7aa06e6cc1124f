"""Money that the operator puts into a wallet by hand."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import Act, ActKind, Confirmation, Proposal, WaitsForSecondPerson, require_name
from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, ReferenceReused
from telvend.funding.credits import store
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.kit.text import require_text
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind

MOST_PLAY_MONEY: Final = 100_000
"""So much play money a reseller's test wallet may be filled up to by its owner, in whole units of its currency."""

Also = Callable[[Tx, Proposal | int], Awaitable[None]]


class Credits:
    """Credits by hand of one shop."""

    def __init__(self, database: Database, ledger: Ledger, second_person: SecondPerson | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._second_person = second_person or SecondPerson()

    async def add(
        self,
        reseller_id: UUID,
        amount: Money,
        mode: Mode,
        reference: str,
        *,
        by_whom: str | None = None,
        also: Also | None = None,
    ) -> Money:
        """Put money into a reseller's wallet, once for each reference; opens the wallet if there is none.

        Returns the balance. The same reference and amount again credits nothing. Raises InvalidInput,
        ReferenceReused for another amount, and WaitsForSecondPerson where the credit has become a proposal. `also` is called in its
        transaction where it was made now, with its number or with the proposal that it has become.
        """
        return await self._add(reseller_id, amount, mode, reference, by_whom, also=also)

    async def _add(
        self,
        reseller_id: UUID,
        amount: Money,
        mode: Mode,
        reference: str,
        by_whom: str | None,
        *,
        most: int | None = None,
        also: Also | None = None,
    ) -> Money:
        """As `add`; the wallet then holds no more than `most`."""
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        require_text("reference", reference, 128)
        if by_whom is not None:
            by_whom = require_name(by_whom)
        funding = await self._ledger.house(AccountKind.FUNDING, amount.currency, mode)
        async with self._database.transaction() as tx:
            wallet_id = await self._ledger.open_wallet(tx, reseller_id, amount.currency, mode)
            journal = await WalletJournal.begin(tx, [wallet_id])
            before = await store.credit_of(tx, wallet_id, reference)
            if before is not None:
                if before != amount.minor:
                    raise ReferenceReused(reference)
                return Money(journal.wallets[wallet_id].balance_minor, amount.currency)
            if most is not None and journal.wallets[wallet_id].balance_minor + amount.minor > most:
                raise InvalidInput("amount", f"would make the wallet hold more than {Money(most, amount.currency)}")
            (cause,) = await ledger_store.next_causes(tx, 1)
            act = Act(ActKind.CREDIT, wallet_id, reference, amount, mode)
            waiting = await self._second_person.admit(tx, act, cause, by_whom=by_whom)
            if waiting is None:
                balance = await _enter(tx, journal, act, cause, funding, by_whom or "")
            if also is not None:
                await also(tx, cause if waiting is None else waiting)
        if waiting is not None:
            await hit_async("approval.proposed")
            raise WaitsForSecondPerson(waiting)
        return balance

    async def add_play_money(self, reseller_id: UUID, amount: Money, once: str) -> Money:
        """Put play money into a reseller's test wallet, as its owner asks. Returns the balance. `once` names the wish.

        Raises InvalidInput, also where the wallet would hold more than MOST_PLAY_MONEY.
        """
        most = MOST_PLAY_MONEY * 10**amount.currency.digits
        if amount.minor > most:
            raise InvalidInput("amount", f"must be at most {MOST_PLAY_MONEY:,}")
        return await self._add(reseller_id, amount, Mode.TEST, f"play money {once}", None, most=most)

    async def credited(self, reseller_id: UUID, currency: Currency, mode: Mode, reference: str) -> Money | None:
        """What was credited to a reseller's wallet under a reference; None where nothing was. Raises Busy."""
        async with self._database.connection() as tx:
            wallet_id = await ledger_store.wallet_of(tx, reseller_id, currency.code, mode)
            minor = None if wallet_id is None else await store.credit_of(tx, wallet_id, reference)
        return None if minor is None else Money(minor, currency)

    async def perform(self, proposal: Proposal, confirmation: Confirmation) -> None:
        """Make the credit that was proposed, as a second person has confirmed.

        Raises InvalidInput: the reference was used meanwhile, or the proposal cannot be confirmed.
        """
        amount = proposal.amount
        funding = await self._ledger.house(AccountKind.FUNDING, amount.currency, proposal.mode)
        async with self._database.transaction() as tx:
            journal = await WalletJournal.begin(tx, [proposal.wallet_id])
            before = await store.credit_of(tx, proposal.wallet_id, proposal.reference)
            if before is not None:
                credited = Money(before, amount.currency)
                raise InvalidInput(
                    "", f"{credited} was credited under {proposal.reference} meanwhile; nothing has moved."
                )
            (cause,) = await ledger_store.next_causes(tx, 1)
            act = Act(ActKind.CREDIT, proposal.wallet_id, proposal.reference, amount, proposal.mode)
            await self._second_person.admit(tx, act, cause, confirmation=confirmation)
            await _enter(tx, journal, act, cause, funding, proposal.proposed_by)

    async def givers(self, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Return the reference and the name of those of these causes that are credits with a name. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.givers(tx, numbers)


async def _enter(tx: Tx, journal: WalletJournal, act: Act, cause: int, funding: int, by_whom: str) -> Money:
    """Write a credit. Returns the balance after it."""
    balance = journal.credit(cause, act.wallet_id, funding, act.amount)
    position = journal.enter(act.wallet_id, TransactionKind.CREDIT, cause, credit=True)
    await store.write_credit(tx, cause, act.wallet_id, act.reference, act.amount.minor, position, by_whom)
    await journal.write(tx)
    return balance
