"""`telvend simulator`: the pretended upstream and its own book."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from telvend.cli.arguments import NUMBER
from telvend.cli.common import Output, command, emit, time_text, zone_name
from telvend.cli.listing import more_after, page
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.providers.simulator import table as behaviours
from telvend.providers.simulator.book import Line

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop

app = typer.Typer()


@app.command("table")
def show_table(
    context: typer.Context,
    data_dir: DataDir = None,  # noqa: ARG001 - every command takes these two; this one needs no shop
    database_url: DatabaseUrl = None,  # noqa: ARG001
    as_json: Json = False,
) -> None:
    """Which number makes the simulator do what."""
    from rich.markdown import Markdown  # Nobody else pays for loading it.

    text = behaviours.markdown()
    data = {
        "endings": [
            {
                "ending": behaviour.ending,
                "what": behaviour.sentence,
                "first": behaviour.first.__name__,
                "settled": behaviour.settled.__name__,
                "delivers": behaviour.delivers,
            }
            for behaviour in (*behaviours.TABLE, behaviours.ORDINARY)
        ]
    }
    before: Where = context.find_object(Where) or Where()
    emit(Output(data, show=lambda console: console.print(Markdown(text))), as_json or before.json)


@command(app, "book")
async def book(
    shop: "Shop",
    subscriber: Annotated[str | None, typer.Option(help="Only for this mobile number."), NUMBER] = None,
    reference: Annotated[str | None, typer.Option(help="Only of this order, or attempt.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many to show.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, max=2**62, help="Go on from this line, downwards.")] = None,
) -> Output:
    """What the simulator says that it delivered: its own book, not the shop's. Exit code 1 if anything came twice."""

    async def fetch(before: int | None, count: int) -> Sequence[Line]:
        return await shop.book.page(subscriber=subscriber, reference=reference, before=before, limit=count)

    lines = await fetch(before, limit)
    more = await more_after(lines, limit, lambda line: line.id, fetch)
    twice = await shop.book.delivered_twice()
    deliveries = await shop.book.deliveries()
    rows = [
        (x.id, x.provider, x.reference, x.subscriber, x.product, x.state, x.deliveries, time_text(x.last_at))
        for x in lines
    ]
    columns = ("line", "provider", "reference", "subscriber", "product", "state", "times", f"at ({zone_name()})")

    def show(console: "Console") -> None:
        page(columns, rows, "The book is empty.", more)(console)
        console.print(f"\n{deliveries} deliveries in all; {len(twice)} orders delivered more than once.")

    return Output(
        {
            "deliveries": deliveries,
            "delivered_twice": [{"order": item.order, "deliveries": item.deliveries} for item in twice],
            "lines": [
                {
                    "id": x.id,
                    "provider": x.provider,
                    "reference": x.reference,
                    "subscriber": x.subscriber,
                    "product": x.product,
                    "state": x.state,
                    "deliveries": x.deliveries,
                    "at": x.last_at,
                }
                for x in lines
            ],
            **more.left_off,
        },
        show=show,
        exit_code=1 if twice else 0,
    )
