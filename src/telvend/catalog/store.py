"""All SQL of the catalogue."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from telvend.catalog.model import CURRENCY_BY_COUNTRY, Airtime, Discount, Network, Offer, Product, Terms
from telvend.catalog.pauses.model import NetworkPause
from telvend.database.connections import Tx
from telvend.kit.money import Money, currency_of

_NETWORK: Final = """
    select n.id, n.country, n.code, n.name, n.active, n.created_at, n.updated_at, p.id as pause_id, p.automatic, p.reason,
           p.by_whom, p.paused_at, p.retry_at, p.trial, p.trial_left
    from network n left join network_pause p on p.network_id = n.id and p.ended_at is null
"""

_PRODUCT: Final = """
    select p.id, p.network_id, p.code, n.country, n.code as network, p.kind, p.type, p.size, p.validity_days,
           p.currency, p.price_minor, p.cost_minor, p.active
    from product p join network n on n.id = p.network_id
"""

# The rows are numbered so that the products get their ids in the order in which they were given.
_INSERT: Final = """
    insert into product
        (code, network_id, kind, type, size, validity_days, currency, price_minor, cost_minor, active)
    select new.code, n.id, new.kind, new.type, new.size, new.validity_days, new.currency, new.price_minor,
           new.cost_minor, new.active
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[],
                $9::bigint[], $10::bigint[], $11::boolean[]) with ordinality
        as new(code, country, network, kind, type, size, validity_days, currency, price_minor, cost_minor, active, place)
    join network n on n.country = new.country and lower(n.code) = lower(new.network)
    order by new.place
