"""What the pages of the console share: the side of the shell, routes by right, navigation, lists.

def pages(console: Console) -> list[Route]:
    return [console.page("/console/orders", Right.LOOK, orders.list), *console.verb(verb)]
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.desk.service import Desk
from telvend.errors import InvalidInput, NotFound
from telvend.people.model import Visitor
from telvend.web.console.rights import Right, may
from telvend.web.console.tables import Column, Filter, Listing, Value, csv_file
from telvend.web.shell import Form, Shell, signed_in
from telvend.web.shell.forms import FORM_BYTES

Handler = Callable[[Request, Visitor], Awaitable[Response]]

PAGE: Final = 50
"""Rows of a page."""

_LARGEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the navigation."""

    path: str
    words: str
    picture: str
    right: Right = Right.LOOK


MAIN: Final = (
    Entry("/console", "Today", "gauge"),
    Entry("/console/orders", "Orders", "list"),
    Entry("/console/review", "Review", "scale"),
    Entry("/console/resellers", "Resellers", "users"),
)
"""What stands below the thumb on a phone."""

REST: Final = (
    Entry("/console/funding", "Funding", "banknote"),
    Entry("/console/catalogue", "Catalogue", "package"),
    Entry("/console/providers", "Providers", "server"),
    Entry("/console/vouchers", "Vouchers", "ticket"),
    Entry("/console/reports", "Reports", "activity"),
    Entry("/console/approvals", "Approvals", "list-checks"),
    Entry("/console/subscribers", "Subscribers", "smartphone"),
    Entry("/console/books", "Books", "book-open"),
    Entry("/console/reconciliations", "Reconciliation", "check"),
    Entry("/console/audit-log", "Audit log", "history"),
    Entry("/console/emails", "E-mails", "mail", Right.MAIL),
    Entry("/console/staff", "Staff", "user", Right.STAFF),
    Entry("/console/settings", "Settings", "settings", Right.SETTINGS),
)


@dataclass(slots=True)
class Console:
    """The console of one shop. `rights` fills up with the right of every route, by method and path."""

    shell: Shell
    desk: Desk
    rights: dict[tuple[str, str], Right] = field(default_factory=dict)

    # Routes -------------------------------------------------------------------------------------------------------------

    def page(
        self,
        path: str,
        right: Right,
        get: Handler | None = None,
        *,
        post: Handler | None = None,
        form_bytes: int = FORM_BYTES,
        waits_outside: bool = False,
    ) -> Route:
        """A route for those with a right. For everybody else with a session it does not exist."""
        if get is not None:
            self.rights["GET", path] = right
        if post is not None:
            self.rights["POST", path] = right
        return self.shell.page(
            path,
            get=None if get is None else signed_in(_guarded(right, get)),
            post=None if post is None else signed_in(_guarded(right, post)),
            form_bytes=form_bytes,
            waits_outside=waits_outside,
        )

    # Answers ------------------------------------------------------------------------------------------------------------

    def render(self, request: Request, visitor: Visitor, template: str, **context: Any) -> Response:
        """Answer with a page of the console."""
        return self.shell.render(request, template, **navigation(visitor), **context)

    def list(self, request: Request, visitor: Visitor, title: str, listing: Listing, **context: Any) -> Response:
        """Answer with a page that is a list."""
        typed = Form({name: [value] for name, value in request.query_params.items()})
        return self.render(
            request, visitor, "console/list.html", title=title, listing=listing, typed=typed,
            **{"lead": "", "actions": (), **context},
        )  # fmt: skip

    @property
    def zone(self) -> ZoneInfo:
        return self.desk.zone


def navigation(visitor: Visitor) -> dict[str, Any]:
    """What the layout shows to a visitor, and what templates ask of rights."""

    def allowed(entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if may(visitor.roles, entry.right)]

    return {"main": allowed(MAIN), "rest": allowed(REST), "may": lambda right: may(visitor.roles, Right(right))}


def _guarded(right: Right, handler: Handler) -> Callable[[Request, Any], Awaitable[Response]]:
    async def handle(request: Request, visitor: Visitor) -> Response:
        if not may(visitor.roles, right):
            raise NotFound("Page")
        return await handler(request, visitor)

    return handle


# What comes with an address -------------------------------------------------------------------------------------------------


def number_of(request: Request, name: str) -> int | None:
    """A number of the query that pages lead on with; None where there is none, or no number."""
    text = request.query_params.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
    return number if number is not None and number < _LARGEST else None


def text_of(request: Request, name: str, *, longest: int = 128) -> str:
    """A text of the query; "" where it is none that anything could be called."""
    text = " ".join(request.query_params.get(name, "").split())
    return text if len(text) <= longest and text.isprintable() else ""


def day_of(request: Request, name: str) -> date | None:
    """A day of the query, such as 2026-11-28; None where there is none. Raises InvalidInput."""
    text = request.query_params.get(name, "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text) if len(text) == len("2026-11-28") else _no_day(name)
    except ValueError:
        return _no_day(name)


def _no_day(name: str) -> date:
    raise InvalidInput(name, "must be a day such as 2026-11-28")


def begins(day: date | None, zone: ZoneInfo) -> datetime | None:
    """When a day begins."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def ends(day: date | None, zone: ZoneInfo) -> datetime | None:
    """When a day has ended."""
    return None if day is None or day == date.max else begins(day + timedelta(days=1), zone)


def leading(request: Request, **changes: str | int | None) -> str:
    """The address of this page with other values in its query; those that are empty are left out."""
    values = {**dict(request.query_params), **changes}
    query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
    return request.url.path + (f"?{query}" if query else "")


async def as_csv(
    name: str,
    columns: Sequence[Column],
    fetch: Callable[[int | None], Awaitable[tuple[Sequence[Sequence[Value]], int | None]]],
) -> Response:
    """A list as a file. `fetch` returns the rows after a place and the next place, None at the end."""

    async def parts() -> AsyncIterator[Sequence[Sequence[Value]]]:
        place: int | None = None
        while True:
            rows, place = await fetch(place)
            yield rows
            if place is None:
                return

    return csv_file(name, [column.title for column in columns], parts())


def choices(options: Sequence[str], all_words: str = "All") -> list[tuple[str, str]]:
    """Options of a filter, the first of which leaves it open."""
    return [("", all_words), *((option, option.replace("_", " ").capitalize()) for option in options)]


def from_to() -> list[Filter]:
    """The fields for a span of days."""
    return [Filter("from", "From", type="date"), Filter("to", "To", type="date")]
