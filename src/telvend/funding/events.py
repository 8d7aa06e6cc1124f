"""The events of fundings: what resellers are told when a payment has come, or has not."""

from telvend.database.connections import Tx
from telvend.funding.model import Funding
from telvend.webhooks.model import Event, EventType, time_of
from telvend.webhooks.outbox import Outbox


async def tell(tx: Tx, outbox: Outbox, funding: Funding, kind: EventType) -> None:
    """Write the event of a funding that this transaction has completed or ended."""
    if outbox.hears(funding.wallet_id):
        await outbox.write(tx, [funding_event(funding, kind)])


def funding_event(funding: Funding, kind: EventType) -> Event:
    """What the funding's owner is told."""
    return Event(
        kind,
        funding.reseller_id,
        funding.mode,
        {
            "reference": funding.reference,
            "client_reference": None,
            "status": "completed" if kind is EventType.FUNDING_COMPLETED else "failed",
            "amount": funding.amount.text,
            "currency": funding.amount.currency.code,
            "payment_method": str(funding.method),
            "created_at": time_of(funding.created_at),
        },
    )
