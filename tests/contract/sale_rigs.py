"""The registry of kinds of sale that `test_sale.py` runs over. To add one: write a rig, and a line in `RIGS`.

A rig is one kind of sale as one process sells it. Run as a program it sells in a process of its own, which a failpoint can kill.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from telvend.authorities.contract import VerificationKind
from telvend.authorities.personas import Personas
from telvend.catalog.service import Catalogue, install_builtin
from telvend.database.connections import Database
from telvend.errors import TelvendError
from telvend.identity.custody import Custody
from telvend.identity.model import VerificationPolicy, VerificationRequest
from telvend.identity.service import Identity
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.model import RefillProfile
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.refills.model import RefillKind, RefillRequest
from telvend.operator.refills.service import Refills
from telvend.operator.vouchers.pins import PinKeys
from telvend.orders.service import Orders
from telvend.resellers.model import Caller
from telvend.resellers.store import caller_of
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect
from tests.clocks import FakeClock
from tests.store.refills import EMEKA, NGOZI

MONEY: Final = Money(100_00, NGN)


@dataclass(frozen=True, slots=True)
class Sold:
    """What a caller is told of a sale. `reference` is ours."""

    number: int
    reference: str
    replayed: bool


class Rig(Protocol):
    """One kind of sale, as one process sells it."""

    kind: str
    """Its letter in the wallet's list."""
    price: Money
    held: Money
    """What stays in flight of a sale whose buyer has been answered."""

    async def sell(self, buyer: Caller, reference: str, content: int = 0) -> Sold:
        """Sell one. Another `content` is another request for the same price."""

    async def withdraw(self) -> None:
        """Take what it sells off sale."""

    async def recover(self) -> None:
        """Do what the later work of a shop does for sales whose process has died."""

    async def close(self) -> None: ...


class OrderRig:
    """Airtime, which nobody delivers."""

    kind = "o"
    price = held = MONEY

    def __init__(self, database: Database, gate: SalesGate, kinds: KindsByDialect) -> None:
        self._database = database
        self._catalogue = Catalogue(database)
        self._orders = Orders(database, Ledger(database), self._catalogue, gate=gate, kinds=kinds)

    async def start(self) -> None:
        await self._load()
        self._orders.start()

    async def _load(self) -> None:
        async with self._database.transaction() as tx:
            await install_builtin(tx)
            await self._catalogue.load(tx)

    async def sell(self, buyer: Caller, reference: str, content: int = 0, country: str = "NG") -> Sold:
        network = self._catalogue.snapshot.network(country, "MTN")
        assert network is not None
        placement = await self._orders.buy_airtime(
            buyer,
            network=network,
            amount=replace(MONEY, currency=network.currency),
            subscriber=f"+23480312345{content:02}",
            client_reference=reference,
            prefix="AIR",
        )
        return Sold(placement.order.id, placement.order.reference, placement.replayed)

    async def withdraw(self) -> None:
        await self._catalogue.switch_network("MTN", False, country="NG")
        await self._load()

    async def recover(self) -> None:
        """An order that is durable is sold; its delivery has its own tests."""

    async def close(self) -> None:
        await self._orders.close()


class CheckRig:
    """Standard checks of a NIN, of which the personas have a record."""

    kind = "v"
    price = MONEY
    held = Money(0, NGN)
    _POLICY: Final = VerificationPolicy(timeout_s=0.4, grace_s=0.3)

    def __init__(self, database: Database, data_dir: Path, gate: SalesGate, kinds: KindsByDialect) -> None:
        custody = Custody(database, data_dir)
        self.identity = Identity(
            database, Ledger(database), custody, Personas(FakeClock()), policy=self._POLICY, gate=gate, kinds=kinds
        )

    async def sell(self, buyer: Caller, reference: str, content: int = 0) -> Sold:
        request = VerificationRequest(
            VerificationKind.NIN, Secret(f"70000000{content:03}"), "standard", None, True, False, reference
        )
        checked = await self.identity.check(buyer, request)
        return Sold(checked.verification.id, checked.verification.reference, checked.replayed)

    async def withdraw(self) -> None:
        await self.identity.set_price(VerificationKind.NIN, "standard", self.price, active=False)

    async def recover(self) -> None:
        await asyncio.sleep(self._POLICY.given_up_after_s + 0.05)
        while await self.identity.giving_up.look():
            pass

    async def close(self) -> None:
        await self.identity.close()


