"""`telvend user`: the resellers of the shop."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, command, day_text, table, time_text, zone_name
from telvend.cli.listing import first, page
from telvend.cli.who import user_of_machine
from telvend.errors import InvalidInput
from telvend.resellers.model import Profile, Reseller

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

Email = Annotated[str, typer.Argument(help="The reseller.")]


def _data(reseller: Reseller) -> dict[str, Any]:
    return {
        "id": reseller.id,
        "number": reseller.number,
        "email": reseller.email,
        "name": reseller.name,
        "phone": reseller.phone,
        "created_at": reseller.created_at,
        "suspended_at": reseller.suspended_at,
    }


@command(app, "add")
async def add(
    shop: "Shop",
    email: Annotated[str, typer.Argument(help="E-mail address; names the reseller in every other command.")],
    name: Annotated[str, typer.Option(help="What people call the reseller.")],
    phone: Annotated[str, typer.Option(help="A mobile number of any market."), NUMBER],
) -> Output:
    """Add a reseller; wallets open in GHS and NGN."""
    reseller = await shop.resellers.add(email, name, phone)
    return Output(_data(reseller), f"Added {reseller.name} <{reseller.email}> with wallets in GHS and NGN.")


@command(app, "list")
async def list_users(
    shop: "Shop",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to pass over first.")] = 0,
) -> Output:
    """List the resellers, oldest first."""
    resellers, more = await first(
        limit,
        lambda count: shop.resellers.list_resellers(limit=count, offset=offset),
        "--offset",
        offset + limit,
    )
    rows = [
        (r.number, r.email, r.name, r.phone, day_text(r.created_at), "suspended" if r.suspended_at else "")
        for r in resellers
    ]
    columns = ("number", "email", "name", "phone", f"since ({zone_name()})", "")
    return Output(
        {"users": [_data(reseller) for reseller in resellers], **more.left_off},
        show=page(columns, rows, "There are no resellers yet.", more),
    )


@command(app, "show")
async def show(shop: "Shop", email: Email) -> Output:
    """Everything that is known about a reseller."""
    reseller = await shop.resellers.find(email)
    return _shown(await shop.resellers.profile(reseller.id))


@command(app, "set")
async def set_profile(
    shop: "Shop",
    email: Email,
    address: Annotated[str | None, typer.Option(help="Postal address; empty to remove it.")] = None,
    gender: Annotated[
        str | None, typer.Option(metavar="Male|Female", help="As the profile prints it; empty to remove it.")
    ] = None,
    date_of_birth: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Day of birth.")
    ] = None,
    email_verified: Annotated[
        bool | None, typer.Option("--email-verified/--no-email-verified", help="Whether the e-mail address is proven.")
    ] = None,
    phone_verified: Annotated[
        bool | None, typer.Option("--phone-verified/--no-phone-verified", help="Whether the phone number is proven.")
    ] = None,
    id_verified: Annotated[
        bool | None, typer.Option("--id-verified/--no-id-verified", help="Whether the person is proven.")
    ] = None,
    avatar: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, readable=True, metavar="FILE", help="A PNG or JPEG of at most 1 MiB."
        ),
    ] = None,
    remove_avatar: Annotated[bool, typer.Option("--remove-avatar", help="Keep no picture any more.")] = False,
) -> Output:
    """Fill in what an operator knows about a reseller. What is not named stays as it is."""
    given = (address, gender, date_of_birth, email_verified, phone_verified, id_verified, avatar)
    if all(value is None for value in given) and not remove_avatar:
        raise InvalidInput("", "Say what to set, such as --address or --email-verified.")
    profile = await shop.resellers.change(
        email,
        address=address,
        gender=gender,
        date_of_birth=None if date_of_birth is None else date_of_birth.date(),
        email_verified=email_verified,
        phone_verified=phone_verified,
        id_verified=id_verified,
        avatar=None if avatar is None else _picture(avatar),
        remove_avatar=remove_avatar,
    )
    return _shown(profile)


@command(app, "rename")
async def rename(
    shop: "Shop",
    email: Email,
    name: Annotated[str | None, typer.Option(help="What people call the reseller from now on.")] = None,
    new_email: Annotated[
        str | None, typer.Option("--email", help="The new e-mail address, by which every command finds the reseller.")
    ] = None,
) -> Output:
    """Give a reseller another name or e-mail address. Keys, wallets and orders stay."""
    before = await shop.resellers.find(email)
    reseller = await shop.resellers.rename(email, name=name, new_email=new_email)
    text = f"The reseller is now {reseller.name} <{reseller.email}>."
    if new_email is not None and not await shop.people.follow(reseller.id, before.email, reseller.email):
        text += f" Somebody else signs in with that address: in the portal it is still {before.email}."
    return Output(_data(reseller), text)


@command(app, "suspend")
async def suspend(
    shop: "Shop",
    email: Email,
    reason: Annotated[str, typer.Option(help="Why; kept with the reseller until it is resumed.")] = "",
) -> Output:
    """Refuse all keys of a reseller, on every node within a second. Orders that are open go on."""
    reseller = await shop.resellers.suspend(email, reason)
    return Output(_data(reseller), f"No key of {reseller.email} works until: telvend user resume {reseller.email}")


@command(app, "resume")
async def resume(shop: "Shop", email: Email) -> Output:
    """Let the keys of a suspended reseller work again; revoked ones stay revoked."""
    reseller = await shop.resellers.resume(email)
    return Output(_data(reseller), f"The keys of {reseller.email} work again.")


@command(app, "invite")
async def invite(
    shop: "Shop",
    email: Email,
    send: Annotated[
        bool, typer.Option("--send", help="Send the link to this address by e-mail, and do not print it.")
    ] = False,
) -> Output:
    """Print a link by which the reseller chooses a password for the portal: once, within 72 hours. It ends the one before."""
    if send:
        address = await shop.people.send_invitation(email, by=user_of_machine())
        return Output({"email": address, "sent": True}, f"An invitation goes to {address}; see telvend email list.")
    path = await shop.people.invite(email, by=user_of_machine())
    return _link(shop, path, "72 hours")


@command(app, "reset")
async def reset(
    shop: "Shop",
    email: Annotated[str, typer.Argument(help="Who signs in to the portal.")],
    no_second_factor: Annotated[
        bool,
        typer.Option("--no-second-factor", help="Turn it off as well: the device and the recovery codes are lost."),
    ] = False,
) -> Output:
    """Print a link for a new password, for somebody who cannot read their e-mail: once, within an hour."""
    path = await shop.people.reset_link(email, user_of_machine(), ends_second_factor=no_second_factor)
    return _link(shop, path, "one hour")


@command(app, "discount")
async def discount(
    shop: "Shop",
    email: Email,
    network: Annotated[str, typer.Argument(help="The network's code, such as MTN.")],
    percent: Annotated[str, typer.Argument(help="How much less, such as 2.5; 0 ends the discount.")],
    country: Annotated[str, typer.Option(help="The network's country.")] = "NG",
    yes: Annotated[bool, typer.Option("--yes", help="Also where that is more than airtime earns.")] = False,
) -> Output:
    """Sell a reseller airtime of a network for less than its face value."""
    reseller = await shop.resellers.find(email)
    airtime = await shop.catalogue.set_discount(reseller.id, country, network, percent, allow_loss=yes)
    return Output(
        {
            "email": reseller.email,
            "country": airtime.country,
            "network": airtime.network,
            "product": airtime.code,
            "percent": Decimal(percent),
        },
        f"{reseller.email} buys {airtime.network} airtime ({airtime.country}) for {percent} % less.",
    )


@command(app, "discounts")
async def discounts(
    shop: "Shop", email: Annotated[str | None, typer.Argument(help="Only of this reseller.", metavar="[EMAIL]")] = None
) -> Output:
    """List what resellers pay less for airtime."""
    resellers = shop.resellers
    reseller_id = (await resellers.find(email)).id if email else None
    found = await shop.catalogue.discounts(reseller_id)
    emails = {owner: (await resellers.profile(owner)).email for owner in {one.reseller_id for one in found}}
    rows = [(emails[one.reseller_id], one.country, one.network, one.product, f"{one.percent} %") for one in found]
    return Output(
        {
            "discounts": [
                {
                    "email": emails[one.reseller_id],
                    "country": one.country,
                    "network": one.network,
                    "product": one.product,
                    "percent": one.percent,
                }
                for one in found
            ]
        },
        show=table("", ("reseller", "country", "network", "product", "less"), rows, "Everybody pays the face value."),
    )


def _link(shop: "Shop", path: str, lasts: str) -> Output:
    url = f"{shop.base_url}{path}"
    again = "Run the command again: a new link ends this one."
    return Output({"url": url}, f"{url}\nIt works once, for {lasts}.", if_lost=again)


_LARGEST_READ = 1024 * 1024 + 1


def _picture(file: Path) -> bytes:
    # One byte more than is accepted, so that a film is refused without being read.
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST_READ)
    except OSError as error:
        raise InvalidInput("avatar", f"cannot be read: {error.strerror}") from None


def _shown(profile: Profile) -> Output:
    data = _data(profile) | {
        "suspended_reason": profile.suspended_reason,
        "address": profile.address,
        "gender": profile.gender,
        "date_of_birth": profile.date_of_birth,
        "email_verified": profile.email_verified,
        "phone_verified": profile.phone_verified,
        "id_verified": profile.id_verified,
        "avatar": profile.avatar_token is not None,
    }
    rows = [(name.replace("_", " "), _words(value)) for name, value in data.items()]
    return Output(data, show=table("", ("", profile.email), rows, ""))


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{time_text(value)} {zone_name()}"
    return "" if value is None else str(value)
