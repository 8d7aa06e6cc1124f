"""`telvend reconcile`: a day's deliveries beside what their provider says."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from telvend.cli.common import Output, command, fail, progress, table, time_text, zone_name
from telvend.cli.listing import more_after, page, print_csv
from telvend.cli.who import By, user_of_machine
from telvend.errors import InvalidInput, NotFound
from telvend.kit.money import Currency, Money, foreign_currency
from telvend.providers.connectors import connect
from telvend.providers.upstream import ConnectorRefused, LineStatus, StatementUnavailable
from telvend.upstreams.reconciliation.leftovers import LeftoverLine, NextStep, line_of, resellers_in
from telvend.upstreams.reconciliation.model import Side
from telvend.upstreams.reconciliation.service import FarSide
from telvend.upstreams.reconciliation.statement import FIELDS, Statement, StatementOptions

if TYPE_CHECKING:
    from uuid import UUID

    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.kit.clock import Clock
    from telvend.providers.upstream import StatementLine, Upstream
    from telvend.upstreams.reconciliation.model import Comparison, Day, Reconciled

app = typer.Typer()

HISTORY: Final = "list"
"""The argument that lists what was reconciled, where no provider has this name."""

_SHOWN: Final = 50
_EVERY_S: Final = 5.0
_COLUMNS: Final = (
    "list", "what", "at", "reference", "provider_reference", "order", "email", "here", "there", "subscriber", "product", "amount",
    "cost", "charged", "currency", "next",
)  # fmt: skip

_Statement = Annotated[
    list[Path] | None,
    typer.Option(
        "--statement", metavar="FILE.csv", help="What the provider exports; may be repeated for files that overlap."
    ),
]
_Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="FIELD=HEADING",
        help=f"The heading of a field ({', '.join(FIELDS)}); without a heading the statement has none. May be repeated.",
    ),
]
_Words = Annotated[
    list[str] | None,
    typer.Option(
        "--status", metavar="WORD=STATUS", help="What a word means: delivered, failed or pending. May be repeated."
    ),
]


@command(app, "reconcile")
async def reconcile(
    shop: "Shop",
    as_json: bool,
    provider: Annotated[
        str,
        typer.Argument(metavar="PROVIDER", help="A provider of the settings; `list` says what was reconciled before."),
    ],
    date: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The day, in the shop's zone."),
    ] = None,
    statement: _Statement = None,
    column: _Columns = None,
    status: _Words = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="The zone of its times, as Africa/Lagos; without it that of the provider."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CURRENCY", help="Of its amounts, where it does not say that.")
    ] = None,
    month_first: Annotated[bool, typer.Option("--month-first", help="Its dates are 11/28/2026.")] = False,
    enter_late: Annotated[
        bool,
        typer.Option(
            "--enter-late",
            help="Enter what the statement says against decisions by hand as late reports; a list or an answer is always entered.",
        ),
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print what is left over as CSV for a spreadsheet.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many `list` shows.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Where `list` goes on.")] = None,
    by: By = None,
) -> Output | None:
    """Compare a day with what a provider says of it: its statement, its list of transactions, or its answers.

    `only_there` is what the provider delivered and our books do not know or have failed: money lost, also after a restore.
    `only_here` is what our books have delivered and the provider does not. Moves no money of a wallet; each line says which command
    does. What the provider lists or answers against a decision by hand is entered as a late report, once (`late`); what a statement
    says only with --enter-late. What was found is recorded; running it again is harmless. Exit code 1 where anything is left over.
    """
    settings = shop.settings
    if provider == HISTORY and HISTORY not in shop.provider_names:
        return await _history(shop, before, limit)
    if date is None:
        raise InvalidInput("date", "is missing: --date YYYY-MM-DD")
    if not statement and (column or status or zone or currency or month_first or enter_late):
        raise InvalidInput(
            "statement",
            "is missing: --column, --status, --zone, --currency, --month-first and --enter-late are about one",
        )
    day = await shop.reconciliations.day(date.date())
    known = provider in shop.provider_names
    # One that is not in the settings any more may still have a statement.
    if not known and not (statement and await shop.reconciliations.knows(provider)):
        raise NotFound(
            "Provider", f"There is no provider {provider}; the settings name {', '.join(sorted(shop.provider_names))}."
        )
    comparison = _Reconciling(
        shop, provider, day, by or user_of_machine(), enters=enter_late or not statement, as_csv=as_csv and not as_json
    )
    if statement:
        options = StatementOptions(
            _named(column, "column", FIELDS),
            _statuses(status),
            _zone(zone or await _zone_of(shop, provider) or settings.timezone),
            await _currency(shop, provider, currency),
            month_first,
        )
        read = Statement(statement, options)
        if enter_late and "status" not in read.columns:
            raise InvalidInput(
                "enter-late", "needs a statement with statuses: this one does not say what was delivered"
            )
        headings = ", ".join(f"{name} from {heading!r}" for name, heading in read.columns.items())
        progress(f"telvend: reading {headings}; times are of {options.zone.key}.")
        return await comparison.make(FarSide.STATEMENT, _stream(read), read)
    if provider not in settings.providers:
        fail(f"{provider} is no upstream that could be asked; compare with what it exports: --statement FILE.csv.")
    try:
        upstream = connect(provider, settings.providers[provider], shop.clock)
    except ConnectorRefused as refused:
        fail(f"{refused}.")
    try:
        source, lines = await _asked(shop, upstream, day)
        return await comparison.make(source, lines, None)
    finally:
        await upstream.close()


@dataclass(frozen=True, slots=True)
class _Reconciling:
    """One reconciliation, before the provider's lines are read."""

    shop: "Shop"
    provider: str
    day: "Day"
    by: str
    enters: bool
    as_csv: bool

    async def make(
        self, source: FarSide, lines: "AsyncIterable[StatementLine]", read: Statement | None
    ) -> Output | None:
        """Compare, record the result, and return or print it."""
        shop = self.shop
        try:
            enter = shop.jobs.settle if self.enters else None
            report = await shop.reconciliations.compare(self.provider, self.day, _counted(lines, shop.clock), enter)
        except StatementUnavailable as error:
            fail(f"Nothing is reconciled: {error}.")
        digest = read.digest if read is not None else ""
        recorded = await shop.reconciliations.record(self.provider, self.day, source, digest, report, by_whom=self.by)
        notes = _notes(report, self.day, read, source, recorded.made_at)
        emails = await _emails(shop, report)
        if self.as_csv:
            await print_csv(_COLUMNS, _rows(report, emails, self.provider))
            for note in notes:
                progress(f"telvend: {note}")
            raise typer.Exit(0 if report.agrees else 1)
        return _output(report, recorded, emails, notes, read)


