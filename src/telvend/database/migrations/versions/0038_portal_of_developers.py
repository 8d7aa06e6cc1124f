"""When a key was used last, and consent to identity checks. The version before writes neither; it never writes 'portal'."""

from telvend.database.migrations.script import run

revision = "0038"
down_revision = "0037"

oldest_reader = None
locks = "api_key, against changes of keys, and identity_access, each for a moment"


def upgrade() -> None:
    run("0038_portal_of_developers")
