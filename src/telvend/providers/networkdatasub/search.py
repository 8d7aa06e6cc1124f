"""How a purchase without an answer is found in the list of transactions, where the far side knows no reference of ours.

The list shows what was bought for whom, and when, but not which request bought it. A wrong match would call an order delivered
that was not, or give money back for one that was. So a transaction is ours only where nothing else can explain it:

- this shop has made no other attempt there for the same recipient and product within a day (`Delivery.rivals` is 0);
- the whole list of three days was read, and every debit on it;
- exactly one transaction of those days is of the recipient, the product and its price;
- it was made between the attempt's start and its time-out, give or take a minute of clock;
- that time is over, so that no later purchase can fall into it.

Everything else stays unknown and waits for a person. That nothing is found means nothing: the document names no time after
which a purchase would have to be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from telvend.kit.money import Money
from telvend.providers.contract import Delivery, Outcome, Unknown
from telvend.providers.networkdatasub.wire import Page, Transaction

LAGOS: Final = timezone(timedelta(hours=1), "Africa/Lagos")
PER_PAGE: Final = 50
MOST_PAGES: Final = 40
CLOCK_DIFFERENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for.

    `price` is what the plan costs there, or the amount of airtime; None where that is not known. `timeout_s` is how long after
    `started_at` the purchase may have been made.
    """

    delivery: Delivery
    started_at: datetime
    price: Money | None
    timeout_s: float

    def too_early(self, now: datetime) -> Unknown | None:
        """Why nothing can be concluded at this time, whatever the list shows."""
        delivery = self.delivery
        if delivery.rivals is None or self.price is None:
            return Unknown("it is not known what to look for in the list of transactions")
        if delivery.rivals:
            return Unknown(
                f"{delivery.rivals} other attempts for the same recipient: its transaction cannot be told apart"
            )
        if now < self.started_at + timedelta(seconds=self.timeout_s + 2 * CLOCK_DIFFERENCE_S):
            return Unknown("its transaction may still be written")
        return None

    def query(self, page: int) -> dict[str, str]:
        """The query of a page: whole days of Lagos, the one before and the one after too."""
        one = timedelta(days=1)
        return day_query(self.started_at - one, self.started_at + one, page)

    def found_in(self, pages: Sequence[Page], claimed: frozenset[str]) -> Outcome:
        """What the pages say. `claimed` are the references that belong to other attempts of ours."""
        if not are_whole(pages) or any(page.unread for page in pages):
            return Unknown("the list of transactions was not read whole")
        alike = {
            transaction.id: transaction
            for page in pages
            for transaction in page.transactions
            if transaction.is_of(self.delivery)
        }
        if len(alike) != 1:
            return Unknown(f"{len(alike) or 'no'} transactions like it in the list")
        (transaction,) = alike.values()
        if not self._is_in_time(transaction) or transaction.amount != self.price or transaction.reference in claimed:
            return Unknown(f"{transaction.reference} is like it, and of another time or amount, or of another order")
        return transaction.outcome

    def _is_in_time(self, transaction: Transaction) -> bool:
        late_s = (transaction.created_at - self.started_at).total_seconds()
        return -CLOCK_DIFFERENCE_S <= late_s <= self.timeout_s + CLOCK_DIFFERENCE_S


def day_query(first: datetime, last: datetime, page: int) -> dict[str, str]:
    """The query of a page of debits, from the day of `first` to that of `last`, in Lagos."""
    days = {
        "start_date": first.astimezone(LAGOS).date().isoformat(),
        "end_date": last.astimezone(LAGOS).date().isoformat(),
    }
    return {"page": str(page), "per_page": str(PER_PAGE), "type": "debit"} | days


def are_whole(pages: Sequence[Page]) -> bool:
    """Whether all pages are there, of one list that did not shrink under the reading.

    A purchase that is made meanwhile moves older ones to the next page, where they are read twice; none is left out.
    """
    first = pages[0]
    ids = frozenset[int]().union(*(page.ids for page in pages))
    return (
        [page.number for page in pages] == list(range(1, len(pages) + 1))
        and pages[-1].last == len(pages)
        and all(page.total >= first.total for page in pages)
        and len(ids) >= first.total
    )
