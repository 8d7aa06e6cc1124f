"""The operator's verbs on what is sold, and the snapshot that sales look things up in.

A verb that writes begins with `increment_revision`: it tells every process to load the catalogue again, and its row lock lets one
writer in at a time, so that what a verb has read stays true until it commits.
"""

import csv
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from uuid import UUID

from telvend.catalog import builtin, sheet, store
from telvend.catalog.billers import biller_products
from telvend.catalog.builtin import store as builtin_store
from telvend.catalog.model import (
    CURRENCY_BY_COUNTRY,
    Airtime,
    CatalogueSnapshot,
    Discount,
    Network,
    Offer,
    Product,
    Terms,
    is_network_word,
    is_product_code,
    is_provider_code,
)
from telvend.catalog.sheet import Problem
from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import AlreadyExists, InvalidInput, InvariantBroken, NotFound
from telvend.kit.money import Money

TOPIC = "catalogue"
"""The revision that counts the changes of networks and products."""

LARGEST_DISCOUNT = 50
"""Percent. A larger one is a slip of the hand."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do after a dry pass. With problems nothing was written and the counts are 0."""

    added: int
    changed: int
    unchanged: int
    problems: tuple[Problem, ...] = ()


class Catalogue:
    """What one shop sells. `load` the snapshot before selling from it, `refresh` it when its revision has moved."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.snapshot = CatalogueSnapshot(0)

    # Reading ---------------------------------------------------------------------------------------------------------

    async def load(self, tx: Tx) -> None:
        """Take a new snapshot."""
        # The revision comes first: a change that slips in between is then loaded once more, and never missed.
        revision = await store.revision(tx)
        self.snapshot = CatalogueSnapshot.of(
            revision,
            await store.networks(tx),
            await store.products(tx),
            await store.offers(tx),
            await store.airtime(tx),
            await store.provider_codes(tx),
        )

    async def refresh(self, tx: Tx) -> bool:
        """Take a new snapshot if the catalogue has changed since the last one. Answers whether it has."""
        if await store.revision(tx) == self.snapshot.revision:
            return False
        await self.load(tx)
        return True

    async def network_codes(self, word: str) -> tuple[str, ...]:
        """The codes of the networks that are called so in any case, in whatever country; empty where there is none."""
        codes = {network.code for network in await self.list_networks()}
        return tuple(sorted(code for code in codes if code.casefold() == word.casefold()))

    async def list_networks(self) -> list[Network]:
        """Every network in catalogue order, from the database."""
        async with self._database.connection() as tx:
            return await store.networks(tx)

    async def list_products(
        self,
        *,
        country: str | None = None,
        network: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Product]:
        """Products from the database, by country, network and price, cheapest first.

        `network` is a code or name in any case; one that does not exist has no products. `active` is the product's own
        switch. `limit` products are answered, those after the first `offset`.
        """
        if network is not None and not is_network_word(network.strip()):
            return []
        async with self._database.connection() as tx:
            return await store.find_products(
                tx,
                country=None if country is None else _country(country),
                network=None if network is None else network.strip(),
                active=active,
                limit=limit,
                offset=offset,
            )

    async def export_csv(self, *, country: str | None = None, network: str | None = None) -> str:
        """The products as a sheet that `import_csv` takes."""
        return sheet.write(await self.list_products(country=country, network=network))

    # Writing ---------------------------------------------------------------------------------------------------------

    async def add_network(self, country: str, code: str, name: str) -> Network:
        """Add a network at the end of the catalogue's order. Raises InvalidInput, AlreadyExists."""
        country, code, name = _country(country), code.strip(), name.strip()
        for field, text in (("network", code), ("name", name)):
            if not is_network_word(text):
                raise InvalidInput(field, "must be 1 to 32 letters, digits, spaces, dots and dashes")
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            made = await store.insert_network(tx, country, code, name)
            if made is None:
                raise AlreadyExists(f"Network {code} of {country}")
        return made

    async def switch_network(self, word: str, active: bool, *, country: str | None = None) -> Network:
        """Put a network's products on sale or take them off. `word` is its code in any case.

        Raises NotFound; InvalidInput where several countries have a network of this code and none is named.
        """
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            found = await network_named(tx, word, country)
            await store.switch_network(tx, found.id, active)
        return replace(found, active=active)

    async def add_product(
        self,
        *,
        code: str,
        country: str,
        network: str,
        size: str,
        validity: str,
        price: str,
        cost: str,
        type: str = "",  # noqa: A002 - the word of the column
        active: bool = True,
        allow_loss: bool = False,
    ) -> Product:
        """Add a product; amounts are text such as `4.50`. The very same product again is answered as it stands.

        Raises InvalidInput with the first field that is wrong, also for a price below the cost unless `allow_loss` is set;
        AlreadyExists for the code of another product.
        """
        fields = {
            "code": code, "country": country, "network": network, "type": type, "size": size, "validity": validity,
            "price": price, "cost": cost, "active": "yes" if active else "no",
        }  # fmt: skip
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            terms, problems = sheet.read_fields(fields, sheet.networks_by_word(await store.networks(tx)))
            if terms is None:
                raise InvalidInput(*problems[0])
            before = await store.product_of(tx, terms.code)
            if before is not None:
                if before.terms != terms:
                    raise AlreadyExists(f"Product {terms.code}")
                return before
            _require_no_loss(terms, allow_loss)
            return await _write(tx, terms)

    async def product(self, code: str) -> Product:
        """The product with this code, from the database. Raises NotFound."""
        async with self._database.connection() as tx:
            return await _existing(tx, code)

    async def change_price(
        self, code: str, *, price: str | None = None, cost: str | None = None, allow_loss: bool = False
    ) -> Product:
        """Give a product a new price, a new cost, or both, as text such as `4.50`. Orders keep what they had.

        Raises NotFound, InvalidInput, also for a price below the cost unless `allow_loss` is set.
        """
        if price is None and cost is None:
            raise InvalidInput("price", "a new price or a new cost is needed")
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            before = await _existing(tx, code)
            terms = before.terms
            if price is not None:
                terms = replace(terms, price=_amount("price", price, before, positive=True))
            if cost is not None:
                terms = replace(terms, cost=_amount("cost", cost, before))
            _require_no_loss(terms, allow_loss)
            return await _write(tx, terms)

    async def set_offer(self, code: str, provider: str, *, cost: str | None, their_code: str | None = None) -> Offer:
        """Say what one provider takes for a product, and what it calls it; with neither, this provider has not got it.

        `cost` is text: such as `4.20` of a bundle, and a share such as `97.5%` of what is sold by amount (airtime, a biller's
        product). Without it the catalogue's own cost counts, also when that changes. Without `their_code` a code that was given
        before stays; an empty one is taken away.

        Sales go to the cheapest of the providers with the same priority. Raises NotFound, InvalidInput.
        """
        if not is_network_word(provider):
            raise InvalidInput("provider", "must be the name of a provider")
        if their_code and not is_provider_code(their_code):
            raise InvalidInput("code", "must be 1 to 128 printable ASCII characters, without blanks at either end")
        sold = cost is not None or their_code is not None
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            by_amount = await _sold_by_amount(tx, code)
            if by_amount is not None:
                points = None if cost is None else _basis_points(cost)
                offer = Offer(by_amount, provider, None, sold, basis_points=points)
                catalogued_minor = None
            else:
                product = await _existing(tx, code)
                offer = Offer(product.id, provider, None if cost is None else _amount("cost", cost, product), sold)
                catalogued_minor = product.cost.minor
            called = await store.write_offer(tx, offer, code=their_code, catalogued_minor=catalogued_minor)
        return replace(offer, code=called)

    async def set_discount(
        self, reseller_id: UUID, country: str, network: str, percent: str, *, allow_loss: bool = False
    ) -> Airtime:
        """Give a reseller airtime of a network for less, as text such as `2.5` percent.

        Raises NotFound, InvalidInput, also for more than is earned with it unless `allow_loss` is set.
        """
        if not re.fullmatch(r"[0-9]{1,2}(?:\.[0-9]{1,2})?", percent, re.ASCII) or Decimal(percent) > LARGEST_DISCOUNT:
            raise InvalidInput("percent", f"must be from 0 to {LARGEST_DISCOUNT}, with at most two decimals")
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            found = [
                item
                for item in await store.airtime(tx)
                if item.country == _country(country) and item.network.casefold() == network.casefold()
            ]
            if not found:
                raise NotFound("Airtime of this network")
            basis_points = int(Decimal(percent) * 100)
            earned = 10_000 - found[0].cost_basis_points
            if basis_points > earned and not allow_loss:
                problem = f"{percent} % is more than the {Decimal(earned) / 100} % that are earned with {found[0].code}"
                raise InvalidInput("percent", f"{problem}; {LOSS_ADVICE}")
            await store.write_discount(tx, reseller_id, found[0].id, basis_points)
        return found[0]

    async def discounts(self, reseller_id: UUID | None = None) -> list[Discount]:
        """What resellers pay less for airtime, by network and reseller; of one, or of all. Ended ones are left out."""
        async with self._database.connection() as tx:
            return await store.discounts(tx, reseller_id)

    async def switch_product(self, code: str, active: bool) -> Product:
        """Put a product on sale or take it off. Raises NotFound."""
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            before = await _existing(tx, code)
            return await _write(tx, replace(before.terms, active=active))

    async def import_csv(self, text: str, *, dry_run: bool = False, allow_loss: bool = False) -> Imported:
        """Add and change products as a sheet says (its form: sheet.py). Either all of it is written or nothing.

        What it would add or change to a price below the cost is wrong unless `allow_loss` is set.

        Products that the sheet does not name stay as they are. A dry run writes nothing and counts all the same.
        """
        async with self._database.transaction() as tx:
            if not dry_run:
                await increment_revision(tx, TOPIC)
            read = sheet.read(text, sheet.networks_by_word(await store.networks(tx)))
            if read.problems:
                return Imported(0, 0, 0, read.problems)
            before = await store.products_of(tx, [terms.code for terms in read.products])
            added = [terms for terms in read.products if terms.code not in before]
            changed = [terms for terms in read.products if terms.code in before and before[terms.code].terms != terms]
            losing = () if allow_loss else [(terms, why) for terms in [*added, *changed] if (why := _loss(terms))]
            if losing:
                problems = [sheet.Problem(read.lines[terms.code], "price", why) for terms, why in losing]
                return Imported(0, 0, 0, tuple(sorted(problems, key=lambda problem: problem.line)))
            if not dry_run:
                await store.write_products(tx, [*added, *changed])
        return Imported(len(added), len(changed), len(read.products) - len(added) - len(changed))


