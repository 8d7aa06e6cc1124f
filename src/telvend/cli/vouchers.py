"""`telvend voucher`: issue vouchers, stop and mark them, reserve one, and see who is locked out.

A PIN is shown once, when it is issued, and is never an argument: others on the machine can read those, and a shell keeps them.
"""

import getpass
import sys
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.arguments import NUMBER, parsed_amount, parsed_currency, parsed_msisdn
from telvend.cli.common import Output, command, progress, time_text, zone_name
from telvend.cli.listing import first, more_after, page
from telvend.cli.streams import OutputLost
from telvend.cli.voucher_output import NewFile, Printed, VoucherOutput, bar, cards, csv_lines
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret
from telvend.operator.refills.service import require_pin
from telvend.operator.vouchers.guard.model import Guarded
from telvend.operator.vouchers.model import Batch, Voucher, VoucherState
from telvend.operator.vouchers.pins import POSSIBLE_PINS
from telvend.operator.vouchers.service import LARGEST_BATCH, standing_of

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

InMode = Annotated[Mode, typer.Option(help="Real vouchers, or play ones for test keys.")]
Name = Annotated[str, typer.Option("--as", help="By which name it is reserved.")]


# Issuing ------------------------------------------------------------------------------------------------------------------


@command(app, "issue")
async def issue(
    shop: "Shop",
    amount: Annotated[str, typer.Option(help="What each is worth, in whole units, such as 100 or 4.50.")],
    currency: Annotated[str, typer.Option(help="NGN, GHS, …")],
    count: Annotated[int, typer.Option(min=1, max=LARGEST_BATCH, help="How many.")],
    as_json: bool,
    profile: Annotated[str, typer.Option(help="The refill profile that says what the amount turns into.")] = "DB00",
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day on which they can be loaded (UTC).")
    ] = None,
    mode: InMode = Mode.LIVE,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", help="Write them to this new file, for a printer or a spreadsheet.")
    ] = None,
    as_sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write cards to print and cut to this new file, as HTML.")
    ] = None,
) -> Output | None:
    """Make vouchers. Their PINs are shown this once, or written to files; then they can be loaded."""
    unit = parsed_currency(currency)
    money = parsed_amount(amount, unit)
    expires_at = None if expires is None else _end_of(expires.date())
    with ExitStack() as stack:
        outs = [
            stack.enter_context(NewFile(path, writer(money, mode, expires_at)))
            for path, writer in ((as_csv, csv_lines), (as_sheet, cards))
            if path is not None
        ]
        printed = Printed(as_json) if not outs else None
        receiver = VoucherOutput(outs, printed, stack.enter_context(bar(count)), count)
        try:
            batch = await shop.vouchers.issue(money, count, receiver, mode=mode, profile=profile, expires_at=expires_at)
        except OutputLost as error:
            raise InvalidInput(
                "", f"The vouchers could not be printed ({error}), so none of them can be loaded."
            ) from None
    progress(odds(batch.count))
    if printed is None:
        text = (
            f"Batch {batch.id}: {batch.count:,} vouchers of {batch.amount} can be loaded now.\n"
            f"Their PINs are in {' and '.join(str(out.path) for out in outs)}, and nowhere else."
        )
        return Output(_batch_data(batch) | {"files": [str(out.path) for out in outs]}, text)
    try:
        printed.close(batch, _batch_data(batch))
    except OutputLost as error:
        # All PINs have been printed, and can be loaded.
        progress(f"telvend: Done, but the end of the output could not be written: {error}.")
    return None


def odds(count: int) -> str:
    """How likely a guess is to hit a batch, in a sentence."""
    return (
        f"A guess hits one of these {count:,} once in {POSSIBLE_PINS // count:,} tries; five wrong ones lock who tries."
    )


def _end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


# Batches ------------------------------------------------------------------------------------------------------------------


def _batch_data(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "mode": batch.mode,
        "amount": batch.amount.decimal,
        "currency": batch.amount.currency.code,
        "profile": batch.profile,
        "first_serial": batch.first_serial,
        "count": batch.count,
        "issued": batch.issued,
        "state": batch.state,
        "why": batch.why,
        "expires_at": batch.expires_at,
        "created_at": batch.created_at,
        "guess_hits_once_in": POSSIBLE_PINS // batch.count,
    }


