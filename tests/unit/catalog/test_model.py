"""Sizes and validities, and what the snapshot finds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.catalog.model import (
    NO_OFFERS,
    CatalogueSnapshot,
    Network,
    Offer,
    Product,
    ProductOffers,
    parse_size,
    parse_validity,
    share_minor,
    validity_text,
)
from telvend.kit.money import CURRENCIES, GHS, Money

MTN = Network(5, "GH", "MTN", "MTN", active=True)
TELECEL = Network(6, "GH", "Telecel", "Telecel", active=True)
NIGERIAN_MTN = Network(1, "NG", "mtn", "MTN", active=True)


def product(number: int, network: Network, size: str, price_minor: int, *, active: bool = True) -> Product:
    return Product(
        code=f"P{number}",
        country=network.country,
        network=network.code,
        kind="data",
        type="",
        size=size,
        validity_days=30,
        price=Money(price_minor, network.currency),
        cost=Money(price_minor - 1, network.currency),
        active=active,
        id=number,
        network_id=network.id,
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", "1GB"), ("1 gb", "1GB"), ("1.0GB", "1GB"), ("1.50gb", "1.5GB"), ("500MB", "500MB"), ("0.5GB", "0.5GB")],
)
def test_a_size_has_one_spelling(text: str, size: str) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "1", "GB", "0GB", "0.0GB", "01GB", "-1GB", "1GB ", "1,5GB", "1e3MB", "١GB", "1XB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size such as"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("30 Days", 30), ("30 days", 30), ("1 Day", 1), ("7", 7), ("Non-expiry", None), ("non expiry", None)],
)
def test_a_validity_is_days_or_without_end(text: str, days: int | None) -> None:
    assert parse_validity(text) == days
    assert parse_validity(validity_text(days)) == days


@pytest.mark.parametrize("text", ["", "0 Days", "-1 Day", "30 Weeks", "forever", "99999 Days", "1.5 Days"])
def test_what_is_no_validity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number of days"):
        parse_validity(text)


def test_one_day_is_singular() -> None:
    assert [validity_text(days) for days in (1, 30, None)] == ["1 Day", "30 Days", "Non-expiry"]


def test_the_cheapest_product_of_a_size_is_found_under_any_case_of_the_network() -> None:
    snapshot = CatalogueSnapshot.of(1, [MTN], [product(1, MTN, "1GB", 500), product(2, MTN, "1GB", 450)])
    for word in ("MTN", "mtn", "Mtn"):
        found = snapshot.find("GH", word, "1GB")
        assert found is not None
        assert found.id == 2


def test_of_equally_cheap_products_the_older_one_is_found() -> None:
    snapshot = CatalogueSnapshot.of(1, [MTN], [product(9, MTN, "1GB", 450), product(2, MTN, "1GB", 450)])
    found = snapshot.find("GH", "MTN", "1GB")
    assert found is not None
    assert found.id == 2


def test_a_size_is_found_in_its_exact_spelling_only() -> None:
    snapshot = CatalogueSnapshot.of(1, [MTN], [product(1, MTN, "1GB", 450)])
    assert [snapshot.find("GH", "MTN", size) for size in ("1gb", "1 GB", "1GB ", "")] == [None] * 4


def test_a_product_that_is_off_is_not_found_but_known_by_its_number_and_its_code() -> None:
    off = product(1, MTN, "1GB", 450, active=False)
    snapshot = CatalogueSnapshot.of(1, [MTN], [off])
    assert snapshot.find("GH", "MTN", "1GB") is None
    assert snapshot.on_sale("GH") == ()
    assert snapshot.product(1) == off
    assert snapshot.product_by_code("P1") == off


def test_every_product_is_found_by_its_code_in_its_exact_spelling() -> None:
    # Two of one size and price: a sale finds one of them, a code finds each.
    both = [product(1, MTN, "1GB", 450), product(2, MTN, "1GB", 450)]
    snapshot = CatalogueSnapshot.of(1, [MTN], both)
    assert [snapshot.product_by_code(code) for code in ("P1", "P2", "p1", "")] == [*both, None, None]


def test_a_network_that_is_off_sells_nothing_and_is_still_a_network() -> None:
    off = Network(5, "GH", "MTN", "MTN", active=False)
    snapshot = CatalogueSnapshot.of(1, [off], [product(1, off, "1GB", 450)])
    assert snapshot.find("GH", "MTN", "1GB") is None
    assert snapshot.on_sale("GH") == ()
    assert snapshot.network("GH", "mtn") == off


def test_a_type_is_known_though_nothing_of_it_is_on_sale() -> None:
    sold, kept = product(1, MTN, "1GB", 450), product(2, MTN, "2GB", 450, active=False)
    snapshot = CatalogueSnapshot.of(
        1, [MTN], [replace(sold, type="SME"), replace(kept, type="Direct"), product(3, MTN, "5GB", 1)]
    )
    assert snapshot.types("GH", "mtn") == {"SME", "Direct"}
    assert snapshot.types("NG", "mtn") == snapshot.types("GH", "Telecel") == frozenset()


def test_networks_of_one_name_in_two_countries_are_kept_apart() -> None:
    snapshot = CatalogueSnapshot.of(
        1, [MTN, NIGERIAN_MTN], [product(1, NIGERIAN_MTN, "1GB", 100), product(2, MTN, "1GB", 450)]
    )
    ghanaian, nigerian = snapshot.find("GH", "mtn", "1GB"), snapshot.find("NG", "MTN", "1GB")
    assert ghanaian is not None
    assert nigerian is not None
    assert (ghanaian.id, ghanaian.currency) == (2, GHS)
    assert (nigerian.id, nigerian.currency) == (1, CURRENCIES["NGN"])
    assert snapshot.network("GH", "mtn") == MTN
    assert snapshot.network("NG", "mtn") == NIGERIAN_MTN
    assert snapshot.network("UG", "mtn") is None


def test_what_is_on_sale_stands_by_network_then_price_with_one_product_per_size() -> None:
    snapshot = CatalogueSnapshot.of(
        1,
        [TELECEL, MTN],
        [
            product(1, TELECEL, "1GB", 100),
            product(2, MTN, "5GB", 2000),
            product(3, MTN, "1GB", 500),
            product(4, MTN, "1GB", 450),
            product(5, MTN, "2GB", 900, active=False),
        ],
    )
    assert [found.id for found in snapshot.on_sale("GH")] == [4, 2, 1]
    assert snapshot.on_sale("NG") == ()
    assert snapshot.networks("GH") == (MTN, TELECEL)


def test_everything_on_sale_is_what_find_finds() -> None:
    snapshot = CatalogueSnapshot.of(
        1, [MTN], [product(n, MTN, f"{1 + n % 3}GB", 100 + 7 * n % 5) for n in range(1, 12)]
    )
    for shown in snapshot.on_sale("GH"):
        assert snapshot.find("GH", shown.network, shown.size) is shown


def test_an_empty_snapshot_sells_nothing() -> None:
    empty = CatalogueSnapshot(0)
    assert empty.find("GH", "MTN", "1GB") is None
    assert empty.network("GH", "MTN") is None
    assert empty.on_sale("GH") == ()
    assert empty.product(1) is None
    assert empty.product_by_code("P1") is None


def test_offers_of_a_product_come_with_its_type() -> None:
    sold = replace(product(1, MTN, "1GB", 450), type="SME")
    snapshot = CatalogueSnapshot.of(1, [MTN], [sold, product(2, MTN, "2GB", 900)], [Offer(2, "vt", None, True, "2")])
    assert snapshot.offers(1) == ProductOffers(type="SME")
    assert snapshot.offers(2) == ProductOffers(as_catalogued=frozenset({"vt"}), codes={"vt": "2"})
    assert snapshot.offers(3) == NO_OFFERS


@given(st.integers(0, 10**12), st.integers(0, 10_000))
def test_a_share_is_never_too_little_nor_a_whole_unit_too_much(amount: int, points: int) -> None:
    share = share_minor(amount, points)
    assert share * 10_000 >= amount * points > (share - 1) * 10_000
