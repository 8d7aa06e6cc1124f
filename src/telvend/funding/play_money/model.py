"""How much play money live wallets hold, and how a void divides it. No database.

A live funding that a pretending gateway has paid is play money until it is voided. What is voided of it is in two parts:

    taken      was still in the wallet, and has left it
    spent      was not: it has bought something, and is written off

What is neither, because it is held by sales that are not final, stays play money: a sale that fails gives it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from telvend.kit.money import Money

VOID_PREFIX = "VOID"
"""References of voids begin with it: VOID-4711-7kq2xd."""


@dataclass(frozen=True, slots=True)
class PlayFunding:
    """A live funding with play money that was not voided: `outstanding` of its amount."""

    id: int
    reference: str
    wallet_id: int
    email: str
    gateway: str
    outstanding: Money


@dataclass(frozen=True, slots=True)
class PlayWallet:
    """A live wallet with play money. `balance` is all that can be spent from it, real money included."""

    email: str
    outstanding: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Voided:
    """What a void has done to one funding. `left` is still play money, held by sales that are not final."""

    funding: PlayFunding
    taken: Money
    spent: Money

    @property
    def left(self) -> Money:
        return self.funding.outstanding - self.taken - self.spent


def divide(outstanding: Sequence[int], balance: int, in_flight: int) -> list[tuple[int, int]]:
    """Say for each funding of one wallet how much of `outstanding` is taken and how much is written off as spent.

    Takes as much as the wallet has, the first funding first. Of what is missing, as much as the wallet has in flight is
    left as it is, and the rest is written off. All in minor units.
    """
    missing = max(0, sum(outstanding) - balance)
    writable = missing - min(missing, in_flight)
    parts = []
    for amount in outstanding:
        taken = min(amount, balance)
        balance -= taken
        spent = min(amount - taken, writable)
        writable -= spent
        parts.append((taken, spent))
    return parts


def halted_sentence(wallets: Sequence[PlayWallet]) -> str:
    """Why live sales are halted, in one sentence, with whose and how much."""
    shown = ", ".join(f"{wallet.email} {wallet.outstanding}" for wallet in wallets[:20])
    more = f" and {len(wallets) - 20} more" if wallets[20:] else ""
    return f"Live wallets hold play money, and something real is connected: {shown}{more}."


ADVICE = "Take it out: telvend funding void --all-play --reason TEXT --by WHO"
