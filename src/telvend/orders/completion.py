"""Waiting for orders to become final, for answers that show the delivery.

However many wait, one task looks for all of them together, every tenth of a second, wherever the order is being
delivered; who waits costs a future in a dictionary.
"""

import asyncio
from typing import Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.orders import store
from telvend.orders.model import Order

LOOK_EVERY_S: Final = 0.1


class Completion:
    """The orders of this process that somebody waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: dict[int, set[asyncio.Future[Order]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def until_final(self, order: Order, timeout_s: float) -> Order:
        """The order when it is final, or as it was last seen after `timeout_s`."""
        future: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order.id, set()).add(future)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look(), name="waiting for orders")
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return order
        finally:
            left = self._waiters[order.id]
            left.discard(future)
            if not left:
                del self._waiters[order.id]

    async def close(self) -> None:
        """Look no more; who still waits gets its order as it was, at its own time-out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look(self) -> None:
        while self._waiters:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with self._database.connection() as tx:
                    found = await store.find_final(tx, list(self._waiters))
            except Busy:
                continue
            for order in found:
                for future in self._waiters.get(order.id, ()):
                    if not future.done():
                        future.set_result(order)
            await asyncio.sleep(0)  # Lets those that were answered leave the dictionary.
