"""Writes events in the transaction of the change that they tell of.

    if outbox.hears(order.wallet_id):
        await outbox.write(tx, [event])
    await outbox.notice_balances(tx, journal)

A process that watches the database remembers which wallets' owners have endpoints, so that a sale of anybody else costs a look
into a set. What it remembers counts for `TRUST_S`; where it is older, or nothing is remembered, the statement that writes looks at
the endpoints itself. Whoever adds an endpoint waits for `SETTLED_S`: from then on nothing is missed.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from telvend.database.connections import Tx
from telvend.kit.clock import Clock, SystemClock
from telvend.ledger.model import Journal, Wallet
from telvend.webhooks import store
from telvend.webhooks.model import Event, EventType, body_of, new_message_id

TRUST_S: Final = 2.0
SETTLED_S: Final = 2.2


class Outbox:
    """See the head of this file. Without `load` it remembers nothing, and each statement looks for itself."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._looked_at: float | None = None
        self._loaded = False
        self._endpoints = 0
        self._sessions = 0
        self._everybody = False
        self._wallets: frozenset[int] = frozenset()
        self._thresholds: dict[int, int] = {}
        self._newest = 0
        self._met_newer = False
        self.on_written: Callable[[], None] | None = None

    # What is remembered -----------------------------------------------------------------------------------------------

    async def load(self, tx: Tx) -> None:
        """Read who has endpoints and thresholds."""
        found = await store.listeners(tx)
        self._endpoints, self._wallets, self._newest = found.endpoints, found.wallets, found.newest
        self._sessions, self._everybody = found.sessions, found.everybody
        self._thresholds = found.thresholds
        self._met_newer = False
        self._loaded = True

    async def check(self, tx: Tx) -> None:
        """Read again where a wallet was met that is newer than what is remembered; called at every look at the database."""
        if self._met_newer:
            await self.load(tx)

    def looked(self, at: float) -> None:
        """Note that what is remembered was the newest at this monotonic time."""
        self._looked_at = at

    @property
    def trusted(self) -> bool:
        """Whether what is remembered is fresh enough to decide by."""
        return self._loaded and self._looked_at is not None and self._clock.monotonic() - self._looked_at <= TRUST_S

    @property
    def endpoints(self) -> int | None:
        """How many endpoints there are, as remembered; None where that is not known."""
        return self._endpoints if self.trusted else None

    @property
    def silent(self) -> bool:
        """Whether certainly nobody has an endpoint, and no developer looks on."""
        return not self._endpoints and not self._sessions and self.trusted

    def hears(self, wallet_id: int) -> bool:
        """Return whether the owner of this wallet may have an endpoint; False where certainly not."""
        if self._everybody or not self.trusted:
            return True
        if not self._endpoints and not self._sessions:
            return False
        if wallet_id > self._newest:
            self._met_newer = True
            return True
        return wallet_id in self._wallets

    # What is written --------------------------------------------------------------------------------------------------

    async def write(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write events for the endpoints of their resellers; those without one cost nothing more. Seen when `tx` commits."""
        if not events:
            return
        at = datetime.now(UTC)
        columns = (
            [new_message_id() for _ in events],
            [event.reseller_id for event in events],
            [str(event.type) for event in events],
            [body_of(event, at) for event in events],
        )
        deliveries = await store.write_events(tx, *columns)
        if self._sessions or not self.trusted:
            await store.write_for_listeners(tx, *columns)
        if deliveries and self.on_written is not None:
            self.on_written()

    async def notice_balances(self, tx: Tx, journal: Journal) -> None:
        """Tell the owners of wallets that this journal, which is written, has taken below their thresholds.

        The rows of the wallets are locked, so that one of two that race sees the other's balance.
        """
        trusted = self.trusted
        if trusted and not self._thresholds:
            return
        fallen = [
            (wallet.id, before, wallet.balance_minor, wallet.funded_minor)
            for wallet, before in _before(journal).values()
            if wallet.balance_minor < before and (not trusted or self._crosses(wallet, before))
        ]
        if not fallen:
            return
        wallets, before, balances, funded = zip(*fallen, strict=True)
        dips = await store.mark_low(tx, wallets, before, balances, funded)
        await self.write(tx, [low_balance(dip) for dip in dips])

    def _crosses(self, wallet: Wallet, before_minor: int) -> bool:
        threshold = self._thresholds.get(wallet.id)
        return threshold is not None and wallet.balance_minor < threshold <= before_minor


def low_balance(dip: store.WalletDip) -> Event:
    """The event of a wallet that is below its threshold."""
    return Event(
        EventType.WALLET_LOW,
        dip.reseller_id,
        dip.mode,
        {"currency": dip.balance.currency.code, "balance": dip.balance.text, "threshold": dip.threshold.text},
    )


def _before(journal: Journal) -> dict[int, tuple[Wallet, int]]:
    """Each wallet with transfers in this journal, and its balance before them."""
    found: dict[int, tuple[Wallet, int]] = {}
    for transfer in journal.transfers:
        number, balance = transfer.wallet_id, transfer.wallet_balance_minor
        if number is not None and balance is not None and number not in found:
            change = -transfer.amount_minor if transfer.debit == number else transfer.amount_minor
            found[number] = (journal.wallets[number], balance - change)
    return found
