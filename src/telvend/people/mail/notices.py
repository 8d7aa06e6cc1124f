"""Tells resellers by e-mail of what webhooks cannot tell them: that an endpoint gets nothing any more, that a wallet is low."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from telvend.database.connections import Database, Tx
from telvend.people.mail import store
from telvend.people.mail.model import EmailKind
from telvend.people.mail.outbox import MailOutbox
from telvend.webhooks import store as webhooks
from telvend.webhooks.model import Endpoint

EVERY_S: Final = 60.0
_AT_ONCE: Final = 500


class Notices:
    """Writes such e-mails."""

    def __init__(self, database: Database, outbox: MailOutbox) -> None:
        self._database = database
        self._outbox = outbox

    async def endpoints_stopped(self, tx: Tx, endpoints: Sequence[Endpoint]) -> None:
        """Tell the owners of endpoints that were stopped by this transaction. The rest of a URL may be a secret, and is not told."""
        for endpoint in endpoints:
            facts = {"host": urlsplit(endpoint.url).hostname or "", "endpoint": endpoint.id, "why": endpoint.failure}
            await self._outbox.write_to_members(tx, EmailKind.ENDPOINT_STOPPED, endpoint.reseller_id, facts)

    async def look_for_low_wallets(self) -> int:
        """Tell the owners of wallets that are below their thresholds: once, and again after a top-up. Return of how many. Raises Busy.

        Any number of processes may look: what each is told of is unique.
        """
        count, after = 0, 0
        while True:
            async with self._database.transaction() as tx:
                low = await webhooks.low_wallets(tx, after, _AT_ONCE)
                abouts = {
                    f"low wallet {one.dip.wallet_id} {one.funded_minor} {one.dip.threshold.minor}": one for one in low
                }
                known = await store.told(tx, list(abouts))
                for about, one in abouts.items():
                    if about not in known:
                        dip = one.dip
                        facts = {
                            "mode": dip.mode,
                            "currency": dip.balance.currency.code,
                            "balance": dip.balance.text,
                            "threshold": dip.threshold.text,
                        }
                        await self._outbox.write_to_members(
                            tx, EmailKind.LOW_BALANCE, dip.reseller_id, facts, about=about
                        )
                        count += 1
            if len(low) < _AT_ONCE:
                return count
            after = low[-1].dip.wallet_id