async def network_named(tx: Tx, word: str, country: str | None = None) -> Network:
    """The network of this code in any case, locked until the end of `tx`.

    Raises NotFound; InvalidInput where several countries have a network of this code and none is named.
    """
    word = word.strip()
    chosen = None if country is None else _country(country)
    found = await store.networks_called(tx, word, chosen) if is_network_word(word) else []
    if not found:
        raise NotFound("Network")
    if len(found) > 1:
        raise InvalidInput("country", f"is needed: {' and '.join(n.country for n in found)} have a {word}")
    return found[0]


async def install_builtin(tx: Tx) -> bool:
    """Give a fresh shop its catalogue: Nigeria's and Ghana's. Answers whether there was anything to do.

    Each list is installed once and remembered, so that nothing that the operator has changed comes back. What
    exists already under the same code is left alone.
    """
    installed = False
    for name in builtin.LISTS:
        if await builtin_store.mark_installed(tx, name):
            installed = True
            for row in csv.DictReader(builtin.read(f"{name}-networks.csv").splitlines()):
                await store.insert_network(tx, row["country"], row["code"], row["name"])
            read = sheet.read(builtin.read(f"{name}.csv"), sheet.networks_by_word(await store.networks(tx)))
            if read.problems:
                raise InvariantBroken(f"the built-in list {name}: {read.problems[0]}")
            await store.add_products(tx, read.products)
            for row in csv.DictReader(builtin.read(f"{name}-airtime.csv").splitlines()):
                await store.insert_airtime(
                    tx,
                    row["code"],
                    row["country"],
                    row["network"],
                    int(row["minimum_minor"]),
                    int(row["maximum_minor"]),
                    int(row["cost_basis_points"]),
                )
            for row in csv.DictReader(builtin.read(f"{name}-provider-codes.csv").splitlines()):
                await store.write_provider_code(tx, row["country"], row["network"], row["provider"], row["code"])
    if installed:
        await increment_revision(tx, TOPIC)
    return installed


