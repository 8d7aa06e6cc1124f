"""The event of an identity check that has its outcome. It says nothing of the person, nor the number."""

from telvend.database.connections import Tx
from telvend.identity.model import Verification, VerificationState
from telvend.kit.money import Money
from telvend.webhooks.model import Event, EventType, time_of
from telvend.webhooks.outbox import Outbox


async def tell(tx: Tx, outbox: Outbox, verification: Verification) -> None:
    """Write the event of a check that this transaction has given its outcome."""
    if outbox.hears(verification.wallet_id):
        await outbox.write(tx, [verification_event(verification)])


def verification_event(verification: Verification) -> Event:
    """What the check's owner is told. `charged` is nothing unless it is verified."""
    price = verification.price
    charged = price if verification.state is VerificationState.VERIFIED else Money(0, price.currency)
    return Event(
        EventType.VERIFICATION_COMPLETED,
        verification.reseller_id,
        verification.mode,
        {
            "reference": verification.reference,
            "client_reference": verification.client_reference,
            "status": str(verification.state),
            "kind": str(verification.kind),
            "card_type": verification.card_type,
            "charged": charged.text,
            "currency": price.currency.code,
            "created_at": time_of(verification.created_at),
        },
    )