# Options ------------------------------------------------------------------------------------------------------------------


def _named(given: Sequence[str] | None, field: str, known: Mapping[str, Any]) -> dict[str, str]:
    """`NAME=VALUE`, each once. Raises InvalidInput."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise InvalidInput(field, f"{text!r} must be FIELD=HEADING with a field of {', '.join(known)}")
        if name in found:
            raise InvalidInput(field, f"{name} is there twice")
        found[name] = value.strip()
    return found


def _statuses(given: Sequence[str] | None) -> dict[str, LineStatus]:
    meanings = {one.value: one for one in (LineStatus.DELIVERED, LineStatus.FAILED, LineStatus.PENDING)}
    found = {}
    for text in given or ():
        word, _, meaning = text.rpartition("=")
        if not word or meaning not in meanings:
            raise InvalidInput("status", f"{text!r} must be WORD=STATUS with a status of {', '.join(meanings)}")
        found[word.strip().casefold()] = meanings[meaning]
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("zone", f"{name} is no zone that is known here, such as Africa/Lagos") from None


async def _zone_of(shop: "Shop", provider: str) -> str:
    """The zone in which the vendor exports times; empty if unknown."""
    table = shop.settings.providers.get(provider)
    if table is None:
        return ""
    try:
        upstream = connect(provider, table, shop.clock)
    except ConnectorRefused:
        return ""  # Its keys may have gone; the statement is there all the same.
    await upstream.close()
    return upstream.zone


async def _currency(shop: "Shop", provider: str, given: str | None) -> Currency | None:
    """The currency of amounts without one: what was said, else that of the provider's float."""
    if given is not None:
        try:
            return foreign_currency(given.upper())
        except ValueError as error:
            raise InvalidInput("currency", str(error)) from None
    read = next((one.amount for one in await shop.upstreams.floats() if one.provider == provider), None)
    return read.currency if read is not None else await shop.reconciliations.currency_of(provider)


# The provider's side ------------------------------------------------------------------------------------------------------


async def _stream(read: Statement) -> "AsyncIterator[StatementLine]":
    for line in read.lines():
        yield line


