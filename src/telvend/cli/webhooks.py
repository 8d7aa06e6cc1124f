"""`telvend webhook`: endpoints of resellers, what was sent to them, and sending it again."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.cli.common import Output, command, table, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.webhooks.model import Delivery, DeliveryAttempt, DeliveryState, Endpoint, EventType
from telvend.webhooks.service import ListedEndpoint

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()

Email = Annotated[str, typer.Argument(help="The reseller.")]
EndpointNumber = Annotated[int, typer.Argument(metavar="ID", help="The endpoint, as `webhook list` shows it.")]
DeliveryName = Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="As `webhook deliveries` shows it.")]


def endpoint_data(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint for programs."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events or [str(one) for one in EventType]),
        "state": endpoint.state,
        "failing_since": endpoint.failing_since,
        "failure": endpoint.failure,
        "previous_secret_until": endpoint.previous_until,
        "created_at": endpoint.created_at,
    }


@command(app, "add")
async def add(
    shop: "Shop",
    email: Email,
    url: Annotated[str, typer.Argument(help="Where messages are sent: https://…")],
    event: Annotated[
        list[str] | None, typer.Option(help="An event that is sent there; may be given several times. Without it: all.")
    ] = None,
) -> Output:
    """Tell a reseller's program of every change, at this address. The secret is shown once.

    Takes two seconds: whatever happens once it has ended is told.
    """
    reseller = await shop.resellers.find(email)
    made = await shop.webhooks.add(reseller.id, url, event or [])
    return Output(
        endpoint_data(made.endpoint) | {"secret": made.secret.reveal()},
        f"Endpoint {made.endpoint.id} of {reseller.email}: {made.endpoint.url}\n"
        f"Its secret, shown only now: {made.secret.reveal()}",
        if_lost=f"Give it a new secret: telvend webhook rotate {made.endpoint.id}",
    )


@command(app, "list")
async def list_endpoints(shop: "Shop", email: Email) -> Output:
    """List a reseller's endpoints, whether they work, and how many messages wait for each."""
    reseller = await shop.resellers.find(email)
    found = await shop.webhooks.list_endpoints(reseller.id)
    rows = [
        (
            one.endpoint.id,
            one.endpoint.url,
            ", ".join(one.endpoint.events) if one.endpoint.events else "all",
            _how(one.endpoint),
            _waiting(one),
        )
        for one in found
    ]
    return Output(
        {"webhooks": [endpoint_data(one.endpoint) | {"waiting": one.waiting} for one in found]},
        show=table("", ("id", "url", "events", "state", "waiting"), rows, f"{reseller.email} has no endpoint."),
    )


def _how(endpoint: Endpoint) -> str:
    if endpoint.failing_since is None or endpoint.state == "gone":
        return str(endpoint.state)
    return f"{endpoint.state}, fails since {time_text(endpoint.failing_since)} ({zone_name()}): {endpoint.failure}"


def _waiting(one: ListedEndpoint) -> str:
    return str(one.waiting) if one.waiting < 1000 else "1000 or more"


