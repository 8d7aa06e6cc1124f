"""The check, before anything is served, that the keys of this installation are those of its database."""

from pathlib import Path

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyMissing, KeyRefused
from telvend.kit.log import get
from telvend.operator.vouchers.pins import PinKeys
from telvend.orders.payloads.keys import PayloadKeys
from telvend.people.keys import PeopleKeys
from telvend.webhooks.keys import WebhookKeys

_log = get(__name__)


async def keys_missing(settings: Settings, database: Database) -> dict[str, str]:
    """The keys that a database was written with and that are not here: names of files to the reasons. Raises Busy."""
    found = {}
    for name, keys in _keys(settings, database).items():
        try:
            await keys.check()
        except KeyRefused as error:
            found[name] = str(error)
    return found


async def require_keys(settings: Settings, database: Database) -> None:
    """Refuse keys that are malformed, and keys in the settings that are not those of this database.

    A missing key file is only logged: the shop sells what needs no key. Raises KeyRefused.
    """
    for name, keys in _keys(settings, database).items():
        try:
            await keys.check()
        except KeyMissing as error:
            if keys.from_settings:
                raise
            _log.critical("key_missing", what=name.replace("-", " "), why=str(error))


def _keys(
    settings: Settings, database: Database
) -> dict[str, Custody | PinKeys | PayloadKeys | WebhookKeys | PeopleKeys]:
    """Every key that is not in the database, by the name of its file."""
    folder = Path(settings.data_dir)
    return {
        "identity-master-key": Custody(database, folder, settings.identity_master_key),
        "voucher-key": PinKeys(database, folder, settings.voucher_key),
        "payload-key": PayloadKeys(database, folder, settings.payload_key),
        "webhook-key": WebhookKeys(database, folder, settings.webhook_key),
        "people-key": PeopleKeys(database, folder, settings.people_key),
    }
