"""The event of a refill, which is a completed sale the moment it takes place."""

from collections.abc import Sequence

from telvend.database.connections import Tx
from telvend.operator.refills.model import Refill, Refilled, RefillRequest
from telvend.webhooks.model import Event, EventType, time_of
from telvend.webhooks.outbox import Outbox


async def tell(
    tx: Tx, outbox: Outbox, requests: Sequence[RefillRequest], answers: Sequence[Refilled | Exception]
) -> None:
    """Write the events of the refills that this transaction has made."""
    if outbox.silent:
        return
    await outbox.write(
        tx,
        [
            refill_event(answer.refill)
            for request, answer in zip(requests, answers, strict=True)
            if isinstance(answer, Refilled) and not answer.replayed and _hears(outbox, request)
        ],
    )


def _hears(outbox: Outbox, request: RefillRequest) -> bool:
    """Whether the partner may have an endpoint. A refill by voucher is paid from no wallet, so any wallet of the partner counts."""
    return not request.wallets or any(outbox.hears(wallet_id) for wallet_id in request.wallets.values())


def refill_event(refill: Refill) -> Event:
    """What the partner is told. `price` is null where a voucher has paid."""
    return Event(
        EventType.ORDER_COMPLETED,
        refill.reseller_id,
        refill.mode,
        {
            "reference": refill.reference,
            "client_reference": refill.sent_id or refill.transaction_id,
            "status": "completed",
            "kind": "refill",
            "product": refill.profile,
            "recipient": refill.msisdn,
            "amount": refill.amount.text,
            "price": None if refill.wallet_id is None else refill.amount.text,
            "currency": refill.amount.currency.code,
            "created_at": time_of(refill.created_at),
        },
    )
