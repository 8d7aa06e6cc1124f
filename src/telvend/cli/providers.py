"""`telvend provider`: the upstreams that deliver what is sold."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from telvend.catalog.model import Airtime, Product
from telvend.cli.arguments import NUMBER, parsed_amount, parsed_currency
from telvend.cli.common import (
    Output,
    as_json_of,
    command,
    emit,
    fail,
    progress,
    settings_of,
    table,
    time_text,
    zone_name,
)
from telvend.cli.listing import more_after, page
from telvend.cli.options import DatabaseUrl, DataDir, Json
from telvend.cli.who import By, user_of_machine
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.routing import ProviderState
from telvend.kit.mode import Mode
from telvend.kit.money import Currency, Money
from telvend.ledger.model import AccountKind

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.cli.provider_check import Checked, Target
    from telvend.fulfilment.trials.model import Trial
    from telvend.providers.contract import Refused
    from telvend.providers.upstream import RequestPreview, Upstream
    from telvend.upstreams.model import Standing

app = typer.Typer()

Subject = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A provider of the settings, or the file of a description."),
]

_SHOWN: Final = 20
_REQUERY_AFTER_S: Final = (2.0, 3.0, 5.0, 10.0, 10.0, 15.0, 15.0, 30.0, 30.0, 60.0)


# List, off, drain, on ---------------------------------------------------------------------------------------------------


@command(app, "list")
async def list_providers(shop: "Shop") -> Output:
    """List the providers: how they have done in the last hour, their floats, and whether one rests or is switched off."""
    standings = await shop.upstreams.standings(shop.provider_names)
    reckoned = await _reckoned(shop, standings)
    data = [_standing_data(shop, name, standing, reckoned.get(name)) for name, standing in standings.items()]
    rows = [
        (
            one["name"], one["connector"], "live" if one["live"] else "", one["state"],
            _none_text(one["last_hour"]["success_percent"], "%"), _none_text(one["last_hour"]["median_s"], " s"),
            f"{one['float']} {one['currency']}" if one["float"] is not None else one["float_error"][:40] or "",
            _none_text(one["hours_left"], " h"), "low" if one["low"] else "", one["breaker"]["state"] or "no process",
        )
        for one in data
    ]  # fmt: skip
    columns = ("name", "connector", "", "", "delivered", "in", "float", "lasts", "", "breaker")

    def show(console: "Console") -> None:
        table("", columns, rows, "There are no providers.")(console)
        for one in data:
            if one["reason"]:
                console.print(f"{one['name']} is {one['state']}: {one['reason']} ({one['by']})", markup=False)
            for group in one["breaker"]["groups"]:
                where = group["group"] or "everything"
                console.print(f"{one['name']}: {where} rests: {group['why']}", markup=False)

    return Output({"providers": data}, show=show)


async def _reckoned(shop: "Shop", standings: "Mapping[str, Standing]") -> dict[str, Money]:
    """Return the expected float of each provider with recorded top-ups: their sum less the total of its ledger account.

    Only in the currency of its float. Without a recorded top-up the ledger is not summed.
    """
    wanted: dict[str, Money] = {}
    for name, standing in standings.items():
        currency = _float_currency(standing)
        if currency is not None and currency in standing.topped_up:
            wanted[name] = standing.topped_up[currency]
    if not wanted:
        return {}
    for account in await shop.ledger.totals():
        topped_up = wanted.get(account.owner)
        of_provider = account.kind is AccountKind.PROVIDER and account.mode is Mode.LIVE
        if of_provider and topped_up is not None and topped_up.currency == account.total.currency:
            wanted[account.owner] = Money(topped_up.minor - account.total.minor, topped_up.currency)
    return wanted


def _float_currency(standing: "Standing") -> "Currency | None":
    if standing.float is not None and standing.float.amount is not None:
        return standing.float.amount.currency
    return next(iter(standing.topped_up), None)


def _standing_data(shop: "Shop", name: str, standing: "Standing", reckoned: Money | None) -> dict[str, Any]:
    settings = shop.settings
    upstream, simulator = settings.providers.get(name), settings.simulators.get(name)
    live = upstream.live if upstream is not None else simulator is None or simulator.live
    read, hour, switched = standing.float, standing.last_hour, standing.switched
    amount = None if read is None else read.amount
    return {
        "name": name,
        "connector": upstream.connector if upstream is not None else "simulator" if simulator is not None else name,
        "live": live,
        "state": standing.state,
        "reason": "" if switched is None or standing.state is ProviderState.ON else switched.reason,
        "by": None if switched is None else switched.by_whom,
        "switched_at": None if switched is None else switched.at,
        "float": None if amount is None else amount.decimal,
        "currency": None if amount is None else amount.currency.code,
        "float_at": None if read is None else read.read_at,
        "float_age_s": None if read is None or read.age_s is None else round(read.age_s, 1),
        "float_error": "" if read is None else read.error,
        "low_float": None if upstream is None else upstream.low_float or None,
        "low": read is not None and read.low,
        "hours_left": hour.hours_left(amount),
        "reckoned_float": None if reckoned is None else reckoned.decimal,
        "last_hour": {
            "delivered": hour.delivered,
            "refused": hour.refused,
            "not_sent": hour.not_sent,
            "unknown": hour.unknown,
            "open": hour.open,
            "success_percent": hour.success_percent,
            "median_s": hour.median_s,
            "slow_s": hour.slow_s,
            "costs": {currency.code: cost.decimal for currency, cost in (hour.costs or {}).items()},
        },
        "breaker": {
            "state": standing.health.state,
            "processes": standing.health.processes,
            "in_flight": standing.health.in_flight,
            "groups": [
                {"group": group.group, "state": group.state, "why": group.why, "processes": group.processes}
                for group in standing.health.resting
            ],
        },
    }


def _none_text(value: Any, unit: str) -> str:
    return "" if value is None else f"{value}{unit}"


Name = Annotated[str, typer.Argument(metavar="NAME", help="A provider of the settings.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever sees it in `telvend provider list`.")]


@command(app, "off")
async def off(shop: "Shop", name: Name, reason: Reason = "", by: By = None) -> Output:
    """Send nothing more to a provider, on every node at once. What is open there is still asked about.

    Orders go to the others. Where there is no other one they fail, and the money goes back.
    """
    return await _switch(shop, name, ProviderState.OFF, reason, by, "gets nothing more; what is open is asked about")


@command(app, "drain")
async def drain(shop: "Shop", name: Name, reason: Reason = "", by: By = None) -> Output:
    """Give a provider no new orders, on every node at once, and finish what is open there: also by sending it again.

    Orders go to the others. Where there is no other one they fail, and the money goes back.
    """
    return await _switch(shop, name, ProviderState.DRAIN, reason, by, "gets no new orders; what is open is finished")


@command(app, "on")
async def on(shop: "Shop", name: Name, by: By = None) -> Output:
    """Give a provider orders again, on every node at once."""
    return await _switch(shop, name, ProviderState.ON, "", by, "gets orders")


async def _switch(shop: "Shop", name: str, state: ProviderState, reason: str, by: str | None, text: str) -> Output:
    await shop.upstreams.switch(name, state, known=shop.provider_names, reason=reason, by_whom=by or user_of_machine())
    return Output({"name": name, "state": state}, f"{name} {text}.")


@command(app, "topup")
async def topup(
    shop: "Shop",
    name: Name,
    amount: Annotated[str, typer.Argument(help="In whole units, such as 50000 or 4.50.")],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="GHS, NGN, …")],
    reference: Annotated[str, typer.Option(help="Yours for this payment, as the bank's: counted once.")],
    by: By = None,
) -> Output:
    """Record what was paid into the float of a provider, to compare what should be left with what the provider says.

    Moves no money of resellers. `telvend provider list --json` shows it as `reckoned_float`: top-ups less costs.
    """
    if name not in shop.provider_names:
        raise NotFound("Provider", f"There is no provider {name}; the settings name {', '.join(shop.provider_names)}.")
    paid = parsed_amount(amount, parsed_currency(currency))
    new = await shop.upstreams.record_topup(name, paid, reference, by_whom=by or user_of_machine())
    text = f"{paid} was paid into the float of {name}." if new else f"{reference} was recorded before."
    return Output({"name": name, "amount": paid.decimal, "currency": paid.currency.code, "recorded": new}, text)


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
        "token": checked.token,
        "callback_url": checked.callback_url or None,
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
        if checked.token:
            say("token    the credentials are accepted, and buy one")
        if balance is not None:
            say(f"float    {balance}")
        if checked.callback_url:
            say(f"callback {checked.callback_url}")
        if checked.deliverable is not None:
            say(f"products {checked.deliverable} on sale can be delivered, {len(checked.undeliverable)} cannot")
            for code, text in checked.undeliverable[:_SHOWN]:
                say(f"         {code}: {text}")
            if (more := len(checked.undeliverable) - _SHOWN) > 0:
                say(f"         and {more} more; --json names all")
        verdict = "could not sell" if checked.problems else "could sell"
        say(f"{target.name} ({target.settings.connector}) {verdict}.")

    return Output(data, show=show, exit_code=1 if checked.problems else 0)


# Examples -------------------------------------------------------------------------------------------------------------


@app.command("example")
def example(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one; without it they are listed.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Print the description of an upstream to begin with, for `connector = "http"`. Needs no shop."""
    from telvend.providers.described import examples

    del data_dir, database_url  # Taken as by every command; no shop is looked at.
    if name is None:
        listed = [{"name": one, "shows": shows} for one, shows in examples.NAMES.items()]
        text = "\n".join(f"{one['name']:<12}{one['shows']}" for one in listed)
        emit(Output({"examples": listed}, text, only_looked=True), as_json_of(context, as_json))
        return
    if name not in examples.NAMES:
        fail(f"There is no example {name}; there are {', '.join(examples.NAMES)}.")
    text = examples.example(name)
    emit(Output({"name": name, "text": text}, text.rstrip(), only_looked=True), as_json_of(context, as_json))


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
    amount = parsed_amount(text, product.minimum.currency)
    if not product.minimum.minor <= amount.minor <= product.maximum.minor:
        raise InvalidInput("amount", f"must be from {product.minimum} to {product.maximum}")
    return amount


def _require_yes(sentence: str, yes: bool) -> None:
    """Ask for confirmation; without a terminal --yes is required."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{sentence} With --yes it is sent; --dry-run shows the request.")
    if not typer.confirm(f"{sentence} No wallet pays. Send it?", err=True):
        fail("Nothing was sent.")


async def _settled(shop: "Shop", upstream: "Upstream", trial: "Trial", wait_s: float) -> "Trial":
    """Ask about a trial until it is settled or the time is over."""
    left_s = wait_s
    for pause_s in (*_REQUERY_AFTER_S, *[60.0] * 60):
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