@command(app, "batches")
async def batches(
    shop: "Shop",
    mode: Annotated[Mode | None, typer.Option(help="Only real, or only play vouchers.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this batch, downwards.")] = None,
) -> Output:
    """List batches, newest first."""

    async def fetch(before: int | None, count: int) -> list[tuple[Batch, int]]:
        return await shop.vouchers.batches(mode=mode, before=before, limit=count)

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda one: one[0].id, fetch)
    rows = [
        (
            batch.id,
            time_text(batch.created_at),
            batch.mode,
            batch.amount.decimal,
            batch.amount.currency.code,
            batch.profile,
            batch.first_serial,
            batch.count,
            used,
            "" if batch.expires_at is None else time_text(batch.expires_at),
            standing_of(batch),
        )
        for batch, used in found
    ]
    columns = (
        "batch", f"issued ({zone_name()})", "mode", "amount", "", "profile", "first serial", "count", "loaded",
        f"ends ({zone_name()})", "state",
    )  # fmt: skip
    data = [_batch_data(batch) | {"used": used} for batch, used in found]
    return Output(
        {"batches": data, "next": more.following, **more.left_off},
        show=page(columns, rows, "No vouchers were issued yet.", more),
    )


@command(app, "stop")
async def stop(
    shop: "Shop",
    batch_id: Annotated[int, typer.Argument(metavar="BATCH", min=1, max=2**62, help="The batch's number.")],
    why: Annotated[str, typer.Option(help="What happened; kept with the batch.")] = "",
) -> Output:
    """Let no voucher of a batch be loaded any more, for good: it was stolen, or misprinted."""
    batch = await shop.vouchers.stop(batch_id, why)
    return Output(_batch_data(batch), f"Batch {batch.id} is stopped. What was loaded before stays loaded.")


# Single ones --------------------------------------------------------------------------------------------------------------


def _data(voucher: Voucher) -> dict[str, Any]:
    return {
        "serial": voucher.serial,
        "batch": voucher.batch_id,
        "mode": voucher.mode,
        "amount": voucher.amount.decimal,
        "currency": voucher.amount.currency.code,
        "profile": voucher.profile,
        "state": voucher.state,
        "expires_at": voucher.expires_at,
        "reservation": voucher.reservation,
        "reserved_until": voucher.reserved_until,
        "msisdn": voucher.msisdn,
        "refill": voucher.refill,
        "changed_at": voucher.changed_at,
    }


@command(app, "list")
async def list_vouchers(
    shop: "Shop",
    batch_id: Annotated[int | None, typer.Option("--batch", min=1, max=2**62, help="Only of this batch.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on from this serial, upwards.")] = None,
) -> Output:
    """List vouchers by their serials, without PINs."""

    async def fetch(after: str | None, count: int) -> list[Voucher]:
        return await shop.vouchers.listed(batch_id=batch_id, after=after, limit=count)

    found = await fetch(after, limit)
    more = await more_after(found, limit, lambda voucher: voucher.serial, fetch, "--after")
    rows = [
        (v.serial, v.batch_id, v.mode, v.amount.decimal, v.amount.currency.code, v.state, v.msisdn, v.refill)
        for v in found
    ]
    columns = ("serial", "batch", "mode", "amount", "", "state", "loaded by", "refill")
    return Output(
        {"vouchers": [_data(voucher) for voucher in found], "next": more.following, **more.left_off},
        show=page(columns, rows, "There are no such vouchers.", more),
    )


@command(app, "show")
async def show(shop: "Shop", serial: Annotated[str, typer.Argument(help="What is printed beside the PIN.")]) -> Output:
    """One voucher: where it stands, and who loaded it."""
    return _shown(await shop.vouchers.find(serial))


def _shown(voucher: Voucher) -> Output:
    text = f"{voucher.serial}: {voucher.amount} ({voucher.mode}), batch {voucher.batch_id}, is {voucher.state}"
    if voucher.msisdn is not None:
        text += f", loaded by {voucher.msisdn}: telvend refill show {voucher.refill}"
    elif voucher.state is VoucherState.RESERVED and voucher.reserved_until is not None:
        text += f" as {voucher.reservation} until {time_text(voucher.reserved_until)} {zone_name()}"
    return Output(_data(voucher), f"{text}.")


@command(app, "mark")
async def mark(
    shop: "Shop",
    serials: Annotated[list[str], typer.Argument(help="Serials, or ranges FIRST-LAST, both included.")],
    state: Annotated[VoucherState, typer.Option(help="damaged, stolen, or available after all.")],
) -> Output:
    """Say what has become of vouchers. One that was loaded stays so."""
    done = []
    for text in serials:
        first, _, last = text.partition("-")
        done.append(await shop.vouchers.mark(first, last or first, state))
    changed, used, unknown = (
        sum(counts) for counts in zip(*((m.changed, m.used, m.unknown) for m in done), strict=True)
    )
    examples = [serial for one in done for serial in one.examples]
    text = f"{changed:,} vouchers are {state} now."
    if used:
        text += f" {used:,} had been loaded and stay so: {', '.join(examples[:5])}{' …' if used > 5 else ''}."
    if unknown:
        text += f" There is no voucher under {unknown:,} of the serials."
    return Output(
        {"state": state, "changed": changed, "used": used, "used_serials": examples, "unknown": unknown}, text
    )