@command(app, "deliveries")
async def deliveries(
    shop: "Shop",
    email: Email,
    endpoint: Annotated[int | None, typer.Option(min=1, max=2**62, metavar="ID", help="Of this endpoint only.")] = None,
    status: Annotated[DeliveryState | None, typer.Option(help="Only those that stand so.")] = None,
    before: Annotated[str | None, typer.Option(metavar="DELIVERY_ID", help="Go on behind this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 50,
) -> Output:
    """List what was sent to a reseller's endpoints in the last 30 days, newest first."""
    reseller = await shop.resellers.find(email)

    async def fetch(after: str | None, count: int) -> list[Delivery]:
        return await shop.webhooks.deliveries(
            reseller.id, endpoint_id=endpoint, state=status, before=after, limit=count
        )

    found = await fetch(before, limit)
    more = await more_after(found, limit, lambda one: one.id, fetch)
    rows = [
        (
            one.id,
            time_text(one.created_at),
            f"{one.type} (test)" if one.is_test else one.type,
            one.url,
            one.state,
            one.attempts,
            _last(one),
        )
        for one in found
    ]
    columns = ("id", f"of ({zone_name()})", "event", "url", "status", "attempts", "last answer")
    return Output(
        {"deliveries": [_delivery_data(one) for one in found], "before": more.following, **more.left_off},
        show=page(columns, rows, "Nothing was sent.", more),
    )


def _delivery_data(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "endpoint": one.endpoint_id,
        "url": one.url,
        "event": one.type,
        "status": one.state,
        "attempts": one.attempts,
        "webhook_id": one.message,
        "test": one.is_test,
        "created_at": one.created_at,
        "next_attempt_at": one.due_at,
        "last_status": one.status,
        "last_error": one.error or None,
        "last_attempt_at": one.attempted_at,
    }


def _last(one: Delivery) -> str:
    if one.attempts == 0:
        return ""
    return one.error or str(one.status)


@command(app, "show")
async def show(shop: "Shop", delivery: DeliveryName) -> Output:
    """Show a delivery: its body, and every attempt with its answer."""
    found, attempts = await shop.webhooks.delivery(delivery)

    def printed(console: "Console") -> None:
        console.print(
            f"{found.type} for {found.url}: {found.state}\nwebhook-id {found.message}\n{found.body}\n", markup=False
        )
        rows = [
            (one.number, time_text(one.started_at), one.duration_ms, one.status, one.error, one.answer)
            for one in attempts
        ]
        columns = ("attempt", f"at ({zone_name()})", "ms", "status", "why", "answer")
        table("", columns, rows, "It was not sent yet.")(console)

    return Output(
        _delivery_data(found) | {"body": found.body, "log": [_attempt_data(one) for one in attempts]}, show=printed
    )


def _attempt_data(one: DeliveryAttempt) -> dict[str, Any]:
    return {
        "attempt": one.number,
        "at": one.started_at,
        "duration_ms": one.duration_ms,
        "status": one.status,
        "error": one.error or None,
        "answer": one.answer,
    }


@command(app, "replay")
async def replay(shop: "Shop", delivery: DeliveryName) -> Output:
    """Send a delivery again, at once, with the same webhook-id and body."""
    again = await shop.webhooks.replay(delivery)
    return Output(_delivery_data(again), f"{again.type} is sent to {again.url} again.")


@command(app, "send-test")
async def send_test(
    shop: "Shop",
    webhook: EndpointNumber,
    event: Annotated[
        EventType | None,
        typer.Option(
            help="Which event to send an example of. Without it: order.completed, where the endpoint is sent it."
        ),
    ] = None,
) -> Output:
    """Send an example of an event to an endpoint, once, signed like any other, and show the answer.

    Its `webhook-id` begins with `msg_test_`, its data say `"mode": "test"` and `"example": true`. It stands in the log, and changes
    nothing of the endpoint, which may be paused. Ends with exit code 1 where the endpoint has not taken it.
    """
    sent, attempt = await shop.webhooks.send_test(webhook, event)

    def printed(console: "Console") -> None:
        answered = "no answer" if attempt.status is None else f"answered {attempt.status}"
        console.print(
            f"{sent.type} for {sent.url}: {answered} after {attempt.duration_ms} ms, {sent.state}", markup=False
        )
        if attempt.error:
            console.print(f"Why: {attempt.error}", markup=False)
        console.print(f"webhook-id {sent.message}, in the log as {sent.id}", markup=False)
        if attempt.answer:
            console.print(f"\n{attempt.answer}", markup=False)

    return Output(
        _delivery_data(sent) | {"body": sent.body, "log": [_attempt_data(attempt)]},
        show=printed,
        exit_code=0 if sent.state is DeliveryState.DELIVERED else 1,
    )


@command(app, "rotate")
async def rotate(shop: "Shop", webhook: EndpointNumber) -> Output:
    """Give an endpoint a new secret, shown once. For 24 hours messages are signed with both."""
    made = await shop.webhooks.rotate(webhook)
    until = f"{time_text(made.previous_until)} ({zone_name()})" if made.previous_until else ""
    return Output(
        endpoint_data(made.endpoint) | {"secret": made.secret.reveal()},
        f"The new secret of endpoint {made.endpoint.id}, shown only now: {made.secret.reveal()}\n"
        f"Until {until} messages are signed with the old one too.",
        if_lost=f"Rotate again: telvend webhook rotate {made.endpoint.id}",
    )


@command(app, "pause")
async def pause(shop: "Shop", webhook: EndpointNumber) -> Output:
    """Send nothing to an endpoint until it is resumed. What happens meanwhile waits for it."""
    endpoint = await shop.webhooks.pause(webhook)
    return Output(
        endpoint_data(endpoint), f"Messages for {endpoint.url} wait until: telvend webhook resume {endpoint.id}"
    )


@command(app, "resume")
async def resume(shop: "Shop", webhook: EndpointNumber) -> Output:
    """Send to an endpoint again that was paused or has answered 410; what waits for it at once."""
    endpoint = await shop.webhooks.resume(webhook)
    return Output(endpoint_data(endpoint), f"Messages are sent to {endpoint.url} again.")


@command(app, "remove")
async def remove(shop: "Shop", webhook: EndpointNumber) -> Output:
    """Send nothing to an endpoint any more. What waited for it is given up; its log stays for 30 days."""
    endpoint = await shop.webhooks.remove(webhook)
    return Output(endpoint_data(endpoint), f"Nothing is sent to {endpoint.url} any more.")


@command(app, "listen")
async def listen(
    shop: "Shop",
    email: Annotated[str | None, typer.Argument(help="Whose events; without it, everybody's.")] = None,
    forward: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where each is sent on to, signed: a program on this machine, http:// allowed."
        ),
    ] = None,
    *,
    as_json: bool,
) -> None:
    """Show events as they happen, and send them on to a program that is being written. Ctrl-C ends it.

    Needs no endpoint, and changes nothing for those there are. Each event is sent on once, whatever the answer. The secret is the
    same at every run. With `--json`, each event is one line. Ends with exit code 0.
    """
    from telvend.cli.listen import listen_to

    reseller = None if email is None else await shop.resellers.find(email)
    await listen_to(shop, reseller, forward, as_json=as_json)