async def _asked(shop: "Shop", provider: "Upstream", day: "Day") -> "tuple[FarSide, AsyncIterable[StatementLine]]":
    """The provider's list of transactions, or its answers about each attempt."""
    from telvend.providers.upstream import ListsTransactions
    from telvend.upstreams.reconciliation.asking import asked

    if isinstance(provider, ListsTransactions):
        progress(f"telvend: reading the transactions that {provider.name} lists.")
        return FarSide.LIST, provider.statement(day.begins_at, day.ends_at)
    attempts = await shop.reconciliations.attempts_of(provider.name, day)
    why = provider.without_list or f"{provider.name} lists no transactions"
    progress(
        f"telvend: {why}: asking about each of {len(attempts)} attempts. --statement FILE.csv compares with its export."
    )
    return FarSide.REQUERY, asked(provider, attempts, shop.clock, shop.jobs.rivals)


async def _counted(lines: "AsyncIterable[StatementLine]", clock: "Clock") -> "AsyncIterator[StatementLine]":
    """Yield the lines; report their number on stderr every few seconds."""
    count, said_at = 0, clock.monotonic()
    async for line in lines:
        count += 1
        if clock.monotonic() - said_at >= _EVERY_S:
            said_at = clock.monotonic()
            progress(f"telvend: {count:,} lines")
        yield line


def _notes(report: "Comparison", day: "Day", read: Statement | None, source: FarSide, now: datetime) -> list[str]:
    """Return the caveats of a result."""
    notes = []
    if now < day.ends_at:
        notes.append("The day is not over: what began while this was read, and what comes, is not in it.")
    if source is FarSide.REQUERY:
        notes.append(
            "The provider was asked about what our books know. What they do not know stands only in its statement:"
            " --statement FILE.csv."
        )
    if read is not None and "status" not in read.columns:
        notes.append("The statement has no column of statuses: every line counts as delivered.")
    if read is not None and "at" not in read.columns:
        notes.append("The statement has no column of times: every line counts as of this day.")
    if read is not None:
        notes += read.problems
    if report.by_number:
        notes.append(
            f"{report.by_number} were found by number, amount and time: the provider does not show our references."
        )
    last, unlisted = report.last_line_at, [one for one in report.of(Side.ONLY_HERE) if one.line is None]
    if source is FarSide.STATEMENT and last is not None and day.begins_at <= last < day.ends_at:
        later = sum(one.attempt is not None and one.attempt.started_at > last for one in unlisted)
        if later:
            notes.append(
                f"{later} began after the statement's last line ({time_text(last)} {zone_name()}): add the export of the day after"
                " as a second --statement."
            )
    return notes


# What was found -----------------------------------------------------------------------------------------------------------


async def _emails(shop: "Shop", report: "Comparison") -> "Mapping[UUID, str]":
    numbers = resellers_in(line_of(one) for one in report.leftovers)
    return await shop.resellers.emails(numbers) if numbers else {}


