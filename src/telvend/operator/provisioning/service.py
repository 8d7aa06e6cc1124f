"""The verbs of provisioning: deliver, ask, grant; each delivery exactly once for its reference.

- What a reference became first, it stays: a second delivery under it gives nothing and gets the same answer.
- A question about a reference that nobody has heard of closes it, so that "never heard of it" can be believed at once: a
  delivery that was still on its way finds it closed.
- Both are one write, decided by which comes first, on the primary key.

Everything that is waiting is one transaction: unknown subscribers are made, subscribers are locked in id order, references
are claimed in their own order, and what is given is written set by set. A bundle is a new bucket, so that nothing of what the
subscriber has is read for it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from telvend.database.batch import AfterLostCommit, BatchFailpoints, BatchTransaction, DecidedBatch, NumberBlock
from telvend.database.connections import TRANSIENT, Database, Tx
from telvend.database.lane import Lane
from telvend.errors import NotFound, ReferenceReused
from telvend.kit.failpoints import hit_async
from telvend.kit.mode import Mode
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.operator.provisioning import store
from telvend.operator.provisioning.model import DeliveryAnswer, DeliveryState, NetworkDelivery, Question, Refusal
from telvend.operator.provisioning.store import ReferenceClaim
from telvend.operator.subscribers.balances.account import Account
from telvend.operator.subscribers.balances.model import Grant, MaximumCredit, PostingKind
from telvend.operator.subscribers.balances.store import (
    NUMBERS_AT_A_TIME,
    accounts_to_give,
    bucket_numbers,
    write_accounts,
)
from telvend.operator.subscribers.model import Subscriber, SubscriberBarred, require_reference
from telvend.operator.subscribers.store import (
    NewSubscriber,
    create_subscribers,
    lines_of,
    lock_by_number,
    require_subscriber,
)


class Provisioning:
    """The lane, and the rules at the head of this file."""

    def __init__(
        self,
        database: Database,
        *,
        runtime: Runtime = NO_RUNTIME,
    ) -> None:
        self._database = database
        self._numbers = bucket_numbers()
        self._batch: BatchTransaction[NetworkDelivery | Question, DeliveryAnswer] = BatchTransaction(
            database,
            self._decide,
            supplies={self._numbers: lambda items: sum(map(_buckets_of, items))},
            # Everything is known by its reference, so that a second try is always safe.
            again=TRANSIENT,
            failpoints=BatchFailpoints(
                before_commit="subscribers.before_commit", after_commit="subscribers.after_commit"
            ),
        )
        self.lane: Lane[NetworkDelivery | Question, DeliveryAnswer] = Lane(
            "deliveries", self._batch.run, runtime=runtime
        )

    def start(self) -> None:
        """Begin to serve whoever comes together; from inside the event loop. Without it (a command) each is served alone."""
        self._numbers.size = NUMBERS_AT_A_TIME
        self.lane.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connection back."""
        await self.lane.close()
        await self._batch.close()

    async def deliver(self, delivery: NetworkDelivery) -> DeliveryAnswer:
        """Give it, once for each reference. Raises ReferenceReused, and Busy: then nobody knows, and asking tells."""
        return await self.lane.serve(delivery)

    async def deliver_all(self, deliveries: Sequence[NetworkDelivery]) -> Sequence[DeliveryAnswer | Exception]:
        """`deliver` for many at once; answers what it returns or raises, in the place of each. Raises Busy for all of them."""
        return await self.lane.serve_all(deliveries)

    async def requery(self, reference: str) -> DeliveryAnswer:
        """What became of a reference; one that nobody has heard of is closed now. Raises Busy."""
        return await self.lane.serve(Question(reference))

    async def grant(self, mode: Mode, msisdn: str, grants: Sequence[Grant], reference: str) -> bool:
        """Give something by hand, once for each reference of the subscriber. Return whether it had been given before.

        Raises InvalidInput, NotFound, SubscriberBarred, MaximumCredit, ReferenceReused, Busy.
        """
        require_reference(reference)
        async with self._database.connection() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            await _require_lines(tx, subscriber, {grant.line for grant in grants})
        answer = await self.deliver(
            NetworkDelivery(
                reference=f"grant {mode} {msisdn} {reference}",
                msisdn=msisdn,
                country=subscriber.country,
                currency=subscriber.currency,
                grants=tuple(grants),
                mode=mode,
                creates=False,
                fingerprint=fingerprint_of(grants),
                forgets=True,
            )
        )
        if answer.state is DeliveryState.DELIVERED:
            return answer.replayed
        if answer.reason is Refusal.FULL:
            raise MaximumCredit
        async with self._database.connection() as tx:
            raise SubscriberBarred((await require_subscriber(tx, mode, msisdn)).status)

    async def _decide(self, tx: Tx, items: list[NetworkDelivery | Question]) -> DecidedBatch[DeliveryAnswer]:
        firsts: dict[str, NetworkDelivery | Question] = {}
        for item in items:
            firsts.setdefault(item.reference, item)
        deliveries = [item for item in firsts.values() if isinstance(item, NetworkDelivery)]
        subscribers, now = await _subscribers(tx, deliveries)
        await hit_async("subscribers.after_locks")
        claims = {reference: _claim(item, subscribers) for reference, item in firsts.items()}
        claimed = await store.claim_references(tx, list(claims.values()))
        others = [reference for reference in claims if reference not in claimed]
        if others:
            claims.update(await store.known_references(tx, others))
        given = [item for item in deliveries if item.reference in claimed]
        accounts = await _accounts(tx, given, subscribers, now, self._numbers)
        await _give(tx, given, accounts, claims)
        answered: set[str] = set(others)
        answers: list[DeliveryAnswer | Exception] = []
        for item in items:
            answers.append(_answer(item, claims[item.reference], item.reference in answered))
            answered.add(item.reference)
        return DecidedBatch(answers, AfterLostCommit.DECIDE_AGAIN)


