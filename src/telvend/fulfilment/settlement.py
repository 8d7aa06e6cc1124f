"""Settling: the worker's batch transaction, in which what was said about orders becomes their states, and money moves.

For whatever is waiting, together: lock the wallets that may get a hold back, in id order, then the orders; weigh one thing
after the other (weighing.py); post, release or keep the holds; write orders, attempts, transfers, wallets and the
events that resellers are told of with set-based statements, commit.

An order whose first attempt its worker has begun, and heard to be delivered, is not read: it is weighed as the worker left it, and
what is written says that it still is so. Where one of them is not, all of the batch are decided again, and read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import Act, ActKind, WaitsForSecondPerson
from telvend.catalog.kinds import WITH_PAYLOAD
from telvend.database.batch import AfterLostCommit, BatchFailpoints, BatchTransaction, DecidedBatch
from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, TelvendError
from telvend.fulfilment import store
from telvend.fulfilment.late import store as late_store
from telvend.fulfilment.metrics import count_late_report
from telvend.fulfilment.model import (
    Abandoned,
    Effect,
    FulfilmentPolicy,
    Item,
    LockedOrder,
    PersonVerdict,
    ProviderReport,
    clean,
)
from telvend.fulfilment.provisional.ending import end_credits
from telvend.fulfilment.provisional.metrics import count_provisional_credit
from telvend.fulfilment.weighing import decided_already, may_release, weigh
from telvend.kit import log
from telvend.kit.mode import Mode
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.orders import events
from telvend.orders.model import AttemptState
from telvend.orders.payloads import store as payload_store
from telvend.orders.payloads.service import Payloads, requery_delay_s
from telvend.orders.payloads.store import SealedPayload
from telvend.providers.contract import Delivered
from telvend.wallets.journal import WalletJournal
from telvend.webhooks.outbox import Outbox

_log = log.get(__name__)


class Settlement:
    """`settle` is what the worker's lane calls. `doubts` says whether an order of this moment may have lost attempts.

    `payloads` seals what deliveries carry back; without it they are requeried later by a process that has it. What a
    person decides passes `second_person`.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        policy: FulfilmentPolicy,
        doubts: Callable[[datetime], bool],
        payloads: Payloads | None = None,
        second_person: SecondPerson | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._outbox = outbox or Outbox()
        self._second_person = second_person or SecondPerson()
        self._payloads = payloads
        self._ledger = ledger
        self._policy = policy
        self._doubts = doubts
        # What is told once it is committed, by order: the ends of provisional credits, and late reports. A batch that is retried in
        # halves decides an order again, and replaces what it says here.
        self._credits: dict[int, LockedOrder] = {}
        self._late: dict[int, LockedOrder] = {}
        # Whether a batch that is decided again reads every order.
        self._reads_all = False
        self._batch: BatchTransaction[Item, Effect] = BatchTransaction(
            database,
            self._decide,
            again=(store.Superseded,),
            failpoints=BatchFailpoints(None, "settle.before_commit", "settle.after_commit"),
        )

    async def close(self) -> None:
        """Give the connection back."""
        await self._batch.close()

    async def settle(self, items: Sequence[Item]) -> Sequence[Effect | Exception]:
        """One transaction for all of them. Raises Busy; then nobody knows whether it took place."""
        effects = await self._batch.run(list(items))
        if self._credits or self._late:
            for item, effect in zip(items, effects, strict=True):
                credit, late = self._credits.pop(item.order_id, None), self._late.pop(item.order_id, None)
                if isinstance(effect, Effect):
                    _tell(credit, late)
        return effects

    async def _decide(self, tx: Tx, items: list[Item]) -> DecidedBatch[Effect]:
        reads_all, self._reads_all = self._reads_all, False
        try:
            return await self._decide_on(tx, items, {} if reads_all else _assumed(items))
        except store.Superseded:
            self._reads_all = True
            raise

    async def _decide_on(self, tx: Tx, items: list[Item], assumed: dict[int, LockedOrder]) -> DecidedBatch[Effect]:
        journal = await WalletJournal.begin(tx, await _wallets_of(tx, items))
        locked_orders = dict(assumed)
        if to_read := {item.order_id for item in items} - assumed.keys():
            locked_orders |= await store.lock_orders(tx, to_read, self._doubts)
        if final := [locked for locked in locked_orders.values() if locked.state.final]:
            await store.read_by_hand(tx, final)
        effects = [
            await self._weigh_by_hand(tx, locked_orders.get(item.order_id), item)
            if isinstance(item, PersonVerdict)
            else weigh(locked_orders.get(item.order_id), item, self._policy)
            for item in items
        ]
        balances = await self._move_money(tx, locked_orders.values(), journal)
        if ending := [locked for locked in locked_orders.values() if locked.credited and locked.state.final]:
            balances |= await end_credits(tx, ending, journal, self._ledger)
            self._credits |= {locked.id: locked for locked in ending}
        if late := [locked for locked in locked_orders.values() if locked.late]:
            await self._enter_late_reports(tx, late, journal)
        if assumed:
            # Before the transfers, which would violate their key where an order is settled already.
            await store.write_delivered(tx, list(assumed.values()))
        await journal.write(tx)
        await store.write_orders(tx, [locked for locked in locked_orders.values() if not locked.assumed], balances)
        if asking := [locked for locked in locked_orders.values() if locked.late_requeries]:
            await late_store.schedule(tx, {locked.id: locked.late_requeries for locked in asking})
        if not self._outbox.silent:
            changed = {
                locked.id: (locked.wallet_id, locked.state) for locked in locked_orders.values() if locked.changed
            }
            await events.tell(tx, self._outbox, changed)
        carrying = [locked for locked in locked_orders.values() if locked.kind in WITH_PAYLOAD]
        if carrying:
            await self._write_payloads(tx, carrying)
        # Nobody looks for it: the worker settles its items again, and those that were committed are weighed as known. A person
        # is told to try again, for the same reason.
        return DecidedBatch(effects, AfterLostCommit.BUSY)

    async def _weigh_by_hand(self, tx: Tx, locked: LockedOrder | None, verdict: PersonVerdict) -> Effect | TelvendError:
        """Weigh what a person decides, unless it is for a second person to confirm."""
        if locked is None or verdict.reference not in (None, locked.reference):
            return weigh(locked, verdict, self._policy)
        answer = decided_already(locked, verdict)
        if answer is not None:
            if verdict.confirmation is not None:
                return InvalidInput("", f"{locked.reference} is {locked.state} meanwhile; nothing has moved.")
            return answer
        kind = ActKind.DELIVERED if verdict.delivered else ActKind.FAILED
        act = Act(kind, locked.wallet_id, locked.reference, locked.price, locked.mode, clean(verdict.text), locked.id)
        try:
            waiting = await self._second_person.admit(
                tx, act, locked.id, by_whom=verdict.by_whom, confirmation=verdict.confirmation
            )
        except TelvendError as error:
            return error  # Nothing of it is written, and others are settled in the same transaction.
        return weigh(locked, verdict, self._policy) if waiting is None else WaitsForSecondPerson(waiting)

    async def _enter_late_reports(self, tx: Tx, locked_orders: Sequence[LockedOrder], journal: WalletJournal) -> None:
        """Enter what providers say against a person as write-offs, once for each attempt. Nobody is asked about these again."""
        reports = [(locked, report) for locked in locked_orders for report in locked.late]
        written = []
        for cause, (locked, report) in zip(await ledger_store.next_causes(tx, len(reports)), reports, strict=True):
            write_off = await self._ledger.house_of(tx, AccountKind.WRITE_OFF, locked.price.currency, locked.mode)
            provider = await self._ledger.house_of(
                tx, AccountKind.PROVIDER, locked.price.currency, locked.mode, report.provider
            )
            if report.cost.minor and report.delivered:
                journal.enter_late_cost(cause, write_off, provider, report.cost)
            elif report.cost.minor:
                journal.enter_late_return(cause, provider, write_off, report.cost)
            written.append(
                store.LateReportRow(
                    cause, locked.id, report.attempt, report.provider, report.delivered, report.cost.minor, report.text
                )
            )
        await store.write_late_reports(tx, written)
        await late_store.forget(tx, [(row.order_id, row.attempt) for row in written])
        self._late |= {locked.id: locked for locked in locked_orders}

    async def _write_payloads(self, tx: Tx, locked_orders: Iterable[LockedOrder]) -> None:
        """Seal what deliveries carried back. A delivered order without it is complete for the money, and asked about."""
        written = []
        for locked in locked_orders:
            if locked.payload is None and locked.posting is None:
                continue
            attempt = max(attempt.number for attempt in locked.attempts if attempt.state is AttemptState.DELIVERED)
            if self._payloads is None:
                written.append(SealedPayload(locked.id, attempt))
            else:
                written.append(await self._payloads.seal(locked.id, attempt, locked.payload))
        if written:
            await payload_store.write(tx, written, requery_delay_s(0))

    async def _move_money(self, tx: Tx, locked_orders: Iterable[LockedOrder], journal: WalletJournal) -> dict[int, int]:
        """Post and release in the journal. Answers the wallets' balances after the releases, by order."""
        balances: dict[int, int] = {}
        house = partial(self._ledger.house_of, tx)
        # In flight, the provider's, margin and loss, for each provider: looked up once, not for each order.
        accounts: dict[tuple[str, Mode, str], tuple[int, int, int, int]] = {}
        for locked in locked_orders:
            if locked.posting is None and not locked.releases:
                continue
            currency, mode = locked.price.currency, locked.mode
            if locked.releases:
                in_flight = await house(AccountKind.IN_FLIGHT, currency, mode)
                balances[locked.id] = journal.release(locked.id, locked.wallet_id, in_flight, locked.price).minor
                journal.fail(locked.wallet_id, locked.position, credit=False)
            elif (posting := locked.posting) is not None:
                key = (currency.code, mode, posting.provider)
                if key not in accounts:
                    accounts[key] = (
                        await house(AccountKind.IN_FLIGHT, currency, mode),
                        await house(AccountKind.PROVIDER, currency, mode, posting.provider),
                        await house(AccountKind.MARGIN, currency, mode),
                        await house(AccountKind.LOSS, currency, mode),
                    )
                journal.post(locked.id, *accounts[key], locked.price, posting.cost)
        return balances


