"""The verbs of claims: make one, see what the gateway says, credit it once or refuse it.

A claim is credited only by what the gateway answers when it is asked, never by what the reseller says. Where the payment is one of
our fundings, the funding is asked about and credited as ever, and the claim says so. Another one becomes a credit by hand under the
reference of the payment: that credit, its second person and the claim are one transaction.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from telvend.approvals import store as approval_store
from telvend.approvals.model import Proposal, ProposalState, require_name, require_reason
from telvend.database.connections import Database, Tx
from telvend.errors import AlreadyExists, InvalidInput, NotFound
from telvend.funding import store as funding_store
from telvend.funding.claims import store
from telvend.funding.claims.model import (
    LONGEST_NOTE,
    MOST_OPEN,
    Claim,
    ClaimState,
    require_open,
    require_paid,
    require_reference,
)
from telvend.funding.credits import store as credit_store
from telvend.funding.credits.service import Credits
from telvend.funding.model import Funding, FundingState
from telvend.funding.service import Fundings
from telvend.funding.verification import Gateways, PaymentVerification
from telvend.gateways.contract import Paid, Word
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import number_in
from telvend.kit.mode import Mode
from telvend.kit.money import Money

ALL: Final = tuple(ClaimState)
_OURS_OPEN: Final = "the gateway does not say that it was paid as it was asked for: look at the funding"


class Claims:
    """The claims of one shop. They are about real money: play money is nobody's loss."""

    def __init__(
        self,
        database: Database,
        gateways: Gateways,
        verification: PaymentVerification,
        fundings: Fundings,
        credits_: Credits,
    ) -> None:
        self._database = database
        self._gateways = gateways
        self._verification = verification
        self._fundings = fundings
        self._credits = credits_

    # For resellers ----------------------------------------------------------------------------------------------------------

    def gateways(self) -> list[str]:
        """The names of the gateways that take real money."""
        return [one.name for one in self._gateways.all() if one.traits.takes(test=False)]

    async def make(
        self, reseller_id: UUID, gateway: str, reference: str, amount: Money, note: str, *, by_whom: str
    ) -> Claim | Funding:
        """Claim a payment. Where it is a funding of the reseller's own, its gateway is asked at once; paid, there is nothing to claim.

        Raises InvalidInput, AlreadyExists (claimed before), and Busy.
        """
        if gateway not in self.gateways():
            raise InvalidInput("gateway", "is none that takes payments here")
        reference = require_reference(reference)
        if amount.minor <= 0:
            raise InvalidInput("amount", "must be greater than zero")
        note = note.strip()
        if len(note) > LONGEST_NOTE or not all(one.isprintable() or one == "\n" for one in note):
            raise InvalidInput("note", f"must be at most {LONGEST_NOTE} printable characters")
        funding = await self._funding_named(gateway, reference)
        if funding is not None and funding.reseller_id == reseller_id and funding.mode is Mode.LIVE:
            funding = await self._fundings.check(funding.reference)
            if funding.state is FundingState.COMPLETED:
                return funding
        try:
            async with self._database.transaction() as tx:
                if await store.open_of(tx, reseller_id) >= MOST_OPEN:
                    raise InvalidInput("", f"{MOST_OPEN} claims are open: wait until some of them are answered")
                return await store.insert(tx, reseller_id, gateway, reference, amount, note, by_whom)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != store.CLAIMED_ONCE:
                raise
            raise AlreadyExists("A claim of this payment") from None

    async def of_reseller(self, reseller_id: UUID, *, before: int | None = None, limit: int) -> list[Claim]:
        """The claims of one reseller, newest first. Raises Busy."""
        return await self._listed(reseller_id, ALL, before, limit)

    # For the operator --------------------------------------------------------------------------------------------------------

    async def listed(self, states: Sequence[ClaimState] = ALL, *, before: int | None = None, limit: int) -> list[Claim]:
        """Claims in these states, newest first. Raises Busy."""
        return await self._listed(None, states, before, limit)

    async def unsettled(self, limit: int) -> list[Claim]:
        """The claims that wait to be credited or refused, oldest first; not those that wait for a second person. Raises Busy."""
        async with self._database.connection() as tx:
            found = [await self._caught_up(tx, one) for one in await store.unsettled(tx, limit)]
        return [one for one in found if one.state is ClaimState.OPEN]

    async def find(self, claim_id: int) -> Claim:
        """The claim with this number. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            found = await store.find(tx, claim_id)
            if found is None:
                raise NotFound("Claim")
            return await self._caught_up(tx, found)

    async def rivals(self, claim: Claim) -> list[Claim]:
        """Other claims of the same payment, by anybody. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.rivals(tx, claim)

    async def look(self, claim: Claim) -> Funding | Word:
        """The funding of ours that a claim is about; else what its gateway says now. Changes nothing. Raises Busy."""
        return await self._funding_named(claim.gateway, claim.reference) or await self._verification.verify(
            claim.gateway, claim.reference
        )

    async def require_creditable(self, claim: Claim, found: Funding | Word) -> Money:
        """Return what would be credited of what `look` has found. Raises InvalidInput: nothing, and why."""
        require_open(claim)
        if isinstance(found, Funding):
            self._require_own(claim, found)
            return found.amount
        return await self._amount_of(claim, found)

    async def settle(self, claim_id: int, *, by_whom: str) -> Claim:
        """Ask the gateway, and credit what it says was paid, once.

        Raises NotFound, InvalidInput (settled before, not paid, not for this reseller, credited before), Busy, and
        WaitsForSecondPerson where the credit has become a proposal.
        """
        by_whom = require_name(by_whom)
        claim = await self.find(claim_id)
        require_open(claim)
        found = await self.look(claim)
        if isinstance(found, Funding):
            await self._settle_by(claim, found, by_whom)
        else:
            await self._credit(claim, found, by_whom)
        return await self.find(claim_id)

    async def refuse(self, claim_id: int, reason: str, *, by_whom: str) -> Claim:
        """Refuse a claim with a reason that the reseller reads. Raises NotFound, InvalidInput (settled before), Busy."""
        by_whom, reason = require_name(by_whom), require_reason(reason)
        require_open(await self.find(claim_id))
        async with self._database.transaction() as tx:
            if not await store.refuse(tx, claim_id, reason, by_whom):
                raise InvalidInput("", _SETTLED.format(claim_id))
        return await self.find(claim_id)

    # Inside -------------------------------------------------------------------------------------------------------------------

    async def _settle_by(self, claim: Claim, funding: Funding, by_whom: str) -> None:
        """Credit the funding that a claim is about, as its gateway says."""
        self._require_own(claim, funding)
        funding = await self._fundings.check(funding.reference)
        if funding.state is not FundingState.COMPLETED:
            raise InvalidInput("", f"{funding.reference} is {funding.state}: {_OURS_OPEN}")
        async with self._database.transaction() as tx:
            if not await store.credit_by_funding(tx, claim.id, funding, by_whom):
                raise InvalidInput("", _SETTLED.format(claim.id))

    async def _credit(self, claim: Claim, word: Word, by_whom: str) -> None:
        """Credit a payment that is none of our fundings, in one transaction with what the claim says."""
        amount = await self._amount_of(claim, word)
        assert isinstance(word, Paid)  # noqa: S101 - anything else was refused
        written = False

        async def also(tx: Tx, made: Proposal | int) -> None:
            nonlocal written
            if isinstance(made, Proposal):
                written = await store.propose(tx, claim.id, amount, word.gateway_reference, made.id, by_whom)
            else:
                written = await store.credit(tx, claim.id, amount, word.gateway_reference, made, by_whom)
            if not written:
                raise InvalidInput("", _SETTLED.format(claim.id))
            await hit_async("claim.before_commit")

        try:
            await self._credits.add(claim.reseller_id, amount, Mode.LIVE, claim.reference, by_whom=by_whom, also=also)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != store.PAID_ONCE:
                raise
            raise InvalidInput("", _ELSEWHERE.format(word.gateway_reference)) from None
        if not written:
            raise InvalidInput("", _ELSEWHERE.format(word.gateway_reference))

    async def _amount_of(self, claim: Claim, word: Word) -> Money:
        gateway = self._gateways.named(claim.gateway)
        if gateway is None:
            raise InvalidInput("", f"{claim.gateway} is not set up here any more and cannot be asked")
        paid = require_paid(claim, word, gateway.traits)
        async with self._database.connection() as tx:
            funding = await funding_store.paid_by(tx, claim.gateway, paid.gateway_reference)
            # By hand: under the reference that the payer was told, as the guides say, or under the gateway's own.
            credited = await credit_store.is_used(tx, [claim.reference, paid.gateway_reference])
        if funding is not None:
            raise InvalidInput("", f"this payment is that of our funding {funding.reference}, which is {funding.state}")
        if credited:
            raise InvalidInput("", _ELSEWHERE.format(paid.gateway_reference))
        return Money(paid.amount_minor, claim.amount.currency)

    def _require_own(self, claim: Claim, funding: Funding) -> None:
        if funding.reseller_id != claim.reseller_id:
            raise InvalidInput("", f"{funding.reference} is a funding of another reseller: refuse the claim")
        if funding.mode is not Mode.LIVE:
            raise InvalidInput("", f"{funding.reference} is play money: refuse the claim")

    async def _funding_named(self, gateway: str, reference: str) -> Funding | None:
        """The funding of ours that has this reference, ours or the gateway's."""
        async with self._database.connection() as tx:
            number = number_in(reference)
            funding = None if number is None else await funding_store.find(tx, number)
            if funding is not None and funding.gateway == gateway and funding.reference == reference:
                return funding
            return await funding_store.paid_by(tx, gateway, reference)

    async def _listed(
        self, reseller_id: UUID | None, states: Sequence[ClaimState], before: int | None, limit: int
    ) -> list[Claim]:
        async with self._database.connection() as tx:
            found = await store.listed(tx, reseller_id, states, before, limit)
            return [await self._caught_up(tx, one) for one in found]

    async def _caught_up(self, tx: Tx, claim: Claim) -> Claim:
        """A claim as its proposal stands: a second person confirms or rejects that, and knows of no claim."""
        if claim.state is not ClaimState.WAITING or claim.proposal_id is None:
            return claim
        proposal = await approval_store.find(tx, claim.proposal_id)
        if proposal is None or proposal.state is ProposalState.WAITING:
            return claim
        if proposal.cause is not None:
            await store.confirmed(tx, claim, proposal.cause)
        else:
            await store.reopened(tx, claim)
        return await store.find(tx, claim.id) or claim


_SETTLED: Final = "claim {} was settled a moment ago"
_ELSEWHERE: Final = "payment {} was credited before. Nothing was credited"
