"""Live or test: the half of a shop that a key, a wallet, a subscriber or a sale belongs to."""

from enum import StrEnum


class Mode(StrEnum):
    """Real money or play money. They share nothing: wallets, references and orders of their own."""

    LIVE = "live"
    TEST = "test"
