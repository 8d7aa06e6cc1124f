"""The verbs of provisional credits: give one, give those that are due, list them.

They end where their orders are settled: `ending.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import Act, ActKind, Confirmation, Proposal, WaitsForSecondPerson
from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.provisional import store
from telvend.fulfilment.provisional.metrics import count_provisional_credit
from telvend.fulfilment.provisional.model import (
    CREDIT_PREFIX,
    CreditableOrder,
    CreditState,
    EnteredReport,
    Given,
    OpenCredits,
    ProvisionalCredit,
    UnknownAges,
    refusal_of,
)
from telvend.kit import log
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.text import require_reason
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind

_log = log.get(__name__)

WATCH_S: Final = 600.0
"""For how long a process looks at an order before it believes the database's clock about it."""

BY_RULE: Final = "telvend"
"""`by_whom` of a credit that was given because of the setting `provisional_credit_after_hours`."""

WATCHED_FROM_S: Final = 900.0
"""From what age on an order is watched: what a jump of the clock adds to its age later is not believed."""

_RECENT_S: Final = 3600.0
_PAGE: Final = 1000
_BATCH: Final = 100
"""How many orders are looked at, and how many get their credits, with one transaction."""


class ProvisionalCredits:
    """The provisional credits of one shop. What a person gives passes `second_person`; what the rule gives does not."""

    def __init__(self, database: Database, ledger: Ledger, second_person: SecondPerson | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._second_person = second_person or SecondPerson()

    async def give(self, order_id: int, *, reason: str, by_whom: str) -> Given:
        """Lend the price of an order to its wallet, once. Later calls return the first credit.

        The order stays as it is. Raises InvalidInput (its outcome is not unknown, play money), NotFound, WaitsForSecondPerson
        where the credit has become a proposal, Busy.
        """
        reason, by_whom = require_reason(reason, by_whom)
        given = await self._give([await self._named(order_id)], reason, by_whom)
        async with self._database.connection() as tx:
            credit = (await store.of_orders(tx, [order_id]))[order_id]
        return Given(credit, given[order_id][1], again=given[order_id][0])

    async def perform(self, proposal: Proposal, confirmation: Confirmation) -> None:
        """Give the credit that was proposed, as a second person has confirmed.

        Raises InvalidInput (the order has changed meanwhile, or the proposal cannot be confirmed), NotFound, Busy.
        """
        order = await self._named(proposal.order_id or 0)
        await self._give([order], proposal.reason, proposal.proposed_by, confirmation)

    async def _named(self, order_id: int) -> store.UnknownOrder:
        """Raises NotFound."""
        async with self._database.connection() as tx:
            order = await store.named(tx, order_id)
        if order is None:
            raise NotFound("Order")
        return order

    async def give_of_rule(self, orders: Sequence[store.UnknownOrder], reason: str) -> int:
        """Give these orders a credit where they have none and their outcome is still unknown. Returns how many. Raises Busy."""
        given = await self._give(orders, reason, BY_RULE, lenient=True)
        return sum(not again for again, _ in given.values())

    async def _give(
        self,
        orders: Sequence[store.UnknownOrder],
        reason: str,
        by_whom: str,
        confirmation: Confirmation | None = None,
        *,
        lenient: bool = False,
    ) -> dict[int, tuple[bool, Money]]:
        """Return, by order, whether it had a credit before, and the balance.

        `lenient`: these are orders of the rule; leave out those that are refused. Else it is one order, by hand; with
        `confirmation`, a credit that was given already is an error. Raises InvalidInput, WaitsForSecondPerson, Busy.
        """
        answers: dict[int, tuple[bool, Money]] = {}
        given = []
        waiting = None
        # Outside of the transaction below, which holds the wallets. Also the one that a credit may end in.
        accounts = {}
        for currency in {order.currency for order in orders}:
            accounts[currency] = await self._ledger.house(AccountKind.PROVISIONAL_CREDIT, currency, Mode.LIVE)
            await self._ledger.house(AccountKind.WRITE_OFF, currency, Mode.LIVE)
        async with self._database.transaction() as tx:
            salt = await ledger_store.installation_salt(tx)
            journal = await WalletJournal.begin(tx, {order.wallet_id for order in orders})
            locked = []
            for order in await store.lock(tx, [order.id for order in orders]):
                if order.credited:
                    if confirmation is not None:
                        raise InvalidInput(
                            "", f"{order.reference} got a provisional credit meanwhile; nothing has moved."
                        )
                    balance = Money(journal.wallets[order.wallet_id].balance_minor, order.price.currency)
                    answers[order.id] = (True, balance)
                elif (refusal := refusal_of(order)) is None:
                    locked.append(order)
                elif not lenient:
                    raise InvalidInput("", f"{order.reference} {refusal}.")
            causes = await ledger_store.next_causes(tx, len(locked)) if locked else []
            for order, cause in zip(locked, causes, strict=True):
                if not lenient:
                    waiting = await self._admit(tx, order, cause, reason, by_whom, confirmation)
                    if waiting is not None:
                        break
                account = accounts[order.price.currency]
                balance = journal.credit_provisionally(cause, order.wallet_id, account, order.price)
                position = journal.enter(order.wallet_id, TransactionKind.PROVISIONAL_CREDIT, cause, credit=True)
                reference = reference_of(CREDIT_PREFIX, cause, salt)
                given.append(store.CreditRow(cause, reference, order.id, order.wallet_id, order.price.minor, position))
                answers[order.id] = (False, balance)
            if given:
                await store.write(tx, given, reason, by_whom)
                await journal.write(tx)
                await hit_async("provisional.before_commit")
        if waiting is not None:
            await hit_async("approval.proposed")
            raise WaitsForSecondPerson(waiting)
        if given:
            await hit_async("provisional.after_commit")
        for credit in given:
            count_provisional_credit("given")
            _log.warning(
                "provisional_credit_given",
                order=credit.order_id,
                credit=credit.our_reference,
                amount=credit.amount_minor,
            )
        return answers

    async def _admit(
        self,
        tx: Tx,
        order: CreditableOrder,
        cause: int,
        reason: str,
        by_whom: str,
        confirmation: Confirmation | None,
    ) -> Proposal | None:
        act = Act(
            ActKind.PROVISIONAL_CREDIT, order.wallet_id, order.reference, order.price, order.mode, reason, order.id
        )
        return await self._second_person.admit(tx, act, cause, by_whom=by_whom, confirmation=confirmation)

    async def unknown(self, after_id: int, least_s: float) -> list[store.UnknownOrder]:
        """One page of the orders whose outcome is unknown for `least_s` by the database's clock, from above this number.

        Those that have a credit, or may have none, are left out. Raises Busy.
        """
        async with self._database.connection() as tx:
            return await store.unknown(tx, after_id, least_s, _PAGE)

    async def of_order(self, order_id: int) -> ProvisionalCredit | None:
        """The credit of an order, if it has one. Raises Busy."""
        async with self._database.connection() as tx:
            return (await store.of_orders(tx, [order_id])).get(order_id)

    async def causes_of(self, credit: ProvisionalCredit) -> list[int]:
        """The numbers under which the ledger has the transfers of a credit: its own, and that of its reversal. Raises Busy."""
        async with self._database.connection() as tx:
            reversal = await store.reversal_of(tx, credit.id)
        return [credit.id] if reversal is None else [credit.id, reversal["id"]]

    async def notes(self, numbers: Sequence[int]) -> dict[int, Any]:
        """Return reference, reason and by_whom of those of these causes that are credits or reversals. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.notes_by_id(tx, numbers)

    async def listed(
        self, states: Sequence[CreditState] | None = None, *, before: int | None = None, limit: int
    ) -> list[ProvisionalCredit]:
        """Credits, newest first, from below number `before`. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, states, before, limit)

    async def late_reports_of(self, order_id: int) -> list[EnteredReport]:
        """What providers said of an order after a person had decided it, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.late_reports_of(tx, order_id)

    async def late_reports(self, before: int | None, limit: int) -> list[EnteredReport]:
        """What providers said after a person had decided, newest first, from below number `before`. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.late_reports(tx, before, limit)

    async def recent_reports(self) -> dict[tuple[str, bool], int]:
        """How many late reports were entered in the last hour, by provider and whether it has delivered. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.count_reports(tx, _RECENT_S)

    async def open_totals(self) -> list[OpenCredits]:
        """The open credits, by currency. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.open_totals(tx)


