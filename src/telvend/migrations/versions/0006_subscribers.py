"""The operator's side: subscribers, their balances, vouchers, refills and premiums."""

from telvend.migrations.script import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run("0006_subscribers")
