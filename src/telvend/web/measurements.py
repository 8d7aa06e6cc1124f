"""What `/metrics` says: what the processes of this node have counted, and what stands in the database right now."""

import asyncio
import platform
from collections import defaultdict
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from telvend import __version__
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit import metrics
from telvend.kit.fresh import Fresh
from telvend.kit.money import CURRENCIES, Money
from telvend.services import Services
from telvend.web.upkeep_readings import upkeep_readings

PATH: Final = "/metrics"

KEPT_FOR_S: Final = 1.0
"""For so long an answer is given again. Writing one takes milliseconds for each process of the node."""

_BUILD: Final = metrics.Reading("telvend_build_info", "Which Telvend this is; always 1.", "version", "python_version")
_OPEN: Final = metrics.Reading("telvend_orders_open", "Orders that are not final.", "state", "mode", "currency")
_OLDEST: Final = metrics.Reading(
    "telvend_orders_oldest_age_seconds",
    "The age of the oldest order in a state.",
    "state",
    "mode",
    "currency",
    formerly="telvend_orders_oldest_seconds",
)
_PAUSED: Final = metrics.Reading(
    "telvend_network_paused",
    "1 for each network that is paused, on trial too, by itself or by a person.",
    "country",
    "network",
    "by",
)
_LENT: Final = metrics.Reading(
    "telvend_provisional_credits_open_currency_units",
    "Provisional credits of orders whose outcome is unknown, in whole units of the currency.",
    "currency",
)
_LATE: Final = metrics.Reading(
    "telvend_late_reports_recent_entries",
    "Late reports that were entered in the last hour, by whichever process, a command included.",
    "provider",
    "said",
)
_HELD: Final = metrics.Reading(
    "telvend_orders_held_currency_units",
    "Money held for orders that are not final, in whole units of the currency.",
    "mode",
    "currency",
    formerly="telvend_held_amount",
)

_FLOAT: Final = metrics.Reading(
    "telvend_provider_float_currency_units",
    "Our money at a provider as it said last, in whole units of the currency.",
    "provider",
    "currency",
)
_FLOAT_LOW: Final = metrics.Reading("telvend_provider_float_low", "1 while a float is below its low_float.", "provider")
_WEBHOOKS_WAITING: Final = metrics.Reading(
    "telvend_webhook_deliveries_waiting",
    "Messages that wait for endpoints in a state, active or paused; an endpoint counts for a thousand at most.",
    "state",
)
_EMAILS: Final = metrics.Reading("telvend_email_outbox_entries", "E-mails that wait, or have failed.", "state")
_ENDPOINTS_FAILING: Final = metrics.Reading(
    "telvend_webhook_endpoints_failing", "Endpoints that take nothing at present, active or paused.", "state"
)
_FLOAT_AGE: Final = metrics.Reading("telvend_provider_float_age_seconds", "How long ago a float was read.", "provider")


def measurements(services: Services, database: Database, data_dir: Path) -> Fresh[bytes]:
    """Return what computes the text of `/metrics`, at most once a second. Calling it raises Busy while the database is away."""

    async def measure() -> bytes:
        return await measured(services, database, data_dir)

    return Fresh(measure, KEPT_FOR_S)


async def measured(services: Services, database: Database, data_dir: Path) -> bytes:
    """The metrics in Prometheus' text format. Raises Busy when the database is away."""
    metrics.pool("shop", database.size, database.in_use)
    counts: dict[tuple[str, ...], float] = {}
    oldest: dict[tuple[str, ...], float] = {}
    held: dict[tuple[str, ...], int] = defaultdict(int)
    for row in await services.order_records.open_orders():
        counts[row["state"], row["mode"], row["currency"]] = row["count"]
        oldest[row["state"], row["mode"], row["currency"]] = row["oldest_s"]
        held[row["mode"], row["currency"]] += row["minor"]
    lent: dict[tuple[str, ...], float] = {
        (one.amount.currency.code,): float(one.amount.decimal) for one in await services.provisional.open_totals()
    }
    late: dict[tuple[str, ...], float] = {
        (provider, "delivered" if delivered else "not_delivered"): float(count)
        for (provider, delivered), count in (await services.provisional.recent_reports()).items()
    }
    floats: dict[tuple[str, ...], float] = {}
    low: dict[tuple[str, ...], float] = {}
    ages: dict[tuple[str, ...], float] = {}
    for read in await services.upstreams.floats():
        if read.amount is not None and read.age_s is not None:
            floats[read.provider, read.amount.currency.code] = float(read.amount.decimal)
            low[read.provider,] = float(read.low)
            ages[read.provider,] = read.age_s
    waiting: dict[tuple[str, ...], float] = {
        (str(state),): float(count) for state, count in (await services.webhooks.count_waiting()).items()
    }
    emails: dict[tuple[str, ...], float] = {
        (str(state),): float(count) for state, count in (await services.people.mail.counts()).items()
    }
    failing: dict[tuple[str, ...], float] = {
        (str(state),): float(count) for state, count in (await services.webhooks.count_failing()).items()
    }
    upkeep = await upkeep_readings(database, data_dir)
    metrics.write_gathered()
    # In a thread: requests are answered meanwhile.
    return await asyncio.to_thread(
        metrics.render,
        (
            _BUILD.family({(__version__, platform.python_version()): 1}),
            _OPEN.family(counts),
            _OLDEST.family(oldest),
            # For a graph only: the ledger itself knows no floats.
            _HELD.family({key: float(Money(minor, CURRENCIES[key[1]]).decimal) for key, minor in held.items()}),
            _PAUSED.family(
                {
                    (network.country, network.code, "itself" if network.pause.automatic else "person"): 1.0
                    for network in services.catalogue.snapshot.everywhere
                    if network.pause is not None
                }
            ),
            _LENT.family(lent),
            _LATE.family(late),
            _FLOAT.family(floats),
            _FLOAT_LOW.family(low),
            _FLOAT_AGE.family(ages),
            _WEBHOOKS_WAITING.family(waiting),
            _EMAILS.family(emails),
            _ENDPOINTS_FAILING.family(failing),
            *upkeep,
        ),
    )


async def answered(measure: Fresh[bytes]) -> Response:
    """The answer to a request for the metrics."""
    try:
        return Response(await measure(), media_type=metrics.CONTENT_TYPE)
    except Busy as error:
        return JSONResponse({"error": str(error)}, 503, {"retry-after": str(error.retry_after_s)})


def metrics_only(measure: Fresh[bytes]) -> ASGIApp:
    """The application on `metrics_port`: the metrics, without authentication, and nothing else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path != PATH:
            response: Response = JSONResponse({"error": "There is nothing at this path."}, 404)
        elif request.method not in ("GET", "HEAD"):
            response = JSONResponse({"error": "Method not allowed here."}, 405, {"allow": "GET, HEAD"})
        else:
            response = await answered(measure)
        await response(scope, receive, send)

    return app
