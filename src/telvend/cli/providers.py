"""`telvend provider`: the upstreams that deliver what is sold."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from telvend.catalog.model import Airtime, Product
from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, as_json_of, command, emit, fail, progress, settings_of, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.cli.who import user_of_machine
from telvend.errors import InvalidInput, NotFound
from telvend.kit.money import Money

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.cli.provider_check import Checked, Target
    from telvend.fulfilment.trials.model import Trial
    from telvend.providers.contract import Refused
    from telvend.providers.upstream import RequestPreview, Upstream

app = typer.Typer()

Subject = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A provider of the settings, or the file of a description."),
]

_SHOWN: Final = 20
_ASK_AFTER_S: Final = (2.0, 3.0, 5.0, 10.0, 10.0, 15.0, 15.0, 30.0, 30.0, 60.0)


# Check ----------------------------------------------------------------------------------------------------------------


@app.command("check")
def check(
    context: typer.Context,
    subject: Subject,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Say whether a provider could sell: settings, description, credentials, float, codes of products.

    Every mistake is named at once, in a description with its line. Nothing is bought. Ends with exit code 1 when it could not
    sell. Works without a shop too; then products are not looked at.
    """
    from telvend.cli import provider_check

    settings = settings_of(context, data_dir, database_url)
    checked = provider_check.check(settings, provider_check.target_of(settings, subject))
    emit(_check_output(checked), as_json_of(context, as_json))


def _check_output(checked: "Checked") -> Output:
    from telvend.cli.provider_check import lines

    target = checked.target
    balance = checked.balance
    data: dict[str, Any] = {
        "provider": target.name,
        "connector": target.settings.connector,
        "ok": not checked.problems,
        "live": target.settings.live and target.in_settings,
        "float": None if balance is None else balance.decimal,
        "currency": None if balance is None else balance.currency.code,
        "problems": lines(checked.problems),
        "warnings": lines(checked.warnings),
        "products": None
        if checked.deliverable is None
        else {
            "deliverable": checked.deliverable,
            "not_offered": checked.not_offered,
            "undeliverable": [{"product": code, "text": text} for code, text in checked.undeliverable],
        },
    }

    def show(console: "Console") -> None:
        def say(text: str) -> None:
            console.print(text, markup=False)

        for problem in checked.problems:
            say(f"wrong    {problem}")
        for problem in checked.warnings:
            say(f"note     {problem}")
        if balance is not None:
            say(f"float    {balance}")
        if checked.deliverable is not None:
            say(f"products {checked.deliverable} on sale can be delivered, {len(checked.undeliverable)} cannot")
            for code, text in checked.undeliverable[:_SHOWN]:
                say(f"         {code}: {text}")
            if (more := len(checked.undeliverable) - _SHOWN) > 0:
                say(f"         and {more} more; --json names all")
        verdict = "could not sell" if checked.problems else "could sell"
        say(f"{target.name} ({target.settings.connector}) {verdict}.")

    return Output(data, show=show, exit_code=1 if checked.problems else 0)


# Try ------------------------------------------------------------------------------------------------------------------


