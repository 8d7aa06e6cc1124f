"""Resellers: the list, one with its wallets, keys and webhooks, and what is done with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.catalog.model import Discount
from telvend.errors import InsufficientBalance, InvalidFields, InvalidInput, NotFound
from telvend.kit.ids import new_uuid
from telvend.kit.mode import Mode
from telvend.kit.money import Money, currency_of
from telvend.people.model import Visitor
from telvend.resellers.model import ApiKey, Profile, Reseller
from telvend.resellers.service import LARGEST_LIMIT
from telvend.wallets.model import WalletBalance
from telvend.web.console.frame import PAGE, Console, leading, number_of, text_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, amount_of, figures, plus, routes_of
from telvend.webhooks.model import EndpointState

_STATES: Final = (("", "All"), ("active", "Active"), ("suspended", "Suspended"))
_MODES: Final = tuple((str(mode), str(mode).capitalize()) for mode in Mode)


@dataclass(frozen=True, slots=True)
class KeyOf:
    """A key and whose it is."""

    reseller: Reseller
    key: ApiKey


@dataclass(frozen=True, slots=True)
class EndpointOf:
    """A webhook endpoint and whose it is."""

    reseller: Reseller
    number: int
    url: str
    state: EndpointState


def pages(console: Console) -> list[Route]:
    """The pages of resellers."""
    own = _Pages(console)
    return [
        console.page("/console/resellers", Right.LOOK, own.listed),
        *(routes_of(console, verb) for verb in own.without_one()),
        console.page("/console/resellers/{number}", Right.LOOK, own.one),
        console.page("/console/resellers/{number}/statement", Right.LOOK, own.statement),
        *(routes_of(console, verb) for verb in own.verbs()),
        *(routes_of(console, verb) for verb in own.of_keys()),
        *(routes_of(console, verb) for verb in own.of_endpoints()),
    ]


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    # Looking ------------------------------------------------------------------------------------------------------------

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        after = number_of(request, "after") or 0
        state = text_of(request, "state")
        found = await self._desk.resellers.search(
            text_of(request, "search"),
            suspended={"active": False, "suspended": True}.get(state),
            after=after,
            limit=PAGE + 1,
        )
        rows: list[Sequence[Value]] = [
            (
                f"{r.number}", Link(f"/console/resellers/{r.number}", r.name), r.email, r.phone, r.created_at,
                State("suspended" if r.suspended_at else "active"),
            )
            for r in found[:PAGE]
        ]  # fmt: skip
        listing = Listing(
            "Resellers",
            [Column("Number"), Column("Name"), Column("Email"), Column("Phone"), Column("Since"), Column("State")],
            rows,
            filters=[Filter("search", "Search"), Filter("state", "State", options=_STATES)],
            newer=leading(request, after=None) if after else "",
            older=leading(request, after=found[PAGE - 1].number) if len(found) > PAGE else "",
            empty="No such resellers",
            advice="Add a reseller, or let them sign up by themselves with the setting signup = open.",
        )
        actions = [("/console/resellers/add", "Add a reseller")]
        return self._console.list(request, visitor, "Resellers", listing, actions=actions)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        profile = await self._profile(request)
        desk, base = self._desk, f"/console/resellers/{profile.number}"
        wallets = await desk.wallets.of_reseller(profile.id)
        keys = await desk.resellers.list_keys(profile.email)
        discounts = await desk.catalogue.discounts(profile.id)
        endpoints = await desk.webhooks.list_endpoints(profile.id)
        members = await desk.people.members([profile.id])
        return self._console.render(
            request, visitor, "console/reseller.html", reseller=profile, base=base,
            state=State("suspended" if profile.suspended_at else "active"),
            facts=[
                ("Email", profile.email), ("Phone", profile.phone), ("Number", f"{profile.number}"), ("Since", profile.created_at),
                ("Address", profile.address or None), ("Suspended", profile.suspended_at),
                ("Because", profile.suspended_reason or None),
            ],
            wallets=_wallets(wallets, base), keys=_keys(keys, base), discounts=_discounts(discounts),
            endpoints=Listing(
                "Webhooks",
                [Column("URL"), Column("State"), Column("Waiting", True), Column("Failing since"), Column("Failure"), Column("")],
                [
                    (
                        e.endpoint.url, State(e.endpoint.state), e.waiting, e.endpoint.failing_since, e.endpoint.failure or None,
                        Link(f"{base}/webhooks/{e.endpoint.id}/resume", "Resume")
                        if e.endpoint.state is EndpointState.PAUSED else None,
                    )
                    for e in endpoints
                ],
                empty="No webhooks",
            ),
            members=Listing(
                "People",
                [Column("Name"), Column("Email"), Column("Address proven"), Column("State")],
                [
                    (p.name, p.email, "yes" if p.email_verified else "no", State("suspended" if p.suspended_at else "active"))
                    for p in members
                ],
                empty="Nobody signs in for this reseller yet", advice="Invite them to the portal.",
            ),
        )  # fmt: skip

    async def statement(self, request: Request, visitor: Visitor) -> Response:
        """The transfers of one wallet, newest first."""
        profile = await self._profile(request)
        wallets = await self._desk.wallets.of_reseller(profile.id)
        wanted = number_of(request, "wallet")
        wallet = next((one for one in wallets if one.wallet_id == wanted), None)
        if wallet is None:
            raise NotFound("Wallet")
        before = number_of(request, "before")
        lines = await self._desk.wallets.statement(
            profile.id, wallet.balance.currency, wallet.mode, before=before, limit=PAGE + 1
        )
        rows: list[Sequence[Value]] = [
            (line.created_at, line.kind.name.replace("_", " ").capitalize(), f"{line.cause}", line.change, line.balance)
            for line in lines[:PAGE]
        ]
        listing = Listing(
            "Statement",
            [Column("When"), Column("What"), Column("Number"), Column("Change", True), Column("Balance", True)],
            rows,
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=lines[PAGE - 1].sequence) if len(lines) > PAGE else "",
            empty="Nothing has moved",
            summary=[("Balance", wallet.balance)],
        )
        title = f"{profile.name}: {wallet.balance.currency} ({wallet.mode})"
        actions = [(f"/console/resellers/{profile.number}", "Back to the reseller")]
        return self._console.list(request, visitor, title, listing, actions=actions)

    async def _reseller(self, request: Request) -> Reseller:
        """Raises NotFound."""
        text = request.path_params["number"]
        if text.isascii() and text.isdigit() and len(text) <= 15:
            number = int(text)
            found = await self._desk.resellers.search(after=number - 1, limit=1)
            if found and found[0].number == number:
                return found[0]
        raise NotFound("Reseller")

    async def _profile(self, request: Request) -> Profile:
        return await self._desk.resellers.profile((await self._reseller(request)).id)

    async def _balance(self, reseller_id: UUID, amount: Money, mode: Mode) -> Money:
        wallets = await self._desk.wallets.of_reseller(reseller_id)
        return next(
            (one.balance for one in wallets if one.mode is mode and one.balance.currency == amount.currency),
            Money(0, amount.currency),
        )

    # Doing --------------------------------------------------------------------------------------------------------------

    def without_one(self) -> Iterable[Verb[None]]:
        """Add a reseller."""
        resellers = self._desk.resellers

        async def load(_: Request) -> None:
            return None

        async def preview(_: None, given: Given) -> Preview:
            return Preview(
                figures(name=given["name"], email=given["email"], phone=given["phone"]),
                "Wallets in GHS and NGN are opened, live and test, all of them empty.",
                after={"email": given["email"], "name": given["name"]},
            )

        async def perform(_: None, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            made = await resellers.add(given["email"], given["name"], given["phone"])
            return f"{made.name} is reseller {made.number}."

        on: On[None] = On("reseller", load, lambda _: "", lambda _: "/console/resellers")
        fields = (
            Field("name", "Name"),
            Field("email", "Email", "email"),
            Field("phone", "Phone number", "tel"),
        )
        return (
            Verb(
                path="/console/resellers/add", right=Right.ACCESS, title="Add a reseller", button="Add", what="reseller.add",
                on=on, preview=preview, perform=perform, fields=fields,
            ),
        )  # fmt: skip

    def verbs(self) -> Iterable[Verb[Reseller]]:
        """What is done with a reseller."""
        desk, base = self._desk, "/console/resellers/{number}"
        on = On("reseller", self._reseller, lambda r: r.email, lambda r: f"/console/resellers/{r.number}")

        async def suspend_preview(r: Reseller, given: Given) -> Preview:  # noqa: ARG001
            if r.suspended_at is not None:
                raise InvalidInput("", f"{r.email} is suspended already")
            keys = [key for key in await desk.resellers.list_keys(r.email) if key.revoked_at is None]
            return Preview(
                figures(keys_refused=len(keys), state="active → suspended"),
                "Every key is refused within a second, on every node. Orders that are open go on, and the money stays in the wallets.",
                before={"state": "active"},
                after={"state": "suspended"},
            )

        async def suspend(r: Reseller, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.resellers.suspend(r.email, given.reason)
            return f"{r.name} is suspended."

        async def resume_preview(r: Reseller, given: Given) -> Preview:  # noqa: ARG001
            if r.suspended_at is None:
                raise InvalidInput("", f"{r.email} is not suspended")
            return Preview(
                figures(state="suspended → active"), "Its keys work again, all but the revoked ones.",
                before={"state": "suspended"}, after={"state": "active"},
            )  # fmt: skip

        async def resume(r: Reseller, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.resellers.resume(r.email)
            return f"{r.name} buys again."

        def money_fields(r: Reseller) -> Sequence[Field]:  # noqa: ARG001
            return (
                Field("amount", "Amount", hint="In whole units, such as 1000 or 4.50.", numeric=True),
                Field("currency", "Currency", "select", options=(("GHS", "GHS"), ("NGN", "NGN")), start="GHS"),
                Field("mode", "Mode", "select", options=_MODES, start="live"),
                Field(
                    "reference", "Reference", start=f"console-{new_uuid().hex[:12]}",
                    hint="Counted once: the bank's or the gateway's reference, so that nothing is credited twice.",
                ),
            )  # fmt: skip

        def read(given: Given) -> tuple[Money, Mode]:
            return amount_of(given["amount"], currency_of(given["currency"])), Mode(given["mode"])

        def asks(amount: Money, mode: Mode) -> str:
            limit = desk.second_person.limits.minor_by_currency.get(amount.currency.code)
            if limit is None or mode is not Mode.LIVE:
                return "Not needed"
            above = Money(limit, amount.currency)
            if amount.minor > limit:
                return f"Another person has to confirm it first: it is above {above}"
            return f"Not for up to {above} in 24 hours"

        async def credit_preview(r: Reseller, given: Given) -> Preview:
            amount, mode = read(given)
            if amount.minor <= 0:
                raise InvalidInput("amount", "must be greater than zero")
            used = await desk.credits.credited(r.id, amount.currency, mode, given["reference"])
            if used is not None:
                raise InvalidInput("reference", f"was used before: {used} was credited under it")
            before = await self._balance(r.id, amount, mode)
            return Preview(
                figures(credit=amount, wallet=f"{amount.currency} ({mode})", reference=given["reference"],
                        second_person=asks(amount, mode)),
                before={"balance": str(before)}, after={"credit": str(amount), "reference": given["reference"], "mode": mode},
                moment=figures(balance_now=before, balance_then=plus(before, amount)),
            )  # fmt: skip

        async def credit(r: Reseller, given: Given, visitor: Visitor) -> str:
            amount, mode = read(given)
            balance = await desk.credits.add(r.id, amount, mode, given["reference"], by_whom=visitor.person.email)
            return f"{amount} was credited. The wallet holds {balance}."

        async def debit_preview(r: Reseller, given: Given) -> Preview:
            amount, mode = read(given)
            if amount.minor <= 0:
                raise InvalidInput("amount", "must be greater than zero")
            before = await self._balance(r.id, amount, mode)
            used = await desk.corrections.debited(r.id, amount.currency, mode, given["reference"])
            if used is not None:
                raise InvalidInput("reference", f"was used before: {used} was debited under it")
            if before.minor < amount.minor:
                raise InsufficientBalance(amount, before)
            return Preview(
                figures(debit=amount, wallet=f"{amount.currency} ({mode})", reference=given["reference"],
                        second_person=asks(amount, mode)),
                before={"balance": str(before)}, after={"debit": str(amount), "reference": given["reference"], "mode": mode},
                moment=figures(balance_now=before, balance_then=Money(before.minor - amount.minor, amount.currency)),
            )  # fmt: skip

        async def debit(r: Reseller, given: Given, visitor: Visitor) -> str:
            amount, mode = read(given)
            balance = await desk.corrections.debit(
                r.id, amount, mode, given["reference"], reason=given.reason, by_whom=visitor.person.email
            )
            return f"{amount} was debited. The wallet holds {balance}."

        async def invite_preview(r: Reseller, given: Given) -> Preview:  # noqa: ARG001
            return Preview(
                figures(to=r.email), "An e-mail with a link is sent. Whoever opens it signs in to this reseller's portal.",
                after={"invited": r.email},
            )  # fmt: skip

        async def invite(r: Reseller, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            address = await desk.people.send_invitation(r.email, by=visitor)
            return f"An invitation goes to {address}."

        async def discount_preview(r: Reseller, given: Given) -> Preview:
            now = [d for d in await desk.catalogue.discounts(r.id) if f"{d.country} {d.network}" == given["network"]]
            before = f"{now[0].percent} %" if now else "0 %"
            return Preview(
                figures(airtime_of=given["network"], discount_now=before, discount_then=f"{given['percent']} %"),
                "The next sale has the new discount. Orders that were placed keep theirs.",
                before={"discount": before},
                after={"discount": f"{given['percent']} %", "network": given["network"]},
            )

        async def discount(r: Reseller, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            country, _, network = given["network"].partition(" ")
            await desk.catalogue.set_discount(r.id, country, network, given["percent"])
            return f"{r.name} pays {given['percent']} % less for airtime of {network}."

        def discount_fields(r: Reseller) -> Sequence[Field]:  # noqa: ARG001
            sold = desk.catalogue.snapshot
            networks = [n for n in sold.everywhere if sold.airtime(n.country, n.code) is not None]
            return (
                Field(
                    "network",
                    "Network",
                    "select",
                    options=[(f"{n.country} {n.code}", f"{n.name} ({n.country})") for n in networks],
                ),
                Field("percent", "Percent", hint="Such as 2.5; 0 takes the discount away.", numeric=True),
            )

        return (
            Verb(
                path=f"{base}/suspend", right=Right.ACCESS, title="Suspend a reseller", button="Suspend", what="reseller.suspend",
                on=on, preview=suspend_preview, perform=suspend, danger=True,
            ),
            Verb(
                path=f"{base}/resume", right=Right.ACCESS, title="Let a reseller in again", button="Resume",
                what="reseller.resume", on=on, preview=resume_preview, perform=resume,
            ),
            Verb(
                path=f"{base}/credit", right=Right.MONEY, title="Credit a wallet", button="Credit", what="wallet.credit", on=on,
                preview=credit_preview, perform=credit, choices=money_fields,
            ),
            Verb(
                path=f"{base}/debit", right=Right.MONEY, title="Debit a wallet", button="Debit", what="wallet.debit", on=on,
                preview=debit_preview, perform=debit, choices=money_fields, danger=True,
            ),
            Verb(
                path=f"{base}/invite", right=Right.ASK, title="Invite to the portal", button="Send", what="reseller.invite", on=on,
                preview=invite_preview, perform=invite, needs_reason=False, records=False,
            ),
            Verb(
                path=f"{base}/discount", right=Right.PRICES, title="Set a discount", button="Set", what="reseller.discount", on=on,
                preview=discount_preview, perform=discount, choices=discount_fields,
            ),
        )  # fmt: skip

    def of_keys(self) -> Iterable[Verb[KeyOf]]:
        """Revoke a key; change its limits."""
        desk = self._desk

        async def load(request: Request) -> KeyOf:
            reseller = await self._reseller(request)
            for key in await desk.resellers.list_keys(reseller.email):
                if str(key.id) == request.path_params["key"]:
                    return KeyOf(reseller, key)
            raise NotFound("Key")

        async def preview(one: KeyOf, given: Given) -> Preview:  # noqa: ARG001
            if one.key.revoked_at is not None:
                raise InvalidInput("", "this key is revoked already")
            return Preview(
                figures(key=one.key.hint, API=one.key.api, mode=str(one.key.mode)),
                "It is refused within a second, on every node, for good.",
                before={"key": one.key.hint},
                after={"revoked": True},
            )

        async def perform(one: KeyOf, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.resellers.revoke_key(one.key.id)
            return "The key is revoked."

        def limit_fields(one: KeyOf) -> Sequence[Field]:
            return (
                Field("read_limit", "Reads a minute", start=f"{one.key.read_limit}", numeric=True),
                Field("purchase_limit", "Purchases a minute", start=f"{one.key.purchase_limit}", numeric=True),
            )

        async def limits_preview(one: KeyOf, given: Given) -> Preview:
            key = one.key
            if key.revoked_at is not None:
                raise InvalidInput("", "this key is revoked")
            reads, purchases = _limits(given)
            if (reads, purchases) == (key.read_limit, key.purchase_limit):
                raise InvalidInput("", "these are its limits already: nothing would change")
            return Preview(
                figures(
                    key=key.hint, API=key.api, mode=str(key.mode),
                    reads_a_minute=f"{key.read_limit:,} → {reads:,}",
                    purchases_a_minute=f"{key.purchase_limit:,} → {purchases:,}",
                ),
                "They count within a second, on every node.",
                before={"key": key.hint, "read_limit": key.read_limit, "purchase_limit": key.purchase_limit},
                after={"read_limit": reads, "purchase_limit": purchases},
            )  # fmt: skip

        async def change_limits(one: KeyOf, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            reads, purchases = _limits(given)
            key = await desk.resellers.change_limits(one.key.id, read_limit=reads, purchase_limit=purchases)
            return f"The key {key.hint} may read {key.read_limit:,} and buy {key.purchase_limit:,} times a minute."

        on = On("key", load, lambda one: one.reseller.email, lambda one: f"/console/resellers/{one.reseller.number}")
        base = "/console/resellers/{number}/keys/{key}"
        return (
            Verb(
                path=f"{base}/revoke", right=Right.ACCESS, title="Revoke a key", button="Revoke", what="key.revoke", on=on,
                preview=preview, perform=perform, danger=True,
            ),
            Verb(
                path=f"{base}/limits", right=Right.ACCESS, title="Change the limits of a key", button="Change",
                what="key.limits", on=on, preview=limits_preview, perform=change_limits, choices=limit_fields,
                lead="How many requests a minute the key may make.",
            ),
        )  # fmt: skip

    def of_endpoints(self) -> Iterable[Verb[EndpointOf]]:
        """Resume a webhook."""
        desk = self._desk

        async def load(request: Request) -> EndpointOf:
            reseller = await self._reseller(request)
            for one in await desk.webhooks.list_endpoints(reseller.id):
                if str(one.endpoint.id) == request.path_params["endpoint"]:
                    return EndpointOf(reseller, one.endpoint.id, one.endpoint.url, one.endpoint.state)
            raise NotFound("Endpoint")

        async def preview(one: EndpointOf, given: Given) -> Preview:  # noqa: ARG001
            if one.state is not EndpointState.PAUSED:
                raise InvalidInput("", f"this endpoint is {one.state}")
            return Preview(
                figures(URL=one.url), "What has waited is sent.", before={"state": one.state}, after={"state": "active"}
            )

        async def perform(one: EndpointOf, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await desk.webhooks.resume(one.number)
            return "The webhook is sent again."

        on = On("webhook", load, lambda one: one.url, lambda one: f"/console/resellers/{one.reseller.number}")
        return (
            Verb(
                path="/console/resellers/{number}/webhooks/{endpoint}/resume", right=Right.ASK, title="Resume a webhook",
                button="Resume", what="webhook.resume", on=on, preview=preview, perform=perform, needs_reason=False,
            ),
        )  # fmt: skip


# Tables ---------------------------------------------------------------------------------------------------------------------


def _wallets(wallets: Sequence[WalletBalance], base: str) -> Listing:
    rows: list[Sequence[Value]] = [
        (f"{w.balance.currency} ({w.mode})", w.balance, Link(f"{base}/statement?wallet={w.wallet_id}", "Statement"))
        for w in wallets
    ]
    return Listing("Wallets", [Column("Wallet"), Column("Balance", True), Column("")], rows, empty="No wallets")


def _keys(keys: Sequence[ApiKey], base: str) -> Listing:
    rows: list[Sequence[Value]] = [
        (
            k.hint, k.api, str(k.mode), _limits_cell(k, base), k.created_at, State("revoked" if k.revoked_at else "active"),
            None if k.revoked_at else Link(f"{base}/keys/{k.id}/revoke", "Revoke"),
        )
        for k in keys
    ]  # fmt: skip
    columns = [
        Column("Key"), Column("API"), Column("Mode"), Column("Reads / purchases a minute", True), Column("Made"), Column("State"),
        Column(""),
    ]  # fmt: skip
    return Listing("API keys", columns, rows, empty="No keys", advice="The reseller makes them in the portal.")


def _limits_cell(key: ApiKey, base: str) -> Value:
    text = f"{key.read_limit:,} / {key.purchase_limit:,}"
    return text if key.revoked_at else Link(f"{base}/keys/{key.id}/limits", f"{text}, change")


def _limits(given: Given) -> tuple[int, int]:
    """The limits that were typed: reads and purchases a minute. Raises InvalidFields with both problems."""
    found: dict[str, int] = {}
    problems: dict[str, str] = {}
    for name in ("read_limit", "purchase_limit"):
        text = given[name].replace(",", "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_LIMIT)) else 0
        if 1 <= number <= LARGEST_LIMIT:
            found[name] = number
        else:
            problems[name] = f"must be a whole number from 1 to {LARGEST_LIMIT:,}"
    if problems:
        raise InvalidFields(problems)
    return found["read_limit"], found["purchase_limit"]


def _discounts(discounts: Sequence[Discount]) -> Listing:
    rows: list[Sequence[Value]] = [(f"{d.network} ({d.country})", f"{d.percent} %") for d in discounts]
    return Listing("Discounts", [Column("Airtime of"), Column("Less", True)], rows, empty="No discounts")
