"""Run the migrations that the database at TELVEND_MIGRATE_URL has not had."""

from alembic import command
from alembic.config import Config

from telvend.migrations import FOLDER


def main() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")


if __name__ == "__main__":
    main()
