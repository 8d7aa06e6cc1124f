"""Provisional credits for orders whose outcome is unknown, and what providers say after a person has decided.

An older program goes on until the first credit is given. It then cannot end an order with an open credit, which would pay the
wallet twice: the check on `orders` refuses that, and the order waits for a program that knows this step.
"""

from telvend.database.migrations.script import run

revision = "0022"
down_revision = "0021"

oldest_reader = None
locks = "account, orders, attempt and wallet_transaction for a moment each, against everything: columns and checks are added"


def upgrade() -> None:
    run("0022_provisional_credits")