LOSS_ADVICE: Final = "with --yes it is set all the same"


def _loss(terms: Terms) -> str | None:
    """Return a sentence for a price below the cost; None for any other price."""
    if terms.price.minor >= terms.cost.minor:
        return None
    return f"{terms.price} is below the cost of {terms.cost}, a loss with every sale; {LOSS_ADVICE}"


def _require_no_loss(terms: Terms, allowed: bool) -> None:
    if not allowed and (why := _loss(terms)) is not None:
        raise InvalidInput("price", why)


def _country(text: str) -> str:
    country = text.strip().upper()
    if country not in CURRENCY_BY_COUNTRY:
        raise InvalidInput("country", f"must be one of {', '.join(CURRENCY_BY_COUNTRY)}")
    return country


def _amount(field: str, text: str, product: Product, *, positive: bool = False) -> Money:
    try:
        return (sheet.parse_price if positive else Money.parse)(text.strip(), product.currency)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None


def _basis_points(text: str) -> int:
    """A share such as `97.5%` in hundredths of a percent. Raises InvalidInput."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)\s?%", text.strip(), re.ASCII)
    if match is None or Decimal(match[1]) > 100:
        raise InvalidInput(
            "cost", "is a share of the amount here, such as 97.5%: from 0% to 100%, at most two decimals"
        )
    return int(Decimal(match[1]) * 100)


async def _sold_by_amount(tx: Tx, code: str) -> int | None:
    """The number of the airtime or biller's product with this code; None where there is neither."""
    airtime = next((item.id for item in await store.airtime(tx) if item.code == code), None)
    if airtime is not None:
        return airtime
    biller = biller_products().get(code)
    return None if biller is None else biller.id


async def _existing(tx: Tx, code: str) -> Product:
    found = await store.product_of(tx, code) if is_product_code(code) else None
    if found is None:
        raise NotFound("Product")
    return found


async def _write(tx: Tx, terms: Terms) -> Product:
    await store.write_products(tx, [terms])
    written = await store.product_of(tx, terms.code)
    if written is None:
        raise InvariantBroken(f"product {terms.code} was written and is not there")
    return written
