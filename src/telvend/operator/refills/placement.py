"""Refilling: the lane's one transaction, in which vouchers and money become what subscribers have.

For whatever is waiting, together: lock wallets, subscribers, vouchers and guards, each in their order; look the partners'
transactionIds up (after the locks, so that it sees what others committed before they let go); decide and write (decisions.py);
commit. Only then is anybody answered.

What a refusal leaves behind is nothing, but for a wrong PIN: that is counted, in the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from telvend.database.batch import AfterLostCommit, BatchFailpoints, BatchTransaction, DecidedBatch
from telvend.database.connections import TRANSIENT, Database, Tx, clock
from telvend.database.lane import Lane
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.model import EntitlementSnapshot
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.refills import events, store
from telvend.operator.refills.decisions import HouseAccounts, Item, Payer, RefillDecisions, why_not
from telvend.operator.refills.model import OWN_NETWORK, Refilled
from telvend.operator.subscribers import store as subscriber_store
from telvend.operator.subscribers.balances.store import NUMBERS_AT_A_TIME, accounts_to_give, bucket_numbers
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.vouchers import store as voucher_store
from telvend.operator.vouchers.guard import store as guard_store
from telvend.operator.vouchers.guard.model import Guard
from telvend.operator.vouchers.guard.store import GuardGone, Subject
from telvend.operator.vouchers.store import Locked
from telvend.sales.kind import NUMBERS_AT_A_TIME as CAUSES_AT_A_TIME
from telvend.sales.kind import KindOfSale, sale_numbers
from telvend.sales.store import ReferenceTaken
from telvend.wallets.journal import WalletJournal
from telvend.webhooks.outbox import Outbox

# The main account, and a bonus of each kind.
_MOST_BUCKETS: Final = 5


class SubscriberMoved(Exception):
    """A subscriber changed currency between two looks; the transaction has to begin again."""


class RefillPlacement:
    """The lane of refills. Before `start` (a command) it serves one by one."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        offering: Entitlements,
        sale: KindOfSale,
        outbox: Outbox,
        *,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._offering = offering
        self._sale = sale
        self._numbers = sale_numbers(CAUSES_AT_A_TIME)
        self._buckets = bucket_numbers()
        self._batch: BatchTransaction[Item, Refilled] = BatchTransaction(
            database,
            self._decide,
            supplies={self._numbers: len, self._buckets: lambda items: len(items) * _MOST_BUCKETS},
            # Somebody else was quicker; or the database failed: a refill is known by its transactionId, so that a second try
            # is always safe.
            again=(ReferenceTaken, GuardGone, SubscriberMoved, *TRANSIENT),
            failpoints=BatchFailpoints(before_commit="refill.before_commit", after_commit="refill.after_commit"),
        )
        self.lane: Lane[Item, Refilled] = Lane("refills", self._batch.run, runtime=runtime)

    def start(self) -> None:
        """Begin to serve whoever comes together; from inside the event loop."""
        self._buckets.size = NUMBERS_AT_A_TIME
        self.lane.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connection back."""
        await self.lane.close()
        await self._batch.close()

    async def _decide(self, tx: Tx, items: list[Item]) -> DecidedBatch[Refilled]:
        found = await subscriber_store.find_currencies(tx, {item.subscriber for item in items})
        house = await self._house_accounts(items, found)
        payers = await _payers_of(tx, items, found)
        wallets, _ = await ledger_store.lock_wallets(tx, sorted(set(payers.values())))
        locked, now = await subscriber_store.lock_subscribers(tx, [number for number, _ in found.values()])
        if now is None:
            now = await clock(tx)
        subscribers = {(subscriber.mode, subscriber.msisdn): subscriber for subscriber in locked.values()}
        if any(subscriber.currency != found[key][1] for key, subscriber in subscribers.items()):
            raise SubscriberMoved
        references = await self._sale.look_up(tx, {item.key for item in items}, store.find_by_transaction)
        new = [item for item in items if references.is_free(item.key) and item.subscriber in subscribers]
        vouchers = await self._lock_vouchers(tx, new)
        guards = await _lock_guards(tx, new, subscribers, vouchers, self._offering.snapshot, now)
        await hit_async("refill.after_locks")
        accounts = await accounts_to_give(tx, locked.values(), now, list(locked), self._buckets)
        decisions = RefillDecisions(
            self._sale,
            now,
            WalletJournal(wallets, at=now),
            references,
            payers,
            subscribers,
            accounts,
            vouchers,
            guards,
            house,
            self._offering.snapshot,
        )
        answers = [decisions.weigh(item, self._numbers) for item in items]
        await decisions.write(tx)
        await events.tell(tx, self._outbox, [item.request for item in items], answers)
        await self._outbox.notice_balances(tx, decisions.journal)
        return DecidedBatch(answers, AfterLostCommit.DECIDE_AGAIN)

    async def _house_accounts(
        self, items: Sequence[Item], found: dict[tuple[Mode, str], tuple[int, Currency]]
    ) -> dict[tuple[Mode, str], HouseAccounts]:
        """By mode and currency. Remembered by the ledger, so that almost always nothing is asked."""
        accounts: dict[tuple[Mode, str], HouseAccounts] = {}
        for item in items:
            if item.pin_hash is None and item.subscriber in found:
                mode, currency = item.request.mode, found[item.subscriber][1]
                if (mode, currency.code) not in accounts:
                    accounts[mode, currency.code] = (
                        await self._ledger.house(AccountKind.IN_FLIGHT, currency, mode),
                        await self._ledger.house(AccountKind.PROVIDER, currency, mode, OWN_NETWORK),
                    )
        return accounts

    async def _lock_vouchers(self, tx: Tx, items: Sequence[Item]) -> dict[bytes, Locked]:
        hashes = {item.pin_hash for item in items if item.pin_hash is not None}
        return await voucher_store.lock(tx, hashes) if hashes else {}


async def _payers_of(
    tx: Tx, items: Sequence[Item], found: dict[tuple[Mode, str], tuple[int, Currency]]
) -> dict[Payer, int]:
    """The wallets that voucherless refills are to be paid from.

    A request may not know of a wallet that was opened a moment ago: what processes remember of a key is a quarter of a second
    old. So one that it does not name is looked for.
    """
    payers: dict[Payer, int | None] = {}
    for item in items:
        if item.pin_hash is None and item.subscriber in found:
            request, currency = item.request, found[item.subscriber][1].code
            payer = (request.reseller_id, request.mode, currency)
            if payer not in payers:
                wallet_id = request.wallets.get(currency)
                if wallet_id is None:
                    wallet_id = await ledger_store.wallet_of(tx, request.reseller_id, currency, request.mode)
                payers[payer] = wallet_id
    return {payer: wallet_id for payer, wallet_id in payers.items() if wallet_id is not None}


async def _lock_guards(
    tx: Tx,
    items: Sequence[Item],
    subscribers: dict[tuple[Mode, str], Subscriber],
    vouchers: dict[bytes, Locked],
    offering: EntitlementSnapshot,
    now: datetime,
) -> dict[Subject, Guard]:
    """Everybody whom these PINs may be counted for. Who cannot have been wrong needs no row, if there is none."""
    guarded = [item for item in items if item.pin_hash is not None and item.guarded]
    if not guarded:
        return {}
    times: dict[bytes | None, int] = {}
    for item in guarded:
        times[item.pin_hash] = times.get(item.pin_hash, 0) + 1
    counted: set[Subject] = set()
    for item in guarded:
        wrong = why_not(item, vouchers.get(item.pin_hash or b""), subscribers[item.subscriber], offering, now)
        # Of two with the same PIN the second is wrong, whichever that will be.
        if wrong is not None or times[item.pin_hash] > 1:
            counted.update(item.subjects)
    subjects = {subject for item in guarded for subject in item.subjects}
    guards = await guard_store.lock_guards(tx, subjects, counted)
    return {subject: guards.get(subject) or Guard(*subject) for subject in subjects}
