"""The failpoints of fundings: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "funding.before_start": "A funding is durable; the gateway knows nothing of it.",
    "funding.after_start": "The gateway has begun a payment; its address is not written.",
    "funding.after_notice": "A gateway's notice is durable; the gateway has not been answered.",
    "funding.before_credit": "The gateway has said that a funding was paid; nothing is written.",
    "funding.before_commit": "What follows from a gateway's word is written; the transaction is not committed.",
    "funding.after_commit": "What follows from a gateway's word is durable; nobody has been told.",
    "claim.before_commit": "A claimed payment is credited and its claim settled, not yet committed.",
}
