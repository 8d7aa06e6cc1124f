"""The verbs of approvals: what waits, confirm it, reject it.

The rooms whose acts may wait do the deeds: each gives a `Perform` for its kinds, and bootstrap hands them over.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from telvend.approvals import store
from telvend.approvals.gate import end_unconfirmed
from telvend.approvals.model import (
    ActKind,
    Confirmation,
    Confirmed,
    Proposal,
    ProposalState,
    how_it_ended,
    require_name,
    require_open,
    require_reason,
)
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound, TelvendError
from telvend.kit.failpoints import hit_async

Perform = Callable[[Proposal, Confirmation], Awaitable[None]]
"""Do what was proposed and confirm the proposal, in one transaction that passes the gate.

Raises a TelvendError where it cannot be done any more; then nothing has changed, and the proposal waits on.
"""


class Approvals:
    """Proposals of one shop. `performs` makes the verbs of each kind when one is needed."""

    def __init__(self, database: Database, performs: Mapping[ActKind, Callable[[], Perform]]) -> None:
        self._database = database
        self._performs = performs

    async def listed(
        self,
        *,
        states: Sequence[ProposalState] = (ProposalState.WAITING,),
        wallet_ids: Sequence[int] | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Proposal]:
        """Return proposals in these states, newest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, states, wallet_ids, before, limit)

    async def find(self, proposal_id: int) -> Proposal:
        """Return the proposal with this number. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            found = await store.find(tx, proposal_id)
        if found is None:
            raise NotFound("Proposal")
        return found

    async def of_order(self, order_id: int) -> list[Proposal]:
        """Return every proposal about an order, oldest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.of_order(tx, order_id)

    async def by_cause(self, causes: Sequence[int]) -> dict[int, Proposal]:
        """Return the confirmed proposals whose deeds have these causes. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.by_cause(tx, causes)

    async def confirm(self, proposal_id: int, by_whom: str) -> Confirmed:
        """Do what was proposed, as a second person. Once: a proposal that is confirmed already is returned as it stands.

        Raises NotFound, InvalidInput (the same person, ended otherwise, the situation has changed), InsufficientBalance, Busy.
        """
        by_whom = require_name(by_whom)
        proposal = await self.find(proposal_id)
        if proposal.state is ProposalState.CONFIRMED:
            return Confirmed(proposal, again=True)
        require_open(proposal, by_whom)
        try:
            await self._performs[proposal.kind]()(proposal, Confirmation(proposal.id, by_whom))
        except TelvendError:
            # Somebody else may have been first, or the answer to COMMIT was lost.
            proposal = await self.find(proposal_id)
            if proposal.state is not ProposalState.CONFIRMED:
                raise
            return Confirmed(proposal, again=True)
        await hit_async("approval.after_deed")
        return Confirmed(await self.find(proposal_id), again=False)

    async def confirm_order(self, order_id: int, by_whom: str) -> Confirmed:
        """Confirm the proposal about an order that waits, as `confirm` does.

        Raises InvalidInput where there is none, or where several wait.
        """
        proposals = await self.of_order(order_id)
        if not proposals:
            raise InvalidInput("", "Nothing about this order waits for a second person.")
        waiting = [proposal for proposal in proposals if proposal.state is ProposalState.WAITING]
        if len(waiting) > 1:
            each = ", ".join(f"{proposal.id} ({proposal.kind.text})" for proposal in waiting)
            raise InvalidInput(
                "", f"Several proposals about this order wait: {each}. Say which: telvend approval confirm ID"
            )
        return await self.confirm((waiting or proposals)[-1].id, by_whom)

    async def reject(self, proposal_id: int, by_whom: str, reason: str) -> Proposal:
        """End a proposal without its deed: withdrawn by its proposer, rejected by anybody else. A repeated call changes nothing.

        Raises NotFound, InvalidInput (confirmed or expired), Busy.
        """
        end = Confirmation(proposal_id, require_name(by_whom))
        reason = require_reason(reason)
        async with self._database.transaction() as tx:
            proposal = await end_unconfirmed(tx, end, reason)
        if proposal.state not in (ProposalState.REJECTED, ProposalState.WITHDRAWN):
            raise InvalidInput("", how_it_ended(proposal))
        return proposal
