"""Cells of lists as HTML. A list has hundreds of them: written here, and not by a macro for each, a page takes half the time."""

from datetime import date, datetime
from typing import Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from telvend.kit.money import Money
from telvend.web.console.tables import Link, Listing, State, Value
from telvend.web.shell import formats
from telvend.web.shell.rendering import zone_in

_NOTHING: Final = '<span class="soft">–</span>'


def cell_html(value: Value, zone: str) -> str:
    """A value of a list; times in `zone`."""
    match value:
        case None:
            return _NOTHING
        case str():
            return escape(value)
        case Link():
            return f'<a href="{escape(value.href)}">{escape(value.text)}</a>'
        case State():
            words = formats.words_of(value.state) if value.words is None else value.words
            return (
                f'<span class="badge badge-{escape(value.tone or formats.tone_of(value.state))}">{escape(words)}</span>'
            )
        case Money():
            return f'<span class="money">{escape(formats.money_text(value))}</span>'
        case datetime():
            return f'<time datetime="{formats.iso_text(value)}">{escape(formats.time_text(value, zone))}</time>'
        case date():
            return f'<time datetime="{value.isoformat()}">{formats.date_text(value)}</time>'
        case bool():
            return str(value)
        case _:
            return f'<span class="money">{value:,}</span>'


@pass_context
def show(context: Context, value: Value) -> Markup:
    """A value in a template."""
    return Markup(cell_html(value, zone_in(context)))  # noqa: S704 - every text in it is escaped


@pass_context
def body(context: Context, listing: Listing) -> Markup:
    """The rows of a list."""
    zone = zone_in(context)
    opened = [
        '<td role="cell"'
        + (f' data-label="{escape(column.title)}"' if column.title else "")
        + (' class="amount"' if column.amount else "")
        + ">"
        for column in listing.columns
    ]
    rows = [
        "".join([f"{start}{cell_html(value, zone)}</td>" for start, value in zip(opened, row, strict=True)])
        for row in listing.rows
    ]
    return Markup("".join([f'<tr role="row">\n{row}\n</tr>\n' for row in rows]))  # noqa: S704 - every text is escaped
