"""What a process that serves imports before it answers anybody."""

import importlib
from typing import Final

from telvend.bootstrap.registry import APIS, routes_of

_LOADED_TO_SERVE: Final = (
    "services",
    "connected",
    "database.watch",
    "sales.promises",
    "sales.continuity.metrics",
    "sales.continuity.service",
    "kit.numbering",
    "authorities.personas",
    "gateways.sandbox.client",
    "providers.own_network.client",
    "providers.simulator.client",
    "funding.claims.service",
    "funding.jobs",
    "funding.play_money.guard",
    "funding.play_money.real_process",
    "funding.play_money.voiding",
    "upkeep.backup.metrics",
    "upstreams.callbacks.service",
    "upstreams.monitor",
    "fulfilment.metrics",
    "people.mail.sender",
    "people.service",
    "fulfilment.network_health",
    "fulfilment.payloads",
    "fulfilment.provisional.service",
    "fulfilment.review",
    "fulfilment.routing",
    "fulfilment.worker",
    "orders.bulk.service",
    "orders.bulk.worker",
    "orders.beneficiaries.service",
    "orders.payloads.service",
    "orders.receipt_links.service",
    "orders.receipt_prices.service",
    "corrections.service",
    "desk.jobs.work",
    "desk.jobs.worker",
    "dialects.openapi",
    "dialects.pages",
    "dialects.postman",
    "dialects.dispatch",
    "dialects.serving",
    "kit.allowance_node",
    "web.callbacks",
    "web.checkout",
    "web.connections",
    "web.console.site",
    "web.measurements",
    "web.notices",
    "web.pages",
    "web.portal.site",
    "web.server",
    "webhooks.dispatch",
    "webhooks.retention",
    "webhooks.service",
)


def load_modules() -> None:
    """Import what serving needs, so that no request waits for it. It takes a second, in which a database may start."""
    for name in _LOADED_TO_SERVE:
        importlib.import_module(f"telvend.{name}")
    for keys in APIS:
        routes_of(keys)
