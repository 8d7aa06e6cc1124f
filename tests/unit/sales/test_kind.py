"""How a sale begins: which statements its reference costs, and that a refusal changes nothing."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from telvend.database.facts import Fact, FactKind
from telvend.errors import InsufficientBalance, NotFound, ReferenceReused
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.model import TransferKind, Wallet
from telvend.sales.kind import KindOfSale, sale_numbers
from telvend.sales.model import KindsByDialect, SaleKey, SaleKind
from telvend.sales.store import FIND_TAKEN, LOCK_REFERENCES
from telvend.wallets.journal import WalletJournal

KEY: SaleKey = (UUID(int=1), "netpluse", Mode.LIVE, "r")
WALLET, IN_FLIGHT = 1, 2


class Transaction:
    """Notes the statements that it is given. Everything that is looked for is taken by another kind."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.facts: dict[FactKind, Fact] = {}

    async def fetchval(self, statement: str) -> Any:
        assert "installation" in statement
        return UUID(int=7)

    async def execute(self, statement: str, _: Any) -> None:
        self.statements.append(statement)

    async def fetch(self, statement: str, _: Any) -> list[Any]:
        if "nextval" in statement:
            return [(4711,), (4712,)]
        self.statements.append(statement)
        return [{"place": 0}]


async def nothing(tx: Any, keys: Collection[SaleKey]) -> dict[SaleKey, tuple[str, str]]:
    tx.statements.append("own")
    return {}


async def begun(kind: KindOfSale, keys: Collection[SaleKey] = (KEY,)) -> tuple[Transaction, Any]:
    tx: Any = Transaction()
    return tx, await kind.look_up(tx, keys, nothing)


async def test_a_reference_is_locked_then_looked_for_everywhere_unless_its_dialect_sells_one_kind() -> None:
    kinds = KindsByDialect()
    kind = KindOfSale(SaleKind.ORDER, kinds=kinds)
    everywhere = [LOCK_REFERENCES, "own", FIND_TAKEN % "o"]
    tx, references = await begun(kind)
    assert tx.statements == everywhere
    with pytest.raises(ReferenceReused):
        references.repeated(KEY, "", Mode.LIVE)
    kinds.declare("netpluse", {SaleKind.ORDER})
    tx, references = await begun(kind)
    assert tx.statements == ["own"]
    assert references.repeated(KEY, "", Mode.LIVE) is None
    kinds.declare("netpluse", {SaleKind.ORDER, SaleKind.REFILL})
    assert (await begun(kind))[0].statements == everywhere
    assert (await begun(kind, ()))[0].statements == []


async def test_a_sale_is_a_number_a_reference_a_hold_and_a_line_of_the_list() -> None:
    kind, numbers = KindOfSale(SaleKind.ORDER), sale_numbers(2)
    tx, _ = await begun(kind)
    await numbers.provide(tx, 1)
    journal = WalletJournal({WALLET: Wallet(WALLET, 1000, 5, transactions=8)})
    held = kind.open(journal, numbers, "NPAPI", WALLET, IN_FLIGHT, Money(450, GHS))
    assert (held.number, held.position, held.after) == (4711, 9, Money(550, GHS))
    assert held.reference.startswith("NPAPI-4711-")
    assert [(entry.kind, entry.id, entry.credit) for entry in journal.entered] == [("o", 4711, False)]
    (transfer,) = journal.transfers
    assert (transfer.cause, transfer.kind, transfer.debit, transfer.credit) == (
        4711,
        TransferKind.HOLD,
        WALLET,
        IN_FLIGHT,
    )
    assert numbers.peek() == 4712
    at = datetime(2026, 11, 28, tzinfo=UTC)
    kind.remember(tx, held.number, held.reference, at)
    assert tx.facts == {FactKind.ORDER: Fact(FactKind.ORDER, 4711, at=at, reference=held.reference)}


async def test_a_refusal_takes_no_number_and_changes_nothing() -> None:
    kind, numbers = KindOfSale(SaleKind.REFILL), sale_numbers()
    tx, _ = await begun(kind)
    await numbers.provide(tx, 1)
    journal, unchanged = (WalletJournal({WALLET: Wallet(WALLET, 449, 5)}) for _ in range(2))
    for wallet_id, error in ((WALLET, InsufficientBalance), (77, NotFound)):
        with pytest.raises(error):
            kind.open(journal, numbers, "NPAPI", wallet_id, IN_FLIGHT, Money(450, GHS))
        with pytest.raises(error):
            kind.require_funds(journal, wallet_id, Money(450, GHS))
    kind.require_funds(journal, WALLET, Money(449, GHS))
    assert journal == unchanged
    assert numbers.peek() == 4711
