"""What a serving process answers: the APIs, the portal, the console and the rest, each where it stands."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from telvend import __version__
from telvend.bootstrap.registry import APIS, routes_of
from telvend.bootstrap.shop import Shop
from telvend.config import Settings, SettingsRefused
from telvend.kit.lifecycle import Lifecycle

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from telvend.dialects.contract import Dialect
    from telvend.dialects.dispatch import Dispatch
    from telvend.kit.allowance import Allowance
    from telvend.web.portal.test_mode import MagicNumber, Situation


HEALTH_KEPT_FOR_S = 0.2
"""For so long what `/healthz` found is told again: asking it often does not mean asking the database often."""


def applications(life: Lifecycle, shop: Shop, run_dir: Path) -> "tuple[Dispatch, Mapping[int, ASGIApp]]":
    """The ASGI application of a serving process, and those that have a port of their own.

    What the processes of a node share is kept in `run_dir`.
    """
    from telvend.dialects import openapi, postman, serving
    from telvend.dialects.dispatch import Dispatch, Served
    from telvend.dialects.pages import ApiPages
    from telvend.kit.fresh import Fresh
    from telvend.providers.upstream import CALLBACKS
    from telvend.web.callbacks import callbacks
    from telvend.web.checkout import BASE, checkout
    from telvend.web.console.site import BASE as CONSOLE
    from telvend.web.console.site import console_site
    from telvend.web.measurements import measurements, metrics_only
    from telvend.web.notices import notices
    from telvend.web.pages import pages
    from telvend.web.portal.site import Api, ForDevelopers, portal
    from telvend.web.shell import Assets, Templates
    from telvend.web.shell.site import FrontDoor

    dialects: list[Dialect] = [routes_of(keys).dialect(shop.settings) for keys in APIS]
    for dialect in dialects:
        shop.kinds.declare(dialect.name, dialect.sells)
    run_dir.mkdir(mode=0o700, exist_ok=True)
    limiter = _limiter(life, shop.settings, run_dir)
    apps: dict[str, Served] = {
        mount: app
        for dialect in dialects
        for app in [serving.DialectApp(dialect, shop.services, limiter)]
        for mount in dialect.mounts or (dialect.base_path,)
    }
    assets = Assets()
    templates = Templates(assets)
    apps[BASE] = checkout(shop.services.fundings, shop.sandbox, templates)
    apps["/gateways"] = notices(shop.services.fundings)
    apps[CALLBACKS] = callbacks(shop.callbacks)
    documents = {
        "openapi": {d.name: partial(openapi.with_address, openapi.document(d, __version__)) for d in dialects},
        "postman": {d.name: partial(postman.with_address, postman.collection(d, __version__)) for d in dialects},
    }

    openapi_documents = {name: write("") for name, write in documents["openapi"].items()}
    developers = ForDevelopers(
        ApiPages(dialects, openapi_documents, shop.services, limiter), _magic_numbers(), _situations(), limiter
    )
    apis = [Api.of(name, made["info"]) for name, made in openapi_documents.items()]
    # Half of the connections are left to the APIs, whatever browsers ask for.
    at_once = max(1, shop.settings.pool_size // 2)
    measure = measurements(shop.services, shop.database, Path(shop.settings.data_dir))
    console = console_site(templates, assets, shop.desk, at_once=at_once)
    by_port: dict[int, ASGIApp] = {}
    if shop.settings.console_port:
        by_port[shop.settings.console_port] = Dispatch({}, console)
    else:
        apps[CONSOLE] = console
    if shop.settings.metrics_port:
        by_port[shop.settings.metrics_port] = metrics_only(measure)
    main = Dispatch(
        apps,
        FrontDoor(
            portal(templates, assets, shop.services, apis, developers, shop.clock, at_once=at_once),
            pages(
                shop.services.resellers,
                shop.settings.public_url,
                documents,
                measure,
                Fresh(shop.unready, HEALTH_KEPT_FOR_S),
                metrics_public=shop.settings.metrics_public,
            ),
        ),
    )
    return main, by_port


def _limiter(life: Lifecycle, settings: Settings, run_dir: Path) -> "Allowance":
    """What the requests of keys are counted with: on this node, or on all of them with Redis."""
    from telvend.kit.allowance import SharedAllowance
    from telvend.kit.allowance_node import NodeAllowance

    shared = SharedAllowance(run_dir / "allowance")
    life.callback(shared.close)
    if settings.redis_url is None:
        return NodeAllowance(shared)
    from telvend.kit.allowance_redis import RedisAllowance

    try:
        return life.opened(RedisAllowance.at(settings.redis_url.reveal(), shared))
    except ValueError:  # Its text repeats parts of the address, which may be those of a password.
        raise SettingsRefused(
            "TELVEND_REDIS_URL is not the address of a Redis: redis://[:password@]host[:port][/number]."
        ) from None


def _magic_numbers() -> "list[MagicNumber]":
    """The simulator's own table, in words of the portal."""
    from telvend.providers.contract import Delivered, Unknown
    from telvend.providers.simulator.table import ORDINARY, TABLE
    from telvend.web.portal.test_mode import MagicNumber

    def end(settled: type[object]) -> str:
        if settled is Delivered:
            return "Delivered"
        return "A person looks at it" if settled is Unknown else "Failed, the money comes back"

    return [MagicNumber(row.ending, row.sentence, end(row.settled)) for row in (*TABLE, ORDINARY)]


def _situations() -> "list[Situation]":
    """The personas' own table."""
    from telvend.authorities.personas import SITUATIONS
    from telvend.web.portal.test_mode import Situation

    return [Situation(ending, happens) for ending, happens in SITUATIONS]
