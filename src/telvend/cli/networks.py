"""`telvend network`: switching whole networks off and on."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.catalog.model import Network
from telvend.cli.common import Output, command, table

if TYPE_CHECKING:
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
    }


@command(app, "list")
async def list_networks(shop: "Shop") -> Output:
    """List the networks."""
    networks = await shop.catalogue.list_networks()
    rows = [(n.id, n.country, n.code, n.name, "on" if n.active else "off") for n in networks]
    return Output(
        {"networks": [_data(network) for network in networks]},
        show=table("", ("id", "country", "code", "name", ""), rows, "There are no networks."),
    )


@command(app, "off")
async def off(shop: "Shop", network: Word, country: Country = None) -> Output:
    """Stop selling for a network, for example while it is down. Orders that were placed go on."""
    switched = await shop.catalogue.switch_network(network, active=False, country=country)
    return Output(_data(switched), f"{switched.name} ({switched.country}) is off sale.")


@command(app, "on")
async def on(shop: "Shop", network: Word, country: Country = None) -> Output:
    """Sell for a network again."""
    switched = await shop.catalogue.switch_network(network, active=True, country=country)
    return Output(_data(switched), f"{switched.name} ({switched.country}) is on sale.")
