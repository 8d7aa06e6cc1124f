"""The failpoints of people: each with what has happened when it is reached (kit/failpoints.py)."""

from typing import Final

FAILPOINTS: Final = {
    "email.before_send": "An e-mail is taken in hand, its link is made; nothing was sent.",
    "email.before_record": "An e-mail was handed on; that is not written down.",
}
