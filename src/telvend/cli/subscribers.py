"""`telvend subscriber`: who is on the network, what they have, and everything that a sandbox needs of them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from telvend.cli.arguments import NUMBER, parsed_amount, parsed_currency
from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.former_options import named
from telvend.cli.listing import first, more_after, page
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.operator.entitlements.model import Fault, FaultyPart
from telvend.operator.subscribers.balances.account import explained
from telvend.operator.subscribers.balances.amounts import amount_text, parse_amount
from telvend.operator.subscribers.balances.model import UNITS, Bucket, BucketKind, Grant, Reservation
from telvend.operator.subscribers.balances.store import PostingLine
from telvend.operator.subscribers.model import Billing, Subscriber, SubscriberStatus, line_of
from telvend.operator.subscribers.momo.model import MomoAccount, MomoChange
from telvend.operator.usage.model import Done

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()

Msisdn = Annotated[
    str, typer.Argument(metavar="MSISDN", help="A mobile number, such as 0241234567 or +233241234567."), NUMBER
]
InMode = Annotated[Mode, typer.Option(help="The subscriber of live keys, or of test keys.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="1GB, 500MB, 30min, 100sms, or money such as 5.50.")]
Named = Annotated[str, typer.Option("--reference", help="What names this; the same again does nothing.")]
OnLine = Annotated[str, typer.Option(help="A line of the subscriber, instead of the subscriber's own.")]
OfMomo = Annotated[bool, typer.Option("--momo", help="Of mobile money, instead of the main account.")]
_DATES: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def amount_data(kind: BucketKind, amount: int, currency: Currency) -> dict[str, Any]:
    """An amount for programs: in whole units of money, bytes, seconds, messages."""
    if kind in (BucketKind.MONEY, BucketKind.MOMO):
        return {"value": Money(amount, currency).decimal, "unit": currency.code}
    return {"value": Decimal(amount), "unit": UNITS[kind]}


def _data(subscriber: Subscriber) -> dict[str, Any]:
    return {
        "id": subscriber.id,
        "msisdn": subscriber.msisdn,
        "mode": subscriber.mode,
        "country": subscriber.country,
        "currency": subscriber.currency.code,
        "billing": subscriber.billing,
        "status": subscriber.status,
        "tariff_plan": subscriber.tariff_plan,
        "language": subscriber.language,
        "active_until": subscriber.active_until,
        "grace_until": subscriber.grace_until,
        # What the two were called before; gone in the next version.
        "usable_until": subscriber.active_until,
        "reachable_until": subscriber.grace_until,
        "created_at": subscriber.created_at,
    }


# Who there is ---------------------------------------------------------------------------------------------------------


@command(app, "add")
async def add(
    shop: "Shop",
    msisdn: Msisdn,
    tariff_plan: Annotated[str, typer.Option(help="What the subscriber's plans show as tariff plan.")],
    currency: Annotated[str, typer.Option(help="What the subscriber pays in: GHS, NGN, …")],
    billing: Annotated[Billing, typer.Option(help="How the subscriber pays.")] = Billing.PREPAID,
    status: Annotated[
        SubscriberStatus, typer.Option(help="Active ones spend and are refilled.")
    ] = SubscriberStatus.ACTIVE,
    language: Annotated[str, typer.Option(help="What the plans show as language.")] = "1",
    active_days: Annotated[
        int, typer.Option(*named("--active-days"), min=0, max=3650, help="How long the subscriber may spend.")
    ] = 90,
    grace_days: Annotated[
        int, typer.Option(*named("--grace-days"), min=0, max=3650, help="How long the subscriber may be refilled.")
    ] = 180,
) -> Output:
    """Add a subscriber, for live and for test keys, with nothing yet."""
    made = await shop.subscribers.add(
        msisdn,
        tariff_plan=tariff_plan,
        currency=parsed_currency(currency),
        billing=billing,
        status=status,
        language=language,
        active_days=active_days,
        grace_days=grace_days,
    )
    return Output(_data(made), f"{made.msisdn} is on the network, in {made.currency}, on {made.tariff_plan}.")


@command(app, "list")
async def list_subscribers(
    shop: "Shop",
    mode: InMode = Mode.LIVE,
    status: Annotated[SubscriberStatus | None, typer.Option(help="Only of this status.")] = None,
    currency: Annotated[str | None, typer.Option(help="Only of this currency.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    after: Annotated[int, typer.Option(min=0, max=2**62, help="Go on from this subscriber's id, upwards.")] = 0,
) -> Output:
    """List subscribers, the oldest first."""
    unit = parsed_currency(currency) if currency else None

    async def fetch(after: int, count: int) -> list[Subscriber]:
        return await shop.subscribers.listed(mode, status=status, currency=unit, after=after, limit=count)

    found = await fetch(after, limit)
    more = await more_after(found, limit, lambda subscriber: subscriber.id, fetch, "--after")
    columns = ("id", "msisdn", "", "tariff plan", "status", "active until")
    rows = [(s.id, s.msisdn, s.currency, s.tariff_plan, s.status, f"{s.active_until:%F}") for s in found]
    return Output(
        {"subscribers": [_data(one) for one in found], "next": more.following, **more.left_off},
        show=page(columns, rows, "There are no such subscribers.", more),
    )


@command(app, "set")
async def change(
    shop: "Shop",
    msisdn: Msisdn,
    mode: Annotated[Mode | None, typer.Option(help="Only for keys of this mode.")] = None,
    status: Annotated[SubscriberStatus | None, typer.Option(help="What the subscriber may do.")] = None,
    billing: Annotated[Billing | None, typer.Option(help="How the subscriber pays.")] = None,
    tariff_plan: Annotated[str | None, typer.Option(help="Another tariff plan.")] = None,
    language: Annotated[str | None, typer.Option(help="Another language.")] = None,
    active_until: Annotated[
        datetime | None, typer.Option(*named("--active-until"), formats=_DATES, help="A date, in UTC.")
    ] = None,
    grace_until: Annotated[
        datetime | None, typer.Option(*named("--grace-until"), formats=_DATES, help="A date, in UTC.")
    ] = None,
) -> Output:
    """Change what a subscriber is: status, plan, language, and until when it can spend and be refilled."""
    found = await shop.subscribers.change(
        msisdn,
        mode=mode,
        status=status,
        billing=billing,
        tariff_plan=tariff_plan,
        language=language,
        active_until=_utc(active_until),
        grace_until=_utc(grace_until),
    )
    lines = [
        f"{s.msisdn} ({s.mode}): {s.status}, {s.billing}, {s.tariff_plan}, active until {s.active_until:%F},"
        f" grace until {s.grace_until:%F}."
        for s in found
    ]
    return Output({"subscribers": [_data(one) for one in found]}, "\n".join(lines))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@command(app, "line")
async def line(
    shop: "Shop",
    msisdn: Msisdn,
    line: Annotated[str, typer.Argument(help="A fixed line or a router: letters and digits.")],
) -> Output:
    """Give a subscriber another line, with buckets of its own."""
    spelt = await shop.subscribers.add_line(msisdn, line)
    return Output({"msisdn": msisdn, "line": spelt}, f"{spelt} is a line of {msisdn}.")


# What they have -------------------------------------------------------------------------------------------------------


def _bucket_data(bucket: Bucket, place: int | None, why: str, now: datetime, currency: Currency) -> dict[str, Any]:
    return {
        "id": bucket.id,
        "kind": bucket.kind,
        "name": bucket.name,
        "product": bucket.product,
        "line": bucket.line,
        "main": bucket.main,
        "balance": amount_data(bucket.kind, bucket.balance, currency),
        "reserved": amount_data(bucket.kind, bucket.reserved, currency),
        "status": "Active" if bucket.active(now) else "Unused",
        "priority": bucket.priority,
        "starts_at": bucket.starts_at,
        "expires_at": bucket.expires_at,
        "place": place,
        "why": why,
    }


def _reservation_data(reservation: Reservation, currency: Currency) -> dict[str, Any]:
    return {
        "reference": reservation.reference,
        "kind": reservation.kind,
        "amount": amount_data(reservation.kind, reservation.amount, currency),
        "captured": amount_data(reservation.kind, reservation.captured, currency),
        "state": reservation.state,
        "until": reservation.due_at,
    }


def _momo_data(momo: MomoAccount, currency: Currency) -> dict[str, Any]:
    return {
        name: Money(getattr(momo, name), currency).decimal
        for name in (
            "balance", "reserved", "positive", "negative", "loyalty_generated", "loyalty_consumed", "loyalty_balance",
            "overdraft_balance", "overdraft_limit", "overdraft_fee", "overdraft_interest",
        )
    } | {"blocked": momo.blocked}  # fmt: skip


@command(app, "show")
async def show(shop: "Shop", msisdn: Msisdn, mode: InMode = Mode.LIVE) -> Output:
    """Show what a subscriber has, in the order in which it is used, and why in that order."""
    verbs = shop.subscribers
    found = await verbs.find(mode, msisdn)
    buckets, now = await verbs.buckets(mode, msisdn)
    lines = await verbs.lines(mode, msisdn)
    reservations = await shop.usage.reservations(mode, msisdn)
    momo = await shop.mobile_money.find(mode, msisdn)
    order = explained(buckets, now)
    rows = [
        (
            b.id,
            b.line,
            b.name,
            amount_text(b.kind, b.balance, found.currency),
            amount_text(b.kind, b.reserved, found.currency) if b.reserved else "",
            "" if b.expires_at is None else time_text(b.expires_at),
            f"{order[b.id][0]}. " * (order[b.id][0] is not None) + order[b.id][1],
        )
        for b in buckets
    ]
    data = _data(found) | {
        "lines": lines,
        "buckets": [_bucket_data(bucket, *order[bucket.id], now, found.currency) for bucket in buckets],
        "reservations": [_reservation_data(one, found.currency) for one in reservations],
        "momo": None if momo is None else _momo_data(momo, found.currency),
        "faults": {
            part: how for (of, part), how in (await shop.entitlements.faults()).items() if of == msisdn
        },
    }  # fmt: skip

    def print_all(console: "Console") -> None:
        console.print(
            f"{found.msisdn} ({found.mode}), {found.country}, {found.billing}, {found.status}, {found.tariff_plan};"
            f" active until {found.active_until:%F}, grace until {found.grace_until:%F}"
        )
        columns = ("bucket", "line", "name", "holds", "reserved", f"ends ({zone_name()})", "used")
        table("", columns, rows, "There is nothing to use.")(console)
        for one in reservations:
            amount = amount_text(one.kind, one.amount, found.currency)
            until = "" if one.due_at is None else f" until {time_text(one.due_at)} {zone_name()}"
            console.print(f"Reserved under {one.reference}: {amount}{until}")
        if lines:
            console.print(f"Lines: {', '.join(lines)}")
        if momo is not None:
            console.print(f"Mobile money: {Money(momo.balance, found.currency)}{', blocked' if momo.blocked else ''}")

    return Output(data, show=print_all)


@command(app, "grant")
async def grant(
    shop: "Shop",
    msisdn: Msisdn,
    amounts: Annotated[list[str], typer.Argument(metavar="AMOUNT...", help="1GB, 30min, 100sms, or money: 5.50.")],
    reference: Named,
    mode: InMode = Mode.LIVE,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="How long it lasts; for ever without.")] = None,
    name: Annotated[str, typer.Option(help="What the plans call it; the amount without.")] = "",
    product: Annotated[str, typer.Option(help="The product code that it counts as.")] = "",
    first_use: Annotated[bool, typer.Option("--first-use", help="Begin with the first use, not now.")] = False,
    priority: Annotated[int, typer.Option(min=0, max=32767, help="The lower is used first.")] = 100,
    line: OnLine = "",
) -> Output:
    """Give a subscriber something by hand. Money goes to the main account; with --days it is a bucket of its own."""
    if first_use and days is None:
        raise InvalidInput("days", "must be given for what begins with its first use")
    subscriber = await shop.subscribers.find(mode, msisdn)
    grants = []
    for text in amounts:
        kind, amount = parse_amount(text, subscriber.currency)
        main = kind is BucketKind.MONEY and days is None and not line
        grants.append(Grant(kind, amount, name or text, product, days, first_use, priority, _line(line), main))
    replayed = await shop.provisioning.grant(mode, msisdn, grants, reference)
    told = ", ".join(amount_text(one.kind, one.amount, subscriber.currency) for one in grants)
    return Output(
        {"msisdn": msisdn, "mode": mode, "reference": reference, "replayed": replayed},
        f"{msisdn} had been given {told} before." if replayed else f"{msisdn} was given {told}.",
    )


def _line(text: str) -> str:
    return line_of(text) if text else ""


def _kind_and_amount(text: str, currency: Currency, momo: bool) -> tuple[BucketKind, int]:
    kind, amount = parse_amount(text, currency)
    if momo:
        if kind is not BucketKind.MONEY:
            raise InvalidInput("amount", "must be money, as mobile money is")
        kind = BucketKind.MOMO
    return kind, amount


def _done(done: Done, kind: BucketKind, what: str) -> Output:
    currency = done.subscriber.currency
    data: dict[str, Any] = {
        "msisdn": done.subscriber.msisdn,
        "mode": done.subscriber.mode,
        "replayed": done.replayed,
        "taken": [
            {"bucket": taken.bucket_id, "name": taken.name, "amount": amount_data(kind, taken.amount, currency)}
            for taken in done.taken
        ],
    }
    if done.reservation is not None:
        data["reservation"] = _reservation_data(done.reservation, currency)
    if done.replayed:
        return Output(data, "This had been done before.")
    rows = [(t.bucket_id, t.name, amount_text(kind, t.amount, currency)) for t in done.taken]
    return Output(data, show=table(what, ("bucket", "name", "amount"), rows, what))


@command(app, "consume")
async def consume(
    shop: "Shop",
    msisdn: Msisdn,
    amount: Amount,
    reference: Named,
    mode: InMode = Mode.LIVE,
    line: OnLine = "",
    momo: OfMomo = False,
) -> Output:
    """Use something of what a subscriber has, as a session on the network would; all of it or nothing."""
    kind, value = _kind_and_amount(amount, (await shop.subscribers.find(mode, msisdn)).currency, momo)
    done = await shop.usage.consume(mode, msisdn, kind, value, reference, line=_line(line))
    return _done(done, kind, "Used")


@command(app, "reserve")
async def reserve(
    shop: "Shop",
    msisdn: Msisdn,
    amount: Amount,
    reference: Named,
    seconds: Annotated[float, typer.Option(help="How long it is kept at most; then it goes back by itself.")] = 300,
    mode: InMode = Mode.LIVE,
    line: OnLine = "",
    momo: OfMomo = False,
) -> Output:
    """Keep something for a session that is under way."""
    kind, value = _kind_and_amount(amount, (await shop.subscribers.find(mode, msisdn)).currency, momo)
    done = await shop.usage.reserve(mode, msisdn, kind, value, reference, seconds, line=_line(line))
    return _done(done, kind, "Reserved")


Reserved = Annotated[str, typer.Argument(metavar="REFERENCE", help="What names the reservation.")]


@command(app, "capture")
async def capture(
    shop: "Shop",
    msisdn: Msisdn,
    reference: Reserved,
    amount: Annotated[str | None, typer.Argument(help="How much was used; all of it without.")] = None,
    mode: InMode = Mode.LIVE,
    momo: OfMomo = False,
) -> Output:
    """Use what is reserved; the rest goes back."""
    kind, value = None, None
    if amount is not None:
        kind, value = _kind_and_amount(amount, (await shop.subscribers.find(mode, msisdn)).currency, momo)
    done = await shop.usage.capture(mode, msisdn, reference, value, kind)
    return _done(done, done.reservation.kind if done.reservation else BucketKind.DATA, "Used")


@command(app, "release")
async def release(shop: "Shop", msisdn: Msisdn, reference: Reserved, mode: InMode = Mode.LIVE) -> Output:
    """Give back what is reserved."""
    done = await shop.usage.release(mode, msisdn, reference)
    return _done(done, done.reservation.kind if done.reservation else BucketKind.DATA, "All of it went back.")


@command(app, "adjust")
async def adjust(
    shop: "Shop",
    msisdn: Msisdn,
    bucket: Annotated[int, typer.Argument(min=1, max=2**62, help="The bucket's number, as `show` prints it.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="What it is to hold: 1GB, 5.50, 0sms.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the statement.")],
    mode: InMode = Mode.LIVE,
    momo: OfMomo = False,
) -> Output:
    """Make a bucket hold so much."""
    currency = (await shop.subscribers.find(mode, msisdn)).currency
    kind, value = parse_amount(amount, currency, least=0)
    kind = BucketKind.MOMO if momo and kind is BucketKind.MONEY else kind
    done = await shop.usage.adjust(mode, msisdn, bucket, kind, value, reason)
    text = f"Bucket {bucket} holds {amount_text(kind, value, done.subscriber.currency)}."
    return Output(
        {"msisdn": msisdn, "bucket": bucket, "balance": amount_data(kind, value, done.subscriber.currency)}, text
    )


@command(app, "postings")
async def postings(
    shop: "Shop",
    msisdn: Msisdn,
    mode: InMode = Mode.LIVE,
    bucket: Annotated[int | None, typer.Option(min=1, max=2**62, help="Only of this bucket, used up or not.")] = None,
    closed: Annotated[
        bool, typer.Option("--closed", help="Of used-up buckets too; reads every bucket there is.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to pass over first.")] = 0,
    before: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="With --bucket: go on from this number, downwards.")
    ] = None,
) -> Output:
    """Every change of what a subscriber has, newest first."""
    verbs = shop.subscribers
    currency = (await verbs.find(mode, msisdn)).currency
    if bucket is None:
        found, more = await first(
            limit,
            lambda count: verbs.postings(mode, msisdn, closed=closed, offset=offset, limit=count),
            "--offset",
            offset + limit,
        )
    else:

        async def fetch(before: int | None, count: int) -> list[PostingLine]:
            return await verbs.postings_of_bucket(mode, msisdn, bucket, before=before, limit=count)

        found = await fetch(before, limit)
        more = await more_after(found, limit, lambda posting: posting.number, fetch)
    rows = [
        (
            time_text(p.created_at),
            p.bucket_id,
            p.number,
            p.name,
            p.posting,
            ("" if p.change > 0 else "-") + amount_text(p.kind, abs(p.change), currency),
            amount_text(p.kind, p.balance_after, currency),
            p.cause,
        )
        for p in found
    ]
    data = [
        {
            "bucket": p.bucket_id,
            "number": p.number,
            "name": p.name,
            "line": p.line,
            "kind": p.kind,
            "what": p.posting,
            "change": amount_data(p.kind, p.change, currency),
            "balance": amount_data(p.kind, p.balance_after, currency),
            "cause": p.cause,
            "at": p.created_at,
        }
        for p in found
    ]
    columns = (f"at ({zone_name()})", "bucket", "number", "name", "what", "change", "holds", "cause")
    return Output(
        {"postings": data, "next": more.following, **more.left_off},
        show=page(columns, rows, "Nothing has changed yet.", more),
    )


# Mobile money and faults ----------------------------------------------------------------------------------------------


@command(app, "momo")
async def momo(
    shop: "Shop",
    msisdn: Msisdn,
    mode: InMode = Mode.LIVE,
    balance: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What the account holds.")] = None,
    positive: Annotated[str | None, typer.Option(metavar="AMOUNT", help="On its way in.")] = None,
    negative: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Held for an outgoing payment.")] = None,
    loyalty_generated: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Earned by the last payment.")] = None,
    loyalty_consumed: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Used by it.")] = None,
    loyalty_balance: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What there is of it.")] = None,
    overdraft_balance: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What is overdrawn.")] = None,
    overdraft_limit: Annotated[str | None, typer.Option(metavar="AMOUNT", help="How much may be.")] = None,
    overdraft_fee: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What using it costs.")] = None,
    overdraft_interest: Annotated[str | None, typer.Option(metavar="AMOUNT", help="The interest due.")] = None,
    blocked: Annotated[bool | None, typer.Option("--block/--unblock", help="Whether it is blocked.")] = None,
    new_authorization: Annotated[
        bool, typer.Option("--new-authorization", help="Give out another authorization; the old one ends.")
    ] = False,
) -> Output:
    """Give a subscriber mobile money, or change it. Prints what partners send as `x-authorization`, this once."""
    verbs = shop.mobile_money
    currency = (await shop.subscribers.find(mode, msisdn)).currency

    def minor(field: str, text: str | None) -> int | None:
        return None if text is None else parsed_amount(text, currency, field).minor

    change = MomoChange(
        balance=minor("balance", balance),
        positive=minor("positive", positive),
        negative=minor("negative", negative),
        loyalty_generated=minor("loyalty generated", loyalty_generated),
        loyalty_consumed=minor("loyalty consumed", loyalty_consumed),
        loyalty_balance=minor("loyalty balance", loyalty_balance),
        overdraft_balance=minor("overdraft balance", overdraft_balance),
        overdraft_limit=minor("overdraft limit", overdraft_limit),
        overdraft_fee=minor("overdraft fee", overdraft_fee),
        overdraft_interest=minor("overdraft interest", overdraft_interest),
        blocked=blocked,
    )
    authorization = await verbs.change(mode, msisdn, change, renew=new_authorization)
    state = await verbs.find(mode, msisdn)
    data: dict[str, Any] = {"msisdn": msisdn, "mode": mode, "momo": _momo_data(state, currency) if state else None}
    text = f"{msisdn} has mobile money: {Money(state.balance if state else 0, currency)}."
    if authorization is not None:
        # Shown once: only a digest is kept.
        data["x_authorization"] = authorization.reveal()
        text += f"\nx-authorization: {authorization.reveal()}"
    lost = f"To get another one: telvend subscriber momo {msisdn} --mode {mode} --new-authorization"
    return Output(data, text, if_lost=lost if authorization is not None else "")


@command(app, "fault")
async def fault(
    shop: "Shop",
    msisdn: Msisdn,
    part: Annotated[FaultyPart, typer.Argument(help="What is to fail.")],
    how: Annotated[str, typer.Argument(metavar="down|slow|off", help="At once, by not answering in time, or no more.")],
) -> Output:
    """Make a part of a subscriber's plans fail, so that partners see what their programs do then."""
    if how not in ("off", *Fault):
        raise InvalidInput("how", "must be down, slow or off")
    await shop.entitlements.set_fault(msisdn, part, None if how == "off" else Fault(how))
    told = "works again" if how == "off" else f"is {how}"
    return Output({"msisdn": msisdn, "part": part, "how": how}, f"The {part} of {msisdn} {told}.")
