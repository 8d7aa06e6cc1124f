"""The sale of an identity check.

    1  one transaction: a known reference first, then what can be sold, then the money; the price is held
    2  the authority is asked, with no transaction open, for at most eight seconds
    3  one transaction: a record posts the hold and goes into the safe; anything else releases the hold

A record on file makes 1 and 3 the same transaction, and there is no 2. Steps 2 and 3 are a task of their own: a caller who
hangs up has still bought the answer, which waits for him under his reference and in his history. A process that dies
in between leaves a check that jobs.py gives up; an answer that comes later than that is dropped, since nobody was told it.
What the authority took for such an answer is the house's loss, like what it takes for "not on record".
"""

import asyncio
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from telvend.authorities.contract import (
    ANSWERS,
    Answer,
    Authority,
    Blocked,
    Found,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.database.connections import Database, Tx
from telvend.errors import Busy, InvalidInput, InvariantBroken, NotFound, ProductUnavailable
from telvend.identity import events, store
from telvend.identity.custody import Custody, Wrapping, seal, seal_record
from telvend.identity.model import (
    NotConfigured,
    Price,
    SweepSlowed,
    Verification,
    VerificationPolicy,
    VerificationRequest,
    VerificationResult,
    VerificationState,
    is_number,
)
from telvend.identity.store import NumberHash
from telvend.identity.vault import RecordKey
from telvend.kit.clock import Clock
from telvend.kit.failpoints import hit, hit_async
from telvend.kit.log import get
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from telvend.sales.kind import KindOfSale, sale_numbers
from telvend.sales.model import SaleKey
from telvend.wallets.journal import WalletJournal
from telvend.webhooks.outbox import Outbox

CURRENCY: Final = NGN

_LONGEST_REFERENCE: Final = 128
_RETRY_AFTER_S: Final = 30
_ANSWERS_AFTER_S: Final = 2
_LOOK_EVERY_S: Final = 0.1
_SHORTEST_RETRY_S: Final = 0.05
_LONGEST_RETRY_S: Final = 1.0

_log = get(__name__)


@dataclass(frozen=True, slots=True)
class _Accounts:
    """The accounts of the house that a check touches."""

    in_flight: int
    authority: int
    margin: int
    loss: int


@dataclass(frozen=True, slots=True)
class _Sale:
    """A check whose price is held and whose authority is about to be asked."""

    verification: Verification
    number: Secret
    key: RecordKey
    authority: Authority
    accounts: _Accounts


class VerificationSale:
    """`check` is a purchase; `give_up` is what becomes of one whose process has died."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        custody: Custody,
        personas: Authority,
        authorities: Mapping[str, Authority],
        default_authority: str | None,
        clock: Clock,
        policy: VerificationPolicy,
        sale: KindOfSale,
        outbox: Outbox,
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._ledger = ledger
        self._custody = custody
        self._personas = personas
        self._authorities = authorities
        self._default_authority = default_authority
        self._clock = clock
        self._policy = policy
        self._sale = sale
        self._asking: dict[int, asyncio.Task[VerificationResult]] = {}

    async def close(self) -> None:
        """Wait for the authorities that are being asked: eight seconds at most, and what it takes to write it down."""
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=self._policy.given_up_after_s)
        for task in list(self._asking.values()):
            task.cancel()

    async def check(self, caller: Caller, request: VerificationRequest) -> VerificationResult:
        """Buy one check. See service.Identity.check."""
        _validate(request)
        await self._custody.ready_or_busy()
        authority = self._authority(caller, request)
        accounts = await self._accounts(caller.mode, authority or self._personas)
        begun = await self._begin(caller, request, authority, accounts)
        if isinstance(begun, VerificationResult):
            hit("identity.after_commit")
            return begun
        if isinstance(begun, Verification):
            return await self._as_it_stands(caller, begun)
        number = begun.verification.id
        task = asyncio.get_running_loop().create_task(self._ask_and_settle(begun), name=f"identity check {number}")
        self._asking[number] = task
        task.add_done_callback(partial(self._ended, number))
        return await asyncio.shield(task)

    def _ended(self, number: int, task: "asyncio.Task[VerificationResult]") -> None:
        del self._asking[number]
        # Said here too, since the caller may have hung up: the check is given up when its time has come.
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("identity_check_not_settled", check=number, why=type(error).__name__)

    # 1: the money -----------------------------------------------------------------------------------------------------

    def _authority(self, caller: Caller, request: VerificationRequest) -> Authority | None:
        """Who is to be asked; None where a real one is wanted that is not set up. Test keys never reach a real one."""
        if not request.use_real_api:
            return self._personas
        if caller.mode is not Mode.LIVE:
            return None
        return self._authorities.get(request.provider or self._default_authority or "")

    async def _accounts(self, mode: Mode, authority: Authority) -> _Accounts:
        house = self._ledger.house
        return _Accounts(
            await house(AccountKind.IN_FLIGHT, CURRENCY, mode),
            await house(AccountKind.PROVIDER, CURRENCY, mode, authority.name),
            await house(AccountKind.MARGIN, CURRENCY, mode),
            await house(AccountKind.LOSS, CURRENCY, mode),
        )

    async def _begin(
        self, caller: Caller, request: VerificationRequest, authority: Authority | None, accounts: _Accounts
    ) -> VerificationResult | Verification | _Sale:
        """Hold the price. Answers the check that stands under the reference, or a finished one, or one to be asked."""
        wallet_id = caller.wallets.get(CURRENCY.code)
        if wallet_id is None:
            raise NotFound(f"A wallet in {CURRENCY}")
        async with self._database.transaction() as tx:
            prices = {line.card_type: line for line in await store.prices(tx, request.kind)}
            price = prices.get(request.card_type)
            if price is None:
                raise InvalidInput("card_type", f"must be one of {', '.join(prices)}")
            wallets, now = await ledger_store.lock_wallets(tx, [wallet_id])
            if now is None:
                raise InvariantBroken("a caller's wallet does not exist")
            # First of all, so that every master key in force is known to whoever looks a number up below.
            wrapping = await self._custody.current(tx)
            known = await self._known(tx, caller, request)
            if known is not None:
                return known
            if not price.active:
                raise ProductUnavailable(request.kind.upper(), request.card_type)
            if authority is None:
                raise NotConfigured(request.kind, request.provider)
            await self._require_pace(tx, caller, now)
            return await self._hold(
                tx, caller, request, authority, accounts, price, wrapping, WalletJournal(wallets), wallet_id, now
            )

    async def _known(self, tx: Tx, caller: Caller, request: VerificationRequest) -> Verification | None:
        """Return the check under the caller's reference; None for a new one.

        Raises ReferenceReused, SalesHalted, and NotFound where the check was purged.
        """
        reference = request.client_reference
        key = None if reference is None else (caller.reseller_id, caller.api, caller.mode, reference)

        async def find(tx: Tx, keys: Collection[SaleKey]) -> dict[SaleKey, tuple[Verification, str]]:
            found = {key: await store.by_client_reference(tx, key) for key in keys}
            return {key: self._standing(*check, request) for key, check in found.items() if check is not None}

        references = await self._sale.look_up(tx, [] if key is None else [key], find)
        verification = references.repeated(key, request.fingerprint, caller.mode)
        if verification is not None and verification.purged_at is not None:
            raise NotFound("Verification")
        return verification

    def _standing(
        self, verification: Verification, number_hash: NumberHash | None, request: VerificationRequest
    ) -> tuple[Verification, str]:
        """A check with its fingerprint, which is not the request's where it was sold for another number."""
        same = number_hash is None or self._custody.is_of(number_hash, request.kind, request.number)
        return verification, verification.fingerprint if same else f"{verification.fingerprint} of another number"

    async def _require_pace(self, tx: Tx, caller: Caller, now: datetime) -> None:
        """Slow a reseller down that sweeps numbers, with however many keys. Raises SweepSlowed.

        The wallet is locked, so that nobody else counts for the same reseller and mode. A question without an answer may be the
        next one without a record: while there are so many that the limit could be passed by them, a further one has to wait
        for their answers, which is no strike.
        """
        policy, mode = self._policy, caller.mode
        most = 4 * max(policy.unknown_per_hour, policy.numbers_per_hour) + 1
        pace = await store.pace(tx, caller.reseller_id, mode, now, most)
        sweep = await store.sweep_of(tx, caller.reseller_id, mode)
        strikes = sweep[1] if sweep else 0
        limit = policy.unknown_per_hour if pace.unknown > policy.unknown_per_hour else policy.numbers_per_hour
        if pace.unknown <= policy.unknown_per_hour and pace.numbers <= policy.numbers_per_hour:
            if pace.unknown + pace.asking > policy.unknown_per_hour:
                raise SweepSlowed(_ANSWERS_AFTER_S, policy.unknown_per_hour)
            if strikes:
                await store.end_sweep(tx, caller.reseller_id, mode)
            return
        if sweep is not None and strikes and now < sweep[0]:
            raise SweepSlowed(max(1, math.ceil((sweep[0] - now).total_seconds())), limit)
        if not strikes:
            _log.warning(
                "identity_sweep",
                reseller=str(caller.reseller_id),
                mode=mode,
                key_id=str(caller.key_id),
                unknown=pace.unknown,
                numbers=pace.numbers,
            )
        not_before = now + timedelta(seconds=policy.delay_s(strikes))
        await store.write_sweep(tx, caller.reseller_id, mode, caller.key_id, now, not_before, pace)

    async def _hold(
        self,
        tx: Tx,
        caller: Caller,
        request: VerificationRequest,
        authority: Authority,
        accounts: _Accounts,
        price: Price,
        wrapping: Wrapping,
        journal: WalletJournal,
        wallet_id: int,
        now: datetime,
    ) -> VerificationResult | _Sale:
        on_file = None
        record: Record | None = None
        if not request.force_new:
            lookups = self._custody.lookups(wrapping, request.kind, request.number)
            on_file = await store.on_file(
                tx, lookups, caller.reseller_id, caller.mode, request.kind, authority.name, now
            )
        if on_file is not None:
            try:
                _, record = self._custody.number_and_record(on_file[0])
            except NotFound:
                on_file = None  # Of a backup from before a purge, which has destroyed its key.
        numbers = sale_numbers()
        await numbers.provide(tx, 1)
        held = self._sale.open(journal, numbers, request.kind.upper(), wallet_id, accounts.in_flight, price.price)
        number = held.number
        if on_file is not None:
            _post(journal, number, accounts, price.price, _nothing())
        verification = Verification(
            id=number,
            reference=held.reference,
            reseller_id=caller.reseller_id,
            key_id=caller.key_id,
            dialect=caller.api,
            mode=caller.mode,
            client_reference=request.client_reference,
            wallet_id=wallet_id,
            position=held.position,
            kind=request.kind,
            card_type=request.card_type,
            provider=request.provider,
            force_new=request.force_new,
            use_real_api=request.use_real_api,
            source=authority.name,
            reused_id=None if on_file is None else on_file[0].id,
            price=price.price,
            cost=_nothing(),
            state=VerificationState.ASKING if on_file is None else VerificationState.VERIFIED,
            text="",
            before=held.after + price.price,
            after=held.after,
            expires_at=None if on_file is None else on_file[1],
            purged_at=None,
            created_at=now,
            updated_at=now,
        )
        key = RecordKey.new(number)
        sealed = seal(wrapping, key, number, request.number, record)
        lookup = wrapping.lookup(request.kind, request.number)
        await store.insert(tx, verification, lookup, sealed, self._policy.given_up_after_s)
        await journal.write(tx)
        await self._outbox.notice_balances(tx, journal)
        self._remember(tx, verification)
        if on_file is None:
            return _Sale(verification, request.number, key, authority, accounts)
        await store.note_access(tx, "key", str(caller.key_id), "check, from file", [number, on_file[0].id])
        await events.tell(tx, self._outbox, verification)
        return VerificationResult(verification, request.number, record, replayed=False)

    # 2: the question --------------------------------------------------------------------------------------------------

    async def _ask_and_settle(self, sale: _Sale) -> VerificationResult:
        await hit_async("identity.after_hold")
        answer = await self._ask(sale)
        await hit_async("identity.after_answer")
        if isinstance(answer, Unavailable | VerificationUnknown):
            ours = isinstance(answer, Unavailable) and answer.ours_to_mend
            tell = _log.error if ours or isinstance(answer, VerificationUnknown) else _log.warning
            tell("authority_gave_no_answer", authority=sale.authority.name, check=sale.verification.id, why=answer.text)
        checked = await self._settle(sale, answer)
        hit("identity.after_commit")
        return checked

    async def _ask(self, sale: _Sale) -> Answer:
        """One question with its time-out. Whatever is not an answer, exceptions included, is Unknown."""
        authority = sale.authority
        ask = authority.nin if sale.verification.kind is VerificationKind.NIN else authority.bvn
        answer: Any
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                answer = await ask(sale.number)
        except TimeoutError:
            return Unavailable(_RETRY_AFTER_S, f"no answer within {self._policy.timeout_s:g} s")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return VerificationUnknown("the authority's client was cancelled")
        except Exception as error:
            # Not its text, nor where it was raised: both may show the number.
            return VerificationUnknown(f"the authority's client raised {type(error).__name__}")
        if not isinstance(answer, ANSWERS):
            return VerificationUnknown("the authority's client gave no answer")
        return answer

    # 3: what it means -------------------------------------------------------------------------------------------------

    async def _settle(self, sale: _Sale, answer: Answer) -> VerificationResult:
        """Write down what the answer means, again and again until the database takes it or the check is given up."""
        retry_s = _SHORTEST_RETRY_S
        ends_at = self._clock.monotonic() + self._policy.given_up_after_s
        while True:
            try:
                async with self._database.transaction() as tx:
                    verification = await self._settle_once(tx, sale, answer)
                    await hit_async("identity.before_commit")
                break
            except Busy:
                if self._clock.monotonic() > ends_at:
                    raise
            await self._clock.sleep(retry_s)
            retry_s = min(_LONGEST_RETRY_S, 2 * retry_s)
        if verification.state is VerificationState.VERIFIED and isinstance(answer, Found):
            return VerificationResult(verification, sale.number, answer.record, replayed=False)
        return VerificationResult(
            verification, sale.number, None, replayed=False, retry_after_s=_retry(verification, answer)
        )

    async def _settle_once(self, tx: Tx, sale: _Sale, answer: Answer) -> Verification:
        number, wallet_id, price = sale.verification.id, sale.verification.wallet_id, sale.verification.price
        accounts = sale.accounts
        wallets, now = await ledger_store.lock_wallets(tx, [wallet_id])
        before = await store.lock(tx, number)
        if before is None or now is None:
            raise InvariantBroken(f"identity check {number} has gone")
        journal = WalletJournal(wallets)
        cost = await self._cost(tx, sale, answer)
        if before.state.final:
            # An earlier try of ours was committed after all; or the check was given up, and this answer comes too late.
            if before.state is VerificationState.UNAVAILABLE and cost.minor and not before.cost.minor:
                _post(journal, number, accounts, _nothing(), cost)
                await journal.write(tx)
                await store.write_late_cost(tx, number, cost.minor)
            return before
        if isinstance(answer, Found):
            _post(journal, number, accounts, price, cost)
            await journal.write(tx)
            await store.note_access(tx, "key", str(before.key_id), "check", [number])
            record = seal_record(sale.key, answer.record)
            verified = await store.finish_verified(tx, number, now, self._policy.record_months, cost.minor, record)
            await events.tell(tx, self._outbox, verified)
            return self._remember(tx, verified)
        return await self._release(tx, journal, before, accounts, now, _state_after(answer), cost, _kept_text(answer))

    async def _release(
        self,
        tx: Tx,
        journal: WalletJournal,
        verification: Verification,
        accounts: _Accounts,
        now: datetime,
        state: VerificationState,
        cost: Money,
        text: str,
    ) -> Verification:
        journal.release(verification.id, verification.wallet_id, accounts.in_flight, verification.price)
        journal.fail(verification.wallet_id, verification.position, credit=False)
        _post(journal, verification.id, accounts, _nothing(), cost)
        await journal.write(tx)
        released = await store.finish_released(tx, verification.id, now, state, cost.minor, text)
        await events.tell(tx, self._outbox, released)
        return self._remember(tx, released)

    async def _cost(self, tx: Tx, sale: _Sale, answer: Answer) -> Money:
        """What the authority takes for this answer. Nobody knows what it takes for one that did not come: nothing."""
        found_minor, without_minor = await store.costs(tx, sale.authority.name, sale.verification.kind)
        if isinstance(answer, Found):
            return Money(found_minor, CURRENCY)
        return Money(without_minor if isinstance(answer, NotOnRecord | Blocked) else 0, CURRENCY)

    async def give_up(self, verification_id: int, wallet_id: int) -> bool:
        """Release the hold of a check that nobody has an answer for. Whether it still was one. Raises Busy."""
        async with self._database.connection() as tx:
            found = (await store.by_ids(tx, [verification_id])).get(verification_id)
        if found is None or found.state.final:
            return False
        in_flight = await self._ledger.house(AccountKind.IN_FLIGHT, found.price.currency, found.mode)
        async with self._database.transaction() as tx:
            wallets, now = await ledger_store.lock_wallets(tx, [wallet_id])
            before = await store.lock(tx, verification_id)
            if before is None or now is None or before.state.final:
                return False
            await self._release(
                tx,
                WalletJournal(wallets),
                before,
                _Accounts(in_flight, 0, 0, 0),
                now,
                VerificationState.UNAVAILABLE,
                _nothing(),
                "no answer was written down in time",
            )
        return True

    def _remember(self, tx: Tx, check: Verification) -> Verification:
        """Remember that the book must have this check, and its outcome where it has one."""
        self._sale.remember(tx, check.id, check.reference, check.created_at, final=check.state.final)
        return check

    # Repeats ----------------------------------------------------------------------------------------------------------

    async def _as_it_stands(self, caller: Caller, verification: Verification) -> VerificationResult:
        """The answer to a repeat: the check as it stands, when it is final. Raises Busy where that does not come."""
        ends_at = self._clock.monotonic() + self._policy.given_up_after_s + 2
        while not verification.state.final:
            if self._clock.monotonic() > ends_at:
                raise Busy
            task = self._asking.get(verification.id)
            if task is not None:
                await asyncio.wait([task], timeout=_LOOK_EVERY_S)
            else:
                await self._clock.sleep(_LOOK_EVERY_S)
            if task is None or task.done():
                async with self._database.connection() as tx:
                    verification = (await store.by_ids(tx, [verification.id]))[verification.id]
        async with self._database.transaction() as tx:
            found = (await store.sealed(tx, [verification.id], records=True)).get(verification.id)
            if found is None:
                raise NotFound("Verification")
            number, record = self._custody.number_and_record(found)
            if record is not None:
                await store.note_access(tx, "key", str(caller.key_id), "repeat", [verification.id])
        retry_after_s = _RETRY_AFTER_S if verification.state is VerificationState.UNAVAILABLE else None
        return VerificationResult(verification, number, record, replayed=True, retry_after_s=retry_after_s)


def _validate(request: VerificationRequest) -> None:
    if not is_number(request.number.reveal()):
        raise InvalidInput(request.kind, "must be 11 digits")
    reference = request.client_reference
    if reference is not None and (not 1 <= len(reference) <= _LONGEST_REFERENCE or not reference.isprintable()):
        raise InvalidInput("reference", f"must be 1 to {_LONGEST_REFERENCE} printable characters")


def _nothing() -> Money:
    return Money(0, CURRENCY)


def _post(journal: WalletJournal, number: int, accounts: _Accounts, price: Money, cost: Money) -> None:
    """The authority's cost and the margin; without a price the whole cost is the house's loss."""
    journal.post(number, accounts.in_flight, accounts.authority, accounts.margin, accounts.loss, price, cost)


def _state_after(answer: Answer) -> VerificationState:
    if isinstance(answer, NotOnRecord):
        return VerificationState.NOT_ON_RECORD
    return VerificationState.BLOCKED if isinstance(answer, Blocked) else VerificationState.UNAVAILABLE


def _kept_text(answer: Answer) -> str:
    """What is kept of an authority's own words: where there was no answer, why, without a number."""
    if not isinstance(answer, Unavailable | VerificationUnknown):
        return ""
    return re.sub(r"[0-9]{5,}", "*****", answer.text, flags=re.ASCII)


def _retry(verification: Verification, answer: Answer) -> int | None:
    if verification.state is not VerificationState.UNAVAILABLE:
        return None
    return answer.retry_after_s if isinstance(answer, Unavailable) else _RETRY_AFTER_S
