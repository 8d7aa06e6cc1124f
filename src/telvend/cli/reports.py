"""`telvend report`: what was sold, earned and is owed, by day; and the closing of a month."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import AsCsv, print_csv
from telvend.cli.who import user_of_machine
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.ledger.model import AccountKind
from telvend.reports.columns import EARNED, FLOATS, OUTCOMES, PROVISIONAL, SOLD, WALLETS, Minor, Told
from telvend.reports.model import By, ClosedMonth, Month, RowKey

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.fulfilment.provisional.model import OpenCredits
    from telvend.reports.model import ReportTable
    from telvend.reports.service import Reports

app = typer.Typer()

From = Annotated[
    datetime | None,
    typer.Option(
        "--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The first day, in the shop's zone; today without."
    ),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day, included; today without."),
]
InMode = Annotated[Mode, typer.Option(help="Real money, or play money.")]

_NAMED_AT_MOST: Final = 20
_AT_A_TIME: Final = 1000
_BY_SALE: Final = "One row for each; may be repeated. By day without."

Read = Callable[["Reports", date, date, Sequence[By], Mode], Awaitable["ReportTable[Any]"]]


def _add(
    name: str, text: str, told: Told, default: Sequence[By], by_help: str, read: Read, *, lends: bool = False
) -> None:
    """Add the command of a report. `default`: its rows where --by is not given. `lends`: it says what is lent to wallets now."""

    async def report(
        shop: "Shop",
        as_json: bool,
        first: From = None,
        last: To = None,
        by: Annotated[list[By] | None, typer.Option("--by", help=by_help)] = None,
        mode: InMode = Mode.LIVE,
        as_csv: AsCsv = False,
    ) -> Output | None:
        days = await _days(shop, first, last)
        found = await read(shop.reports, *days, by or default, mode)
        credits_ = await shop.provisional.open_totals() if lends and mode is Mode.LIVE else []
        return await _printed(shop, found, told, by or default, days, mode, credits_, as_csv=as_csv and not as_json)

    report.__doc__ = text
    command(app, name)(report)


_add(
    "sales",
    "What was sold: sales count in the day in which they became final, refunds in that in which they were made.",
    SOLD,
    [By.DAY],
    _BY_SALE,
    lambda reports, first, last, by, mode: reports.sales(first, last, by, mode),
)
_add(
    "margin",
    "What was left of what was sold, after cost, refunds, and play money and provisional credits that were written off.",
    EARNED,
    [By.DAY],
    _BY_SALE,
    lambda reports, first, last, by, mode: reports.sales(first, last, by, mode, with_cost=True),
    lends=True,
)
_add(
    "outcomes",
    "How many sales were delivered and how many failed, by day and network where --by does not say otherwise.",
    OUTCOMES,
    [By.DAY, By.NETWORK],
    _BY_SALE,
    lambda reports, first, last, by, mode: reports.sales(first, last, by, mode),
    lends=True,
)
_add(
    "floats",
    "What each provider has earned from us: before, in these days, and in all.",
    FLOATS,
    [By.PROVIDER],
    "day or provider; may be repeated. By provider without.",
    lambda reports, first, last, by, mode: reports.holdings(AccountKind.PROVIDER, first, last, by, mode),
)
_add(
    "wallets",
    "What is owed to resellers: opening balance, what came and went, and closing balance of their wallets.",
    WALLETS,
    [By.RESELLER],
    "day or reseller; may be repeated. By reseller without.",
    lambda reports, first, last, by, mode: reports.holdings(AccountKind.WALLET, first, last, by, mode),
)
_add(
    "provisional",
    "What is lent to wallets for orders whose outcome is unknown: before, given, reversed, written off, and still open.",
    PROVISIONAL,
    [],
    "day. By currency without.",
    lambda reports, first, last, by, mode: reports.holdings(AccountKind.PROVISIONAL_CREDIT, first, last, by, mode),
)


@command(app, "close")
async def close(
    shop: "Shop",
    month: Annotated[str, typer.Argument(metavar="MONTH", help="Such as 2026-11; it has to be over.")],
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="WHO", help="Who closes it; without it the user of this machine.", show_default=False
        ),
    ] = None,
) -> Output:
    """Seal a month: its figures never change afterwards. What is corrected later stands in the month in which it is corrected."""
    done = await shop.reports.close(Month.parse(month), by or user_of_machine())
    text = f"{done.month.month} is closed: {done.month.transfers} transfers, digest {done.month.digest}."
    if done.open_sales:
        named = ", ".join(done.open_sales[:_NAMED_AT_MOST])
        more = len(done.open_sales) - _NAMED_AT_MOST
        text += (
            f"\n{len(done.open_sales)} of the sales begun before its end are still open, and count in the month in which they end:"
            f" {named}{f' and {more} more' if more > 0 else ''}."
        )
    return Output(_month(done.month) | {"open": done.open_sales}, text)


@command(app, "months")
async def months(
    shop: "Shop",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare each with its digest and the ledger; exit code 1 where one does not agree."
        ),
    ] = False,
) -> Output:
    """The months that are closed."""
    closed = await shop.reports.closed()
    findings = await shop.reports.findings() if check else []
    rows = [
        (str(one.month), one.zone, one.transfers, time_text(one.closed_at), one.by_whom, one.digest[:12])
        for one in closed
    ]
    listed = table(
        "",
        ("month", "zone", "transfers", f"closed ({zone_name()})", "by", "digest"),
        rows,
        "No month is closed.",
    )

    def show(console: "Console") -> None:
        listed(console)
        for text in findings:
            console.print(text, markup=False)
        if check and not findings:
            console.print("What was sealed is as it was, and agrees with the ledger.")

    data: dict[str, Any] = {"months": [_month(one) for one in closed]}
    if check:
        data |= {"ok": not findings, "findings": findings}
    return Output(data, show=show, exit_code=1 if findings else 0)


def _month(closed: ClosedMonth) -> dict[str, Any]:
    return {
        "month": str(closed.month),
        "zone": closed.zone,
        "begins_at": closed.begins_at,
        "ends_at": closed.ends_at,
        "transfers": closed.transfers,
        "digest": closed.digest,
        "closed_at": closed.closed_at,
        "by": closed.by_whom,
    }


async def _days(shop: "Shop", first: datetime | None, last: datetime | None) -> tuple[date, date]:
    """The days that were named, or today. Raises InvalidInput, Busy."""
    if first is not None and last is not None:
        return first.date(), last.date()
    today = await shop.reports.today()
    if first is None and last is not None and last.date() < today:
        raise InvalidInput("from", "is missing: --to is before today")
    return (today if first is None else first.date()), (today if last is None else last.date())


async def _printed(
    shop: "Shop",
    report: "ReportTable[Any]",
    told: Told,
    by: Sequence[By],
    days: tuple[date, date],
    mode: Mode,
    lent: "Sequence[OpenCredits]",
    *,
    as_csv: bool,
) -> Output | None:
    resellers = {UUID(key.reseller_id) for key in report.rows if key.reseller_id is not None}
    emails = {str(number): email for number, email in (await shop.resellers.emails(resellers)).items()}
    names = [one.value for one in By if one in by]
    columns = [*names, "currency", *told]
    rows = [_row(key, names, emails) | _figures(value, told, key.currency) for key, value in report.rows.items()]
    if as_csv:
        await print_csv(columns, _some_at_a_time(rows))
        return None
    total = {currency: _figures(value, told, currency) for currency, value in report.totals.items()}
    data = {"from": days[0], "to": days[1], "zone": shop.settings.timezone, "mode": mode, "rows": rows, "total": total}
    if lent:
        data["provisional_credits_open"] = {
            one.amount.currency.code: {"orders": one.count, "amount": one.amount.decimal} for one in lent
        }
    printed = [[row[name] for name in columns] for row in rows]
    if len(rows) > 1:
        printed += [
            [*("total" if number == 0 else "" for number in range(len(names))), currency, *figures.values()]
            for currency, figures in total.items()
        ]
    title = f"{days[0]} to {days[1]} ({zone_name()}{', play money' if mode is Mode.TEST else ''})"
    heads = [name.replace("_", " ") for name in columns]

    def show(console: "Console") -> None:
        table(title, heads, printed, "Nothing has moved in these days.")(console)
        for one in lent:
            console.print(
                f"\nProvisional credits open now: {one.amount} for {one.count} order{'s' if one.count > 1 else ''}"
            )

    return Output(data, show=show)


def _row(key: RowKey, names: Sequence[str], emails: Mapping[str, str]) -> dict[str, Any]:
    reseller = None if key.reseller_id is None else emails[key.reseller_id]
    parts = {
        "day": None if key.day is None else key.day.isoformat(),
        "reseller": reseller,
        "network": key.network,
        "provider": key.provider,
        "product": key.product,
    }
    return {name: parts[name] for name in names} | {"currency": key.currency}


def _figures(value: Any, told: Told, currency: str) -> dict[str, Any]:
    figures = {name: say(value) for name, say in told.items()}
    unit = currency_of(currency)
    return {
        name: Money(figure, unit).decimal if isinstance(figure, Minor) else figure for name, figure in figures.items()
    }


async def _some_at_a_time(rows: Sequence[dict[str, Any]]) -> AsyncIterator[Iterable[dict[str, Any]]]:
    for number in range(0, len(rows), _AT_A_TIME):
        yield rows[number : number + _AT_A_TIME]
