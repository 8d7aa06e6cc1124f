"""The failpoints of approvals: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "approval.proposed": "A proposal is committed; nobody has been told.",
    "approval.before_deed": "A proposal is marked as confirmed; its deed is not written, and nothing is committed.",
    "approval.after_deed": "A proposal and its deed are durable; nobody has been told.",
}