class ProvisionalRule:
    """Gives provisional credits to orders whose outcome has been unknown for `after_s`. May run in any number of processes.

    `held`: whether nothing may be given now.
    """

    def __init__(
        self,
        credits_: ProvisionalCredits,
        clock: Clock,
        after_s: float,
        *,
        held: Callable[[], bool] | None = None,
        watch_s: float = WATCH_S,
    ) -> None:
        self._credits = credits_
        self._after_s = after_s
        self._held = held or (lambda: False)
        self._ages = UnknownAges(clock, watch_s)

    async def work(self) -> int:
        """Look at all orders once. Returns how many got a credit. Raises Busy."""
        if self._held():
            return 0
        count, after_id = 0, 0
        seen: set[int] = set()
        reason = f"The outcome has been unknown for {self._after_s / 3600:g} hours."
        least_s = min(self._after_s, WATCHED_FROM_S)
        while page := await self._credits.unknown(after_id, least_s):
            after_id = page[-1].id
            seen.update(one.id for one in page)
            ages = [(one, self._ages.note(one.id, one.age_s)) for one in page]
            ripe = [one for one, age_s in ages if age_s is not None and age_s >= self._after_s]
            for first in range(0, len(ripe), _BATCH):
                count += await self._credits.give_of_rule(ripe[first : first + _BATCH], reason)
        self._ages.keep(seen)
        return count
