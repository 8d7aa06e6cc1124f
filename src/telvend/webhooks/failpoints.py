"""The failpoints of webhooks: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "webhook.before_send": "A delivery is taken in hand; nothing was sent.",
    "webhook.before_record": "Endpoints have answered; the attempts are not written down.",
    "webhook.after_record": "Attempts are written down, and committed.",
}
