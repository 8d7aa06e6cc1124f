"""Tells stories of refills: a table of steps with what stands where after each of them, played on a real database.

    step                    wallet   in flight   network     main   answer
    fund 500.00             500.00        0.00      0.00     0.00
    pay 100                 400.00        0.00    100.00   100.00   refilled
    the same again          400.00        0.00    100.00   100.00   replayed

`wallet` is the partner's, `network` what our network has earned from wallets, `main` the subscriber's main account. `answer`
is what the last step was told. Amounts are in NGN.
"""

from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

from telvend.database.connections import Database
from telvend.errors import TelvendError
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.ledger.model import AccountKind
from telvend.operator.refills.model import Refilled, RefillRequest
from telvend.operator.vouchers.model import VoucherState
from tests.scenario.story_table import Verbs, do, require_same, steps_of
from tests.store.refills import NGOZI, WRONG, Network, network


class RefillStage:
    """A shop with a partner and a subscriber."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._count = 0
        self._last: RefillRequest | None = None
        self._answer = ""
        self._pins: list[str] = []
        self._batch = 0
        self._verbs: Verbs = [
            (r"fund ([\d.,]+)", self._fund),
            (r"issue (\d+) of ([\d.]+)", self._issue),
            (r"pay (\d+)", lambda units: self._refill(self._net.ada.voucherless(int(units)))),
            (r"load the (first|second|third)", lambda which: self._refill(self._net.ada.by_voucher(self._pin(which)))),
            (r"load a wrong one(?:, (\d+) times)?", self._wrong),
            (r"the same again", self._again),
            (r"the same id for another amount", self._another),
            (r"stop the batch", self._stop),
            (r"the first is stolen", self._steal),
            (r"a till reserves the first", self._reserve),
            (r"the till commits it", self._commit),
            (r"its deadline passes", self._pass_deadline),
            (r"the subscriber is (Suspended|Active)", self._status),
            (r"(\d+) s pass", self._pass),
        ]

    @classmethod
    async def open(cls, database: Database, data_dir: Path) -> "RefillStage":
        # The story funds the wallet itself.
        net = await network(database, data_dir, live_minor=0)
        return cls(net)

    async def close(self) -> None:
        await self._net.close()

    async def tell(self, story: str) -> None:
        """Play a story. Raises AssertionError with the table as it really went."""
        head, rows = steps_of(story)
        went = [head]
        for step, *_ in rows:
            self._answer = ""
            await do(self._verbs, step)
            went.append([step, *await self._read(head[1:])])
            await self._net.check_books()
        require_same(went, [head, *rows])

    async def _read(self, columns: list[str]) -> list[str]:
        totals = {
            total.kind: total.total.minor
            for total in await self._net.ledger.totals()
            if total.mode is Mode.LIVE and total.total.currency == NGN
        }
        found = {
            "wallet": totals.get(AccountKind.WALLET, 0),
            "in flight": totals.get(AccountKind.IN_FLIGHT, 0),
            "network": totals.get(AccountKind.PROVIDER, 0),
            "main": await self._net.main_account(),
        }
        return [
            self._answer if column == "answer" else f"{Money(found[column], NGN).decimal:,.2f}" for column in columns
        ]

    # Verbs ------------------------------------------------------------------------------------------------------------

    async def _told(self, call: Awaitable[Refilled]) -> None:
        try:
            self._answer = "replayed" if (await call).replayed else "refilled"
        except TelvendError as error:
            self._answer = type(error).__name__

    async def _refill(self, request: RefillRequest) -> None:
        self._last = request
        await self._told(self._net.refills.refill(request))

    async def _again(self) -> None:
        assert self._last is not None
        await self._refill(self._last)

    async def _another(self) -> None:
        assert self._last is not None
        await self._told(self._net.refills.refill(self._net.ada.voucherless(77, self._last.transaction_id)))

    async def _wrong(self, times: str | None) -> None:
        for _ in range(int(times or 1)):
            await self._refill(self._net.ada.by_voucher(WRONG))

    async def _fund(self, amount: str) -> None:
        self._count += 1
        money = Money.parse(amount.replace(",", ""), NGN)
        await Credits(self._net.database, self._net.ledger).add(
            self._net.ada.reseller_id, money, Mode.LIVE, f"funding {self._count}"
        )

    async def _issue(self, count: str, amount: str) -> None:
        batch, self._pins = await self._net.issue(int(count), Money.parse(amount, NGN))
        self._batch = batch.id

    def _pin(self, which: str) -> str:
        return self._pins[("first", "second", "third").index(which)]

    async def _stop(self) -> None:
        await self._net.vouchers.stop(self._batch, "stolen")

    async def _steal(self) -> None:
        batch = (await self._net.vouchers.batches())[0][0]
        await self._net.vouchers.mark(batch.first_serial, batch.first_serial, VoucherState.STOLEN)

    async def _reserve(self) -> None:
        await self._net.vouchers.reserve(Mode.LIVE, Secret(self._pins[0]), "till", timedelta(minutes=1))

    async def _commit(self) -> None:
        await self._told(self._net.refills.commit(Mode.LIVE, Secret(self._pins[0]), "till", NGOZI))

    async def _pass_deadline(self) -> None:
        await self._net.value("update voucher set reserved_until = now() where reserved_until is not null")
        await self._net.vouchers.sweep()

    async def _status(self, status: str) -> None:
        await self._net.value("update subscriber set status = $1", status)

    async def _pass(self, seconds: str) -> None:
        await self._net.value(
            "update pin_guard set last_at = last_at - $1::interval, locked_until = locked_until - $1::interval",
            timedelta(seconds=int(seconds)),
        )
