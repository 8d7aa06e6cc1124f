"""What providers call products: on offers, and on attempts as it was sent. Deliveries by hand, to try a provider."""

from telvend.database.migrations.script import run

revision = "0023"
down_revision = "0022"

# An older program sells as before. It sends no codes, and its attempts have none.
oldest_reader = None
locks = "provider_offer and attempt, for the moment in which they get columns with a constant default"


def upgrade() -> None:
    run("0023_provider_codes")