@command(app, "try")
async def try_provider(
    shop: "Shop",
    subject: Subject,
    product: Annotated[str, typer.Option(metavar="CODE", help="The product's code, as `telvend product list` has it.")],
    phone: Annotated[str, typer.Option(help="The mobile number that gets it."), NUMBER],
    amount: Annotated[
        str | None, typer.Option(help="Of airtime, in whole units; without it the least that is sold.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, secrets starred.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it without a question.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds for which an open outcome is asked about.")
    ] = 60.0,
) -> Output:
    """Deliver one product by hand, for real, and say what became of it; or show the request.

    It costs what the provider takes. No wallet pays, and it is no order: `telvend provider trials` lists it. It is written down
    before it is sent, and sent once; where the outcome stays open, `telvend provider trials --reference REF` asks again. Ends with
    exit code 1 unless it was delivered.
    """
    from telvend.cli.provider_check import delivery_for, serves, target_of
    from telvend.providers.contract import Refused

    target = target_of(shop.settings, subject)
    async with shop.database.connection() as tx:
        await shop.catalogue.load(tx)
    found = _product(shop, product)
    upstream = _connected(shop, target)
    try:
        face = _amount(found, amount)
        subscriber = _subscriber(found, phone)
        delivery = delivery_for(shop.catalogue.snapshot, upstream, found, subscriber, face, shop.clock)
        if not serves(upstream, delivery):
            raise InvalidInput(
                "product", f"is nothing that {target.name} is asked for: {delivery.country}/{delivery.network}"
            )
        refused = await upstream.prepare(delivery)
        seen = refused if isinstance(refused, Refused) else upstream.preview(delivery)
        if dry_run or isinstance(seen, Refused):
            return _preview_output(target, product, seen)
        if not target.in_settings:
            fail("Only a provider of the settings can deliver: give the description a table [providers.NAME] first.")
        what = f"{product} worth {delivery.face_value} for {subscriber}"
        _require_yes(f"{target.name} delivers {what} for real and takes about {delivery.cost} of your float.", yes)
        trial = await shop.trials.begin(upstream, delivery, user_of_machine())
        progress(f"telvend: {trial.reference} is written down and being sent.")
        trial = await shop.trials.deliver(upstream, trial)
        trial = await _settled(shop, upstream, trial, wait)
    finally:
        await upstream.close()
    return Output(_trial_data(trial), _trial_text(trial), exit_code=0 if trial.state == "delivered" else 1)


def _product(shop: "Shop", code: str) -> Product | Airtime:
    snapshot = shop.catalogue.snapshot
    found = snapshot.product_by_code(code) or snapshot.airtime_by_code(code)
    if found is None:
        raise NotFound("Product")
    return found


def _connected(shop: "Shop", target: "Target") -> "Upstream":
    from telvend.providers.connectors import connect
    from telvend.providers.upstream import ConnectorRefused

    try:
        return connect(target.name, target.settings, shop.clock)
    except ConnectorRefused as refused:
        fail(f"{refused}.")


def _subscriber(product: Product | Airtime, phone: str) -> str:
    from telvend.catalog.kinds import kind_of

    kind = "airtime" if isinstance(product, Airtime) else product.kind
    try:
        return kind_of(kind).recipient.parse(phone, product.country)
    except ValueError as error:
        raise InvalidInput("phone", str(error)) from None


def _amount(product: Product | Airtime, text: str | None) -> Money | None:
    if text is None:
        return None
    if not isinstance(product, Airtime):
        raise InvalidInput("amount", f"is for airtime; {product.code} costs {product.price}")
    try:
        amount = Money.parse(text, product.minimum.currency)
    except ValueError as error:
        raise InvalidInput("amount", str(error)) from None
    if not product.minimum.minor <= amount.minor <= product.maximum.minor:
        raise InvalidInput("amount", f"must be from {product.minimum} to {product.maximum}")
    return amount


