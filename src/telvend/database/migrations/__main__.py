"""Run the migrations that the database at TELVEND_MIGRATE_URL has not had. Its last line says why it could not."""

import sys

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from telvend.database.migrations import FOLDER
from telvend.database.session import DatabaseRefused


def main() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        sys.exit(_first_line(error.orig or error))
    except (psycopg.Error, CommandError, DatabaseRefused) as error:
        sys.exit(_first_line(error))


def _first_line(error: BaseException) -> str:
    # What PostgreSQL says first is the sentence; hints, positions and addresses of manuals follow.
    return str(error).partition("\n")[0]


if __name__ == "__main__":
    main()
