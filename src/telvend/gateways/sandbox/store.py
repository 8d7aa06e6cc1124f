"""The sandbox's book, in a schema of its own: a real gateway's books stand in another company."""

from typing import Any, Final

from telvend.database.connections import Tx
from telvend.gateways.checkout import Payment, PaymentState
from telvend.gateways.contract import Method, Start
from telvend.kit.money import Money, currency_of

_COLUMNS: Final = """id, token, reference, owner, amount_minor, currency, test, method, return_url, created_at, expires_at,
    decided_at, case when state = 'open' and expires_at <= clock_timestamp() then 'expired' else state end as state"""


async def signing_key(tx: Tx) -> bytes:
    """The key of this installation's notices, made with the table."""
    return bytes(await tx.fetchval("select secret from sandbox.signing_key"))


async def insert(tx: Tx, token: str, payment: Start) -> Payment | None:
    """The new payment, or None where its reference is known."""
    row = await tx.fetchrow(
        "insert into sandbox.payment (token, reference, owner, amount_minor, currency, test, method, return_url, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9))"
        f" on conflict (reference) do nothing returning {_COLUMNS}",
        token, payment.reference, payment.owner, payment.amount.minor, payment.amount.currency.code, payment.test,
        payment.method, payment.return_url, float(payment.expires_s),
    )  # fmt: skip
    return _payment(row) if row else None


async def by_token(tx: Tx, token: str) -> Payment | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from sandbox.payment where token = $1", token)
    return _payment(row) if row else None


async def by_reference(tx: Tx, reference: str) -> Payment | None:
    row = await tx.fetchrow(f"select {_COLUMNS} from sandbox.payment where reference = $1", reference)
    return _payment(row) if row else None


async def decide(tx: Tx, token: str, state: PaymentState, method: Method | None) -> Payment | None:
    """Decide an open payment. Of many at once exactly one finds it open; the others change nothing and get None."""
    row = await tx.fetchrow(
        "update sandbox.payment set state = $2, method = coalesce($3, method), decided_at = clock_timestamp()"
        f" where token = $1 and state = 'open' and expires_at > clock_timestamp() returning {_COLUMNS}",
        token, state, method,
    )  # fmt: skip
    return _payment(row) if row else None


def _payment(row: Any) -> Payment:
    return Payment(
        id=row["id"],
        token=row["token"],
        reference=row["reference"],
        owner=row["owner"],
        amount=Money(row["amount_minor"], currency_of(row["currency"])),
        test=row["test"],
        method=Method(row["method"]),
        state=PaymentState(row["state"]),
        return_url=row["return_url"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        decided_at=row["decided_at"],
        gateway_reference=f"SBX-{row['id']}",
    )
