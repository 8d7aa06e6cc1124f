"""The failpoints of refills: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "refill.after_locks": "Everything that a batch of refills touches is locked; nothing has been written.",
    "refill.before_commit": "Refills, vouchers, buckets, transfers and wallets are written; the transaction is not committed.",
    "refill.after_commit": "The batch of refills is durable; nobody has been answered.",
}
