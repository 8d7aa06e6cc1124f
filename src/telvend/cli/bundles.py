"""`telvend bundle` and `telvend refill-profile`: what a product or a refill turns into on the network."""

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.arguments import parsed_currency
from telvend.cli.common import Output, command, table
from telvend.cli.former_options import named
from telvend.cli.subscribers import amount_data
from telvend.errors import InvalidInput
from telvend.kit.money import Currency, Money
from telvend.operator.entitlements.model import Bonus, Bundle, RefillProfile
from telvend.operator.subscribers.balances.amounts import amount_text, parse_amount
from telvend.operator.subscribers.balances.model import BucketKind

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()
profiles = typer.Typer()

Code = Annotated[str, typer.Argument(help="The product's code, as the catalogue or a partner calls it.")]
InCurrency = Annotated[
    str | None, typer.Option("--currency", metavar="CURRENCY", help="What amounts of money are in; GHS, NGN, …")
]

# Amounts of money in a bundle or a bonus are in whatever the subscriber pays in; all of them but one have two decimals.
_TWO_DECIMALS = Currency("money", 2)


def _currency(code: str | None) -> Currency:
    return _TWO_DECIMALS if code is None else parsed_currency(code)


def _bundle_data(bundle: Bundle) -> dict[str, Any]:
    return {
        "code": bundle.code,
        "name": bundle.name,
        "validity_days": bundle.validity_days,
        "first_use": bundle.first_use,
        "priority": bundle.priority,
        "parts": [{"kind": kind, "amount": _units(kind, amount)} for kind, amount in bundle.parts],
    }


def _units(kind: BucketKind, amount: int) -> dict[str, Any]:
    """Bytes, seconds, messages; money in minor units, since its currency is the subscriber's."""
    return {"value": amount, "unit": "minor"} if kind is BucketKind.MONEY else amount_data(kind, amount, _TWO_DECIMALS)


def _text(kind: BucketKind, amount: int) -> str:
    return f"{amount} minor units" if kind is BucketKind.MONEY else amount_text(kind, amount, _TWO_DECIMALS)


@command(app, "set")
async def set_bundle(
    shop: "Shop",
    code: Code,
    amounts: Annotated[list[str], typer.Argument(metavar="AMOUNT...", help="1GB, 30min, 100sms, or money: 5.50.")],
    name: Annotated[str, typer.Option(help="What a subscriber's plans call it; the code without.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How long it lasts; as the catalogue says without.")
    ] = None,
    first_use: Annotated[bool, typer.Option("--first-use", help="Begin with the first use, not at once.")] = False,
    priority: Annotated[int, typer.Option(min=0, max=32767, help="The lower is used first.")] = 100,
    currency: InCurrency = None,
) -> Output:
    """Say what a product credits. One that is not set credits what its size says."""
    made = await shop.entitlements.set_bundle(
        code,
        [parse_amount(text, _currency(currency)) for text in amounts],
        name=name or code,
        validity_days=days,
        first_use=first_use,
        priority=priority,
    )
    told = ", ".join(_text(kind, amount) for kind, amount in made.parts)
    return Output(_bundle_data(made), f"{made.code} credits {told}.")


@command(app, "list")
async def list_bundles(shop: "Shop") -> Output:
    """List the products that are set."""
    found = await shop.entitlements.bundles()
    rows = [
        (
            b.code,
            b.name,
            ", ".join(_text(kind, amount) for kind, amount in b.parts),
            "" if b.validity_days is None else f"{b.validity_days} days",
            "first use" if b.first_use else "at once",
            b.priority,
        )
        for b in found
    ]
    columns = ("code", "name", "credits", "lasts", "begins", "priority")
    return Output(
        {"bundles": [_bundle_data(one) for one in found]},
        show=table("", columns, rows, "None is set: every product credits what its size says."),
    )


@command(app, "remove")
async def remove(shop: "Shop", code: Code) -> Output:
    """Let a product credit what its size says again."""
    await shop.entitlements.remove_bundle(code)
    return Output({"code": code}, f"{code} credits what its size says.")


# Refill profiles ------------------------------------------------------------------------------------------------------


