"""Opens a shop, starts it and closes it; see the head of the package."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from telvend import __version__
from telvend.bootstrap.applications import applications
from telvend.bootstrap.shop import Shop
from telvend.config import Settings, SettingsRefused
from telvend.errors import Busy
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.phone import use_prefixes

if TYPE_CHECKING:
    from telvend.database.connections import Database
    from telvend.kit.runtime import Runtime
    from telvend.web.server import HttpServer


BOOK_FOLDER = "book"
"""Where the processes of a node keep what they remember of the book, below the data directory."""


_LOOK_AGAIN_S: Final = 0.1


@asynccontextmanager
async def open_for_command(settings: Settings, url: str) -> AsyncIterator[Shop]:
    """The shop in the database at `url` as it is. A component is made when it is first asked for.

    Raises DatabaseRefused, and SchemaRefused where this version cannot work with the schema.
    """
    from telvend.kit.runtime import NO_RUNTIME
    from telvend.upkeep.preparation import enter_database

    async with Lifecycle() as life:
        yield await _open(life, settings, url, NO_RUNTIME, serves=False, enter=enter_database)


@asynccontextmanager
async def open_shop(settings: Settings, url: str, *, serves: bool = False) -> AsyncIterator[Shop]:
    """The whole shop in the database at `url`, whose schema is in place. Nothing of it runs.

    `serves`: this process takes over what ended ones of this node remembered of the book.
    """
    from telvend.kit.runtime import NO_RUNTIME

    async with Lifecycle() as life:
        shop = await _open(life, settings, url, NO_RUNTIME, serves=serves)
        await shop.complete()
        yield shop


@asynccontextmanager
async def work(settings: Settings, url: str, *, fulfilment: bool = True) -> AsyncIterator[Shop]:
    """A shop whose lanes, watch and later work run, and its deliveries where `fulfilment`. Closing it drains them."""
    async with Lifecycle() as life:
        _trace(life, settings)
        yield await _run(life, settings, url, fulfilment=fulfilment)


@asynccontextmanager
async def serve(
    settings: Settings, url: str, listen: Callable[[], list[socket.socket]]
) -> "AsyncIterator[tuple[Shop, HttpServer]]":
    """A shop that runs and answers HTTP on the sockets that `listen` returns, which is called once the shop runs.

    Closing it answers the requests in hand, then drains the shop.
    """
    from telvend.kit import metrics
    from telvend.web.connections import raise_file_limit
    from telvend.web.server import HttpServer

    run_dir = Path(settings.data_dir) / "run"
    if settings.workers > 1:
        metrics.prepare(run_dir / "metrics")
    # After the database was started, which is left with the limit that it was given.
    open_files = raise_file_limit()
    async with Lifecycle() as life:
        _trace(life, settings)
        shop = await _run(life, settings, url, fulfilment=settings.fulfilment)
        app, by_port = applications(life, shop, run_dir)
        http = life.runs(HttpServer(settings, listen(), app, by_port, open_files))
        life.start()
        yield shop, http


def _trace(life: Lifecycle, settings: Settings) -> None:
    """Trace sales where the settings say so, until everything else is closed. Raises SettingsRefused."""
    if not settings.otlp_endpoint:
        return
    from telvend.kit import tracing

    try:
        tracing.start(settings.otlp_endpoint, __version__)
    except tracing.TracingMissing as error:
        raise SettingsRefused(str(error)) from error
    life.callback(tracing.stop)


async def _run(life: Lifecycle, settings: Settings, url: str, *, fulfilment: bool) -> Shop:
    """Open the whole shop, wait until the database answers, load what is kept in memory, and start the shop."""
    from telvend.kit import metrics
    from telvend.kit.runtime import runtime_of_server
    from telvend.sales.continuity.metrics import SALES_HALTED

    shop = await _open(life, settings, url, runtime_of_server(), serves=True)
    await shop.complete()
    while True:
        try:
            await shop.watch.look()
            break
        except Busy:
            await asyncio.sleep(_LOOK_AGAIN_S)  # The database is just coming back.
    metrics.pool("shop", shop.database.size, shop.database.in_use)
    SALES_HALTED.set(shop.continuity.halted is not None)
    _ = (
        shop.webhook_dispatch,
        shop.email_sender,
        shop.key_uses,
        shop.order_indexing,
        shop.day_counting,
        shop.console_jobs,
    )
    if fulfilment:
        shop.orders.deliver_with(shop.fulfilment)
        _ = (
            shop.payload_requeries,
            shop.late_requeries,
            shop.network_reports,
            shop.upstream_monitor,
            shop.callback_requeries,
        )
        _ = shop.bulk_purchases
        if settings.provisional_credit_after_hours:
            _ = shop.provisional_rule
        if settings.attempt_retention_days:
            _ = shop.attempt_retention
        life.push_async_callback(shop.fulfilment.drain, settings.drain_s)
        life.starts(shop.fulfilment)
    life.start()
    return shop


async def _open(
    life: Lifecycle,
    settings: Settings,
    url: str,
    runtime: "Runtime",
    *,
    serves: bool,
    enter: "Callable[[Database], Awaitable[None]] | None" = None,
) -> Shop:
    """Open the database, and the node's memory of the book: from here on every commit is remembered.

    `enter` looks at the database before anything of the shop is read.
    """
    from telvend.database.connections import Database
    from telvend.sales.continuity.service import Continuity
    from telvend.sales.gate import SalesGate

    use_prefixes(settings.number_prefixes)
    database = life.opened(await Database.open(url, pool_size=settings.pool_size, serves=serves))
    if enter is not None:
        await enter(database)
    gate = SalesGate()
    on_halted = None
    if serves:
        from telvend.sales.continuity.metrics import SALES_HALTED

        on_halted = SALES_HALTED.set
    folder = Path(settings.data_dir) / BOOK_FOLDER
    continuity = Continuity(gate, folder, socket.gethostname(), on_halted=on_halted, runtime=runtime)
    async with database.connection() as tx:
        await continuity.open(tx, take_over=serves)
    database.on_commit, database.on_connected = continuity.committed, continuity.connected
    return Shop(life, settings, database, life.runs(continuity), gate, runtime, serves=serves)
