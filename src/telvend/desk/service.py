"""What the console speaks to: the services of one shop that its operator uses, and the record of what people do with them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from telvend.approvals.gate import SecondPerson
from telvend.approvals.model import WaitsForSecondPerson
from telvend.approvals.service import Approvals
from telvend.catalog.pauses.service import NetworkPauses
from telvend.catalog.service import Catalogue
from telvend.config import Settings
from telvend.corrections.service import Corrections
from telvend.database.connections import Tx, writing_together
from telvend.desk.attention import Attention
from telvend.desk.jobs.service import Jobs
from telvend.desk.order_file import OrderFiles
from telvend.desk.search import Search
from telvend.errors import TelvendError
from telvend.fulfilment.provisional.service import ProvisionalCredits
from telvend.fulfilment.review import Review
from telvend.funding.claims.service import Claims
from telvend.funding.credits.service import Credits
from telvend.funding.play_money.voiding import PlayMoney
from telvend.funding.service import Fundings
from telvend.kit.stale import Stale
from telvend.ledger.model import AccountTotal
from telvend.operator.subscribers.service import Subscribers
from telvend.operator.vouchers.service import Vouchers
from telvend.orders.overview.service import OrdersOverview
from telvend.orders.records import OrderRecords
from telvend.orders.search.service import OrderSearch
from telvend.people.model import Act, Visitor
from telvend.people.service import People
from telvend.reports.ranking.service import RankedReports
from telvend.reports.service import Reports
from telvend.resellers.service import Resellers
from telvend.upstreams.reconciliation.service import Reconciliations
from telvend.upstreams.service import Upstreams
from telvend.wallets.service import Wallets
from telvend.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True)
class Desk:
    """The services of the console. Assembled by bootstrap/shop.py."""

    settings: Settings
    zone: ZoneInfo
    """The zone of the shop's days."""
    provider_names: tuple[str, ...]
    people: People
    # What happens.
    overview: OrdersOverview
    attention: Attention
    search: Search
    orders: OrderRecords
    order_search: OrderSearch
    order_files: OrderFiles
    review: Review
    provisional: ProvisionalCredits
    # Money.
    approvals: Approvals
    second_person: SecondPerson
    credits: Credits
    corrections: Corrections
    fundings: Fundings
    claims: Claims
    play_money: PlayMoney
    wallets: Wallets
    totals: Stale[list[AccountTotal]]
    """What every account holds, summed within the last minute."""
    reports: Reports
    ranked_reports: RankedReports
    jobs: Jobs
    """Long work that is done in the background: months that are closed, audits of the books."""
    reconciliations: Reconciliations
    # Who buys, and what is sold.
    resellers: Resellers
    catalogue: Catalogue
    pauses: NetworkPauses
    upstreams: Upstreams
    webhooks: Webhooks
    vouchers: Vouchers
    subscribers: Subscribers

    @asynccontextmanager
    async def acting(self, act: Act, visitor: Visitor, address: str, *, first: bool = False) -> AsyncIterator[None]:
        """Record what a visitor does in the block, in the transaction that does it.

        `first`: the room writes on a connection of its own, so that the act is recorded before, and once more where it is refused.
        Where the block raises and nothing was committed, nothing is recorded.
        """

        async def write(tx: Tx) -> None:
            await self.people.record(act, visitor, address=address, tx=tx)

        if first:
            await self.people.record(act, visitor, address=address)
            try:
                yield
            except WaitsForSecondPerson as waits:
                await self.people.record(proposed(act, waits), visitor, address=address)
                raise
            except TelvendError as error:
                await self.people.record(refused(act, error), visitor, address=address)
                raise
            return
        try:
            with writing_together(write) as together:
                yield
        except WaitsForSecondPerson as waits:
            await self.people.record(proposed(act, waits), visitor, address=address)
            raise
        if not together.written:
            await self.people.record(act, visitor, address=address)


def proposed(act: Act, waits: WaitsForSecondPerson) -> Act:
    """The act that says that another one has become a proposal, and nothing has moved."""
    after = {"moved": "nothing", "proposal": waits.proposal.id, "amount": str(waits.proposal.amount)}
    return Act(f"{act.what}.proposed", act.thing, act.key, act.reason, None, after)


def refused(act: Act, error: TelvendError) -> Act:
    """The act that says that another one was refused, and why."""
    after: Mapping[str, Any] = {"refused": str(error)}
    return Act(f"{act.what}.refused", act.thing, act.key, act.reason, None, after)
