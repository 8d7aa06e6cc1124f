"""The failpoints of debits and refunds: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "correction.before_commit": "A debit or a refund is written; the transaction is not committed.",
    "correction.after_commit": "A debit or a refund is durable; nobody has been told.",
}
