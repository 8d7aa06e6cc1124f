"""What a request gets whose reference is known, taken or free, without a database."""

from uuid import UUID

import pytest

from telvend.errors import InvariantBroken, ReferenceReused, SalesHalted
from telvend.kit.mode import Mode
from telvend.sales.gate import SalesGate
from telvend.sales.model import KindsByDialect, SaleKey, SaleKind, fingerprint_of
from telvend.sales.replay import References
from telvend.sales.store import _lock_number

KNOWN: SaleKey = (UUID(int=1), "netpluse", Mode.LIVE, "known")
TAKEN: SaleKey = (UUID(int=1), "netpluse", Mode.LIVE, "taken")
FREE: SaleKey = (UUID(int=1), "netpluse", Mode.LIVE, "free")


def references(gate: SalesGate | None = None) -> References[str]:
    return References({KNOWN: ("the sale", "1GB")}, {TAKEN}, gate or SalesGate())


def test_a_known_reference_is_answered_from_its_sale_also_while_sales_are_halted() -> None:
    gate = SalesGate()
    gate.close("test", "halted")
    assert references(gate).repeated(KNOWN, "1GB", Mode.LIVE) == "the sale"


@pytest.mark.parametrize(("key", "fingerprint"), [(KNOWN, "2GB"), (TAKEN, "1GB")])
def test_another_request_or_another_kind_is_a_reused_reference(key: SaleKey, fingerprint: str) -> None:
    with pytest.raises(ReferenceReused):
        references().repeated(key, fingerprint, Mode.LIVE)


@pytest.mark.parametrize("key", [FREE, None])
def test_a_new_request_is_let_through_unless_sales_are_halted(key: SaleKey | None) -> None:
    gate = SalesGate()
    found = references(gate)
    assert found.repeated(key, "1GB", Mode.LIVE) is None
    gate.close("test", "halted", modes={Mode.LIVE})
    with pytest.raises(SalesHalted):
        found.repeated(key, "1GB", Mode.LIVE)
    assert found.repeated(key, "1GB", Mode.TEST) is None


def test_a_new_sale_holds_its_reference_for_what_follows_in_the_transaction() -> None:
    found = references()
    assert [found.is_free(key) for key in (KNOWN, TAKEN, FREE)] == [False, False, True]
    found.add(FREE, "1GB", "another sale")
    found.add(None, "1GB", "a sale without a reference")
    assert found.repeated(FREE, "1GB", Mode.LIVE) == "another sale"
    assert not found.is_free(FREE)


def test_a_fingerprint_is_its_parts() -> None:
    # It stands in the database: a repeat of yesterday's request has to have yesterday's.
    assert fingerprint_of("GH", "MTN", "+233241234567", "1GB") == "GH/MTN/+233241234567/1GB"


def test_a_reference_is_locked_by_the_same_number_everywhere() -> None:
    assert _lock_number(KNOWN) == _lock_number((UUID(int=1), "netpluse", "live", "known"))
    assert _lock_number(KNOWN) != _lock_number(TAKEN)
    assert -(2**63) <= _lock_number(KNOWN) < 2**63


def test_only_a_dialect_declared_for_one_kind_is_not_looked_for_elsewhere() -> None:
    kinds = KindsByDialect()
    assert kinds.selling_only(SaleKind.ORDER) == frozenset()
    kinds.declare("one", {SaleKind.ORDER})
    kinds.declare("two", {SaleKind.ORDER, SaleKind.REFILL})
    kinds.declare("none", ())
    assert kinds.selling_only(SaleKind.ORDER) == {"one"}
    assert kinds.selling_only(SaleKind.REFILL) == frozenset()
    kinds.require_declared("two", SaleKind.REFILL)
    for anybody in ("none", "unheard of"):
        kinds.require_declared(anybody, SaleKind.VERIFICATION)
    with pytest.raises(InvariantBroken):
        kinds.require_declared("one", SaleKind.REFILL)
    kinds.declare("one", {SaleKind.ORDER, SaleKind.REFILL})
    assert kinds.selling_only(SaleKind.ORDER) == frozenset()
