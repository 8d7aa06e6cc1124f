"""What the tests of vouchers and refills start from: a partner with money, subscribers, and vouchers that can be loaded."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telvend.audit.service import audit_books
from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.dialects.madapi.routes import MADAPI
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Currency, Money
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.refills.model import Refilled, RefillKind, RefillRequest
from telvend.operator.refills.service import Refills
from telvend.operator.vouchers.model import Batch, NewVoucher
from telvend.operator.vouchers.pins import PinKeys
from telvend.operator.vouchers.service import Vouchers
from telvend.resellers.service import Resellers
from telvend.sales.model import KindsByDialect
from telvend.wallets.service import Wallets
from tests.store.subscribers import subscriber

NGOZI = "+2348031234567"
EMEKA = "+2348031234568"
WRONG = "0000000000000000"
HUNDRED = Money(100_00, NGN)
_numbers = itertools.count(1)

KINDS = KindsByDialect()
"""What the dialect of these refills sells, as bootstrap declares it: subscriptions have the same ids."""
KINDS.declare(MADAPI.name, MADAPI.sells)


@dataclass(slots=True)
class Kept:
    """Takes new vouchers and keeps them."""

    vouchers: list[NewVoucher] = field(default_factory=list)
    finished: bool = False

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        self.vouchers += vouchers

    async def finish(self) -> None:
        self.finished = True

    @property
    def pins(self) -> list[str]:
        return [voucher.pin.reveal() for voucher in self.vouchers]


@dataclass(slots=True)
class Partner:
    """A reseller who refills, by live and test wallets in NGN."""

    reseller_id: Any
    wallets: dict[Mode, dict[str, int]]

    def by_voucher(self, pin: str, transaction_id: str | None = None, **more: Any) -> RefillRequest:
        return self._request(transaction_id, {"kind": RefillKind.VOUCHER, "pin": Secret(pin)} | more)

    def voucherless(self, units: int, transaction_id: str | None = None, **more: Any) -> RefillRequest:
        return self._request(transaction_id, {"kind": RefillKind.VOUCHERLESS, "units": units, "profile": "DB00"} | more)

    def _request(self, transaction_id: str | None, more: dict[str, Any]) -> RefillRequest:
        mode = more.get("mode", Mode.LIVE)
        return RefillRequest(
            **{
                "reseller_id": self.reseller_id,
                "dialect": "madapi",
                "mode": mode,
                "transaction_id": transaction_id or f"T{next(_numbers):08d}",
                "msisdn": NGOZI,
                "wallets": self.wallets[mode],
                "source": "192.0.2.1",
                "system": "pos",
            }
            | more
        )


@dataclass(slots=True)
class Network:
    """A shop with two subscribers in NGN, in both modes, and a partner with NGN 1,000.00 of real money."""

    database: Database
    data_dir: Path
    ledger: Ledger
    ada: Partner
    vouchers: Vouchers
    refills: Refills
    others: list[Refills] = field(default_factory=list)

    async def issue(self, count: int = 1, amount: Money = HUNDRED, **more: Any) -> tuple[Batch, list[str]]:
        kept = Kept()
        batch = await self.vouchers.issue(amount, count, kept, **more)
        return batch, kept.pins

    async def load(self, pin: str, transaction_id: str | None = None, **more: Any) -> Refilled:
        return await self.refills.refill(self.ada.by_voucher(pin, transaction_id, **more))

    async def pay(self, units: int, transaction_id: str | None = None, **more: Any) -> Refilled:
        return await self.refills.refill(self.ada.voucherless(units, transaction_id, **more))

    async def another_process(self) -> Refills:
        made, _ = await refills_of(self.database, self.data_dir)
        made.start()
        self.others.append(made)
        return made

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def main_account(self, msisdn: str = NGOZI, mode: Mode = Mode.LIVE) -> int:
        """What stands in the main account, in minor units; 0 where there is none yet."""
        found = await self.value(
            "select b.balance from bucket b join subscriber s on s.id = b.subscriber_id"
            " where b.main and s.msisdn = $1 and s.mode = $2",
            msisdn, mode,
        )  # fmt: skip
        return int(found or 0)

    async def wallet(self, mode: Mode = Mode.LIVE) -> int:
        return int(
            await self.value("select balance_minor from wallet where account_id = $1", self.ada.wallets[mode]["NGN"])
        )

    async def count(self, table: str) -> int:
        return int(await self.value(f"select count(*) from {table}"))

    async def check_books(self) -> None:
        report = await audit_books(self.database)
        assert report.ok, report.findings

    async def close(self) -> None:
        for refills in (self.refills, *self.others):
            await refills.close()


async def refills_of(database: Database, data_dir: Path) -> tuple[Refills, Vouchers]:
    """Refills and vouchers as one process has them."""
    ledger, entitlements, keys = Ledger(database), Entitlements(database), PinKeys(database, data_dir)
    async with database.connection() as tx:
        await entitlements.load(tx)
    return Refills(database, ledger, entitlements, keys, kinds=KINDS), Vouchers(database, keys)


async def partner(database: Database, *, live_minor: int = 0, test_minor: int = 0, currency: Currency = NGN) -> Partner:
    """A new reseller with so much money."""
    ledger = Ledger(database)
    reseller = await Resellers(database, ledger, APIS).add(f"ada{next(_numbers)}@example.com", "Ada", "08031234567")
    for minor, mode in ((live_minor, Mode.LIVE), (test_minor, Mode.TEST)):
        if minor:
            await Credits(database, ledger).add(reseller.id, Money(minor, currency), mode, "opening")
    wallets: dict[Mode, dict[str, int]] = {Mode.LIVE: {}, Mode.TEST: {}}
    for found in await Wallets(database).of_reseller(reseller.id):
        wallets[found.mode][found.balance.currency.code] = found.wallet_id
    return Partner(reseller.id, wallets)


async def network(database: Database, data_dir: Path, *, live_minor: int = 1_000_00) -> Network:
    """A shop with a partner, who has so much money, and two subscribers."""
    for msisdn in (NGOZI, EMEKA):
        for mode in Mode:
            await subscriber(database, msisdn, currency="NGN", mode=mode)
    ada = await partner(database, live_minor=live_minor, test_minor=500_00)
    refills, vouchers = await refills_of(database, data_dir)
    refills.start()
    return Network(database, data_dir, Ledger(database), ada, vouchers, refills)
