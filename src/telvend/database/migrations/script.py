"""What every file in `versions/` does: run its SQL file."""

from telvend.database.migrations import FOLDER


def run(name: str) -> None:
    """Execute `sql/<name>.sql` as it stands, in the migration's transaction."""
    from alembic import op  # Who only wants to know which steps there are does without it.

    cursor = op.get_bind().connection.driver_connection.cursor()  # type: ignore[union-attr]
    with cursor:
        cursor.execute((FOLDER / "sql" / f"{name}.sql").read_text("utf-8"))
