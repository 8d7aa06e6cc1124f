"""Sealing what deliveries carry back, and opening it for whoever may see it. Each reading is noted.

sealed = await payloads.seal(order_id, attempt, payload)      # before the transaction that writes it, or inside
await store.write(tx, [sealed], FIRST_ASKED_S)
(await payloads.read(order_id, "order show, ama")).payload
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from telvend.catalog.kinds import Payload
from telvend.database.connections import Database
from telvend.errors import Busy, InvariantBroken
from telvend.kit.keyfile import KeyRefused
from telvend.kit.log import LogLimit, get
from telvend.orders.payloads import store
from telvend.orders.payloads.keys import PayloadKeys
from telvend.orders.payloads.store import SealedPayload

REQUERY_DELAYS_S: Final = (60.0, 120.0, 300.0, 900.0, 3600.0, 10800.0, 21600.0, 43200.0)
"""When a provider is asked for a payload that was missing at the delivery, each counted from the time before; the last one repeats."""

_log = get(__name__)


@dataclass(frozen=True, slots=True)
class PayloadReading:
    """What a reader is told of a delivered order's payload. While it is None the provider is asked: at `due_at`, for the
    `asked`-th time since the delivery."""

    payload: Payload | None
    asked: int
    due_at: datetime | None


class Payloads:
    """The payloads of one shop."""

    def __init__(self, database: Database, keys: PayloadKeys) -> None:
        self._database = database
        self._keys = keys
        self._complaints = LogLimit()

    async def seal(self, order_id: int, attempt: int, payload: Payload | None) -> SealedPayload:
        """Return a payload as it is stored.

        Where the key cannot be had it counts as not told: the delivery is settled all the same, and the provider is asked again.
        """
        if payload is None:
            return SealedPayload(order_id, attempt)
        try:
            key = await self._keys.ready()
        except (KeyRefused, Busy) as error:
            self._complaints.write(_log.critical, "payload_not_sealed", why=str(error))
            return SealedPayload(order_id, attempt)
        return SealedPayload(order_id, attempt, key.id, key.seal(order_id, payload))

    async def read(self, order_id: int, reader: str) -> PayloadReading:
        """Return the payload of a delivered order of a kind that carries one. `reader` is who sees it, and is noted.

        Raises KeyRefused, SealBroken, Busy.
        """
        async with self._database.transaction() as tx:
            row = await store.find(tx, order_id)
            if row is None:
                # Delivered by an older version, which keeps no payload: the provider is asked for it.
                attempt = await store.delivered_attempt(tx, order_id)
                if attempt is None:
                    raise InvariantBroken(f"order {order_id} is delivered and none of its attempts is")
                await store.write(tx, [SealedPayload(order_id, attempt)], 0.0)
                row = await store.find(tx, order_id)
            if row["sealed"] is None:
                return PayloadReading(None, row["asked"], row["due_at"])
            payload = self._keys.named(row["key_id"]).open(order_id, row["sealed"])
            await store.note_reading(tx, order_id, reader)
        return PayloadReading(payload, row["asked"], None)

    async def readings(self, order_id: int) -> list[tuple[datetime, str]]:
        """Who was shown the payload of an order, oldest first."""
        async with self._database.connection() as tx:
            return await store.readings(tx, order_id)


def requery_delay_s(asked: int) -> float:
    """Seconds until a provider is asked again for a payload that it was asked for `asked` times."""
    return REQUERY_DELAYS_S[min(asked, len(REQUERY_DELAYS_S) - 1)]
