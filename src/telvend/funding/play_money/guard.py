"""Keeps live sales halted while live wallets hold play money and something real is connected.

`load` is called when a serving process starts, before it answers anybody, and within a quarter of a second after the topic
has changed: when a pretending gateway has filled a live wallet, or a void has emptied one, on whatever node.
"""

from typing import Final

from telvend.connected import Connected
from telvend.database.connections import Tx
from telvend.funding.play_money import store
from telvend.funding.play_money.model import PlayWallet, halted_sentence
from telvend.kit import log
from telvend.kit.mode import Mode
from telvend.sales.gate import SalesGate

TOPIC: Final = "play money"
"""The revision that changes with the play money in live wallets."""

_log = log.get(__name__)


class PlayMoneyGuard:
    """See the head of this file."""

    def __init__(self, connected: Connected, gate: SalesGate) -> None:
        self._connected = connected
        self._gate = gate
        self.wallets: tuple[PlayWallet, ...] = ()
        """The live wallets with play money in a shop where something real is connected; else empty."""

    async def load(self, tx: Tx) -> None:
        """Read how much play money there is, and halt or release live sales."""
        before = bool(self.wallets)
        self.wallets = tuple(await store.wallets(tx)) if self._connected.real else ()
        if self.wallets:
            self._gate.close(TOPIC, halted_sentence(self.wallets), modes={Mode.LIVE})
            if not before:
                _log.error("live_sales_halted", why=TOPIC, wallets=len(self.wallets))
        else:
            self._gate.open(TOPIC)
            if before:
                _log.warning("live_sales_released", why=TOPIC)

    def refuses_live(self) -> str | None:
        """Why a live order that nobody was asked to deliver may not go to a real provider; None when it may.

        Its price may be play money. Failing it puts the money back where a void finds it.
        """
        if self.wallets and self._connected.delivers_real:
            return "live wallets held play money when a real provider was connected"
        return None
