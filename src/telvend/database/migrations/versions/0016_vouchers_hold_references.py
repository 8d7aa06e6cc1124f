"""Refills by voucher hold their references too: no other kind of sale takes them."""

from telvend.database.migrations.script import run

revision = "0016"
down_revision = "0015"

oldest_reader = None
locks = "the view sale, for a moment"


def upgrade() -> None:
    run("0016_vouchers_hold_references")