"""


async def revision(tx: Tx) -> int:
    """How often the catalogue has changed."""
    return int(await tx.fetchval("select coalesce((select number from revision where topic = 'catalogue'), 0)"))


async def networks(tx: Tx) -> list[Network]:
    """Every network in catalogue order."""
    return [_network(row) for row in await tx.fetch(f"{_NETWORK} order by n.id")]


async def networks_called(tx: Tx, word: str, country: str | None) -> list[Network]:
    """The networks of this code, in any case, in one country or in all; locked until the end of `tx`."""
    rows = await tx.fetch(
        f"{_NETWORK} where lower(n.code) = lower($1) and ($2::text is null or n.country = $2) order by n.id for update of n",
        word, country,
    )  # fmt: skip
    return [_network(row) for row in rows]


async def insert_network(tx: Tx, country: str, code: str, name: str) -> Network | None:
    """The new network, or None where the country has one of this code."""
    row = await tx.fetchrow(
        "insert into network (country, code, name) values ($1, $2, $3) on conflict (country, lower(code)) do nothing"
        " returning id, country, code, name, active, created_at, updated_at",
        country, code, name,
    )  # fmt: skip
    return Network(**row) if row else None


async def switch_network(tx: Tx, network_id: int, active: bool) -> None:
    await tx.execute("update network set active = $2, updated_at = now() where id = $1", network_id, active)


async def products(tx: Tx) -> list[Product]:
    """Every product, on sale or not."""
    return [_product(row) for row in await tx.fetch(_PRODUCT)]


async def product_of(tx: Tx, code: str) -> Product | None:
    """The product of this code, locked until the end of `tx`."""
    row = await tx.fetchrow(f"{_PRODUCT} where p.code = $1 for update of p", code)
    return _product(row) if row else None


async def products_of(tx: Tx, codes: Sequence[str]) -> dict[str, Product]:
    """Those of these codes that exist, locked until the end of `tx`."""
    rows = await tx.fetch(f"{_PRODUCT} where p.code = any($1::text[]) order by p.id for update of p", codes)
    return {row["code"]: _product(row) for row in rows}


async def find_products(
    tx: Tx, *, country: str | None, network: str | None, active: bool | None, limit: int | None, offset: int
) -> list[Product]:
    """Products by country, network in any case and switch; by country, network and price, `limit` after `offset`."""
    rows = await tx.fetch(
        f"{_PRODUCT} where ($1::text is null or n.country = $1)"
        " and ($2::text is null or lower(n.code) = lower($2) or lower(n.name) = lower($2))"
        " and ($3::boolean is null or p.active = $3)"
        " order by n.country, n.id, p.price_minor, p.id limit $4 offset $5",
        country, network, active, limit, offset,
    )  # fmt: skip
    return [_product(row) for row in rows]


async def write_products(tx: Tx, wanted: Sequence[Terms]) -> None:
    """Add these products; one whose code exists becomes what is given here."""
    await tx.execute(
        f"{_INSERT} on conflict (code) do update set network_id = excluded.network_id, kind = excluded.kind,"
        " type = excluded.type, size = excluded.size, validity_days = excluded.validity_days,"
        " currency = excluded.currency, price_minor = excluded.price_minor, cost_minor = excluded.cost_minor,"
        " active = excluded.active, updated_at = now()",
        *_columns(wanted),
    )


async def add_products(tx: Tx, wanted: Sequence[Terms]) -> None:
    """Add those of these products whose codes do not exist; leave the others as they are."""
    await tx.execute(f"{_INSERT} on conflict (code) do nothing", *_columns(wanted))


def _columns(wanted: Sequence[Terms]) -> tuple[list[Any], ...]:
    return (
        [terms.code for terms in wanted],
        [terms.country for terms in wanted],
        [terms.network for terms in wanted],
        [terms.kind for terms in wanted],
        [terms.type for terms in wanted],
        [terms.size for terms in wanted],
        [terms.validity_days for terms in wanted],
        [terms.currency.code for terms in wanted],
        [terms.price.minor for terms in wanted],
        [terms.cost.minor for terms in wanted],
        [terms.active for terms in wanted],
    )


def _network(row: Any) -> Network:
    (
        network_id, country, code, name, active, created_at, updated_at,
        pause_id, automatic, reason, by_whom, paused_at, retry_at, trial, trial_left,
    ) = row  # fmt: skip
    pause = None
    if pause_id is not None:
        pause = NetworkPause(pause_id, network_id, automatic, reason, by_whom, paused_at, retry_at, trial, trial_left)
    return Network(network_id, country, code, name, active, created_at, updated_at, pause)


def _product(row: Any) -> Product:
    currency = currency_of(row["currency"])
    return Product(
        code=row["code"],
        country=row["country"],
        network=row["network"],
        kind=row["kind"],
        type=row["type"],
        size=row["size"],
        validity_days=row["validity_days"],
        price=Money(row["price_minor"], currency),
        cost=Money(row["cost_minor"], currency),
        active=row["active"],
        id=row["id"],
        network_id=row["network_id"],
    )


async def offers(tx: Tx) -> list[Offer]:
    """What providers take for products and call them, where the operator has said so."""
    found = [
        Offer(
            row["product_id"],
            row["provider"],
            None if row["follows_cost"] else Money(row["cost_minor"], currency_of(row["currency"])),
            row["active"],
            row["code"],
        )
        for row in await tx.fetch(
            "select o.product_id, o.provider, o.cost_minor, o.active, o.code, o.follows_cost, p.currency"
            " from provider_offer o join product p on p.id = o.product_id order by o.product_id, o.provider"
        )
    ]
    by_amount = await tx.fetch(
        "select product_id, provider, active, code, cost_basis_points from provider_offer_by_amount"
        " order by product_id, provider"
    )
    return found + [Offer(row[0], row[1], None, *row[2:]) for row in by_amount]


async def write_offer(tx: Tx, offer: Offer, *, code: str | None, catalogued_minor: int | None) -> str:
    """Write an offer and return the code that it has now. `code` None leaves what was there.

    `catalogued_minor` is the cost of a bundle in the catalogue, which an older program takes where the offer names none; None for
    what is sold by amount.
    """
    if catalogued_minor is None:
        return str(
            await tx.fetchval(
                "insert into provider_offer_by_amount as before (product_id, provider, cost_basis_points, active, code)"
                " values ($1, $2, $3, $4, coalesce($5, '')) on conflict (product_id, provider) do update set"
                " cost_basis_points = excluded.cost_basis_points, active = excluded.active,"
                " code = coalesce($5, before.code) returning code",
                offer.product_id, offer.provider, offer.basis_points, offer.sold, code,
            )
        )  # fmt: skip
    return str(
        await tx.fetchval(
            "insert into provider_offer as before (product_id, provider, cost_minor, follows_cost, active, code)"
            " values ($1, $2, $3, $4, $5, coalesce($6, '')) on conflict (product_id, provider) do update set"
            " cost_minor = excluded.cost_minor, follows_cost = excluded.follows_cost, active = excluded.active,"
            " code = coalesce($6, before.code) returning code",
            offer.product_id, offer.provider, catalogued_minor if offer.cost is None else offer.cost.minor,
            offer.cost is None, offer.sold, code,
        )
    )  # fmt: skip


async def airtime(tx: Tx) -> list[Airtime]:
    """The airtime of every network, on sale or not, with the resellers' discounts."""
    discounts: dict[int, dict[UUID, int]] = {}
    for row in await tx.fetch("select reseller_id, airtime_id, basis_points from reseller_discount"):
        discounts.setdefault(row["airtime_id"], {})[row["reseller_id"]] = row["basis_points"]
    rows = await tx.fetch(
        "select a.id, a.code, a.network_id, n.country, n.code as network, a.minimum_minor, a.maximum_minor,"
        " a.cost_basis_points, a.active from airtime a join network n on n.id = a.network_id order by a.id"
    )
    found = []
    for row in rows:
        currency = CURRENCY_BY_COUNTRY[row["country"]]
        found.append(
            Airtime(
                row["id"],
                row["code"],
                row["network_id"],
                row["country"],
                row["network"],
                Money(row["minimum_minor"], currency),
                Money(row["maximum_minor"], currency),
                row["cost_basis_points"],
                row["active"],
                discounts.get(row["id"], {}),
            )
        )
    return found


