"""Product kinds are listed in the code alone, and what a delivery carries back is kept sealed beside its order."""

from telvend.database.migrations.script import run

revision = "0017"
down_revision = "0016"

# An older program sells bundles and airtime as before. It would deliver a test order of a new kind without keeping what comes back;
# this version asks the provider for that when the receipt is read.
oldest_reader = None
locks = "orders and products, for the moment in which a constraint is dropped"


def upgrade() -> None:
    run("0017_product_kinds")