@dataclass(frozen=True, slots=True)
class _Named:
    """A leftover with the address of who bought it."""

    line: LeftoverLine
    email: str
    provider: str

    @property
    def what(self) -> str:
        return ", ".join(self.line.aspects)

    def data(self) -> dict[str, Any]:
        line = self.line
        money = line.charged or line.amount or line.cost
        return {
            "list": line.side,
            "what": [*line.aspects],
            "at": line.at,
            "reference": line.reference,
            "provider_reference": line.provider_reference,
            "order": line.order or None,
            "email": self.email or None,
            "here": line.here,
            "there": line.there,
            "there_says": line.there_says,
            "times": line.times,
            "subscriber": line.subscriber,
            "there_subscriber": line.there_subscriber,
            "product": line.product,
            "amount": None if line.amount is None else line.amount.decimal,
            "cost": None if line.cost is None else line.cost.decimal,
            "charged": None if line.charged is None else line.charged.decimal,
            "currency": None if money is None else money.currency.code,
            "next": self.next,
        }

    @property
    def next(self) -> str:
        """The next step for the operator, with the command that does it."""
        line, name, order, email = self.line, self.provider, self.line.order, self.email
        match line.step:
            case NextStep.REPEATED:
                return f"Delivered {line.times} times under one reference: ask {name} to pay all but one back."
            case NextStep.TRIAL:
                is_open = line.here is not None and line.here.open
                asks = f"`telvend provider trials --reference {line.reference}` asks; " if is_open else ""
                return f"A trial, for which no wallet has paid: {asks}settle it with {name}."
            case NextStep.DECIDED:
                return (
                    f"{order} was decided by hand: `telvend order ask {order}` asks {name} once more; where the statement is right,"
                    " this command with --enter-late enters it as a write-off."
                )
            case NextStep.REFUND:
                return (
                    f"Ask {name}. Where the recipient has nothing: `telvend order refund {order} --reason … --by WHO` gives the price"
                    f" back, and {name} owes you {line.cost}."
                )
            case NextStep.CHARGE:
                currency = "" if line.cost is None else line.cost.currency
                return (
                    f"The recipient has it, and {email} has the money back. Where {email} agrees:"
                    f" `telvend wallet debit {email} AMOUNT {currency} --reference {line.reference} --reason …`;"
                    f" else it is the shop's loss of {line.cost}."
                )
            case NextStep.OTHER_ATTEMPT:
                return f"{order} was delivered by another attempt too: ask {name} to pay this one back."
            case NextStep.RESOLVE:
                return f"`telvend order resolve {order} --delivered --note …`, before it is delivered once more."
            case NextStep.WAIT:
                return f"Not settled at {name} yet; reconcile again when it is."
            case NextStep.ASK:
                return (
                    f"`telvend order ask {order}` asks {name} now; where it stays open,"
                    f" `telvend order resolve {order} --delivered|--failed --note …` decides it."
                )
            case NextStep.NUMBER:
                return f"Delivered to another number than {order} was bought for: ask {name}."
            case NextStep.COST:
                return (
                    f"The ledger keeps {line.cost}. Ask {name}, or say what it takes from now on:"
                    f" `telvend product offer {line.product} {name} COST`."
                )
            case NextStep.REFERENCES:
                return f"Compare the references with {name}."
            case NextStep.UNKNOWN_OPEN:
                return f"Look at it in the statement; ask {name} where it is not settled."
            case NextStep.UNKNOWN:
                number = f" --subscriber {line.there_subscriber}" if line.there_subscriber else ""
                return (
                    f"Not in our books, as what was sold after the moment of a restore: `telvend order list{number}` may show who"
                    f" bought; `telvend wallet debit EMAIL AMOUNT CURRENCY --reference … --reason …` charges it. Else ask {name}."
                )


def _of(report: "Comparison", emails: "Mapping[UUID, str]", provider: str, side: Side | None = None) -> list[_Named]:
    lines = [line_of(one) for one in report.leftovers if side is None or one.side is side]
    return [_Named(one, emails.get(one.reseller_id, "") if one.reseller_id else "", provider) for one in lines]


async def _rows(
    report: "Comparison", emails: "Mapping[UUID, str]", provider: str
) -> AsyncIterator[list[Mapping[str, Any]]]:
    for one in _of(report, emails, provider):
        yield [one.data() | {"what": one.what, "list": one.line.side.value}]


