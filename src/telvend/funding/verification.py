"""Asking a gateway about a funding, and doing what follows from its word. The only place where a funding is credited.

Whoever comes first (a notice, the payer's return, the schedule) ends here, as often as they like and at the same time:

1. The gateway is asked, with no transaction open.
2. Its word is compared with the funding (`model.next_step`).
3. Where money or the list of transactions changes, the wallet is locked, the funding is read again, and decided again.
   Its state changes only from what is not completed, and the transfer's key (cause, kind) lets it be written once.

Dying anywhere between leaves the funding as it was and due when its lease ends; the gateway is asked again.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import asyncpg

from telvend.database.connections import Database, Tx, clock, increment_revision
from telvend.errors import InvariantBroken
from telvend.funding import events, store
from telvend.funding.model import Credit, End, Funding, Suspect, Wait, next_ask, next_step
from telvend.funding.play_money import store as play_money_store
from telvend.funding.play_money.guard import TOPIC
from telvend.gateways.contract import WORDS, Gateway, GatewayTraits, Method, Paid, PaymentUnknown, Word
from telvend.kit import log
from telvend.kit.failpoints import hit_async
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets import store as wallet_store
from telvend.wallets.journal import WalletJournal
from telvend.webhooks.model import EventType
from telvend.webhooks.outbox import Outbox

_log = log.get(__name__)

_GONE: Final = GatewayTraits(live_mode=False, test_mode=False)


class Gateways:
    """The gateways of this shop, the preferred ones first. `idle` names those that begin no live funding (connected.py).

    A payment that was begun at one of these before is honoured: it is real money, and the payer has paid it.
    """

    def __init__(self, gateways: Sequence[Gateway], *, idle: Collection[str] = ()) -> None:
        """Raises ValueError where two have the same name."""
        self._idle = frozenset(idle)
        self._by_name = {gateway.name: gateway for gateway in gateways}
        if len(self._by_name) < len(gateways):
            raise ValueError("two gateways have the same name")

    def named(self, name: str) -> Gateway | None:
        return self._by_name.get(name)

    def all(self) -> tuple[Gateway, ...]:
        return tuple(self._by_name.values())

    def choose(self, *, test: bool, currency: str, method: Method) -> Gateway | None:
        """The first that takes this money in this way. Never another one when that one is down: the payer may have paid."""
        for gateway in self._by_name.values():
            traits = gateway.traits
            if not test and gateway.name in self._idle:
                continue
            if traits.takes(test=test) and (traits.currencies is None or currency in traits.currencies):
                return gateway if method in traits.methods else None
        return None


class PaymentVerification:
    """See the head of this file."""

    def __init__(self, database: Database, ledger: Ledger, gateways: Gateways, outbox: Outbox | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._gateways = gateways
        self._outbox = outbox or Outbox()

    async def ask(self, funding: Funding) -> Funding:
        """Ask about a funding that was taken in hand, and do what follows. Answers it as it stands then. Raises Busy."""
        gateway = self._gateways.named(funding.gateway)
        if gateway is None:
            word: Word = PaymentUnknown(f"{funding.gateway} is not set up here and cannot be asked")
        else:
            word = await self._word_of(gateway, funding.reference)
        if isinstance(word, Paid):
            await hit_async("funding.before_credit")
        return await self.settle(funding, word, gateway.traits if gateway else _GONE)

    async def verify(self, gateway_name: str, reference: str) -> Word:
        """What a gateway says of a payment that need not be a funding. Changes nothing."""
        gateway = self._gateways.named(gateway_name)
        if gateway is None:
            return PaymentUnknown(f"{gateway_name} is not set up here and cannot be asked")
        return await self._word_of(gateway, reference)

    async def _word_of(self, gateway: Gateway, reference: str) -> Word:
        """The gateway's word. Whatever is none, exceptions included, is Unknown."""
        word: Any
        try:
            async with asyncio.timeout(gateway.traits.timeout_s):
                word = await gateway.verify(reference)
        except TimeoutError:
            return PaymentUnknown("no answer in time")
        except Exception as error:
            _log.exception("gateway_raised", gateway=gateway.name, verb="verify", funding=reference)
            return PaymentUnknown(f"{type(error).__name__}: {error}")
        if not isinstance(word, WORDS):
            _log.error("gateway_answered_no_word", gateway=gateway.name, funding=reference)
            return PaymentUnknown(f"not a word: {word!r}")
        if isinstance(word, PaymentUnknown):
            _log.warning("gateway_does_not_say", gateway=gateway.name, funding=reference, text=word.text)
        return word

    async def settle(self, asked: Funding, word: Word, traits: GatewayTraits) -> Funding:
        """Do what follows from a gateway's word. Raises Busy, and then nothing was done."""
        if isinstance(word, Paid):
            # Outside of the transaction below, which holds the wallet.
            await self._account(asked)
        try:
            async with self._database.transaction() as tx:
                await self._do(tx, asked, word, traits)
                await hit_async("funding.before_commit")
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != store.PAID_ONCE or not isinstance(word, Paid):
                raise
            text = f"The gateway's payment {word.gateway_reference} has filled a wallet before."
            async with self._database.transaction() as tx:
                await self._suspect(tx, asked, text)
        await hit_async("funding.after_commit")
        async with self._database.connection() as tx:
            found = await store.find(tx, asked.id)
        if found is None:
            raise InvariantBroken(f"funding {asked.id} has gone")
        return found

    async def _do(self, tx: Tx, asked: Funding, word: Word, traits: GatewayTraits) -> None:
        step = next_step(asked, word, traits, await clock(tx))
        if isinstance(step, Credit | End):
            journal = await WalletJournal.begin(tx, [asked.wallet_id])
            # What others have done since is seen under the lock, and decided anew.
            funding = await store.find(tx, asked.id) or asked
            step = next_step(funding, word, traits, await clock(tx))
            if isinstance(step, Credit) and traits.pretends and not funding.test:
                elsewhere = await play_money_store.real_elsewhere(tx)
                if elsewhere is not None:
                    # Asked again, in case that one is gone by then.
                    _log.warning("play_money_not_taken", funding=funding.reference, real=elsewhere)
                    step = Wait(next_ask(funding, await clock(tx)))
            if isinstance(step, Credit):
                await self._credit(tx, journal, funding, step.paid, pretends=traits.pretends)
                return
            if isinstance(step, End):
                if await store.end(tx, funding.id, step.state):
                    await events.tell(tx, self._outbox, funding, EventType.FUNDING_FAILED)
                journal.fail(funding.wallet_id, funding.position, credit=True)
                await journal.write(tx)
        match step:
            case Suspect(text):
                await self._suspect(tx, asked, text)
            case End(due_at=due_at) | Wait(due_at=due_at):
                # Of the row as it was asked about: a notice that has come since is then seen to have come.
                await store.postpone(tx, asked, due_at)

    async def _credit(self, tx: Tx, journal: WalletJournal, funding: Funding, paid: Paid, *, pretends: bool) -> None:
        account = await self._account(funding)
        after = journal.credit(funding.id, funding.wallet_id, account, funding.amount)
        if not await store.complete(tx, funding, paid, after - funding.amount, after, pretended=pretends):
            raise InvariantBroken(f"funding {funding.id} was completed under the lock")
        await wallet_store.revive(tx, funding.wallet_id, funding.position)
        await journal.write(tx)
        await events.tell(tx, self._outbox, funding, EventType.FUNDING_COMPLETED)
        if pretends and not funding.test:
            await increment_revision(tx, TOPIC)
        _log.info("funding_completed", funding=funding.reference, gateway=funding.gateway)

    async def _suspect(self, tx: Tx, asked: Funding, text: str) -> None:
        if await store.suspect(tx, asked.id, text):
            _log.error("funding_does_not_fit", funding=asked.reference, gateway=asked.gateway, why=text)
        await store.postpone(tx, asked, None)

    async def _account(self, funding: Funding) -> int:
        return await self._ledger.house(
            AccountKind.FUNDING, funding.amount.currency, funding.mode, owner=funding.gateway
        )
