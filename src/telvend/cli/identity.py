"""`telvend identity`: the identity checks that were sold, their prices, and who read what. Shows no number whole."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.authorities.contract import VerificationKind
from telvend.bootstrap import AUTHORITIES
from telvend.cli.arguments import parsed_amount
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import COUNTED, NextPage, first, page
from telvend.cli.who import user_of_machine
from telvend.errors import InvalidInput
from telvend.identity.model import Cost, Verification
from telvend.identity.service import LARGEST_PAGE
from telvend.kit.money import NGN, Money

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()


@command(app, "list")
async def list_checks(
    shop: "Shop",
    email: Annotated[str | None, typer.Option(help="Only of this reseller.")] = None,
    kind: Annotated[VerificationKind | None, typer.Option(help="Only of this register.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_PAGE, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this check's id, downwards.")] = None,
) -> Output:
    """List checks, newest first, with masked numbers. It is noted that you have seen them."""
    reseller_id = (await shop.resellers.find(email)).id if email else None
    found = await shop.identity.listed(
        user_of_machine(), reseller_id=reseller_id, kind=kind, before=before, limit=limit
    )
    more = NextPage(0)
    if len(found) == limit:
        last = found[-1][0].id
        count = await shop.identity.count_listed(reseller_id=reseller_id, kind=kind, before=last, limit=COUNTED)
        more = NextPage(count, "--before", last)
    rows = [
        (
            check.id,
            time_text(check.created_at),
            check.kind,
            number or "purged",
            check.card_type,
            check.source,
            check.price.decimal,
            check.state.replace("_", " "),
        )
        for check, number in found
    ]
    columns = ("id", f"asked ({zone_name()})", "kind", "number", "card", "answered by", "price", "state")

    return Output(
        {"checks": [_data(check, number) for check, number in found], "next": more.following, **more.left_off},
        show=page(columns, rows, "There are no such checks.", more),
    )


def _data(check: Verification, number: str) -> dict[str, Any]:
    # Without `text`: authorities write there what they like, the number among it.
    return {
        "id": check.id,
        "reference": check.reference,
        "client_reference": check.client_reference,
        "reseller_id": check.reseller_id,
        "key_id": check.key_id,
        "mode": check.mode,
        "kind": check.kind,
        "number": number,
        "card_type": check.card_type,
        "source": check.source,
        "reused_id": check.reused_id,
        "price": check.price.decimal,
        "cost": check.cost.decimal,
        "currency": check.price.currency.code,
        "state": check.state,
        "created_at": check.created_at,
        "expires_at": check.expires_at,
        "purged_at": check.purged_at,
    }


@command(app, "price")
async def price(
    shop: "Shop",
    kind: Annotated[VerificationKind, typer.Argument(help="Which register.")],
    card_type: Annotated[str, typer.Argument(help="The line of the price list, such as standard.")],
    amount: Annotated[str, typer.Argument(help="In naira, such as 100 or 99.50.")],
    off: Annotated[bool, typer.Option("--off", help="Take the line off sale; without it, it is on sale.")] = False,
) -> Output:
    """Change a line of the price list. Checks that were sold keep their price."""
    money = _naira("amount", amount)
    await shop.identity.set_price(kind, card_type, money, active=not off)
    lines = await shop.identity.prices(kind)
    rows = [(line.card_type, line.price.decimal, "yes" if line.active else "no", line.description) for line in lines]
    return Output(
        {
            "prices": [
                {
                    "id": line.id,
                    "kind": line.kind,
                    "card_type": line.card_type,
                    "price": line.price.decimal,
                    "currency": line.price.currency.code,
                    "active": line.active,
                    "description": line.description,
                }
                for line in lines
            ]
        },
        show=table(f"{kind.upper()}, in NGN", ("card", "price", "on sale", ""), rows, ""),
    )


@command(app, "cost")
async def cost(
    shop: "Shop",
    authority: Annotated[str, typer.Argument(help=f"Who is asked: {' or '.join(AUTHORITIES)}.")],
    kind: Annotated[VerificationKind, typer.Argument(help="Which register.")],
    amount: Annotated[str, typer.Argument(help="What a record costs, in naira, such as 60 or 59.50.")],
    without: Annotated[str, typer.Option(help="What the answer costs that there is no record.")] = "0",
) -> Output:
    """Say what an authority takes, so that the books know the margin. Checks that were answered keep their cost."""
    if authority not in AUTHORITIES:
        raise InvalidInput("authority", f"must be {' or '.join(AUTHORITIES)}")
    identity = shop.identity
    await identity.set_costs(authority, kind, _naira("amount", amount), _naira("without", without))
    return _costs(await identity.costs())


@command(app, "costs")
async def costs(shop: "Shop") -> Output:
    """List what authorities take."""
    return _costs(await shop.identity.costs())


def _costs(found: list[Cost]) -> Output:
    rows = [(one.authority, one.kind.upper(), one.found.decimal, one.without.decimal) for one in found]
    return Output(
        {
            "costs": [
                {
                    "authority": one.authority,
                    "kind": one.kind,
                    "found": one.found.decimal,
                    "without": one.without.decimal,
                    "currency": one.found.currency.code,
                }
                for one in found
            ]
        },
        show=table("In NGN", ("authority", "kind", "a record", "no record"), rows, "Nobody has said what any takes."),
    )


def _naira(field: str, text: str) -> Money:
    return parsed_amount(text, NGN, field)


@command(app, "purge")
async def purge(
    shop: "Shop",
    older_than: Annotated[
        int | None,
        typer.Option(min=1, max=36500, metavar="DAYS", help="Default: the setting identity_retention_days."),
    ] = None,
) -> Output:
    """Destroy numbers and records of checks of that age, for good. The sales stay in the books.

    The keys that would open copies of them are destroyed as well: in backups, too, as long as nobody has kept a copy of the
    master key from before.
    """
    days = shop.settings.identity_retention_days if older_than is None else older_than
    done = await shop.identity.purge(timedelta(days=days))
    said = f"Destroyed what {done.count} checks older than {days} days knew of people."
    if done.key_place is not None and done.still_opens:
        said += (
            f"\n{done.key_place[0].upper()}{done.key_place[1:]} still opens copies of them: put what"
            " `telvend identity moved-key FILE` writes in its place, on every node, and destroy the copies of the old key."
        )
    elif done.key_place is not None:
        said += (
            f"\n{done.key_place} opens no copy of them any more. Back it up again, and destroy the copies of it that are"
            " older."
        )
    return Output(
        {
            "purged": done.count,
            "older_than_days": days,
            "wrapped_anew": done.moved,
            "master_key": done.key_place,
            "key_still_opens_copies": done.still_opens,
        },
        said,
    )


@command(app, "moved-key")
async def moved_key(
    shop: "Shop", file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, which only you may read.")]
) -> Output:
    """Write the master key as it is to be after a purge, for the setting identity_master_key."""
    custody = shop.identity.custody
    await custody.forget_days()
    custody.write_moved(file)
    return Output({"file": str(file)}, f"The value for identity_master_key is in {file}; put it there on every node.")


@command(app, "accesses")
async def accesses(
    shop: "Shop",
    check_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=2**63 - 1, help="Only of this check.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 100,
) -> Output:
    """Who took what out of the safe, newest first."""
    found, more = await first(limit, lambda count: shop.identity.accesses(check_id, limit=count))
    rows = [(time_text(one.at), one.reader_kind, one.reader, one.action, _some(one.verification_ids)) for one in found]
    return Output(
        {
            "accesses": [
                {
                    "at": one.at,
                    "reader_kind": one.reader_kind,
                    "reader": one.reader,
                    "action": one.action,
                    "checks": one.verification_ids,
                }
                for one in found
            ],
            **more.left_off,
        },
        show=page((f"at ({zone_name()})", "by", "who", "what", "checks"), rows, "Nobody has read anything.", more),
    )


def _some(ids: tuple[int, ...]) -> str:
    more = len(ids) - 5
    return " ".join(map(str, ids[:5])) + (f" and {more} more" if more > 0 else "")


@command(app, "sweeps")
async def sweeps(shop: "Shop") -> Output:
    """Resellers that sweep numbers, newest first."""
    found = await shop.identity.sweeps()
    owners = {sweep.reseller_id for sweep in found}
    emails = {owner: (await shop.resellers.profile(owner)).email for owner in owners}
    data = [
        {
            "key_id": sweep.key_id,
            "email": emails[sweep.reseller_id],
            "mode": sweep.mode,
            "first_at": sweep.first_at,
            "last_at": sweep.last_at,
            "delays": sweep.delays,
            "unknown": sweep.unknown,
            "numbers": sweep.numbers,
        }
        for sweep in found
    ]
    rows = [
        (
            emails[sweep.reseller_id],
            sweep.mode,
            str(sweep.key_id),
            time_text(sweep.first_at),
            time_text(sweep.last_at),
            sweep.delays,
            sweep.unknown,
            sweep.numbers,
        )
        for sweep in found
    ]
    columns = (
        "reseller",
        "mode",
        "last key",
        f"first ({zone_name()})",
        f"last ({zone_name()})",
        "delays",
        "without a record",
        "different numbers",
    )
    return Output({"sweeps": data}, show=table("", columns, rows, "Nobody has swept."))


@command(app, "rotate-key")
async def rotate_key(shop: "Shop") -> Output:
    """Put a new master key in force, while the shop sells. Run it again if it was interrupted."""
    count = await shop.identity.custody.rotate()
    return Output({"checks": count}, f"A new master key is in force; {count} checks were wrapped with it.")
