"""`telvend console`: who may open the console."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.cli.who import user_of_machine
from telvend.people.model import RecordedAct, Role

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

DAYS: Final = ["%Y-%m-%d"]

Email = Annotated[str, typer.Argument(help="E-mail address; they sign in with it.")]
Roles = Annotated[
    list[Role],
    typer.Option(
        "--role", help="owner: everything; finance: money; support: looks, and asks again. May be there several times."
    ),
]
Reason = Annotated[str, typer.Option(help="Why; it stands in the log of acts.")]


@command(app, "link")
async def link(shop: "Shop") -> Output:
    """Print a link that makes an owner of the console, or gives one another password: once, within an hour."""
    path = await shop.people.console_link(by=user_of_machine())
    return _link(shop, path, "an hour")


@command(app, "invite")
async def invite(shop: "Shop", email: Email, role: Roles, reason: Reason = "") -> Output:
    """Print a link that gives somebody roles in the console. It works once, within 72 hours."""
    path = await shop.people.invite_staff(email, role, reason, user_of_machine())
    return _link(shop, path, "72 hours")


@command(app, "list")
async def list_staff(shop: "Shop") -> Output:
    """List who may open the console."""
    found = await shop.people.staff()
    data = [
        {
            "email": one.person.email,
            "name": one.person.name,
            "roles": sorted(one.roles),
            "second_factor": one.person.has_totp,
            "suspended_at": one.person.suspended_at,
            "seen_at": one.seen_at,
        }
        for one in found
    ]
    rows = [
        (
            one.person.email,
            ", ".join(sorted(one.roles)),
            "yes" if one.person.has_totp else "no",
            "suspended" if one.person.suspended_at else "",
            time_text(one.seen_at) if one.seen_at else "",
        )
        for one in found
    ]
    columns = ("email", "roles", "second factor", "", f"seen ({zone_name()})")
    return Output({"people": data}, show=table("", columns, rows, "Nobody opens the console yet: telvend console link"))


@command(app, "roles")
async def roles(
    shop: "Shop",
    email: Email,
    reason: Annotated[str, typer.Option(help="Why; it stands in the log of acts.")],
    role: Annotated[
        list[Role] | None, typer.Option("--role", help="What they may do from now on; without any: nothing.")
    ] = None,
) -> Output:
    """Give somebody these roles and no others. What is taken away ends at once, on every node."""
    person = await shop.people.find(email)
    chosen = sorted(set(role or []))
    await shop.people.set_roles(person.id, chosen, reason, user_of_machine())
    text = f"{person.email} is {', '.join(chosen)} now." if chosen else f"{person.email} opens no console any more."
    return Output({"email": person.email, "roles": chosen}, text)


@command(app, "acts")
async def acts(
    shop: "Shop",
    who: Annotated[str | None, typer.Option(help="Only of this e-mail address.")] = None,
    what: Annotated[
        str | None, typer.Option(help="Only these, such as roles.changed; with a dot at the end all that begin so.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(formats=DAYS, metavar="DAY", help="From this day (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=DAYS, metavar="DAY", help="Before this day (UTC).")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only those with a lower number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 50,
) -> Output:
    """List what people did with money and access in the portal and the console, newest first. Nobody can change it."""

    async def listed(last: int | None, count: int) -> list[RecordedAct]:
        days = [None if day is None else day.replace(tzinfo=UTC) for day in (since, until)]
        return await shop.people.acts(who=who, what=what, since=days[0], until=days[1], before=last, limit=count)

    found = await listed(before, limit)
    more = await more_after(found, limit, lambda act: act.id, listed)
    rows = [
        (act.id, time_text(act.done_at), act.who, act.address, act.what, f"{act.thing} {act.key}".strip(), act.reason)
        for act in found
    ]
    columns = ("number", f"at ({zone_name()})", "who", "from", "what", "on", "why")
    data = [
        {
            "number": act.id,
            "at": act.done_at,
            "who": act.who,
            "surface": act.surface,
            "address": act.address,
            "what": act.what,
            "thing": act.thing,
            "key": act.key,
            "reason": act.reason,
            "before": act.before,
            "after": act.after,
        }
        for act in found
    ]
    return Output({"acts": data, **more.left_off}, show=page(columns, rows, "Nobody has done anything yet.", more))


def _link(shop: "Shop", path: str, lasts: str) -> Output:
    url = f"{shop.console_url}{path}"
    again = "Run the command again: a new link ends this one."
    return Output({"url": url}, f"{url}\nIt works once, for {lasts}.", if_lost=again)