async def insert_airtime(
    tx: Tx, code: str, country: str, network: str, minimum_minor: int, maximum_minor: int, cost_basis_points: int
) -> None:
    """Sell airtime of a network; one that is sold already stays as it is."""
    await tx.execute(
        "insert into airtime (code, network_id, minimum_minor, maximum_minor, cost_basis_points)"
        " select $1, id, $4, $5, $6 from network where country = $2 and lower(code) = lower($3) on conflict do nothing",
        code, country, network, minimum_minor, maximum_minor, cost_basis_points,
    )  # fmt: skip


async def write_discount(tx: Tx, reseller_id: UUID, airtime_id: int, basis_points: int) -> None:
    await tx.execute(
        "insert into reseller_discount values ($1, $2, $3)"
        " on conflict (reseller_id, airtime_id) do update set basis_points = excluded.basis_points",
        reseller_id, airtime_id, basis_points,
    )  # fmt: skip


async def discounts(tx: Tx, reseller_id: UUID | None) -> list[Discount]:
    """The discounts that are not nought, of one reseller or of all, in the order of networks and of resellers' ids."""
    rows = await tx.fetch(
        "select d.reseller_id, n.country, n.code as network, a.code as product, d.basis_points from reseller_discount d"
        " join airtime a on a.id = d.airtime_id join network n on n.id = a.network_id"
        " where d.basis_points > 0 and ($1::uuid is null or d.reseller_id = $1) order by n.id, d.reseller_id",
        reseller_id,
    )
    return [Discount(**dict(row)) for row in rows]


async def provider_codes(tx: Tx) -> list[tuple[int, str, str]]:
    """How providers spell networks: network id, provider, code."""
    rows = await tx.fetch("select network_id, provider, code from network_provider_code order by network_id, provider")
    return [(row["network_id"], row["provider"], row["code"]) for row in rows]


async def write_provider_code(tx: Tx, country: str, network: str, provider: str, code: str) -> None:
    await tx.execute(
        "insert into network_provider_code select id, $3, $4 from network where country = $1 and lower(code) = lower($2)"
        " on conflict (network_id, provider) do update set code = excluded.code",
        country, network, provider, code,
    )  # fmt: skip