def _tell(credit: LockedOrder | None, late: LockedOrder | None) -> None:
    """Log and count the end of a provisional credit, and what was said late."""
    if credit is not None:
        count_provisional_credit("reversed" if credit.releases else "written_off")
        tell = _log.info if credit.releases else _log.error
        what = "provisional_credit_reversed" if credit.releases else "provisional_credit_written_off"
        tell(what, order=credit.id, amount=credit.price.minor, currency=credit.price.currency.code)
    if late is None:
        return
    for report in late.late:
        count_late_report(report.provider, "delivered" if report.delivered else "not_delivered")
        _log.error(
            "provider_contradicts_person",
            order=late.id,
            provider=report.provider,
            delivered=report.delivered,
            amount=report.cost.minor,
            currency=report.cost.currency.code,
        )


def _assumed(items: Sequence[Item]) -> dict[int, LockedOrder]:
    """The orders that need not be read, as they are if nobody has changed them since their worker began their first attempt.

    Only those that were delivered by it, of which nothing else is said, and nothing that an attempt would have to keep.
    """
    begun = {item.order_id: item for item in items if isinstance(item, ProviderReport) and _plainly_delivered(item)}
    if len(begun) < len(items):
        times = Counter(item.order_id for item in items)
        begun = {number: item for number, item in begun.items() if times[number] == 1}
    return {number: LockedOrder.begun(*item.begun) for number, item in begun.items() if item.begun is not None}


def _plainly_delivered(report: ProviderReport) -> bool:
    outcome = report.outcome
    return (
        report.begun is not None
        and isinstance(outcome, Delivered)
        and outcome.provider_reference is None
        and outcome.cost is None
        and outcome.payload is None
    )


async def _wallets_of(tx: Tx, items: Sequence[Item]) -> set[int]:
    """The wallets that may get a hold back. A verdict names none; an order never changes its wallet."""
    releasing = [item for item in items if may_release(item)]
    wallets = {item.wallet_id for item in releasing if isinstance(item, ProviderReport | Abandoned)}
    decided = [item.order_id for item in releasing if isinstance(item, PersonVerdict)]
    if decided:
        wallets |= await store.wallets_of(tx, decided)
    return wallets
