"""The failpoints of what changes subscribers: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "subscribers.after_locks": "The subscribers of a batch are locked; nothing has been written.",
    "subscribers.before_commit": "What subscribers get or use is written; the transaction is not committed.",
    "subscribers.after_commit": "What subscribers get or use is durable; nobody has been answered.",
}
