"""`telvend email`: the outbox of e-mails."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from telvend.cli.common import Output, command, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.people.mail.model import Email, EmailState

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

app = typer.Typer()

_PATIENCE_S: Final = 40.0
_LOOK_EVERY_S: Final = 0.2

Number = Annotated[int, typer.Argument(min=1, help="The number of the e-mail, as `telvend email list` shows it.")]


@command(app, "list")
async def list_emails(
    shop: "Shop",
    state: Annotated[list[EmailState] | None, typer.Option(help="Only these; may be there several times.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only those with a lower number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 50,
) -> Output:
    """List e-mails, newest first: what waits, was sent, is kept here, or has failed."""
    states = state or list(EmailState)
    found = await shop.mail.listed(states=states, before=before, limit=limit)
    more = await more_after(
        found,
        limit,
        lambda one: one.id,
        lambda last, count: shop.mail.listed(states=states, before=last, limit=count),
    )
    rows = [(one.id, one.recipient, one.kind, one.state, time_text(one.created_at), one.failure) for one in found]
    columns = ("number", "to", "about", "state", f"written ({zone_name()})", "")
    return Output(
        {"emails": [_data(one) for one in found], **more.left_off},
        show=page(columns, rows, "There are no e-mails.", more),
    )


@command(app, "show")
async def show(shop: "Shop", number: Number) -> Output:
    """Show an e-mail. Its text, with the link in it, is there where no mail server is set up."""
    found = await shop.mail.find(number)
    text = await shop.mail.text(number)
    lines = [f"To: {found.recipient}", f"Subject: {found.subject or '(not written yet)'}", f"State: {found.state}"]
    if found.failure:
        lines.append(f"Failure: {found.failure}")
    if found.due_at is not None:
        lines.append(f"Sent next: {time_text(found.due_at)} {zone_name()}")
    lines += ["", text if text is not None else "Its text is not kept here."]
    return Output(_data(found) | {"text": text}, "\n".join(lines))


@command(app, "send-test")
async def send_test(shop: "Shop", address: Annotated[str, typer.Argument(help="Where to.")]) -> Output:
    """Send a test now, and say what the mail server said. Exit code 1 where it was not taken."""
    found = await shop.mail.send_test(address)
    return _tried(await _sent(shop, found))


@command(app, "retry")
async def retry(shop: "Shop", number: Number) -> Output:
    """Send an e-mail now that was not sent: it has failed, waits, or was kept before there was a mail server."""
    return _tried(await _sent(shop, await shop.mail.try_again(number)))


async def _sent(shop: "Shop", email: Email) -> Email:
    """Send what is due, and return how this e-mail stands then; a server that runs may have taken it in hand first."""
    await shop.email_sender.work()
    for _ in range(int(_PATIENCE_S / _LOOK_EVERY_S)):
        found = await shop.mail.find(email.id)
        if found.state is not EmailState.WAITING or found.failure:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return found


def _tried(email: Email) -> Output:
    sentences = {
        EmailState.SENT: f"The mail server has taken it for {email.recipient}.",
        EmailState.KEPT: f"No mail server is set up (smtp_host); `telvend email show {email.id}` shows it.",
        EmailState.WAITING: f"It was not taken, and is tried again by itself: {email.failure or 'another process sends it'}.",
    }
    text = sentences.get(email.state, f"It was not taken: {email.failure}.")
    good = email.state in (EmailState.SENT, EmailState.KEPT)
    return Output(_data(email), text, exit_code=0 if good else 1)


def _data(email: Email) -> dict[str, Any]:
    return {
        "number": email.id,
        "kind": email.kind,
        "to": email.recipient,
        "subject": email.subject,
        "state": email.state,
        "tries": email.tries,
        "failure": email.failure,
        "due_at": email.due_at,
        "created_at": email.created_at,
        "ended_at": email.ended_at,
    }