async def _require_lines(tx: Tx, subscriber: Subscriber, lines: set[str]) -> None:
    """Raises NotFound for a line that is not the subscriber's."""
    if lines - {""} and not lines - {""} <= set(await lines_of(tx, subscriber.id)):
        raise NotFound("Line")


async def _subscribers(
    tx: Tx, deliveries: list[NetworkDelivery]
) -> tuple[dict[tuple[Mode, str], Subscriber], datetime | None]:
    """The subscribers of these, locked, and the moment after that. Unknown ones that are to be made are made first, in the
    order of their numbers, and before anything is locked: who makes waits only for others who make, and who locks only for
    others who lock."""
    if not deliveries:
        return {}, None
    new = {item.msisdn: item for item in deliveries if item.creates}
    found: dict[tuple[Mode, str], Subscriber] = {}
    now = None
    if new:
        found, now = await create_subscribers(
            tx, [NewSubscriber(item.mode, item.msisdn, item.country, item.currency.code) for item in new.values()]
        )
    known = list({(item.mode, item.msisdn) for item in deliveries} - found.keys())
    if known:
        locked, at = await lock_by_number(tx, known)
        found |= locked
        now = at or now
    return found, now


def _claim(item: NetworkDelivery | Question, subscribers: dict[tuple[Mode, str], Subscriber]) -> ReferenceClaim:
    """What a reference becomes if it is new; `_give` corrects what turns out to be refused."""
    if isinstance(item, Question):
        return ReferenceClaim(item.reference, DeliveryState.CLOSED)
    subscriber = subscribers.get((item.mode, item.msisdn))
    return ReferenceClaim(
        item.reference,
        DeliveryState.DELIVERED,
        subscriber.id if subscriber is not None else None,
        len(item.grants),
        item.fingerprint,
    )


async def _accounts(
    tx: Tx,
    deliveries: list[NetworkDelivery],
    subscribers: dict[tuple[Mode, str], Subscriber],
    now: datetime | None,
    numbers: NumberBlock,
) -> dict[tuple[Mode, str], Account]:
    """What these are given to. Only airtime needs to know what there is: the main account, which it makes grow."""
    if now is None:
        return {}
    wanted = {key: subscribers[key] for item in deliveries if (key := (item.mode, item.msisdn)) in subscribers}
    mains = {
        wanted[key].id
        for item in deliveries
        if (key := (item.mode, item.msisdn)) in wanted and any(grant.main for grant in item.grants)
    }
    accounts = await accounts_to_give(tx, wanted.values(), now, mains, numbers)
    return {key: accounts[subscriber.id] for key, subscriber in wanted.items()}


async def _give(
    tx: Tx,
    deliveries: list[NetworkDelivery],
    accounts: dict[tuple[Mode, str], Account],
    claims: dict[str, ReferenceClaim],
) -> None:
    """Give what was claimed, and correct the claims of what is refused."""
    refused, forgotten = [], []
    for item in deliveries:
        reason = _refused(item, accounts.get((item.mode, item.msisdn)))
        if reason is not None:
            claim = claims[item.reference]
            claim = ReferenceClaim(
                claim.reference, DeliveryState.REFUSED, claim.subscriber_id, 0, claim.fingerprint, reason
            )
            claims[item.reference] = claim
            if item.forgets:
                forgotten.append(item.reference)
            else:
                refused.append(claim)
    if refused:
        await store.refuse_references(tx, refused)
    if forgotten:
        await store.forget_references(tx, forgotten)
    await write_accounts(tx, accounts.values())


def _refused(item: NetworkDelivery, account: Account | None) -> Refusal | None:
    """Give it, or answer why it was not given."""
    if account is None:
        return Refusal.UNKNOWN_SUBSCRIBER
    if account.subscriber.currency != item.currency and any(_is_money(grant) for grant in item.grants):
        return Refusal.OTHER_CURRENCY
    try:
        account.give(item.grants, PostingKind.GRANT, item.reference)
    except SubscriberBarred:
        return Refusal.BARRED
    except MaximumCredit:
        return Refusal.FULL
    account.move_clocks(item.active_days, item.grace_days)
    return None


def _is_money(grant: Grant) -> bool:
    return grant.kind in ("money", "momo")


def _answer(item: NetworkDelivery | Question, claim: ReferenceClaim, replayed: bool) -> DeliveryAnswer | Exception:
    state = DeliveryState(claim.state)
    if (
        isinstance(item, NetworkDelivery)
        and state is not DeliveryState.CLOSED
        and claim.fingerprint != item.fingerprint
    ):
        return ReferenceReused(item.reference)
    return DeliveryAnswer(state, Refusal(claim.reason) if claim.reason else None, replayed)


def _buckets_of(item: NetworkDelivery | Question) -> int:
    return len(item.grants) if isinstance(item, NetworkDelivery) else 0


def fingerprint_of(grants: Iterable[Grant]) -> str:
    """What an operator gives, as one text."""
    return "; ".join(
        f"{grant.kind} {grant.amount} {'main' if grant.main else grant.validity_days} {grant.line} {grant.product}"
        for grant in grants
    )
