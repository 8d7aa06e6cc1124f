"""Providers and networks: how they do, and switching them off and on."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.catalog.model import Network
from telvend.catalog.pauses.model import banner
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.routing import ProviderState
from telvend.kit.ids import new_uuid
from telvend.kit.money import CURRENCIES, currency_of
from telvend.people.model import Visitor
from telvend.upstreams.model import Standing
from telvend.web.console.frame import PAGE, Console, leading, number_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Link, Listing, State, Value
from telvend.web.console.today import state_of
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, amount_of, figures, routes_of
from telvend.web.shell.formats import time_text

_SWITCHES: Final = (
    (ProviderState.OFF, "off", "Switch off", "Nothing more is sent there; what is open is still asked about."),
    (ProviderState.DRAIN, "drain", "Drain", "It gets no new orders; what is open there is finished."),
    (ProviderState.ON, "on", "Switch on", "It gets orders again."),
)


def pages(console: Console) -> list[Route]:
    """The pages of providers and networks."""
    own = _Pages(console)
    return [
        console.page("/console/providers", Right.LOOK, own.listed),
        console.page("/console/networks/pauses", Right.LOOK, own.pauses),
        *(routes_of(console, verb) for verb in own.of_networks()),
        console.page("/console/providers/{name}", Right.LOOK, own.one),
        *(routes_of(console, verb) for verb in own.verbs()),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        standings = await self._desk.attention.standings()
        networks = await self._desk.catalogue.list_networks()
        return self._console.render(
            request, visitor, "console/providers.html", providers=_providers(standings),
            networks=_networks(networks, visitor.person.zone),
        )  # fmt: skip

    async def one(self, request: Request, visitor: Visitor) -> Response:
        name = await self._named(request)
        standing = (await self._desk.upstreams.standings([name]))[name]
        hour, read = standing.last_hour, standing.float
        resting: list[Sequence[Value]] = [
            (group.group or "everything", State(group.state), group.why, group.processes)
            for group in standing.health.resting
        ]
        expected = None if read is None or read.amount is None else standing.topped_up.get(read.amount.currency)
        return self._console.render(
            request, visitor, "console/provider.html", name=name, state=state_of(standing), standing=standing,
            switches=[(path, words) for state, path, words, _ in _SWITCHES if state is not standing.state],
            facts=[
                ("Switched", f"{standing.state}: {standing.switched.reason} ({standing.switched.by_whom})"
                 if standing.switched else None),
                ("Float", None if read is None else read.amount), ("Float read", None if read is None else read.read_at),
                ("Float not read because", None if read is None else read.error or None),
                ("Topped up in all", expected),
                ("The float lasts", None if read is None or (left := hour.hours_left(read.amount)) is None else f"{left:g} hours"),
                ("Delivered in the last hour", hour.delivered), ("Refused", hour.refused), ("Not sent", hour.not_sent),
                ("Unknown", hour.unknown), ("Under way", hour.open),
                ("Success", None if hour.success_percent is None else f"{hour.success_percent:g} %"),
                ("Half are delivered within", None if hour.median_s is None else f"{hour.median_s:g} s"),
                ("One in twenty takes longer than", None if hour.slow_s is None else f"{hour.slow_s:g} s"),
                ("Processes that deliver", standing.health.processes), ("In flight", standing.health.in_flight),
            ],
            resting=Listing(
                "What rests", [Column("What"), Column("State"), Column("Why"), Column("Processes", True)], resting,
                empty="Nothing rests",
            ),
        )  # fmt: skip

    async def pauses(self, request: Request, visitor: Visitor) -> Response:
        before = number_of(request, "before")
        found = await self._desk.pauses.history(before=before, limit=PAGE + 1)
        rows: list[Sequence[Value]] = [
            (p.paused_at, f"{p.network} ({p.country})", p.by_whom, p.reason, p.ended_at, p.ended_by or None)
            for p in found[:PAGE]
        ]
        listing = Listing(
            "Pauses",
            [Column("Paused"), Column("Network"), Column("By"), Column("Reason"), Column("Ended"), Column("By whom")],
            rows,
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No network was ever paused",
        )
        return self._console.list(
            request, visitor, "Pauses of networks", listing, actions=[("/console/providers", "Back")]
        )

    async def _named(self, request: Request) -> str:
        """Raises NotFound."""
        name: str = request.path_params["name"]
        if name not in self._desk.provider_names:
            raise NotFound("Provider")
        return name

    def verbs(self) -> Iterable[Verb[str]]:
        """Switch a provider; record what was paid into its float."""
        desk = self._desk
        on = On("provider", self._named, lambda name: name, lambda name: f"/console/providers/{name}")
        for state, path, words, text in _SWITCHES:
            yield self._switch(on, state, path, words, text)

        async def topup_preview(name: str, given: Given) -> Preview:
            amount = amount_of(given["amount"], currency_of(given["currency"]))
            if amount.minor <= 0:
                raise InvalidInput("amount", "must be greater than zero")
            standing = (await desk.upstreams.standings([name]))[name]
            before = standing.topped_up.get(amount.currency)
            return Preview(
                figures(paid_in=amount, recorded_before=before, reference=given["reference"]),
                "Moves no money of resellers: it is what the expected float is counted from.",
                after={"paid": str(amount), "reference": given["reference"]},
            )

        async def topup(name: str, given: Given, visitor: Visitor) -> str:
            amount = amount_of(given["amount"], currency_of(given["currency"]))
            new = await desk.upstreams.record_topup(name, amount, given["reference"], by_whom=visitor.person.email)
            return (
                f"{amount} was paid into the float of {name}." if new else f"{given['reference']} was recorded before."
            )

        fields = (
            Field("amount", "Amount", hint="In whole units, such as 50000.", numeric=True),
            Field("currency", "Currency", "select", options=[(code, code) for code in CURRENCIES], start="GHS"),
            Field(
                "reference",
                "Reference",
                hint="The bank's for this payment: counted once.",
                start=f"float-{new_uuid().hex[:12]}",
            ),
        )
        yield Verb(
            path="/console/providers/{name}/topup", right=Right.PROVIDERS, title="Record a top-up of the float", button="Record",
            what="provider.topup", on=on, preview=topup_preview, perform=topup, fields=fields,
        )  # fmt: skip

    def _switch(self, on: On[str], state: ProviderState, path: str, words: str, text: str) -> Verb[str]:
        desk = self._desk

        async def preview(name: str, given: Given) -> Preview:  # noqa: ARG001
            standings = await desk.upstreams.standings(desk.provider_names)
            now = standings[name].state
            if now is state:
                raise InvalidInput("", f"{name} is {state} already")
            others = [other for other, one in standings.items() if other != name and one.state is ProviderState.ON]
            warning = (
                ""
                if others or state is ProviderState.ON
                else "No other provider is on: orders will fail, and the money goes back."
            )
            return Preview(
                figures(state=f"{now} → {state}", others_that_are_on=len(others)),
                text, warning, before={"state": now}, after={"state": state},
                moment=figures(under_way_there=standings[name].health.in_flight),
            )  # fmt: skip

        async def perform(name: str, given: Given, visitor: Visitor) -> str:
            await desk.upstreams.switch(
                name, state, known=desk.provider_names, reason=given.reason, by_whom=visitor.person.email
            )
            await desk.attention.standings.renew()
            return f"{name} is {state}."

        return Verb(
            path=f"/console/providers/{{name}}/{path}", right=Right.PROVIDERS, title=f"{words} a provider", button=words,
            what=f"provider.{path}", on=on, preview=preview, perform=perform, danger=state is not ProviderState.ON,
        )  # fmt: skip

    def of_networks(self) -> Iterable[Verb[Network]]:
        """Pause and resume a network."""
        desk = self._desk

        async def load(request: Request) -> Network:
            country, code = request.path_params["country"], request.path_params["code"]
            for network in await desk.catalogue.list_networks():
                if (network.country, network.code) == (country, code):
                    return network
            raise NotFound("Network")

        async def pause_preview(n: Network, given: Given) -> Preview:  # noqa: ARG001
            today = (await desk.overview.today()).by_network()
            open_ = sum(
                found.open for (country, code, _), found in today.items() if (country, code) == (n.country, n.code)
            )
            return Preview(
                figures(network=f"{n.name} ({n.country})"),
                "Nothing of it is sold until somebody resumes it. Orders that were placed go on.",
                before={"paused": n.pause is not None},
                after={"paused": True},
                moment=figures(open_orders_of_today=open_),
            )

        async def pause(n: Network, given: Given, visitor: Visitor) -> str:
            await desk.pauses.pause(n.code, reason=given.reason, by_whom=visitor.person.email, country=n.country)
            return f"{n.name} is paused."

        async def resume_preview(n: Network, given: Given) -> Preview:  # noqa: ARG001
            if n.pause is None:
                raise InvalidInput("", f"{n.name} is not paused")
            return Preview(
                figures(
                    network=f"{n.name} ({n.country})",
                    paused_since=n.pause.paused_at,
                    by=n.pause.by_whom,
                    because=n.pause.reason,
                ),
                "It is sold again at once, and its failures are forgotten.",
                before={"paused": True},
                after={"paused": False},
            )

        async def resume(n: Network, given: Given, visitor: Visitor) -> str:
            await desk.pauses.resume(n.code, reason=given.reason, by_whom=visitor.person.email, country=n.country)
            return f"{n.name} is sold again."

        on = On("network", load, lambda n: f"{n.country} {n.code}", lambda _: "/console/providers")
        base = "/console/networks/{country}/{code}"
        return (
            Verb(
                path=f"{base}/pause", right=Right.PAUSE, title="Pause a network", button="Pause", what="network.pause", on=on,
                preview=pause_preview, perform=pause, danger=True,
            ),
            Verb(
                path=f"{base}/resume", right=Right.PAUSE, title="Resume a network", button="Resume", what="network.resume", on=on,
                preview=resume_preview, perform=resume,
            ),
        )  # fmt: skip


def _providers(standings: dict[str, Standing]) -> Listing:
    rows: list[Sequence[Value]] = []
    for name, one in standings.items():
        hour = one.last_hour
        left = None if one.float is None else hour.hours_left(one.float.amount)
        rows.append(
            (
                Link(f"/console/providers/{name}", name), state_of(one),
                None if hour.success_percent is None else f"{hour.success_percent:g} %",
                None if hour.median_s is None else f"{hour.median_s:g} s", one.health.in_flight,
                None if one.float is None else one.float.amount, None if left is None else f"{left:g} h",
            )
        )  # fmt: skip
    columns = [
        Column("Provider"), Column("State"), Column("Delivered in the last hour", True), Column("In", True),
        Column("In flight", True), Column("Float", True), Column("Lasts", True),
    ]  # fmt: skip
    return Listing("Providers", columns, rows, empty="No providers", advice="The settings name those that deliver.")


def _networks(networks: Sequence[Network], zone: str) -> Listing:
    rows: list[Sequence[Value]] = []
    for n in networks:
        base = f"/console/networks/{n.country}/{n.code}"
        text = None if n.pause is None else banner(n.pause, lambda at: time_text(at, zone))
        state = State(
            "sells" if n.on_sale and n.pause is None else "on trial" if n.on_sale else "paused" if n.pause else "off"
        )
        link = Link(f"{base}/pause", "Pause") if n.pause is None else Link(f"{base}/resume", "Resume")
        rows.append((n.name, n.country, state, text, link))
    columns = [Column("Network"), Column("Country"), Column("State"), Column("Why"), Column("")]
    return Listing("Networks", columns, rows, empty="No networks")
