"""The failpoints of identity checks and of their purge: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "identity.after_hold": "The price of an identity check is held; the authority has not been asked.",
    "identity.after_answer": "The authority has answered; nothing of it is written.",
    "identity.before_commit": "What the answer means is written; the transaction is not committed.",
    "identity.after_commit": "An identity check is durable; its caller has not been answered.",
    "purge.after_rows": "A batch of purged checks is durable; no key has been destroyed.",
    "purge.after_days": "Nothing is wrapped for the purged days any more; what stays of them is not wrapped anew.",
    "purge.before_keys": "The database says that keys are to be destroyed; no node has done it.",
}
