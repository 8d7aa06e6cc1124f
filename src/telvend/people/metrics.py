"""What is counted of people and their e-mails."""

from typing import Final

from telvend.kit.metrics import Counter

SIGN_INS: Final = Counter(
    "telvend_sign_ins",
    "Attempts to sign in, by how they ended: done, refused (a wrong password or code), throttled, suspended.",
    "kind",
    "outcome",
)
EMAILS: Final = Counter(
    "telvend_emails",
    "E-mails, by how they ended: sent, kept (no mail server is set up), failed.",
    "outcome",
)
