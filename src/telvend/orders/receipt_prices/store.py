"""All SQL of prices on receipts."""

from telvend.database.connections import Tx


async def write(tx: Tx, order_id: int, price_minor: int) -> None:
    await tx.execute(
        "insert into receipt_price (order_id, price_minor) values ($1, $2)"
        " on conflict (order_id) do update set price_minor = excluded.price_minor, written_at = excluded.written_at",
        order_id,
        price_minor,
    )


async def remove(tx: Tx, order_id: int) -> None:
    await tx.execute("delete from receipt_price where order_id = $1", order_id)


async def price_of(tx: Tx, order_id: int) -> int | None:
    found: int | None = await tx.fetchval("select price_minor from receipt_price where order_id = $1", order_id)
    return found
