"""The failpoints of fulfilment: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "attempt.before_write": "An order is claimed, or taken as it is placed; no attempt is recorded and the provider knows nothing.",
    "attempt.after_write": "The attempt is durable; the provider has not been called.",
    "attempt.after_send": "The request has gone to the provider; its answer has not been read.",
    "attempt.after_answer": "The provider has answered; the outcome has not been handed on.",
    "resend.after_write": "The resend is counted and durable; the provider has not been called again.",
    "resend.after_send": "The request has gone to the provider again; its answer has not been read.",
    "settle.before_commit": "Outcomes and their transfers are written; the transaction is not committed.",
    "settle.after_commit": "The outcomes are durable; their claims have not been given back.",
    "late.before_settle": "A provider has answered about an attempt that a person had decided; nothing is entered.",
    "provisional.before_commit": "Provisional credits are written; the transaction is not committed.",
    "provisional.after_commit": "The provisional credits are durable; nobody has been told.",
}
