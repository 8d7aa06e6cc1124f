"""`telvend product`: what the shop sells."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.catalog import sheet
from telvend.catalog.model import Product
from telvend.cli.common import Output, command, progress
from telvend.cli.listing import NextPage, first, page

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

Code = Annotated[str, typer.Argument(help="The product's code, such as GH-MTN-1GB-30D.")]
Yes = Annotated[bool, typer.Option("--yes", help="Also where the price is below the cost: each sale loses money.")]
OfNetwork = Annotated[str | None, typer.Option("--network", metavar="N", help="Only of this network, in any case.")]
OfCountry = Annotated[str | None, typer.Option("--country", metavar="CC", help="Only of this country: GH or NG.")]


def _data(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "code": product.code,
        "country": product.country,
        "network": product.network,
        "kind": product.kind,
        "type": product.type,
        "size": product.size,
        "validity": product.validity,
        "price": product.price.decimal,
        "cost": product.cost.decimal,
        "currency": product.currency.code,
        "active": product.active,
    }


@command(app, "list")
async def list_products(
    shop: "Shop",
    network: OfNetwork = None,
    country: OfCountry = None,
    active: Annotated[
        bool | None, typer.Option("--active/--withdrawn", help="Only what is on sale, or only what is not.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=2**31, help="How many to show.")] = None,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to pass over first.")] = 0,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV that `product import` takes.")] = False,
) -> Output:
    """List the products, cheapest first within each network."""
    catalogue = shop.catalogue

    async def fetch(count: int | None) -> list[Product]:
        return await catalogue.list_products(
            country=country, network=network, active=active, limit=count, offset=offset
        )

    products: Sequence[Product]
    if limit is None or as_csv:
        products, more = await fetch(limit), NextPage(0)
    else:
        products, more = await first(limit, fetch, "--offset", offset + limit)
    data = {"products": [_data(product) for product in products], **more.left_off}
    if as_csv:
        return Output(data, sheet.write(products).rstrip("\n"))
    rows = [
        (
            p.id,
            p.code,
            p.network,
            p.type,
            p.size,
            p.validity,
            p.price.decimal,
            p.cost.decimal,
            p.currency.code,
            "" if p.active else "off",
        )
        for p in products
    ]
    columns = ("id", "code", "network", "type", "size", "validity", "price", "cost", "currency", "")
    return Output(
        data,
        show=page(columns, rows, "There are no such products.", more),
    )


@command(app, "add")
async def add(
    shop: "Shop",
    code: Code,
    country: Annotated[str, typer.Option(help="GH or NG.")],
    network: Annotated[str, typer.Option(help="The network, in any case.")],
    size: Annotated[str, typer.Option(help="What requests call it: 1GB, 500MB.")],
    price: Annotated[str, typer.Option(help="What the reseller pays, in whole units: 4.50.")],
    cost: Annotated[str, typer.Option(help="What a provider takes.")],
    validity: Annotated[str, typer.Option(help='"30 Days", "1 Day" or "Non-expiry".')] = "30 Days",
    type_: Annotated[str, typer.Option("--type", help="SME, Corporate, Direct, … where the market knows types.")] = "",
    yes: Yes = False,
) -> Output:
    """Add a product and put it on sale."""
    product = await shop.catalogue.add_product(
        code=code,
        country=country,
        network=network,
        size=size,
        validity=validity,
        price=price,
        cost=cost,
        type=type_,
        allow_loss=yes,
    )
    return Output(_data(product), f"{product.code} is on sale: {product.network} {product.size} for {product.price}.")


@command(app, "price")
async def price(
    shop: "Shop",
    code: Code,
    price: Annotated[str | None, typer.Argument(help="The new price, in whole units.")] = None,
    cost: Annotated[str | None, typer.Option(help="The new cost.")] = None,
    yes: Yes = False,
) -> Output:
    """Change what a product sells for, or costs. Orders that were placed keep theirs."""
    product = await shop.catalogue.change_price(code, price=price, cost=cost, allow_loss=yes)
    return Output(_data(product), f"{product.code} sells for {product.price} and costs {product.cost}.")


@command(app, "offer")
async def offer(
    shop: "Shop",
    code: Code,
    provider: Annotated[str, typer.Argument(help="The provider's name, as in the settings.")],
    cost: Annotated[
        str | None,
        typer.Argument(
            help="What it takes, in whole units, or as a share of airtime (97.5%); without it and --code: it has not got it."
        ),
    ] = None,
    their_code: Annotated[
        str | None,
        typer.Option(
            "--code",
            metavar="THEIRS",
            help="What it calls the product; without COST the catalogue's cost counts. An empty one is taken away.",
        ),
    ] = None,
) -> Output:
    """Say what one provider takes for a product, and what it calls it; sales go to the cheapest of equal priority."""
    made = await shop.catalogue.set_offer(code, provider, cost=cost, their_code=their_code)
    if provider not in (names := shop.provider_names):
        progress(f"telvend: the settings have no provider {provider} yet; there are {', '.join(names) or 'none'}.")
    data: dict[str, Any] = {"code": code, "provider": made.provider, "cost": None, "sold": made.sold}
    called = {"provider_code": made.code} if made.code else {}
    if not made.sold:
        return Output(data | called, f"{made.provider} is not asked for {code}.")
    takes = "what the catalogue says"
    if made.basis_points is not None:
        share = Decimal(made.basis_points) / 100
        data["cost_percent"] = share
        takes = f"{share} % of the amount"
    elif made.cost is not None:
        data["cost"] = made.cost.decimal
        takes = str(made.cost)
        price = (await shop.catalogue.product(code)).price
        if made.cost.minor > price.minor:
            progress(f"telvend: {code} sells for {price}: what {provider} delivers of it loses money.")
    else:
        data["cost_of_catalogue"] = True
    named = f" and calls it {made.code}" if made.code else ""
    return Output(data | called, f"{made.provider} takes {takes} for {code}{named}.")


@command(app, "off")
async def off(shop: "Shop", code: Code) -> Output:
    """Take a product off sale."""
    product = await shop.catalogue.switch_product(code, active=False)
    return Output(_data(product), f"{product.code} is no longer on sale.")


@command(app, "on")
async def on(shop: "Shop", code: Code) -> Output:
    """Put a product on sale again."""
    product = await shop.catalogue.switch_product(code, active=True)
    return Output(_data(product), f"{product.code} is on sale.")


@command(app, "import")
async def import_csv(
    shop: "Shop",
    csv: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="As `product list --csv` prints it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say what would happen.")] = False,
    yes: Yes = False,
) -> Output:
    """Add and change products from a CSV file: all of it, or nothing where a line is wrong."""
    done = await shop.catalogue.import_csv(_text(csv), dry_run=dry_run, allow_loss=yes)
    data = {
        "added": done.added,
        "changed": done.changed,
        "unchanged": done.unchanged,
        "problems": [str(problem) for problem in done.problems],
    }
    if done.problems:
        for problem in done.problems:
            typer.echo(f"{csv}: {problem}", err=True)
        return Output(data, "Nothing was imported.", exit_code=1)
    would = "would be " if dry_run else ""
    text = f"{done.added} {would}added, {done.changed} {would}changed, {done.unchanged} as they were."
    return Output(data, text, only_looked=dry_run)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # Spreadsheets put a mark in front.
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8 text.") from None
