"""What one transaction of the refills lane decides and writes: each request in plain Python, then set-based statements.

A known transactionId comes first, then the subscriber, the lock-out, and the voucher or the money.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from telvend.database.batch import NumberBlock
from telvend.database.connections import Tx
from telvend.errors import Busy, InsufficientBalance, InvalidInput, InvariantBroken, NotFound, TelvendError
from telvend.kit.mode import Mode
from telvend.kit.money import MAXIMUM_MINOR, Money
from telvend.operator.entitlements.model import EntitlementSnapshot, RefillProfile, grants_of_refill
from telvend.operator.refills import store
from telvend.operator.refills.model import Refill, Refilled, RefillKind, RefillRequest
from telvend.operator.refills.store import NewRefill
from telvend.operator.subscribers.balances.account import Account
from telvend.operator.subscribers.balances.model import PostingKind
from telvend.operator.subscribers.balances.store import write_accounts
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.vouchers import store as voucher_store
from telvend.operator.vouchers.guard import store as guard_store
from telvend.operator.vouchers.guard.model import Guard, Guarded, Guards
from telvend.operator.vouchers.guard.store import Subject
from telvend.operator.vouchers.model import PinRefused, VoucherState, serial_number, serial_text
from telvend.operator.vouchers.store import Locked, VoucherUse
from telvend.sales.kind import KindOfSale
from telvend.sales.model import SaleKey
from telvend.sales.replay import References
from telvend.wallets.journal import WalletJournal

PREFIX: Final = "RFL"
_LONGEST_SOURCE: Final = 200

HouseAccounts = tuple[int, int]
"""Of one currency and mode: what is in flight, and what our network has earned."""


class Item(msgspec.Struct, frozen=True):
    """A request with what is known of it before the database is asked. `pin_hash` belongs to one by voucher."""

    request: RefillRequest
    fingerprint: str
    pin_hash: bytes | None

    @property
    def key(self) -> SaleKey:
        request = self.request
        return (request.reseller_id, request.dialect, request.mode, request.transaction_id)

    @property
    def subscriber(self) -> tuple[Mode, str]:
        return (self.request.mode, self.request.msisdn)

    @property
    def subjects(self) -> tuple[Subject, Subject, Subject]:
        """Who answers for its PIN. What the client calls itself is no part of it: another name would be another allowance."""
        request = self.request
        source = _plain(request.source)
        return (
            (Guarded.SUBSCRIBER, f"{request.mode} {request.msisdn}"),
            (Guarded.PARTNER, f"{request.mode} {request.reseller_id} {source}".rstrip()),
            (Guarded.SOURCE, f"{request.mode} {source}"),
        )

    @property
    def guarded(self) -> bool:
        """The operator, who commits a reservation, is not kept from trying."""
        return self.request.reservation is None


def _plain(source: str) -> str:
    """What a database cannot store, and what would fill it, does not get there."""
    return "".join(letter if letter.isprintable() else "?" for letter in source[:_LONGEST_SOURCE])


Payer = tuple[UUID, Mode, str]
"""A partner by mode and currency: who has one wallet at most."""


def why_not(
    item: Item, voucher: Locked | None, subscriber: Subscriber, offering: EntitlementSnapshot, now: datetime
) -> str | None:
    """Why this PIN cannot be loaded, for the log only; None when it can."""
    request = item.request
    if voucher is None:
        return "unknown"
    batch = voucher.batch
    if batch.mode is not request.mode:
        return "other mode"
    state = voucher.standing(now)
    if request.reservation is not None:
        if state is not VoucherState.RESERVED or voucher.reservation != request.reservation:
            return f"not reserved by that name: {state}"
    elif state is not VoucherState.AVAILABLE:
        return str(state)
    if request.serial is not None and serial_number(request.serial) != voucher.serial:
        return "other serial"
    if batch.amount.currency != subscriber.currency:
        return "other currency"
    profile = offering.profile(batch.profile)
    if profile is not None:
        try:
            grants_of_refill(profile, batch.amount)
        except InvalidInput:
            return "worth nothing by its profile"
    return None


class RefillDecisions:
    """What one transaction is about to do, and what each partner will be told."""

    def __init__(
        self,
        sale: KindOfSale,
        now: datetime,
        journal: WalletJournal,
        references: References[Refill],
        payers: dict[Payer, int],
        subscribers: dict[tuple[Mode, str], Subscriber],
        accounts: dict[int, Account],
        vouchers: dict[bytes, Locked],
        guards: dict[Subject, Guard],
        house: dict[tuple[Mode, str], HouseAccounts],
        offering: EntitlementSnapshot,
    ) -> None:
        self.sale = sale
        self.now = now
        self.journal = journal
        self.references = references
        self.payers = payers
        self.subscribers = subscribers
        self.accounts = accounts
        self.vouchers = vouchers
        self.guards = guards
        self.house = house
        self.offering = offering
        self.refills: list[NewRefill] = []
        self.uses: list[VoucherUse] = []

    def weigh(self, item: Item, numbers: NumberBlock) -> Refilled | Exception:
        """Decide one: a known transactionId first, then the subscriber, the lock-out, the voucher or the money."""
        key = item.key
        try:
            before = self.references.repeated(key, item.fingerprint, item.request.mode)
            if before is not None:
                return Refilled(before, replayed=True)
            subscriber = self.subscribers.get(item.subscriber)
            if subscriber is None:
                return NotFound("Subscriber")
            account = self.accounts[subscriber.id]
            # Before any PIN is looked at: else the answer would tell a right one from a wrong one.
            account.require_status()
            number = numbers.peek()
            reference = self.sale.reference(PREFIX, number)
            if item.pin_hash is not None:
                refill = self._by_voucher(item, item.pin_hash, account, number, reference)
            else:
                refill = self._voucherless(item, account, number, reference)
        except TelvendError as error:
            if isinstance(error, InvariantBroken):
                raise
            return error
        numbers.take()
        self.references.add(key, item.fingerprint, refill)
        return Refilled(refill, replayed=False)

    def _by_voucher(self, item: Item, pin_hash: bytes, account: Account, number: int, reference: str) -> Refill:
        guards = Guards(*(self.guards[subject] for subject in item.subjects)) if item.guarded else None
        if guards is not None:
            guards.mind(self.now)
        voucher = self.vouchers.get(pin_hash)
        reason = why_not(item, voucher, account.subscriber, self.offering, self.now)
        if reason is not None or voucher is None:
            reached = guards.wrong(self.now) if guards is not None else ()
            raise PinRefused(reason or "unknown", tuple(guard.kind for guard in reached))
        batch = voucher.batch
        profile = self.offering.profile(batch.profile)
        if profile is None:
            raise Busy  # It was made a moment ago, and this process has not heard of it yet.
        account.give(grants_of_refill(profile, batch.amount), PostingKind.REFILL, reference)
        # From here the refill succeeds.
        if guards is not None:
            guards.right()
        voucher.state = VoucherState.USED
        self.uses.append(VoucherUse(voucher.serial, account.subscriber.id, number))
        return self._refill(item, account, number, reference, profile, batch.amount, serial=voucher.serial)

    def _voucherless(self, item: Item, account: Account, number: int, reference: str) -> Refill:
        request, currency = item.request, account.subscriber.currency
        profile = self.offering.profile(request.profile or "")
        if profile is None or not profile.active:
            raise InvalidInput("profile", "there is no such refill profile")
        amount = Money((request.units or 0) * 10**currency.digits, currency)
        if not 0 < amount.minor <= MAXIMUM_MINOR:
            raise InvalidInput("amount", "must be more than nothing, and less than can be counted")
        grants = grants_of_refill(profile, amount)
        wallet_id = self.payers.get((request.reseller_id, request.mode, currency.code))
        if wallet_id is None:
            raise InsufficientBalance(amount, Money(0, currency))
        self.sale.require_funds(self.journal, wallet_id, amount)
        account.give(grants, PostingKind.REFILL, reference)
        # From here the refill succeeds.
        in_flight, provider = self.house[request.mode, currency.code]
        after, position = self.sale.hold(self.journal, number, wallet_id, in_flight, amount)
        self.journal.pay(number, in_flight, provider, amount)
        return self._refill(
            item, account, number, reference, profile, amount, wallet_id=wallet_id, position=position, after=after
        )

    def _refill(
        self,
        item: Item,
        account: Account,
        number: int,
        reference: str,
        profile: RefillProfile,
        amount: Money,
        *,
        serial: int | None = None,
        wallet_id: int | None = None,
        position: int | None = None,
        after: Money | None = None,
    ) -> Refill:
        request = item.request
        capped = account.move_clocks(profile.active_days, profile.grace_days)
        before = None if after is None else after + amount
        self.refills.append(
            NewRefill(
                number,
                reference,
                request.reseller_id,
                request.dialect,
                request.mode,
                request.transaction_id,
                item.fingerprint,
                request.kind,
                account.subscriber.id,
                request.msisdn,
                profile.id,
                amount.minor,
                amount.currency.code,
                capped,
                serial,
                wallet_id,
                position,
                None if before is None else before.minor,
                None if after is None else after.minor,
                request.sent_id,
            )
        )
        return Refill(
            id=number,
            reference=reference,
            reseller_id=request.reseller_id,
            dialect=request.dialect,
            mode=request.mode,
            transaction_id=request.transaction_id,
            kind=RefillKind(request.kind),
            msisdn=request.msisdn,
            profile=profile.id,
            amount=amount,
            capped=capped,
            serial=None if serial is None else serial_text(serial),
            wallet_id=wallet_id,
            position=position,
            before=before,
            after=after,
            created_at=self.now,
            sent_id=request.sent_id,
        )

    async def write(self, tx: Tx) -> None:
        """Write what was decided. A batch that decided nothing writes nothing."""
        if self.refills:
            await store.insert(tx, self.refills, self.now, self.journal.statements(tx))
            await write_accounts(tx, self._given())
            last = self.refills[-1]
            self.sale.remember(tx, last.id, last.reference, self.now)
        if self.uses:
            await voucher_store.use(tx, self.uses, self.now)
        if self.guards:
            await guard_store.write_guards(tx, self.guards.values())

    def _given(self) -> Collection[Account]:
        return [self.accounts[number] for number in {refill.subscriber_id for refill in self.refills}]
