"""An index for finding orders by number and by anybody's reference, written after the sale. The version before writes none of it.

What that version sells is indexed too: the index follows the orders, whoever placed them.
"""

from telvend.database.migrations.script import run

revision = "0036"
down_revision = "0035"

oldest_reader = None
locks = "nothing: tables of their own"


def upgrade() -> None:
    run("0036_order_search")
