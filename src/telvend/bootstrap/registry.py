"""What there is by name: the public APIs, the real authorities and the failpoints. A new dialect, authority or room gets its line here."""

import importlib
from typing import TYPE_CHECKING

from telvend.approvals import failpoints as approval_points
from telvend.authorities import dojah, prembly
from telvend.corrections import failpoints as correction_points
from telvend.desk.jobs import failpoints as job_points
from telvend.dialects import madapi, netpluse, networkdatasub
from telvend.fulfilment import failpoints as fulfilment_points
from telvend.funding import failpoints as funding_points
from telvend.identity import failpoints as identity_points
from telvend.kit import failpoints
from telvend.operator.refills import failpoints as refill_points
from telvend.operator.subscribers import failpoints as subscriber_points
from telvend.orders import failpoints as order_points
from telvend.orders.bulk import failpoints as bulk_points
from telvend.people import failpoints as people_points
from telvend.upkeep.backup import failpoints as backup_points
from telvend.upkeep.moving import failpoints as move_points
from telvend.webhooks import failpoints as webhook_points

if TYPE_CHECKING:
    from types import ModuleType

    from telvend.resellers.keyforms import KeyForm

AUTHORITIES = (prembly.NAME, dojah.NAME)
"""The real authorities that there are, configured or not."""

APIS = (netpluse.KEYS, networkdatasub.KEYS, madapi.KEYS)
"""The public APIs, each by the name and form of its keys. A new dialect gets its line here; its `routes.py` has `dialect`."""

FAILPOINTS = {
    name: sentence
    for room in (
        order_points,
        fulfilment_points,
        identity_points,
        subscriber_points,
        refill_points,
        funding_points,
        correction_points,
        approval_points,
        webhook_points,
        bulk_points,
        job_points,
        people_points,
        backup_points,
        move_points,
    )
    for name, sentence in room.FAILPOINTS.items()
}
"""Every failpoint, and what has happened when it is reached."""

# On import, so that no process of a server starts with a name in TELVEND_FAILPOINTS that does not exist.
failpoints.know(FAILPOINTS)


def routes_of(keys: "KeyForm") -> "ModuleType":
    """Import the routes of a dialect, and with them the web framework."""
    return importlib.import_module(f"telvend.dialects.{keys.api}.routes")