class RefillRig:
    """Voucherless refills of NGN 100.00."""

    kind = "r"
    price = MONEY
    held = Money(0, NGN)

    def __init__(self, database: Database, data_dir: Path, gate: SalesGate, kinds: KindsByDialect) -> None:
        self._entitlements = Entitlements(database)
        self._database = database
        self._refills = Refills(
            database, Ledger(database), self._entitlements, PinKeys(database, data_dir), gate=gate, kinds=kinds
        )

    async def start(self) -> None:
        await self._load()
        self._refills.start()

    async def _load(self) -> None:
        async with self._database.connection() as tx:
            await self._entitlements.load(tx)

    async def sell(self, buyer: Caller, reference: str, content: int = 0) -> Sold:
        done = await self._refills.refill(
            RefillRequest(
                reseller_id=buyer.reseller_id,
                dialect=buyer.api,
                mode=buyer.mode,
                transaction_id=reference,
                kind=RefillKind.VOUCHERLESS,
                msisdn=(NGOZI, EMEKA)[content % 2],
                wallets=buyer.wallets,
                source="192.0.2.1",
                profile="DB00",
                units=self.price.minor // 100,
            )
        )
        return Sold(done.refill.id, done.refill.reference, done.replayed)

    async def withdraw(self) -> None:
        await self._entitlements.set_profile(RefillProfile("DB00", "Off", 10_000, 90, 180, False))
        await self._load()

    async def recover(self) -> None:
        """A refill is one transaction: it is there, or it did not happen."""

    async def close(self) -> None:
        await self._refills.close()


async def orders(database: Database, data_dir: Path, gate: SalesGate, kinds: KindsByDialect) -> OrderRig:
    rig = OrderRig(database, gate, kinds)
    await rig.start()
    return rig


async def checks(database: Database, data_dir: Path, gate: SalesGate, kinds: KindsByDialect) -> CheckRig:
    return CheckRig(database, data_dir, gate, kinds)


async def refills(database: Database, data_dir: Path, gate: SalesGate, kinds: KindsByDialect) -> RefillRig:
    rig = RefillRig(database, data_dir, gate, kinds)
    await rig.start()
    return rig


Open = Callable[[Database, Path, SalesGate, KindsByDialect], Awaitable[Rig]]

RIGS: Final[Mapping[str, Open]] = {"order": orders, "identity check": checks, "refill": refills}
"""Every kind of sale, by a name for people."""

DIES_AT: Final[Mapping[str, tuple[str, ...]]] = {
    "order": ("lane.after_locks", "lane.after_write", "lane.after_commit"),
    "identity check": (
        "identity.after_hold",
        "identity.after_answer",
        "identity.before_commit",
        "identity.after_commit",
    ),
    "refill": ("refill.after_locks", "refill.before_commit", "refill.after_commit"),
}
"""The failpoints that a sale passes, by the rig's name."""


async def sell_all(given: dict[str, Any]) -> None:
    """Sell under the references of `given`, two at a time; print a line for each that was answered."""
    database = await Database.open(given["url"], pool_size=3)
    async with database.connection() as tx:
        buyer = await caller_of(tx, bytes.fromhex(given["key"]))
    assert buyer is not None
    rig = await RIGS[given["rig"]](database, Path(given["data_dir"]), SalesGate(), KindsByDialect())

    async def one(reference: str) -> None:
        try:
            said = (await rig.sell(buyer, reference)).reference
        except TelvendError as error:
            said = type(error).__name__
        print(json.dumps([reference, said]), flush=True)

    wanted = given["references"]
    for start in range(0, len(wanted), 2):
        await asyncio.gather(*map(one, wanted[start : start + 2]))
    await rig.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(sell_all(json.loads(sys.stdin.read())))
