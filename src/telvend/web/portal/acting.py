"""Who did what to keys and endpoints, written with the change itself; and how often somebody may do what costs others something."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request

from telvend.database.connections import Tx
from telvend.errors import TooManyRequests
from telvend.kit.allowance import Allowance, AllowanceKind
from telvend.people.model import Act, Visitor
from telvend.people.service import People
from telvend.resellers.model import ApiKey
from telvend.webhooks.model import Endpoint


def key_act(people: People, request: Request, visitor: Visitor, what: str) -> Callable[[Tx, ApiKey], Awaitable[None]]:
    """Record what a visitor does to a key: `key.made`."""

    async def record(tx: Tx, key: ApiKey) -> None:
        after = {"api": key.api, "mode": str(key.mode), "reads": key.read_limit, "purchases": key.purchase_limit}
        await people.record(Act(what, "key", key.hint, after=after), visitor, address=_address(request), tx=tx)

    return record


def endpoint_act(
    people: People, request: Request, visitor: Visitor, what: str
) -> Callable[[Tx, Endpoint], Awaitable[None]]:
    """Record what a visitor does to an endpoint: `webhook.added`. Of its address only the host: the rest may be a secret."""

    async def record(tx: Tx, endpoint: Endpoint) -> None:
        after = {"host": urlsplit(endpoint.url).hostname or "", "state": str(endpoint.state)}
        await people.record(
            Act(what, "webhook", str(endpoint.id), after=after), visitor, address=_address(request), tx=tx
        )

    return record


async def require_pace(allowance: Allowance, visitor: Visitor, what: str, a_minute: int) -> None:
    """Count one `what` of a visitor's account. Raises TooManyRequests where there were so many in a minute."""
    verdict = await allowance.take(what.encode() + visitor.reseller_id.bytes, AllowanceKind.READ, a_minute)
    if not verdict.allowed:
        raise TooManyRequests(verdict.retry_after_s, verdict.limit)


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None