# Reserving ----------------------------------------------------------------------------------------------------------------


@command(app, "reserve")
async def reserve(
    shop: "Shop",
    name: Name,
    seconds: Annotated[
        int, typer.Option(min=1, max=604_800, help="How long it is kept; then it is available again.")
    ] = 60,
    mode: InMode = Mode.LIVE,
) -> Output:
    """Keep a voucher for somebody who is about to load it. Its PIN is read from stdin."""
    return _shown(await shop.vouchers.reserve(mode, _pin(), name, timedelta(seconds=seconds)))


@command(app, "commit")
async def commit(
    shop: "Shop",
    msisdn: Annotated[str, typer.Argument(help="Who gets it: a mobile number."), NUMBER],
    name: Name,
    mode: InMode = Mode.LIVE,
) -> Output:
    """Load a reserved voucher for a subscriber. Its PIN is read from stdin; again does nothing more."""
    pin = _pin()
    await shop.watch.look()
    done = await shop.refills.commit(mode, pin, name, msisdn)
    refill = done.refill
    return Output(
        {
            "reference": refill.reference,
            "serial": refill.serial,
            "msisdn": refill.msisdn,
            "amount": refill.amount.decimal,
            "currency": refill.amount.currency.code,
            "replayed": done.replayed,
        },
        f"{refill.msisdn} has got {refill.amount}: telvend refill show {refill.reference}",
    )


@command(app, "release")
async def release(shop: "Shop", name: Name, mode: InMode = Mode.LIVE) -> Output:
    """Give a reserved voucher back. Its PIN is read from stdin."""
    return _shown(await shop.vouchers.release(mode, _pin(), name))


def _pin() -> Secret:
    """From a prompt without echo, or the first line of stdin. Spaces, as they are printed, do no harm. Raises InvalidInput."""
    text = getpass.getpass("PIN: ", stream=sys.stderr) if sys.stdin.isatty() else sys.stdin.readline()
    pin = Secret("".join(text.split()))
    require_pin(pin)
    return pin


# Who is locked out --------------------------------------------------------------------------------------------------------


@command(app, "locks")
async def locks(
    shop: "Shop", limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 50
) -> Output:
    """Who has sent wrong PINs in a row, the last one first, and until when they are locked. A source never is."""
    found, more = await first(limit, shop.vouchers.guards)
    now = datetime.now(UTC)
    locked = {id(guard): guard.locked_until if guard.locked_for(now) > timedelta() else None for guard in found}
    rows = [
        (
            guard.kind,
            guard.subject,
            guard.wrong,
            guard.tries_left() if guard.locks else "",
            guard.strikes,
            "" if (until := locked[id(guard)]) is None else time_text(until),
        )
        for guard in found
    ]
    data = [
        {
            "kind": guard.kind,
            "subject": guard.subject,
            "wrong": guard.wrong,
            "tries_left": guard.tries_left() if guard.locks else None,
            "strikes": guard.strikes,
            "locked_until": locked[id(guard)],
            "last_at": guard.last_at,
        }
        for guard in found
    ]
    columns = ("kind", "who", "wrong in a row", "tries left", "strikes", f"locked until ({zone_name()})")
    return Output(
        {"locks": data, **more.left_off}, show=page(columns, rows, "Nobody has sent wrong PINs lately.", more)
    )


@command(app, "unlock")
async def unlock(
    shop: "Shop",
    kind: Annotated[Guarded, typer.Argument(help="What kind.")],
    subject: Annotated[
        str,
        typer.Argument(
            metavar="WHO",
            help="As `voucher locks` shows it: of a subscriber the number is enough, and a partner without the address is"
            " meant at all of them.",
        ),
    ],
) -> Output:
    """Forget somebody's wrong PINs, and let him try again."""
    if kind is Guarded.SUBSCRIBER:
        mode, _, number = subject.partition(" ") if subject.startswith(tuple(Mode)) else (Mode.LIVE, "", subject)
        subject = f"{mode} {parsed_msisdn(number, 'who', shop.settings.madapi_home_country)}"
    await shop.vouchers.unlock(kind, subject)
    return Output({"kind": kind, "subject": subject}, f"{subject} may try again.")
