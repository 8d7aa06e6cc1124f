"""What stories can do with webhooks: an endpoint, a threshold, and `told`, the types of all that its owner was told, in order.

Types are shown by their first letters, so that a column stays narrow: `oc` order.completed, `of` order.failed, `or`
order.review, `fc` funding.completed, `ff` funding.failed, `vc` verification.completed, `wl` wallet.low.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.wallets.service import Wallets
from telvend.webhooks.keys import WebhookKeys
from telvend.webhooks.outbox import Outbox
from telvend.webhooks.service import Webhooks
from tests.scenario.story_table import Verbs

URL: Final = "https://203.0.114.7/hooks"


class WebhookStage:
    """The endpoint of the story's reseller."""

    def __init__(self, database: Database, data_dir: Path, owner: Callable[[], tuple[UUID, Currency]]) -> None:
        self._database = database
        self._owner = owner
        self._webhooks = Webhooks(
            database, WebhookKeys(database, data_dir), Outbox(), allow_private=False, settled_s=0.0
        )

    def verbs(self) -> Verbs:
        return [
            (r"an endpoint", self._add),
            (r"an alert below ([\d.,]+)", self._alert),
        ]

    def columns(self) -> dict[str, Callable[[], Awaitable[str]]]:
        return {"told": self._told}

    async def bodies(self) -> list[dict[str, Any]]:
        """What was told, oldest first."""
        async with self._database.connection() as tx:
            return [json.loads(row[0]) for row in await tx.fetch("select body from webhook_event order by id")]

    async def _add(self) -> None:
        await self._webhooks.add(self._owner()[0], URL)

    async def _alert(self, below: str) -> None:
        reseller_id, currency = self._owner()
        (wallet_id,) = [
            wallet.wallet_id
            for wallet in await Wallets(self._database).of_reseller(reseller_id)
            if wallet.balance.currency == currency and wallet.mode is Mode.LIVE
        ]
        await self._webhooks.set_threshold(wallet_id, Money.parse(below.replace(",", ""), currency))

    async def _told(self) -> str:
        return " ".join("".join(word[0] for word in str(body["type"]).split(".")) for body in await self.bodies())