def _output(
    report: "Comparison",
    recorded: "Reconciled",
    emails: "Mapping[UUID, str]",
    notes: Sequence[str],
    read: Statement | None,
) -> Output:
    provider = recorded.provider
    lists = {side: _of(report, emails, provider, side) for side in Side}
    data: dict[str, Any] = {
        **_recorded_data(recorded),
        "matched": report.matched,
        **{side.value: [one.data() for one in found] for side, found in lists.items()},
        "late": [
            {
                "order": one.attempt.order_reference,
                "attempt": one.attempt.number,
                "reference": one.attempt.reference,
                "delivered": one.delivered,
                "amount": one.attempt.cost.decimal,
                "currency": one.attempt.currency.code,
            }
            for one in report.late
        ],
        "undelivered": report.undelivered,
        "by_number": report.by_number,
        "other_days": report.other_days,
        "elsewhere": {unit.code: Money(minor, unit).decimal for unit, minor in report.elsewhere.items()},
        "unreadable": 0 if read is None else read.unreadable,
        "notes": [*notes],
    }

    def show(console: "Console") -> None:
        def say(text: str) -> None:
            console.print(text, markup=False)

        for side, title in _TITLES.items():
            if not lists[side]:
                continue
            rows = [_row(one.data()) for one in lists[side][:_SHOWN]]
            columns = (
                "what",
                f"at ({zone_name()})",
                "reference",
                "theirs",
                "order",
                "for",
                "product",
                "here",
                "there",
                "cost",
                "took",
                "",
            )
            table(title.format(provider=provider), columns, rows, "")(console)
            for text in dict.fromkeys(one.next for one in lists[side][:_SHOWN]):
                say(f"  {text}")
            if (more := len(lists[side]) - _SHOWN) > 0:
                say(f"  and {more} more: --csv has all")
            say("")
        for entered in report.late:
            attempt = entered.attempt
            says, moved = (
                ("delivered", f"{provider} takes {attempt.cost}")
                if entered.delivered
                else ("not delivered", f"{provider} gives {attempt.cost} back")
            )
            say(
                f"{attempt.order_reference}, attempt {attempt.number}, was {says}, against the decision by hand: {moved}, entered as"
                " a write-off just now."
            )
        if report.late:
            say("What providers said against decisions: telvend order late-reports")
        for unit, costs in report.costs.items():
            ours, theirs = Money(costs.ledger_minor, unit), Money(costs.charged_minor, unit)
            difference = Money(abs(costs.difference_minor), unit)
            words = (
                "no difference"
                if not costs.difference_minor
                else (f"{provider} took {difference} {'more' if costs.difference_minor > 0 else 'less'}")
            )
            unsaid = f"; {costs.unsaid} without a cost of theirs" if costs.unsaid else ""
            say(f"The ledger has costs of {ours}, {provider} of {theirs}: {words}{unsaid}.")
        for unit, minor in report.elsewhere.items():
            say(f"{provider} took {Money(minor, unit)} for what the ledger has in another currency.")
        for note in notes:
            say(note)
        counts = f"{report.matched} of {report.attempts} attempts agree"
        left = ", ".join(f"{len(found)} {side.value.replace('_', ' ')}" for side, found in lists.items() if found)
        say(
            f"{recorded.day} ({recorded.zone}), {provider}: {counts}{'; ' + left if left else ', nothing is left over'}."
        )

    return Output(data, show=show, exit_code=0 if report.agrees else 1)


_TITLES: Final = {
    Side.ONLY_THERE: "Delivered by {provider}, and not here: money lost",
    Side.ONLY_HERE: "Delivered here, and not by {provider}",
    Side.DIFFERENT: "On both sides, and not the same",
}


def _row(data: Mapping[str, Any]) -> tuple[Any, ...]:
    at = data["at"]
    return (
        ", ".join(data["what"]), "" if at is None else time_text(at), data["reference"], data["provider_reference"],
        data["order"] or "", data["subscriber"], data["product"], data["here"] or "unknown", data["there"] or "unknown",
        data["cost"], data["charged"], data["currency"],
    )  # fmt: skip


def _recorded_data(recorded: "Reconciled") -> dict[str, Any]:
    return {
        "id": recorded.id,
        "provider": recorded.provider,
        "date": recorded.day,
        "zone": recorded.zone,
        "source": recorded.source,
        "statement_sha256": recorded.digest or None,
        "lines": recorded.lines,
        "attempts": recorded.attempts,
        "costs": {
            unit.code: {
                "ledger": Money(one.ledger_minor, unit).decimal,
                "charged": Money(one.charged_minor, unit).decimal,
                "difference": Money(one.difference_minor, unit).decimal,
                "unsaid": one.unsaid,
            }
            for unit, one in recorded.costs.items()
        },
        "by": recorded.by_whom,
        "made_at": recorded.made_at,
    }


async def _history(shop: "Shop", before: int | None, limit: int) -> Output:
    """What was reconciled, newest first."""

    async def fetch(before: int | None, count: int) -> "Sequence[Reconciled]":
        return await shop.reconciliations.page(None, before=before, limit=count)

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda one: one.id, fetch)
    rows = [
        (
            one.id, time_text(one.made_at), one.provider, one.day.isoformat(), one.source, one.attempts, one.matched, one.only_there,
            one.only_here, one.different, one.by_whom,
        )
        for one in found
    ]  # fmt: skip
    columns = (
        "number",
        f"at ({zone_name()})",
        "provider",
        "day",
        "from",
        "attempts",
        "matched",
        "only there",
        "only here",
        "different",
        "by",
    )
    listed = [
        _recorded_data(one)
        | {
            "matched": one.matched,
            "only_here": one.only_here,
            "only_there": one.only_there,
            "different": one.different,
        }
        for one in found
    ]
    data = {"reconciliations": listed, "next": more.following, **more.left_off}
    return Output(data, show=page(columns, rows, "Nothing was reconciled yet.", more))
