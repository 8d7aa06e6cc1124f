"""`telvend user`: the resellers of the shop."""

from typing import Annotated, Any

import typer

from telvend.bootstrap import Shop
from telvend.cli.frame import Output, command, table
from telvend.resellers.model import Reseller

app = typer.Typer(name="user", help="The resellers of the shop.", no_args_is_help=True)


def _data(reseller: Reseller) -> dict[str, Any]:
    return {
        "id": reseller.id,
        "number": reseller.number,
        "email": reseller.email,
        "name": reseller.name,
        "phone": reseller.phone,
        "created_at": reseller.created_at,
    }


@command(app, "add")
async def add(
    shop: Shop,
    email: Annotated[str, typer.Argument(help="E-mail address; names the reseller in every other command.")],
    name: Annotated[str, typer.Option(help="What people call the reseller.")],
    phone: Annotated[str, typer.Option(help="A mobile number of any market.")],
) -> Output:
    """Add a reseller; wallets open in GHS and NGN."""
    reseller = await shop.services.resellers.add(email, name, phone)
    return Output(_data(reseller), f"Added {reseller.name} <{reseller.email}> with wallets in GHS and NGN.")


@command(app, "list")
async def list_users(
    shop: Shop,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to pass over first.")] = 0,
) -> Output:
    """List the resellers, oldest first."""
    resellers = await shop.services.resellers.list_resellers(limit=limit, offset=offset)
    rows = [(r.number, r.email, r.name, r.phone, f"{r.created_at:%Y-%m-%d}") for r in resellers]
    return Output(
        {"users": [_data(reseller) for reseller in resellers]},
        show=table("", ("number", "email", "name", "phone", "since"), rows, "There are no resellers yet."),
    )
