"""Everything about one order from every room: what `telvend order show` prints and the order's page in the console."""

from collections.abc import Sequence
from dataclasses import dataclass

from telvend.approvals.model import Proposal
from telvend.approvals.service import Approvals
from telvend.corrections.model import Refund
from telvend.corrections.service import Corrections
from telvend.fulfilment.provisional.model import EnteredReport, ProvisionalCredit
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.ledger.model import Entry
from telvend.ledger.service import Ledger
from telvend.orders.records import OrderHistory, OrderRecords


@dataclass(frozen=True, slots=True)
class OrderFile:
    """An order with its attempts and notes, every transfer that it has caused, and what people have done with it."""

    history: OrderHistory
    entries: Sequence[Entry]
    refund: Refund | None
    credit: ProvisionalCredit | None
    late: Sequence[EnteredReport]
    proposals: Sequence[Proposal]


class OrderFiles:
    """Reads the files of one shop's orders."""

    def __init__(
        self,
        records: OrderRecords,
        corrections: Corrections,
        provisional: ProvisionalCredits,
        approvals: Approvals,
        ledger: Ledger,
    ) -> None:
        self._records = records
        self._corrections = corrections
        self._provisional = provisional
        self._approvals = approvals
        self._ledger = ledger

    async def of(self, reference: str) -> OrderFile:
        """The file of the order with our reference, or of this number. Raises NotFound, Busy."""
        history = await self._records.history(reference)
        number = history.order.id
        entries = list(history.entries)
        refund = await self._corrections.refund_of(number)
        if refund is not None:
            entries += await self._ledger.entries(refund.id)
        credit = await self._provisional.of_order(number)
        late = await self._provisional.late_reports_of(number)
        causes = [] if credit is None else await self._provisional.causes_of(credit)
        for cause in (*causes, *(report.id for report in late)):
            entries += await self._ledger.entries(cause)
        return OrderFile(history, entries, refund, credit, late, await self._approvals.of_order(number))
