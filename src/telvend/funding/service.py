"""The verbs of bringing money in: begin a funding, find one, ask about one, take in what a gateway sends.

Asking by itself, on a schedule, is later work: `jobs.py`. What follows from an answer stands in `asking.py`.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database, Tx
from telvend.errors import Busy, InvalidInput, InvariantBroken, NotFound
from telvend.funding import events, store
from telvend.funding.model import (
    EXPIRES_AFTER_S,
    LONGEST_URL,
    PREFIX,
    Funding,
    FundingState,
    is_redirect_url,
)
from telvend.funding.play_money import store as play_money_store
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import (
    Beginning,
    Forged,
    Gateway,
    Method,
    NotStarted,
    PaymentUnknown,
    Start,
    Started,
)
from telvend.kit import log
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import number_in, reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.ledger.service import Ledger
from telvend.resellers import store as reseller_store
from telvend.resellers.model import Caller
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind
from telvend.webhooks.model import EventType
from telvend.webhooks.outbox import Outbox

_log = log.get(__name__)

RETURN_PATH: Final = "/pay/return"
"""Where gateways send payers back to, below the address of this server; our reference follows."""

# How long somebody who asks in person has a funding in hand before the schedule looks at it again.
_IN_HAND_S: Final = 60.0
_RETRY_AFTER_S: Final = 30
# How often the gateway is asked because a payer has come back, and how long that payer waits for somebody else's answer.
_RETURN_SPACING_S: Final = 2.0
_RETURN_PAUSE_S: Final = 0.2
_RETURN_TRIES: Final = 15


class Received(StrEnum):
    """What became of something that a gateway is said to have sent."""

    STORED = "stored"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class FundingHistory:
    """Everything about one funding: what its gateway sent, what was noted, and what was voided of it."""

    funding: Funding
    notices: list[Mapping[str, Any]]
    notes: list[tuple[datetime, str]]
    voids: list[Mapping[str, Any]]


class Fundings:
    """The fundings of one shop. `on_notice` is called when a gateway has sent something that is to be asked about."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        gateways: Gateways,
        verification: PaymentVerification,
        *,
        expires_after_s: int = EXPIRES_AFTER_S,
        on_notice: Callable[[], None] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._outbox = outbox or Outbox()
        self._database = database
        self._ledger = ledger
        self._gateways = gateways
        self._verification = verification
        self._expires_after_s = expires_after_s
        self.on_notice = on_notice
        self._salt: bytes | None = None
        self._forged = log.LogLimit()

    # For callers ----------------------------------------------------------------------------------------------------------

    async def start(
        self, caller: Caller, amount: Money, method: Method, redirect_url: str | None, *, base_url: str
    ) -> Funding:
        """Begin to fund the caller's wallet in the currency of `amount`. The payer pays at the answer's `payment_url`.

        `base_url` is how this server is reached, for the pages that it serves itself. It is written down before the gateway
        is called, so that no payment can come that nobody knows. Raises InvalidInput, NotFound (no such wallet), and Busy
        where the gateway or the database does not answer; then there may be a funding, failed, that nobody can pay.
        """
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        if redirect_url is not None and not is_redirect_url(redirect_url):
            raise InvalidInput("redirect_url", f"must be an http or https address of at most {LONGEST_URL} characters")
        wallet_id = caller.wallets.get(amount.currency.code)
        if wallet_id is None:
            raise NotFound(f"A wallet in {amount.currency}")
        test = caller.mode is Mode.TEST
        gateway = self._gateways.choose(test=test, currency=amount.currency.code, method=method)
        if gateway is None:
            raise InvalidInput("payment_method", "is not offered at the moment")
        async with self._database.transaction() as tx:
            email = await reseller_store.email_of(tx, caller.reseller_id)
            salt = await self._salt_of(tx)
            (number,) = await ledger_store.next_causes(tx, 1)
            journal = await WalletJournal.begin(tx, [wallet_id])
            position = journal.enter(wallet_id, TransactionKind.FUNDING, number, credit=True)
            funding = await store.insert(
                tx,
                id=number,
                reference=reference_of(PREFIX, number, salt),
                reseller_id=caller.reseller_id,
                wallet_id=wallet_id,
                mode=caller.mode,
                gateway=gateway.name,
                method=method,
                amount=amount,
                redirect_url=redirect_url,
                position=position,
                balance=Money(journal.wallets[wallet_id].balance_minor, amount.currency),
                expires_after_s=self._expires_after_s,
            )
            await journal.write(tx)
        await hit_async("funding.before_start")
        begun = await self._begin(
            gateway,
            Start(
                reference=funding.reference,
                owner=str(caller.reseller_id),
                email=email or "",
                amount=amount,
                method=method,
                test=test,
                base_url=base_url.rstrip("/"),
                return_url=f"{base_url.rstrip('/')}{RETURN_PATH}/{funding.reference}",
                expires_s=self._expires_after_s,
            ),
        )
        await hit_async("funding.after_start")
        if isinstance(begun, Started):
            async with self._database.connection() as tx:
                known = await store.started(tx, funding.id, begun.payment_url, begun.gateway_reference)
            if known is None:
                raise InvariantBroken(f"funding {funding.id} has gone")
            return known
        # Nobody has its address. Where the gateway may have begun it all the same, it goes on being asked.
        _log.error("funding_not_started", funding=funding.reference, gateway=gateway.name, why=begun.text)
        await self._fail(funding, begun.text, ask=isinstance(begun, PaymentUnknown))
        raise Busy(_RETRY_AFTER_S)

    def methods(self, mode: Mode, currency: str) -> list[Method]:
        """Return how a wallet in this currency and mode can be funded now, the most usual way first."""
        test = mode is Mode.TEST
        return [m for m in Method if self._gateways.choose(test=test, currency=currency, method=m) is not None]

    async def find(self, caller: Caller, reference: str) -> Funding:
        """The caller's funding, in the mode of its key. Raises NotFound, also for somebody else's, and Busy."""
        funding = await self._known(reference)
        if funding.reseller_id != caller.reseller_id or funding.mode is not caller.mode:
            raise NotFound("Funding")
        return funding

    async def check(self, reference: str) -> Funding:
        """Ask the gateway now, and do what follows. Answers the funding as it stands then. Raises NotFound, Busy.

        One that is completed is not asked about.
        """
        funding, _ = await self._check(reference, 0.0)
        return funding

    async def returned(self, reference: str) -> Funding:
        """The payer has come back: ask the gateway, though never twice in two seconds. Raises NotFound, Busy.

        Anybody may come here who knows the reference, as often as they like. A notice may have had the gateway asked a
        moment ago, so that the answer is about to come: it is waited for.
        """
        for _ in range(_RETURN_TRIES):
            funding, asked = await self._check(reference, _RETURN_SPACING_S)
            if asked or funding.state is not FundingState.PENDING:
                break
            await asyncio.sleep(_RETURN_PAUSE_S)
        return funding

    # For gateways ---------------------------------------------------------------------------------------------------------

    async def notice(self, gateway_name: str, headers: Mapping[str, str], body: bytes, *, source: str = "") -> Received:
        """Take in what a gateway sent: verify its signature, keep it, and have the gateway asked. Credits nothing.

        The names in `headers` are in lower case; `source` is the address that it came from. Returns when it is durably
        stored. Raises NotFound for an unknown gateway, and Busy: the gateway must send it again.
        """
        gateway = self._gateways.named(gateway_name)
        if gateway is None:
            raise NotFound("Gateway")
        told = gateway.read_webhook(headers, body)
        if isinstance(told, Forged):
            # Not kept, and seldom logged: anybody could fill the disk with them.
            self._forged.write(
                _log.warning, "notice_forged", source=source, gateway=gateway_name, client=source, why=told.text
            )
            return Received.FORGED
        number = number_in(told.reference) if told.reference else None
        async with self._database.transaction() as tx:
            funding = await store.find(tx, number) if number is not None else None
            if funding is not None and (funding.reference, funding.gateway) != (told.reference, gateway_name):
                funding = None
            if funding is None and told.reference is not None and told.concern is None:
                told = replace(told, concern="This payment is for none of our fundings.")
            digest = hashlib.sha256(body).digest()
            new = await store.write_notice(tx, gateway_name, digest, told, funding.id if funding else None)
            if funding is not None:
                if told.concern is not None:
                    await store.suspect(tx, funding.id, told.concern)
                else:
                    await store.wake(tx, funding.id)
        await hit_async("funding.after_notice")
        if new and told.concern is not None:
            _log.error("notice_needs_a_person", gateway=gateway_name, notice_event=told.event, why=told.concern)
        if funding is not None and self.on_notice is not None:
            self.on_notice()
        return Received.STORED

    # For the operator --------------------------------------------------------------------------------------------------

    async def list_fundings(
        self,
        *,
        reseller_id: UUID | None = None,
        state: FundingState | None = None,
        attention: bool = False,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Funding]:
        """Fundings, newest first; `before` is the number of the last one seen; `attention`: that a person has to look at."""
        async with self._database.connection() as tx:
            return await store.listed(
                tx, reseller_id=reseller_id, state=state, attention=attention, before=before, limit=limit
            )

    async def history(self, reference: str) -> FundingHistory:
        """Everything about the funding with our reference. Raises NotFound."""
        funding = await self._known(reference)
        async with self._database.connection() as tx:
            return FundingHistory(
                funding,
                await store.notices_of(tx, funding.id),
                await store.notes_of(tx, funding.id),
                await play_money_store.voids_of(tx, funding.id),
            )

    async def stray_notices(self, limit: int = 50) -> list[Mapping[str, Any]]:
        """What gateways sent, signed, about nothing of ours: money may have come that no wallet has. Newest first."""
        async with self._database.connection() as tx:
            return await store.stray_notices(tx, limit)

    async def resolve(self, reference: str, text: str) -> Funding:
        """Say what a person has decided about a funding that does not fit. One that is pending fails. Moves no money.

        What is owed is credited with `telvend wallet credit` or paid back at the gateway. Raises NotFound, InvalidInput.
        """
        if not text.strip() or len(text) > 500 or not text.isprintable():
            raise InvalidInput("text", "must be 1 to 500 printable characters")
        funding = await self._known(reference)
        await self._fail(funding, text, ask=False)
        async with self._database.transaction() as tx:
            await store.calmed(tx, funding.id)
        return await self._known(reference)

    # Inside ---------------------------------------------------------------------------------------------------------------

    async def _check(self, reference: str, spacing_s: float) -> tuple[Funding, bool]:
        """The funding as it stands, and whether its gateway was asked now; not within `spacing_s` of the last time."""
        funding = await self._known(reference)
        if funding.state is FundingState.COMPLETED:
            return funding, False
        async with self._database.transaction() as tx:
            in_hand = await store.verification(tx, funding.id, _IN_HAND_S, spacing_s)
        return (await self._verification.ask(in_hand), True) if in_hand else (funding, False)

    async def _begin(self, gateway: Gateway, payment: Start) -> Beginning:
        """The gateway's answer. Whatever is none, exceptions included, is Unknown."""
        begun: Any
        try:
            async with asyncio.timeout(gateway.traits.timeout_s):
                begun = await gateway.start(payment)
        except TimeoutError:
            return PaymentUnknown("no answer in time")
        except Exception as error:
            _log.exception("gateway_raised", gateway=gateway.name, verb="start", funding=payment.reference)
            return PaymentUnknown(f"{type(error).__name__}: {error}")
        if isinstance(begun, Started | NotStarted | PaymentUnknown):
            return begun
        return PaymentUnknown(f"not an answer: {begun!r}")

    async def _fail(self, funding: Funding, text: str, *, ask: bool) -> None:
        """Fail a funding if it is still pending, and note why. `ask`: go on asking, since it may be paid all the same."""
        async with self._database.transaction() as tx:
            journal = await WalletJournal.begin(tx, [funding.wallet_id])
            await store.note(tx, funding.id, text)
            if await store.end(tx, funding.id, FundingState.FAILED):
                journal.fail(funding.wallet_id, funding.position, credit=True)
                await journal.write(tx)
                await events.tell(tx, self._outbox, funding, EventType.FUNDING_FAILED)
                if not ask:
                    await store.postpone(tx, funding, None)

    async def _known(self, reference: str) -> Funding:
        number = number_in(reference)
        if number is None:
            raise NotFound("Funding")
        async with self._database.connection() as tx:
            funding = await store.find(tx, number)
        if funding is None or funding.reference != reference:
            raise NotFound("Funding")
        return funding

    async def _salt_of(self, tx: Tx) -> bytes:
        if self._salt is None:
            self._salt = await ledger_store.installation_salt(tx)
        return self._salt
