"""The catalogue: the list, one price, many prices at once with their figures, import and export."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.catalog import sheet
from telvend.catalog.model import Product
from telvend.catalog.repricing import Repriced, parse_percent, repriced
from telvend.errors import InvalidInput
from telvend.kit.money import Money
from telvend.people.model import Visitor
from telvend.web.console.frame import PAGE, Console, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, amount_of, figures, routes_of

_SHEET_BYTES: Final = 2 * 1024 * 1024
_SHOWN: Final = 200
_STEPS: Final = (
    ("1", "0.01"),
    ("5", "0.05"),
    ("10", "0.10"),
    ("50", "0.50"),
    ("100", "1.00"),
    ("500", "5.00"),
    ("1000", "10.00"),
)


def pages(console: Console) -> list[Route]:
    """The pages of the catalogue."""
    own = _Pages(console)
    return [
        console.page("/console/catalogue", Right.LOOK, own.listed),
        console.page("/console/catalogue.csv", Right.LOOK, own.csv),
        *(routes_of(console, verb) for verb in own.of_many()),
        *(routes_of(console, verb) for verb in own.verbs()),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        network, state, offset = (
            text_of(request, "network", longest=40),
            text_of(request, "state"),
            number_of(request, "after") or 0,
        )
        offset = min(offset, 1_000_000)
        country, _, code = network.partition(" ")
        found = await self._desk.catalogue.list_products(
            country=country if code else None,
            network=code or None,
            active={"on": True, "off": False}.get(state),
            limit=PAGE + 1,
            offset=offset,
        )
        rows: list[Sequence[Value]] = [
            (
                Link(f"/console/catalogue/{p.code}/price", p.code),
                f"{p.network} ({p.country})",
                p.type or None,
                p.size,
                p.validity,
                p.price,
                p.cost,
                Money(p.price.minor - p.cost.minor, p.currency),
                State("on sale" if p.active else "off", tone="good" if p.active else None),
                Link(
                    f"/console/catalogue/{p.code}/{'off' if p.active else 'on'}", "Take off" if p.active else "Put on"
                ),
            )
            for p in found[:PAGE]
        ]
        networks = [("", "All")] + [
            (f"{n.country} {n.code}", f"{n.name} ({n.country})") for n in await self._desk.catalogue.list_networks()
        ]
        listing = Listing(
            "Products",
            [
                Column("Code"),
                Column("Network"),
                Column("Type"),
                Column("Size"),
                Column("Valid"),
                Column("Price", True),
                Column("Cost", True),
                Column("Margin", True),
                Column("State"),
                Column(""),
            ],
            rows,
            filters=[
                Filter("network", "Network", options=networks),
                Filter("state", "State", options=[("", "All"), ("on", "On sale"), ("off", "Off")]),
            ],
            newer=leading(request, after=max(0, offset - PAGE) or None) if offset else "",
            older=leading(request, after=offset + PAGE) if len(found) > PAGE else "",
            csv=leading(request, after=None).replace("/console/catalogue", "/console/catalogue.csv", 1),
            empty="No such products",
            advice="Import a sheet, as the export of this page has it.",
        )
        actions = [("/console/catalogue/prices", "Change many prices"), ("/console/catalogue/import", "Import CSV")]
        return self._console.list(request, visitor, "Catalogue", listing, actions=actions)

    async def csv(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - every page gets it
        country, _, code = text_of(request, "network", longest=40).partition(" ")
        text = await self._desk.catalogue.export_csv(country=country if code else None, network=code or None)
        headers = {"content-disposition": 'attachment; filename="catalogue.csv"'}
        return Response(text, headers=headers, media_type="text/csv; charset=utf-8")

    def verbs(self) -> Iterable[Verb[Product]]:
        """What is done with one product."""
        desk = self._desk

        async def load(request: Request) -> Product:
            return await desk.catalogue.product(request.path_params["code"])

        on = On("product", load, lambda p: p.code, lambda _: "/console/catalogue")

        async def price_preview(p: Product, given: Given) -> Preview:
            price, cost = amount_of(given["price"], p.currency, "price"), amount_of(given["cost"], p.currency, "cost")
            if price.minor <= 0:
                raise InvalidInput("price", "must be greater than zero")
            if price == p.price and cost == p.cost:
                raise InvalidInput("price", "is what it is now")
            loses = price.minor < cost.minor
            if loses and not given["loss"]:
                raise InvalidInput("price", f"is below the cost of {cost}; tick the box if it is meant")
            return Preview(
                figures(
                    price_now=p.price,
                    price_then=price,
                    cost_now=p.cost,
                    cost_then=cost,
                    margin_now=Money(p.price.minor - p.cost.minor, p.currency),
                    margin_then=Money(price.minor - cost.minor, p.currency),
                ),
                "The next sale has the new price. Orders that were placed keep theirs.",
                "Each sale of it loses money." if loses else "",
                before={"price": str(p.price), "cost": str(p.cost)},
                after={"price": str(price), "cost": str(cost)},
            )

        async def change(p: Product, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            price, cost = amount_of(given["price"], p.currency, "price"), amount_of(given["cost"], p.currency, "cost")
            done = await desk.catalogue.change_price(
                p.code, price=price.text, cost=cost.text, allow_loss=bool(given["loss"])
            )
            return f"{done.code} sells for {done.price} and costs {done.cost}."

        def fields(p: Product) -> Sequence[Field]:
            return (
                Field("price", f"Price ({p.currency})", start=p.price.text, numeric=True),
                Field("cost", f"Cost ({p.currency})", start=p.cost.text, numeric=True),
                Field("loss", "Sell below the cost on purpose", "tick", required=False),
            )

        yield Verb(
            path="/console/catalogue/{code}/price",
            right=Right.PRICES,
            title="Change a price",
            button="Change",
            what="product.price",
            on=on,
            preview=price_preview,
            perform=change,
            choices=fields,
        )
        for word, active in (("on", True), ("off", False)):
            yield self._switch(on, word, active=active)

    def _switch(self, on: On[Product], word: str, *, active: bool) -> Verb[Product]:
        async def preview(p: Product, given: Given) -> Preview:  # noqa: ARG001
            if p.active is active:
                raise InvalidInput("", f"{p.code} is {word} already")
            return Preview(
                figures(product=f"{p.network} {p.size}", price=p.price),
                before={"on sale": p.active},
                after={"on sale": active},
            )

        async def perform(p: Product, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await self._desk.catalogue.switch_product(p.code, active)
            return f"{p.code} is {'on sale' if active else 'no longer on sale'}."

        return Verb(
            path=f"/console/catalogue/{{code}}/{word}",
            right=Right.PRICES,
            title=f"{'Put a product on' if active else 'Take a product off'} sale",
            button="Confirm",
            what=f"product.{word}",
            on=on,
            preview=preview,
            perform=perform,
            danger=not active,
        )

    def of_many(self) -> Iterable[Verb[None]]:
        """Many prices at once, and the import of a sheet."""
        desk = self._desk

        async def load(_: Request) -> None:
            return None

        on: On[None] = On("catalogue", load, lambda _: "", lambda _: "/console/catalogue")

        async def wanted(given: Given) -> list[Repriced]:
            country, _, code = given["network"].partition(" ")
            products = await desk.catalogue.list_products(country=country, network=code)
            chosen = [p for p in products if not given["type"] or p.type.casefold() == given["type"].casefold()]
            found = repriced(chosen, parse_percent(given["percent"]), int(given["step"]))
            if not found:
                raise InvalidInput("percent", "changes no price")
            losing = [one for one in found if one.loses]
            if losing and not given["loss"]:
                names = ", ".join(one.before.code for one in losing[:5])
                raise InvalidInput(
                    "percent", f"brings {len(losing)} below their cost ({names}); tick the box if it is meant"
                )
            return found

        async def prices_preview(_: None, given: Given) -> Preview:
            found = await wanted(given)
            lines: list[tuple[str, Value]] = [("Prices that change", len(found))]
            lines += [
                (one.before.code, f"{one.before.price} → {one.after.price.text}{' (below cost)' if one.loses else ''}")
                for one in found[:_SHOWN]
            ]
            if len(found) > _SHOWN:
                lines.append(("and more", len(found) - _SHOWN))
            return Preview(
                lines,
                "All of them change together. Orders that were placed keep theirs.",
                before={one.before.code: one.before.price.text for one in found},
                after={one.before.code: one.after.price.text for one in found},
            )

        async def prices(_: None, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            found = await wanted(given)
            text = sheet.write(one.after for one in found)
            done = await desk.catalogue.import_csv(text, allow_loss=bool(given["loss"]))
            if done.problems:
                raise InvalidInput("percent", "; ".join(str(problem) for problem in done.problems[:5]))
            return f"{done.changed} prices have changed."

        def price_fields(_: None) -> Sequence[Field]:
            networks = desk.catalogue.snapshot.everywhere
            return (
                Field(
                    "network",
                    "Network",
                    "select",
                    options=[(f"{n.country} {n.code}", f"{n.name} ({n.country})") for n in networks],
                ),
                Field("type", "Type", hint="Such as SME; empty for all.", required=False),
                Field("percent", "Percent", hint="Such as 5 for dearer, -2.5 for cheaper."),
                Field("step", "Round to", "select", options=_STEPS, start="5"),
                Field("loss", "Sell below the cost on purpose", "tick", required=False),
            )

        async def import_preview(_: None, given: Given) -> Preview:
            text = _text_of(given)
            done = await desk.catalogue.import_csv(text, dry_run=True, allow_loss=bool(given["loss"]))
            if done.problems:
                shown = "; ".join(str(problem) for problem in done.problems[:10])
                more = f"; and {len(done.problems) - 10} more" if len(done.problems) > 10 else ""
                raise InvalidInput("csv", f"{shown}{more}")
            if not done.added and not done.changed:
                raise InvalidInput("csv", "has nothing that is not so already")
            return Preview(
                figures(products_added=done.added, products_changed=done.changed, as_they_were=done.unchanged),
                "All of it is written together, or nothing.",
                after={"added": done.added, "changed": done.changed},
                carried={"csv": text},
            )

        async def import_(_: None, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            done = await desk.catalogue.import_csv(_text_of(given), allow_loss=bool(given["loss"]))
            if done.problems:
                raise InvalidInput("csv", "; ".join(str(problem) for problem in done.problems[:10]))
            return f"{done.added} added, {done.changed} changed, {done.unchanged} as they were."

        return (
            Verb(
                path="/console/catalogue/prices",
                right=Right.PRICES,
                title="Change many prices",
                button="Change all",
                what="product.prices",
                on=on,
                preview=prices_preview,
                perform=prices,
                choices=price_fields,
            ),
            Verb(
                path="/console/catalogue/import",
                right=Right.PRICES,
                title="Import products",
                button="Import",
                what="product.import",
                on=on,
                preview=import_preview,
                perform=import_,
                form_bytes=3 * _SHEET_BYTES,
                fields=(
                    Field("csv", "CSV file", "file", hint="With the columns of the export."),
                    Field("loss", "Sell below the cost on purpose", "tick", required=False),
                ),
            ),
        )


def _text_of(given: Given) -> str:
    """The sheet, from the file or from the page that has shown what it does. Raises InvalidInput."""
    if given.file is None:
        return given["csv"]
    if len(given.file.content) > _SHEET_BYTES:
        raise InvalidInput("csv", f"must have at most {_SHEET_BYTES // 1024 // 1024} MiB")
    try:
        text = given.file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("csv", "is not UTF-8 text") from None
    if "\0" in text:
        raise InvalidInput("csv", "is not text")
    return text.replace("\r\n", "\n").replace("\r", "\n")
