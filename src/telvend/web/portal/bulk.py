"""Lists of purchases: upload a CSV file, see what is wrong with it and what it costs, have it bought, follow it, take the result."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from telvend.errors import InvalidInput
from telvend.kit.secret import Secret
from telvend.kit.spreadsheet import csv_cell
from telvend.orders.bulk.model import MOST_BYTES, MOST_LINES, BulkLine, BulkList, Checked, ListState
from telvend.orders.bulk.service import may_start
from telvend.people.model import EmailNotVerified, PurchasePinLocked, Visitor
from telvend.services import Services
from telvend.web.portal.spending import shown_recipient
from telvend.web.shell import Form, Shell, read_form, signed_in

_SHOWN: Final = 50
"""So many mistakes, and so many lines of a list, stand on a page."""
_LISTS: Final = 10
_EXPORTED_AT_ONCE: Final = 500
_LOOK_EVERY_S: Final = 3
RESULT_COLUMNS: Final = (
    "line", "product", "to", "amount", "price", "currency", "state", "order", "error", "note",
)  # fmt: skip


def routes(shell: Shell, services: Services) -> list[BaseRoute]:
    """The pages of lists."""
    pages = _Bulk(shell, services)
    return [
        # The file, and the fields beside it.
        shell.page("/bulk", get=signed_in(pages.show), post=signed_in(pages.check), form_bytes=MOST_BYTES + 64 * 1024),
        shell.page("/bulk/example.csv", get=signed_in(pages.example)),
        shell.page("/bulk/codes", get=signed_in(pages.codes)),
        shell.page("/bulk/{code}", get=signed_in(pages.one), post=signed_in(pages.act)),
        shell.page("/bulk/{code}/result.csv", get=signed_in(pages.result)),
    ]


class _Bulk:
    def __init__(self, shell: Shell, services: Services) -> None:
        self._shell = shell
        self._services = services
        self._lists = services.bulk_lists

    async def show(self, request: Request, visitor: Visitor) -> Response:
        return await self._first(request, visitor, Form())

    async def _first(
        self, request: Request, visitor: Visitor, form: Form, checked: Checked | None = None, status: int = 200
    ) -> Response:
        before = request.query_params.get("before", "")
        listed = await self._lists.listed(
            visitor.reseller_id,
            visitor.mode,
            before=int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else None,
            limit=_LISTS + 1,
        )
        problems = () if checked is None else checked.problems or checked.repeats
        return self._shell.render(
            request,
            "portal/bulk.html",
            status=status,
            form=form,
            lists=listed[:_LISTS],
            older=f"/bulk?before={listed[_LISTS - 1].id}" if len(listed) > _LISTS else None,
            problems=problems[:_SHOWN],
            more=max(0, len(problems) - _SHOWN),
            repeats=checked is not None and not checked.problems and bool(checked.repeats),
            most_lines=MOST_LINES,
            most_kb=MOST_BYTES // 1024,
        )

    async def check(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        upload = form.file("csv")
        if upload is None:
            form.error("csv", "Choose a CSV file.")
        if form.errors or upload is None:
            return await self._first(request, visitor, form, status=422)
        try:
            checked = await self._lists.check(
                visitor.reseller_id,
                visitor.mode,
                name=upload.name,
                data=upload.content,
                by_whom=visitor.person.email,
                repeats=form.ticked("repeats"),
            )
        except InvalidInput as error:
            form.error("csv", f"The file {error.problem}.")
            return await self._first(request, visitor, form, status=422)
        if checked.kept is not None:
            return self._shell.go(request, f"/bulk/{checked.kept.code}")
        if checked.problems:
            count = len(checked.problems)
            form.error("csv", f"{count} mistake{'s' * (count != 1)}. Nothing is bought until every line is right.")
        else:
            form.error(
                "repeats", "Some lines ask for the same. Tick this if they are meant, and choose the file again."
            )
        return await self._first(request, visitor, form, checked, 422)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        found = await self._lists.find(visitor.reseller_id, request.path_params["code"])
        return await self._page(request, visitor, found, Form())

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        found: BulkList,
        form: Form,
        status: int = 200,
        *,
        unverified: bool = False,
    ) -> Response:
        progress = await self._lists.progress(found)
        waits = found.state is ListState.BUYING or bool(progress.on_their_way)
        starts = may_start(found, progress)
        after = request.query_params.get("after", "")
        after_line = int(after) if after.isascii() and after.isdigit() and len(after) <= 9 else 0
        lines = await self._lists.lines(found, after=after_line, limit=_SHOWN + 1)
        return self._shell.render(
            request,
            "portal/bulk_list.html",
            status=status,
            fragment="live",
            refresh_s=_LOOK_EVERY_S if waits and not after_line else None,
            form=form,
            list=found,
            progress=progress,
            waits=waits,
            to_pay=await self._lists.to_pay(found) if starts else [],
            starts=starts,
            asks_pin=visitor.person.has_pin,
            unverified=unverified,
            lines=lines[:_SHOWN],
            number=shown_recipient,
            older=f"/bulk/{found.code}?after={lines[_SHOWN - 1].line}" if len(lines) > _SHOWN else None,
            first=f"/bulk/{found.code}" if after_line else None,
        )

    async def act(self, request: Request, visitor: Visitor) -> Response:
        form = await read_form(request)
        found = await self._lists.find(visitor.reseller_id, request.path_params["code"])
        path = f"/bulk/{found.code}"
        match form.text("act"):
            case "stop":
                stopped = await self._lists.stop(visitor.reseller_id, found.code)
                return self._shell.go(request, path, "Stopped." if stopped else None)
            case "discard":
                try:
                    await self._lists.discard(visitor.reseller_id, found.code)
                except InvalidInput as error:
                    return self._shell.go(request, path, str(error), "bad")
                return self._shell.go(request, "/bulk", "Discarded. Nothing was bought.")
            case "buy":
                return await self._buy(request, visitor, found, form)
            case _:
                return self._shell.go(request, path)

    async def _buy(self, request: Request, visitor: Visitor, found: BulkList, form: Form) -> Response:
        path = f"/bulk/{found.code}"
        if found.state not in (ListState.CHECKED, ListState.STOPPED):
            # A second click.
            return self._shell.go(request, path)
        unverified = False
        try:
            if found.mode is visitor.mode:
                self._services.people.require_verified(visitor)
            else:
                form.error("", f"This is a list of the {found.mode} mode. Switch to it first.")
            if not form.errors:
                await self._services.people.check_pin(visitor, Secret(form.secret("pin")))
        except EmailNotVerified as error:
            form.error("", str(error))
            unverified = True
        except PurchasePinLocked as error:
            form.error("pin", str(error))
        except InvalidInput as error:
            form.take(error)
        if form.errors:
            return await self._page(request, visitor, found, form, 422, unverified=unverified)
        await self._lists.start(visitor.reseller_id, found.code)
        return self._shell.go(request, path)

    # Files ----------------------------------------------------------------------------------------------------------------

    async def result(self, request: Request, visitor: Visitor) -> Response:
        found = await self._lists.find(visitor.reseller_id, request.path_params["code"])
        return StreamingResponse(
            self._rows(found),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="result.csv"', "cache-control": "no-store"},
        )

    async def _rows(self, found: BulkList) -> AsyncIterator[bytes]:
        yield b"\xef\xbb\xbf" + _csv([list(RESULT_COLUMNS)])
        after = 0
        while lines := await self._lists.lines(found, after=after, limit=_EXPORTED_AT_ONCE):
            yield _csv([_result_row(line) for line in lines])
            after = lines[-1].line

    async def example(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002
        snapshot = self._services.catalogue.snapshot
        rows = [["product", "to", "amount", "note"]]
        for country, number in (("GH", "0241234567"), ("NG", "08031234567")):
            for network in snapshot.networks(country):
                plans = snapshot.plans(country, network.code)
                airtime = snapshot.airtime(country, network.code)
                if plans and airtime is not None:
                    rows += [
                        [plans[0].code, number, "", "a bundle"],
                        [airtime.code, number, airtime.minimum.text, "airtime"],
                    ]
                    break
        return Response(
            _csv(rows),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="list.csv"'},
        )

    async def codes(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002
        snapshot = self._services.catalogue.snapshot
        groups = []
        for country in ("GH", "NG"):
            for network in snapshot.networks(country):
                plans = snapshot.plans(country, network.code)
                airtime = snapshot.airtime(country, network.code)
                if plans or airtime is not None:
                    groups.append((network, plans, airtime))
        return self._shell.render(request, "portal/bulk_codes.html", groups=groups)


def _result_row(line: BulkLine) -> list[str]:
    return [
        str(line.line),
        line.product,
        line.recipient,
        line.amount,
        line.price.text,
        line.price.currency.code,
        line.standing,
        line.order or "",
        line.error,
        line.note,
    ]


def _csv(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([csv_cell(cell) for cell in row] for row in rows)
    return out.getvalue().encode()
