"""The check, before anything is served, that the keys of this installation are those of its database."""

from pathlib import Path

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyMissing
from telvend.kit.log import get
from telvend.operator.vouchers.pins import PinKeys
from telvend.orders.payloads.keys import PayloadKeys
from telvend.people.keys import PeopleKeys
from telvend.webhooks.keys import WebhookKeys

_log = get(__name__)


async def require_keys(settings: Settings, database: Database) -> None:
    """Refuse keys that are malformed, and keys in the settings that are not those of this database.

    A missing key file is only logged: the shop sells what needs no key. Raises KeyRefused.
    """
    folder = Path(settings.data_dir)
    for what, keys in (
        ("identity master key", Custody(database, folder, settings.identity_master_key)),
        ("voucher key", PinKeys(database, folder, settings.voucher_key)),
        ("payload key", PayloadKeys(database, folder, settings.payload_key)),
        ("webhook key", WebhookKeys(database, folder, settings.webhook_key)),
        ("people key", PeopleKeys(database, folder, settings.people_key)),
    ):
        try:
            await keys.check()
        except KeyMissing as error:
            if keys.from_settings:
                raise
            _log.critical("key_missing", what=what, why=str(error))
