"""What is done to a database before a shop is opened in it: its schema, its catalogue, its keys."""

from collections.abc import Callable
from pathlib import Path

from telvend.catalog.service import install_builtin
from telvend.config import Settings
from telvend.database import migrations
from telvend.database.connections import Database
from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyMissing
from telvend.kit.log import get
from telvend.operator.vouchers.pins import PinKeys

_log = get(__name__)


async def require_keys(settings: Settings, database: Database) -> None:
    """Refuse keys that are no keys, and keys of the settings that are not those of this database.

    A key file that is missing is told in the log only: the shop sells what needs no key. Raises KeyRefused.
    """
    folder = Path(settings.data_dir)
    for what, keys in (
        ("identity master key", Custody(database, folder, settings.identity_master_key)),
        ("voucher key", PinKeys(database, folder, settings.voucher_key)),
    ):
        try:
            await keys.check()
        except KeyMissing as error:
            if keys.from_settings:
                raise
            _log.critical("key_missing", what=what, why=str(error))


async def prepare_database(database: Database, say: Callable[[str], None]) -> None:
    """Bring the schema to this version and fill an empty catalogue.

    Only for who may do that: `telvend serve`, `demo` and `upgrade`. Raises DatabaseRefused, SchemaRefused.
    """
    await database.check_promises(migrations.names())
    await migrations.ensure(database, say)
    async with database.transaction() as tx:
        await install_builtin(tx)


async def enter_database(database: Database) -> None:
    """Make sure that this version can work with the database as it is. Raises DatabaseRefused, SchemaRefused."""
    await database.check_promises(migrations.names())
    await migrations.require(database)
    async with database.transaction() as tx:
        await install_builtin(tx)  # The catalogue is missing where preparing the database was interrupted.
