"""Transactions as the owner of a wallet counts them, airtime, profiles."""

from telvend.database.migrations.script import run

revision = "0003"
down_revision = "0002"

oldest_reader = "0003"
locks = "orders, wallet and wallet_credit, while every order is written anew: the more there are, the longer"


def upgrade() -> None:
    run("0003_transactions")
