"""What a person can do with an order that asking has not settled: decide it, or have the provider asked once more.

Both work from any process, while the fulfilment runs or not, and may be repeated.
"""

from telvend.approvals.model import ActKind, Confirmation, Proposal, WaitsForSecondPerson, require_name
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.model import Effect, Item, PersonVerdict, RequeryNow
from telvend.fulfilment.ports import FulfilmentStore
from telvend.kit.failpoints import hit_async
from telvend.kit.ids import number_in


class Review:
    """The verbs of the review queue. `order` is our reference, or the order's number."""

    def __init__(self, store: FulfilmentStore) -> None:
        self._store = store

    async def resolve(self, order: str | int, *, delivered: bool, text: str, by_whom: str | None = None) -> Effect:
        """Settle an open order by hand: post its hold or give it back. `text` says why, and is kept with the order.

        `by_whom` is kept with it.

        For orders that wait or are in review. The same decision again changes nothing. Raises NotFound, InvalidInput
        (decided otherwise already, with a provider right now, or no reason given), WaitsForSecondPerson where the decision
        has become a proposal, Busy.
        """
        if not text.strip():
            raise InvalidInput("text", "must say why, for whoever looks at this order later")
        if by_whom is not None:
            by_whom = require_name(by_whom)
        number, reference = _names(order)
        try:
            return await self._tell(PersonVerdict(number, reference, delivered, text.strip(), by_whom))
        except WaitsForSecondPerson:
            await hit_async("approval.proposed")
            raise

    async def perform(self, proposal: Proposal, confirmation: Confirmation) -> None:
        """Decide an order as it was proposed, and as a second person has confirmed.

        Raises InvalidInput (the order has changed meanwhile, or the proposal cannot be confirmed), NotFound, Busy.
        """
        number, reference = _names(proposal.reference)
        delivered = proposal.kind is ActKind.DELIVERED
        verdict = PersonVerdict(number, reference, delivered, proposal.reason, proposal.proposed_by, confirmation)
        await self._tell(verdict)

    async def requery_now(self, order: str | int) -> Effect:
        """Have the provider asked now. Raises NotFound, InvalidInput (final, or nothing to ask about), Busy."""
        number, reference = _names(order)
        return await self._tell(RequeryNow(number, reference))

    async def _tell(self, item: Item) -> Effect:
        (answer,) = await self._store.settle([item])
        if isinstance(answer, Exception):
            raise answer
        return answer


def _names(order: str | int) -> tuple[int, str | None]:
    """The order's number, and the reference that it must have. Raises NotFound."""
    text = str(order)
    if text.isascii() and text.isdigit():
        number, reference = int(text), None
    else:
        number, reference = number_in(text) or 0, text
    if not 0 < number < 2**63:
        raise NotFound("Order")
    return number, reference
