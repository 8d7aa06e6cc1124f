"""The search index of orders is packed once it is old, and the key of transfers leaves room for what settles an order.

The version before goes on indexing, and finds what is not packed: on its pages an old order may be missing from a search until it is
replaced too.
"""

from telvend.database.migrations.script import run

revision = "0045"
down_revision = "0041"

oldest_reader = None
locks = "nothing: a table of its own, two columns of a table with one row, and how full an index is left"


def upgrade() -> None:
    run("0045_packed_search")