def _require_yes(sentence: str, yes: bool) -> None:
    """Ask a person; a program has to say --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{sentence} With --yes it is sent; --dry-run shows the request.")
    if not typer.confirm(f"{sentence} No wallet pays. Send it?", err=True):
        fail("Nothing was sent.")


async def _settled(shop: "Shop", upstream: "Upstream", trial: "Trial", wait_s: float) -> "Trial":
    """Ask about a trial until it is settled or the time is over."""
    left_s = wait_s
    for pause_s in (*_ASK_AFTER_S, *[60.0] * 60):
        if not trial.state.open or left_s <= 0:
            break
        progress(f"telvend: {trial.state}: {trial.text}; asking again in {min(pause_s, left_s):.0f} s.")
        await asyncio.sleep(min(pause_s, left_s))
        left_s -= pause_s
        # Read again: its age decides whether "never heard of it" is believed, and somebody else may have asked.
        trial = await shop.trials.requery(upstream, await shop.trials.find(trial.reference))
    return trial


def _preview_output(target: "Target", product: str, seen: "RequestPreview | Refused") -> Output:
    from telvend.providers.contract import Refused

    data: dict[str, Any] = {"provider": target.name, "connector": target.settings.connector, "product": product}
    if isinstance(seen, Refused):
        data |= {"request": None, "reason": seen.reason, "text": seen.text}
        text = f"{target.name} would not be asked: {seen.text}."
        return Output(data, text, exit_code=1, only_looked=True)
    data["request"] = {"method": seen.method, "url": seen.url, "headers": dict(seen.headers), "body": seen.body}
    head = [f"{seen.method} {seen.url}", *(f"{name}: {value}" for name, value in seen.headers.items())]
    return Output(data, "\n".join([*head, "", seen.body]).rstrip(), only_looked=True)


# Trials ---------------------------------------------------------------------------------------------------------------


@command(app, "trials")
async def trials(
    shop: "Shop",
    name: Annotated[str | None, typer.Argument(help="Only of this provider.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Show this one, after asking its provider where the outcome is open.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this number, downwards.")] = None,
) -> Output:
    """List what was delivered by hand with `telvend provider try`, newest first, or ask about one."""
    if reference is not None:
        trial = await _asked(shop, await shop.trials.find(reference))
        return Output(_trial_data(trial), _trial_text(trial))

    async def fetch(before: int | None, count: int) -> "Sequence[Trial]":
        return await shop.trials.page(name, before=before, limit=count)

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda trial: trial.id, fetch)
    rows = [
        (
            trial.id, time_text(trial.started_at), trial.provider, trial.reference, trial.delivery.product,
            trial.delivery.subscriber, (trial.charged or trial.delivery.cost).decimal, trial.delivery.cost.currency.code,
            trial.state, trial.by_whom,
        )
        for trial in found
    ]  # fmt: skip
    columns = ("number", f"at ({zone_name()})", "provider", "reference", "product", "for", "cost", "", "state", "by")
    data = {"trials": [_trial_data(trial) for trial in found], "next": more.following, **more.left_off}
    return Output(data, show=page(columns, rows, "Nothing was tried yet.", more))


async def _asked(shop: "Shop", trial: "Trial") -> "Trial":
    from telvend.cli.provider_check import Target

    settings = shop.settings.providers.get(trial.provider)
    if not trial.state.open:
        return trial
    if settings is None:
        fail(f"{trial.reference} was sent to {trial.provider}, which is not in the settings and cannot be asked.")
    upstream = _connected(shop, Target(trial.provider, settings, in_settings=True))
    try:
        return await shop.trials.requery(upstream, trial)
    finally:
        await upstream.close()


def _trial_data(trial: "Trial") -> dict[str, Any]:
    delivery = trial.delivery
    return {
        "id": trial.id,
        "provider": trial.provider,
        "reference": trial.reference,
        "provider_reference": trial.provider_reference,
        "product": delivery.product,
        "provider_code": delivery.provider_code,
        "phone": delivery.subscriber,
        "face_value": delivery.face_value.decimal,
        "cost": delivery.cost.decimal,
        "charged": None if trial.charged is None else trial.charged.decimal,
        "currency": delivery.cost.currency.code,
        "state": trial.state,
        "text": trial.text,
        "asked": trial.asked,
        "by": trial.by_whom,
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
    }


def _trial_text(trial: "Trial") -> str:
    took = f"; {trial.provider} took {trial.charged}" if trial.charged is not None else ""
    told = f"{trial.reference} is {trial.state}: {trial.text}{took}."
    if trial.state.open:
        told += f" Whether it arrives is open: `telvend provider trials --reference {trial.reference}` asks again."
    return told
