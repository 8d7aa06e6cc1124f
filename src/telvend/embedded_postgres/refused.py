"""The errors of this room: the embedded database cannot be used, and why."""


class PostgresRefused(Exception):
    """The embedded PostgreSQL cannot be used as things stand.

    The text is one sentence that an operator understands. `details` holds the last lines that PostgreSQL itself
    wrote, or nothing.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


class NoDatabase(PostgresRefused):
    """There is no database in this data directory, and whoever asks does not create one."""
