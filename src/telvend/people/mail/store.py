"""All SQL of the outbox of e-mails. Times are handed in."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from telvend.database.connections import Tx
from telvend.people.mail.model import Email, EmailKind, EmailState

_encode: Final = msgspec.json.Encoder().encode
_EMAIL: Final = "id, kind, recipient, person_id, facts, state, due_at, tries, failure, subject, created_at, ended_at"


async def insert_email(
    tx: Tx,
    kind: EmailKind,
    recipient: str,
    person_id: UUID | None,
    facts: Mapping[str, Any],
    at: datetime,
    about: str | None = None,
) -> int | None:
    """Write an e-mail that is sent once `tx` has committed. Return its number; None where `about` was told before."""
    number: int | None = await tx.fetchval(
        "insert into email (kind, recipient, person_id, facts, about, due_at, created_at)"
        " values ($1, $2, $3, $4::text::jsonb, $5, $6, $6) on conflict (about) do nothing returning id",
        kind, recipient, person_id, _encode(dict(facts)).decode(), about, at,
    )  # fmt: skip
    return number


async def claim(tx: Tx, at: datetime, lease: timedelta, most: int) -> list[Email]:
    """Take e-mails that are due: nobody else sends them until the lease is over. A newer program's kinds are left to it."""
    found = await tx.fetch(
        "update email e set due_at = $1::timestamptz + $2::interval, tries = tries + 1 from (select id from email"
        " where due_at <= $1 and kind = any($4::text[]) order by due_at limit $3 for no key update skip locked) due where e.id = due.id"
        f" returning {', '.join('e.' + name for name in _EMAIL.split(', '))}",
        at, lease, most, [str(kind) for kind in EmailKind],
    )  # fmt: skip
    return sorted((_email(row) for row in found), key=lambda email: email.id)


async def close(tx: Tx, email_id: int, state: EmailState, at: datetime, *, subject: str = "", failure: str = "") -> None:
    """Note how an e-mail ended; one that has ended stays so."""
    await tx.execute(
        "update email set state = $2, due_at = null, ended_at = $3, subject = $4, failure = $5"
        " where id = $1 and state = 'waiting'",
        email_id, state, at, subject, failure,
    )  # fmt: skip


async def keep(tx: Tx, email_id: int, at: datetime, subject: str, key_id: str, sealed: bytes) -> None:
    """Keep the text of an e-mail, sealed, for whoever reads it here."""
    await tx.execute(
        "update email set state = 'kept', due_at = null, ended_at = $2, subject = $3, key_id = $4, sealed = $5, failure = ''"
        " where id = $1 and state = 'waiting'",
        email_id, at, subject, key_id, sealed,
    )  # fmt: skip


async def put_off(tx: Tx, email_id: int, due_at: datetime, failure: str, subject: str) -> None:
    """Try again later."""
    await tx.execute(
        "update email set due_at = $2, failure = $3, subject = $4 where id = $1 and state = 'waiting'",
        email_id, due_at, failure, subject,
    )  # fmt: skip


async def try_again(tx: Tx, email_id: int, at: datetime) -> bool:
    """Whether an e-mail that was not sent is sent now, with its whole schedule before it."""
    found = await tx.fetchval(
        "update email set state = 'waiting', due_at = $2, tries = 0, ended_at = null, failure = '', sealed = null, key_id = null"
        " where id = $1 and state in ('failed', 'waiting', 'kept') returning true",
        email_id, at,
    )  # fmt: skip
    return found is not None


async def listed(tx: Tx, states: Sequence[EmailState], before: int | None, limit: int) -> list[Email]:
    """E-mails in these states, newest first, from below number `before`."""
    found = await tx.fetch(
        f"select {_EMAIL} from email where state = any($1::text[]) and id < $2 and kind = any($4::text[])"
        " order by id desc limit $3",
        [str(state) for state in states], 2**62 if before is None else before, limit, [str(kind) for kind in EmailKind],
    )  # fmt: skip
    return [_email(row) for row in found]


async def find(tx: Tx, email_id: int) -> Email | None:
    """The e-mail with this number."""
    row = await tx.fetchrow(f"select {_EMAIL} from email where id = $1", email_id)
    return _email(row) if row else None


async def sealed_text(tx: Tx, email_id: int) -> tuple[str, bytes] | None:
    """The text of an e-mail that is kept, with the key that it is sealed with."""
    row = await tx.fetchrow("select key_id, sealed from email where id = $1 and sealed is not null", email_id)
    return (row["key_id"], row["sealed"]) if row else None


async def told(tx: Tx, abouts: Sequence[str]) -> set[str]:
    """Which of these things were told before."""
    found = await tx.fetch("select about from email where about = any($1::text[])", list(abouts))
    return {row["about"] for row in found}


async def counts(tx: Tx) -> dict[EmailState, int]:
    """How many e-mails wait, and how many have failed."""
    row = await tx.fetchrow(
        "select (select count(*) from email where due_at is not null) as waiting,"
        " (select count(*) from email where state = 'failed') as failed"
    )
    return {EmailState.WAITING: row["waiting"], EmailState.FAILED: row["failed"]}


async def delete_old(tx: Tx, before: datetime, most: int) -> int:
    """Delete e-mails that ended before this time, `most` of them. Return how many."""
    found = await tx.fetch(
        "delete from email where id in (select id from email where ended_at < $1 order by ended_at limit $2"
        " for update skip locked) returning id",
        before, most,
    )  # fmt: skip
    return len(found)


def _email(row: Any) -> Email:
    return Email(
        id=row["id"],
        kind=EmailKind(row["kind"]),
        recipient=row["recipient"],
        person_id=None if row["person_id"] is None else UUID(bytes=row["person_id"].bytes),
        facts=msgspec.json.decode(row["facts"]),
        state=EmailState(row["state"]),
        due_at=row["due_at"],
        tries=row["tries"],
        failure=row["failure"],
        subject=row["subject"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
