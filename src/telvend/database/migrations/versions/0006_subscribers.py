"""The operator's side: subscribers, their balances, vouchers, refills and premiums."""

from telvend.database.migrations.script import run

revision = "0006"
down_revision = "0005"

oldest_reader = None
locks = "orders, while the open ones get their validity"


def upgrade() -> None:
    run("0006_subscribers")
