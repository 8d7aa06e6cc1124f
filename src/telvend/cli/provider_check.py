"""What `telvend provider check` looks at: settings, description, credentials, float, and what of the catalogue can be delivered."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from telvend.bootstrap import open_for_command
from telvend.catalog.model import CURRENCY_BY_COUNTRY, Airtime, CatalogueSnapshot, Product
from telvend.cli.common import fail
from telvend.cli.opening import FAILURES, database_of, refusal_text
from telvend.config import ProviderSettings, Settings
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.money import Money
from telvend.kit.numbering import example_mobile
from telvend.provider_tables import PROVIDER_NAME
from telvend.providers.connectors import connect
from telvend.providers.contract import Delivery, Refused
from telvend.providers.described.client import alone, notes
from telvend.providers.over_http import STARS
from telvend.providers.upstream import (
    BalanceUnavailable,
    ConnectorRefused,
    RequestPreview,
    SettingsProblem,
    Upstream,
    callback_path,
)

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(slots=True)
class Target:
    """What is looked at: a provider of the settings, or a description alone (`in_settings` False)."""

    name: str
    settings: ProviderSettings
    in_settings: bool


@dataclass(slots=True)
class Checked:
    """What was found. `problems` keep it from selling; `warnings` do not."""

    target: Target
    problems: list[SettingsProblem] = field(default_factory=list)
    warnings: list[SettingsProblem] = field(default_factory=list)
    balance: Money | None = None
    token: bool | None = None
    """Whether the credentials buy a token; None where nobody asks for one."""
    callback_url: str = ""
    """Where the vendor calls back, its secret as stars; empty where it does not, or has no secret for it."""
    deliverable: int | None = None
    """Products on sale that it can deliver; None where they were not looked at."""
    undeliverable: list[tuple[str, str]] = field(default_factory=list)
    """Products on sale that it cannot be asked for, with the reason."""
    not_offered: int = 0
    """Products on sale that the operator has marked as not offered by this provider."""


def target_of(settings: Settings, text: str) -> Target:
    """Return the provider of that name, or the one with that description file. Ends the program if there is neither."""
    table = settings.providers.get(text)
    if table is not None:
        return Target(text, table, in_settings=True)
    path = Path(text).expanduser()
    if not path.is_file():
        if "/" in text or text.endswith(".toml"):
            fail(f"{text} is not a file.")
        names = ", ".join(settings.providers) or "none"
        fail(f"The settings have no provider {text} (there are: {names}), and it is no description's file.")
    path = path.absolute()
    for name, table in settings.providers.items():
        if table.file and Path(table.file).exists() and path.samefile(table.file):
            return Target(name, table, in_settings=True)
    name = path.stem.lower()
    settings_alone = alone(ProviderSettings(connector="http", file=str(path)))
    return Target(name if PROVIDER_NAME.fullmatch(name) else "description", settings_alone, in_settings=False)


def check(settings: Settings, target: Target) -> Checked:
    """Look at everything; the vendor is asked for the float and for nothing else. Products only where a shop can be opened."""
    with ExitStack() as stack:
        url, why = None, ""
        try:
            url = stack.enter_context(database_of(settings))
        except FAILURES as error:
            why = refusal_text(error, settings)
        return asyncio.run(_examine(settings, target, url, why))


async def _examine(settings: Settings, target: Target, url: str | None, why: str) -> Checked:
    checked = Checked(target)
    _examine_settings(settings, checked)
    clock = SystemClock()
    if target.settings.connector == "http":
        checked.warnings += notes(target.settings)
    try:
        upstream = connect(target.name, target.settings, clock)
    except ConnectorRefused as refused:
        checked.problems += refused.problems
        return checked
    try:
        if target.in_settings:
            _examine_callback(settings, upstream, checked)
            if await _examine_token(upstream, checked):
                await _examine_float(upstream, checked)
        else:
            text = "were not looked at: the settings have no table [providers.NAME] with this file"
            checked.warnings.append(SettingsProblem("credentials and float", text))
        snapshot = None
        if url is not None:
            try:
                snapshot = await _catalogue(settings, url)
            except FAILURES as error:
                why = refusal_text(error, settings)
        if snapshot is None:
            checked.warnings.append(SettingsProblem("products", f"were not looked at: {why}"))
        else:
            await _examine_products(snapshot, upstream, clock, checked)
    finally:
        await upstream.close()
    return checked


def _examine_settings(settings: Settings, checked: Checked) -> None:
    table = checked.target.settings
    pretends = ["own_network = false"] if settings.own_network else []
    pretends += [f"simulators.{name}.live = false" for name, chosen in settings.simulators.items() if chosen.live]
    if checked.target.in_settings and table.live and pretends:
        checked.problems.append(
            SettingsProblem(
                "live", f"a real provider and one that pretends do not stand side by side; set {', '.join(pretends)}"
            )
        )
    if checked.target.in_settings and not table.live:
        checked.warnings.append(SettingsProblem("live", "is false: it is out of use for live orders"))
    for key in ("base_url", "token_url"):
        parts = urlsplit(getattr(table, key))
        if parts.scheme == "http" and parts.hostname not in _LOCAL:
            checked.warnings.append(SettingsProblem(key, "is http: credentials and numbers travel in the open"))


def _examine_callback(settings: Settings, upstream: Upstream, checked: Checked) -> None:
    """Say where the vendor calls back, or what is missing for that."""
    form, secret = upstream.callback, checked.target.settings.callback_secret
    if form is None:
        return
    if secret is None:
        text = "is not set: this vendor can say by a callback that something has become of a purchase, and is asked by the schedule"
        checked.warnings.append(SettingsProblem("callback_secret", text))
    elif not settings.public_url:
        checked.warnings.append(SettingsProblem("public_url", "is not set: the vendor needs an address to call back"))
    else:
        base = settings.public_url.rstrip("/")
        checked.callback_url = base + callback_path(checked.target.name, STARS if form.signature is None else None)


async def _examine_token(upstream: Upstream, checked: Checked) -> bool:
    """Return whether there is anything to ask with."""
    if not upstream.takes_token:
        return True
    refused = await upstream.refused_token()
    checked.token = refused is None
    if refused is not None:
        checked.problems.append(refused)
    return checked.token


async def _examine_float(upstream: Upstream, checked: Checked) -> None:
    balance = await upstream.balance()
    match balance:
        case Money():
            checked.balance = balance
            if refused := await upstream.refused_credentials():
                checked.problems.append(SettingsProblem("credentials", f"are not accepted: {refused}"))
            if balance.minor <= 0:
                checked.problems.append(SettingsProblem("float", f"is {balance}: nothing can be bought with it"))
            elif (low := _low(checked.target.settings, balance, checked)) is not None and balance.minor < low.minor:
                checked.warnings.append(SettingsProblem("float", f"{balance} is below low_float, {low}"))
        case BalanceUnavailable(not_allowed=True) if checked.token:
            text = f"bought a token, and the API does not accept that: {balance.text}"
            checked.problems.append(SettingsProblem("credentials", text))
        case BalanceUnavailable(not_allowed=True):
            checked.problems.append(SettingsProblem("credentials", f"are not accepted: {balance.text}"))
        case BalanceUnavailable():
            checked.problems.append(SettingsProblem("float", f"cannot be read: {balance.text}"))
        case None if checked.token:
            text = "cannot be asked for: this vendor has no call for it; watch it there"
            checked.warnings.append(SettingsProblem("float", text))
        case None:
            text = "cannot be asked for; whether the credentials are accepted is seen by `telvend provider try` alone"
            checked.warnings.append(SettingsProblem("float", text))


def _low(table: ProviderSettings, balance: Money, checked: Checked) -> Money | None:
    if not table.low_float:
        return None
    try:
        return Money.parse(table.low_float, balance.currency)
    except ValueError as error:
        checked.problems.append(SettingsProblem("low_float", f"is no amount of {balance.currency}: {error}"))
        return None


async def _catalogue(settings: Settings, url: str) -> CatalogueSnapshot:
    async with open_for_command(settings, url) as shop:
        async with shop.database.connection() as tx:
            await shop.catalogue.load(tx)
        return shop.catalogue.snapshot


async def _examine_products(snapshot: CatalogueSnapshot, upstream: Upstream, clock: Clock, checked: Checked) -> None:
    checked.deliverable = 0
    seen_before: dict[tuple[str, ...], str] = {}
    for product in _on_sale(snapshot):
        delivery = delivery_for(snapshot, upstream, product, _sample(product), None, clock)
        if not serves(upstream, delivery):
            continue
        offers = snapshot.offers(product.id)
        if offers.fixed_minor.get(upstream.name, 0) is None:
            checked.not_offered += 1
            continue
        refused = await upstream.prepare(delivery)
        seen = refused if isinstance(refused, Refused) else upstream.preview(delivery)
        if isinstance(seen, Refused):
            checked.undeliverable.append((product.code, seen.text))
        else:
            checked.deliverable += 1
            if isinstance(product, Product):
                _note_same(product, delivery.provider_code, seen, seen_before, checked)
    if checked.deliverable == 0 and checked.target.in_settings:
        checked.problems.append(
            SettingsProblem(
                "products", "nothing that is on sale can be delivered through it; `telvend product offer` gives codes"
            )
        )


def _note_same(
    product: Product, code: str, seen: RequestPreview, seen_before: dict[tuple[str, ...], str], checked: Checked
) -> None:
    """Warn if two products have the same code or request at the provider: a buyer may get the wrong one."""
    keys: list[tuple[str, ...]] = [(seen.method, seen.url, seen.body)]
    if code:
        keys.append((product.country, product.network, code))
    other = next((seen_before[key] for key in keys if key in seen_before), None)
    for key in keys:
        seen_before.setdefault(key, product.code)
    if other is not None:
        called = f"{code!r}" if code else "the same"
        checked.warnings.append(
            SettingsProblem("products", f"{product.code} is {called} to it, and so is {other}; is that meant?")
        )


def _on_sale(snapshot: CatalogueSnapshot) -> Iterator[Product | Airtime]:
    for country in CURRENCY_BY_COUNTRY:
        for network in snapshot.networks(country):
            airtime = snapshot.airtime(country, network.code)
            if airtime is not None:
                yield airtime
            yield from snapshot.plans(country, network.code)


def _sample(product: Product | Airtime) -> str:
    return example_mobile(product.country)


def serves(upstream: Upstream, delivery: Delivery) -> bool:
    """Whether the provider sells this kind of product on this network."""
    networks = upstream.traits.networks
    network = (delivery.country, delivery.network.casefold())
    return delivery.kind in upstream.traits.kinds and (
        networks is None or network in {(country, code.casefold()) for country, code in networks}
    )


def delivery_for(
    snapshot: CatalogueSnapshot,
    upstream: Upstream,
    product: Product | Airtime,
    subscriber: str,
    amount: Money | None,
    clock: Clock,
) -> Delivery:
    """What the provider would be sent for a product; of airtime worth `amount`, else the least that is sold."""
    offers = snapshot.offers(product.id)
    if isinstance(product, Airtime):
        face = amount or product.minimum
        kind, size, validity_days, cost = "airtime", face.text, None, product.cost(face)
    else:
        face = product.price
        kind, size, validity_days, cost = product.kind, product.size, product.validity_days, product.cost
    minor = offers.costs_minor(face.minor, cost.minor).get(upstream.name)
    now = clock.now()
    return Delivery(
        reference=upstream.traits.reference("TRY-00000000", 1, now),
        kind=kind,
        country=product.country,
        network=product.network,
        product=product.code,
        size=size,
        validity_days=validity_days,
        subscriber=subscriber,
        face_value=face,
        cost=cost if minor is None else Money(minor, cost.currency),
        type=offers.type,
        provider_code=offers.codes.get(upstream.name, ""),
        started_at=now,
    )


def lines(problems: Sequence[SettingsProblem]) -> list[dict[str, str]]:
    """Problems for programs."""
    return [{"where": problem.where, "text": problem.text} for problem in problems]