def _profile_data(profile: RefillProfile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "description": profile.description,
        "main_percent": Decimal(profile.main_basis_points) / 100,
        "active_days": profile.active_days,
        "grace_days": profile.grace_days,
        # What the two were called before; gone in the next version.
        "usable_days": profile.active_days,
        "reachable_days": profile.grace_days,
        "active": profile.active,
        "bonuses": [
            {
                "kind": bonus.kind,
                "from_minor": bonus.from_minor,
                "flat": _units(bonus.kind, bonus.flat),
                "per_unit": _units(bonus.kind, bonus.per_unit),
                "validity_days": bonus.validity_days,
            }
            for bonus in profile.bonuses
        ],
    }


def _bonus_text(bonus: Bonus) -> str:
    parts = [_text(bonus.kind, bonus.flat)] if bonus.flat else []
    if bonus.per_unit:
        parts.append(f"{_text(bonus.kind, bonus.per_unit)} a unit")
    return f"from {bonus.from_minor} minor units: {' and '.join(parts)}, {bonus.validity_days} days"


@command(profiles, "set")
async def set_profile(
    shop: "Shop",
    profile_id: Annotated[str, typer.Argument(metavar="ID", help="1 to 4 letters and digits, such as DB00.")],
    description: Annotated[str, typer.Option(help="What it is, in a few words.")],
    main: Annotated[str, typer.Option(metavar="PERCENT", help="How much of it goes to the main account.")] = "100",
    active_days: Annotated[
        int, typer.Option(*named("--active-days"), min=0, max=3650, help="How long the subscriber may spend then.")
    ] = 90,
    grace_days: Annotated[
        int, typer.Option(*named("--grace-days"), min=0, max=3650, help="How long it may be refilled then.")
    ] = 180,
    bonus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FROM:FLAT:PER_UNIT:DAYS",
            help="On top, from an amount on: 50:1GB::7 gives 1 GB for 7 days, 0::10MB:30 gives 10 MB for each unit.",
        ),
    ] = None,
    active: Annotated[bool, typer.Option("--active/--withdrawn", help="Whether it can be used.")] = True,
    currency: InCurrency = None,
) -> Output:
    """Add a refill profile, or change it: what an amount of money turns into."""
    made = await shop.entitlements.set_profile(
        RefillProfile(
            profile_id,
            description,
            _basis_points(main),
            active_days,
            grace_days,
            active,
            tuple(_bonus(text, _currency(currency)) for text in bonus or ()),
        )
    )
    share = f"{Decimal(made.main_basis_points) / 100} % to the main account"
    return Output(_profile_data(made), "; ".join([f"{made.id}: {share}", *map(_bonus_text, made.bonuses)]) + ".")


def _basis_points(percent: str) -> int:
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", percent, re.ASCII) is None:
        raise InvalidInput("main", "must be a percentage with at most two decimals, such as 80 or 12.5")
    return int(Decimal(percent) * 100)


def _bonus(text: str, currency: Currency) -> Bonus:
    """FROM:FLAT:PER_UNIT:DAYS; FLAT or PER_UNIT may be left out. Raises InvalidInput."""
    parts = text.split(":")
    if len(parts) != 4 or re.fullmatch(r"[0-9]{1,4}", parts[3], re.ASCII) is None:
        raise InvalidInput("bonus", "must be FROM:FLAT:PER_UNIT:DAYS, such as 50:1GB::7 or 0::10MB:30")
    try:
        from_minor = Money.parse(parts[0] or "0", currency).minor
    except ValueError as error:
        raise InvalidInput("bonus", str(error)) from None
    flat = parse_amount(parts[1], currency) if parts[1] else None
    per_unit = parse_amount(parts[2], currency) if parts[2] else None
    kinds = {found[0] for found in (flat, per_unit) if found is not None}
    if len(kinds) != 1:
        raise InvalidInput("bonus", "must be of one kind")
    return Bonus(
        kinds.pop(), from_minor, flat[1] if flat else 0, per_unit[1] if per_unit else 0, int(parts[3])
    )  # fmt: skip


@command(profiles, "list")
async def list_profiles(shop: "Shop") -> Output:
    """List the refill profiles."""
    found = await shop.entitlements.profiles()
    rows = [
        (
            p.id,
            p.description,
            f"{Decimal(p.main_basis_points) / 100} %",
            p.active_days,
            p.grace_days,
            "\n".join(map(_bonus_text, p.bonuses)),
            "" if p.active else "withdrawn",
        )
        for p in found
    ]
    columns = ("id", "description", "to main", "usable days", "reachable days", "on top", "")
    return Output(
        {"profiles": [_profile_data(one) for one in found]},
        show=table("", columns, rows, "There are no refill profiles."),
    )
