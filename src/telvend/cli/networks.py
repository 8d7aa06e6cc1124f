"""`telvend network`: switching whole networks off and on, pausing them with a reason, and the pauses there were."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.catalog.model import Network
from telvend.catalog.pauses.model import NetworkPause, PastPause, banner
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.cli.who import By, user_of_machine

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()

Word = Annotated[str, typer.Argument(metavar="NETWORK", help="MTN, Telecel, …, in any case.")]
Country = Annotated[str | None, typer.Option(help="GH or NG, where both have a network of this name.")]


def _data(network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "country": network.country,
        "code": network.code,
        "name": network.name,
        "active": network.active,
        "on_sale": network.on_sale,
        "pause": None if network.pause is None else _pause_data(network.pause),
    }


def _pause_data(pause: NetworkPause) -> dict[str, Any]:
    return {
        "id": pause.id,
        "automatic": pause.automatic,
        "reason": pause.reason,
        "by": pause.by_whom,
        "since": pause.paused_at,
        "retry_at": pause.retry_at,
        "trial": pause.trial,
        "trial_left": pause.trial_left,
        "banner": banner(pause, _moment),
    }


def _moment(at: datetime) -> str:
    return f"{time_text(at)} ({zone_name()})"


def _state(network: Network) -> str:
    words = [] if network.active else ["off"]
    if network.pause is not None:
        words.append("on trial" if network.pause.on_trial else "paused")
    return ", ".join(words) or "on"


@command(app, "list")
async def list_networks(shop: "Shop") -> Output:
    """List the networks. Of a paused one: since when, by whom and why, and when it is tried again."""
    networks = await shop.catalogue.list_networks()
    rows = [(n.id, n.country, n.code, n.name, _state(n)) for n in networks]
    listed = table("", ("id", "country", "code", "name", ""), rows, "There are no networks.")
    banners = [f"{n.name} ({n.country}) is {banner(n.pause, _moment)}." for n in networks if n.pause is not None]
    return Output({"networks": [_data(network) for network in networks]}, show=_with_banners(listed, banners))


def _with_banners(listed: "Callable[[Console], None]", banners: list[str]) -> "Callable[[Console], None]":
    def show(console: "Console") -> None:
        listed(console)
        if banners:
            console.print()
        for line in banners:
            console.print(line, markup=False)

    return show


@command(app, "off")
async def off(shop: "Shop", network: Word, country: Country = None) -> Output:
    """Stop selling for a network, for example while it is down. Orders that were placed go on."""
    switched = await shop.catalogue.switch_network(network, active=False, country=country)
    return Output(_data(switched), f"{switched.name} ({switched.country}) is off sale.")


@command(app, "on")
async def on(shop: "Shop", network: Word, country: Country = None) -> Output:
    """Sell for a network again that was switched off. A pause stays: `network resume` ends it."""
    switched = await shop.catalogue.switch_network(network, active=True, country=country)
    name = f"{switched.name} ({switched.country})"
    if switched.pause is None:
        return Output(_data(switched), f"{name} is on sale.")
    advice = f"Sell it again: telvend network resume {switched.code} --country {switched.country}"
    return Output(_data(switched), f"{name} is switched on, and {banner(switched.pause, _moment)}.\n{advice}")


@command(app, "pause")
async def pause(
    shop: "Shop",
    network: Word,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads `network list`.")],
    country: Country = None,
    by: By = None,
) -> Output:
    """Stop selling for a network until you resume it, with a reason that `network list` shows.

    Orders that were placed go on. An automatic pause becomes yours and is not lifted by itself any more.
    """
    paused = await shop.pauses.pause(network, reason=reason, by_whom=by or user_of_machine(), country=country)
    return Output(_data(paused), f"{paused.name} ({paused.country}) is paused. Orders that were placed go on.")


@command(app, "resume")
async def resume(
    shop: "Shop",
    network: Word,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads `network pauses`.")] = "resumed",
    country: Country = None,
    by: By = None,
) -> Output:
    """Sell for a paused network again, whoever paused it. Its failures until now are forgotten."""
    resumed, before = await shop.pauses.resume(network, reason=reason, by_whom=by or user_of_machine(), country=country)
    name = f"{resumed.name} ({resumed.country})"
    said = f"{name} was not paused" if before is None else f"{name} is resumed"
    if not resumed.active:
        said += f", and is switched off: telvend network on {resumed.code} --country {resumed.country}"
        return Output(_data(resumed), said)
    return Output(_data(resumed), f"{said}." if before is None else f"{said} and on sale.")


@command(app, "pauses")
async def pauses(
    shop: "Shop",
    network: Annotated[str | None, typer.Argument(metavar="[NETWORK]", help="Only of this network.")] = None,
    country: Annotated[str | None, typer.Option(help="Only of this country's networks.")] = None,
    before: Annotated[int | None, typer.Option(help="Go on before this number, as the page before says.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 50,
) -> Output:
    """List the pauses of networks, newest first, those that have ended too."""
    found = await shop.pauses.history(network, country, before=before, limit=limit)
    more = await more_after(
        found,
        limit,
        lambda item: item.id,
        lambda last, count: shop.pauses.history(network, country, before=last, limit=count),
    )
    rows = [
        (
            item.id,
            item.country,
            item.network,
            time_text(item.paused_at),
            item.by_whom,
            item.reason,
            "" if item.ended_at is None else time_text(item.ended_at),
            item.ended_by,
            item.end_reason,
        )
        for item in found
    ]
    columns = (
        "number", "country", "network", f"paused ({zone_name()})", "by", "why", f"ended ({zone_name()})", "by", "why",
    )  # fmt: skip
    data = {"pauses": [_past_data(item) for item in found], "next": more.following}
    return Output(data, show=page(columns, rows, "No network was ever paused.", more))


def _past_data(item: PastPause) -> dict[str, Any]:
    return {
        "id": item.id,
        "country": item.country,
        "network": item.network,
        "automatic": item.automatic,
        "reason": item.reason,
        "by": item.by_whom,
        "since": item.paused_at,
        "trials": item.trial,
        "ended_at": item.ended_at,
        "ended_by": item.ended_by,
        "end_reason": item.end_reason,
    }
