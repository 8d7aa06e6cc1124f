"""The failpoints of the placement of orders: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "lane.before_begin": "A batch of orders has been taken from the queue; no transaction has begun.",
    "lane.after_locks": "The wallets of the batch are locked; nothing has been written.",
    "lane.after_write": "Orders, transfers and wallets are written; the transaction is not committed.",
    "lane.after_commit": "The batch is durable; nobody has been answered.",
}
