"""The check that every act on money by hand passes, in the transaction that would do it.

    waiting = await gate.admit(tx, act, cause, by_whom=..., confirmation=None)
    if waiting is None:
        ...                                 # the deed, under `cause`
    # after COMMIT:
    if waiting is not None:
        raise WaitsForSecondPerson(waiting)

The lock of the wallet, or of the order that is decided, must be held: it makes proposals for the same thing take turns. The
locks are always taken in the order wallets, orders, proposal.
"""

from datetime import timedelta

from telvend.approvals import store
from telvend.approvals.model import (
    ALONE_FOR,
    NO_LIMITS,
    Act,
    Confirmation,
    Limits,
    Proposal,
    ProposalState,
    require_fits,
    require_name,
    require_open,
    same_person,
)
from telvend.database.connections import Tx
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.kit.failpoints import hit_async


class SecondPerson:
    """The rule of one shop: above which amounts an act waits, and for how long."""

    def __init__(self, limits: Limits = NO_LIMITS, *, lasts: timedelta = timedelta(days=7)) -> None:
        self.limits = limits
        self._lasts = lasts

    async def admit(
        self,
        tx: Tx,
        act: Act,
        cause: int,
        *,
        by_whom: str | None = None,
        confirmation: Confirmation | None = None,
    ) -> Proposal | None:
        """Return None where the act may be done now in `tx`, under `cause`; else the proposal that it has become.

        With `confirmation` the proposal is marked as confirmed, and the act must be done. `by_whom`: who wants it, as that person
        has said. Writes nothing before it raises InvalidInput, NotFound or ReferenceReused (another amount is waiting).
        """
        if confirmation is not None:
            await self._confirm(tx, act, cause, confirmation)
            return None
        waiting = await store.waiting(tx, act)
        if waiting is not None:
            require_fits(waiting, act)
            if waiting.amount != act.amount:
                raise ReferenceReused(act.reference)
            return waiting
        limit = self.limits.of(act)
        if limit is None:
            return None
        alone_minor = await store.alone_minor(tx, act, ALONE_FOR) if act.kind.added else 0
        if not self.limits.asks(act, alone_minor):
            if act.kind.added:
                await store.write_alone(tx, act, cause)
            return None
        above = f"{limit} in 24 hours" if act.kind.added else str(limit)
        name = require_name(by_whom, f"is needed: what is above {above} waits for a second person; say who proposes it")
        return await store.find(tx, await store.write(tx, act, name, self._lasts))

    async def _confirm(self, tx: Tx, act: Act, cause: int, confirmation: Confirmation) -> None:
        proposal = await store.lock(tx, confirmation.proposal_id)
        if proposal is None:
            raise NotFound("Proposal")
        require_open(proposal, confirmation.by_whom)
        proposed = (proposal.kind, proposal.wallet_id, proposal.reference, proposal.amount, proposal.order_id)
        if proposed != (act.kind, act.wallet_id, act.reference, act.amount, act.order_id):
            raise InvalidInput("", f"Proposal {proposal.id} is not for {act.kind.text} of {act.amount}.")
        await store.write_end(tx, confirmation, ProposalState.CONFIRMED, cause=cause)
        await hit_async("approval.before_deed")


async def end_unconfirmed(tx: Tx, end: Confirmation, reason: str) -> Proposal:
    """Reject a proposal; its own proposer withdraws it. A repeated call changes nothing.

    Raises NotFound, and InvalidInput where it is confirmed or expired.
    """
    proposal = await store.lock(tx, end.proposal_id)
    if proposal is None:
        raise NotFound("Proposal")
    own = same_person(proposal.proposed_by, end.by_whom)
    state = ProposalState.WITHDRAWN if own else ProposalState.REJECTED
    if proposal.state is ProposalState.WAITING:
        await store.write_end(tx, end, state, reason=reason)
        return await store.find(tx, proposal.id) or proposal
    return proposal
