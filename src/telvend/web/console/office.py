"""What people did, who may come in, which e-mails were written, and how this installation is set up."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.config import Settings
from telvend.errors import InvalidInput, NotFound
from telvend.people.mail.model import Email, EmailState
from telvend.people.model import RecordedAct, Role, Staff, Visitor
from telvend.upkeep.settings_shown import rows_of
from telvend.web.console.frame import (
    PAGE,
    Console,
    as_csv,
    begins,
    choices,
    day_of,
    ends,
    from_to,
    leading,
    number_of,
    text_of,
)
from telvend.web.console.rights import ROLES, Right
from telvend.web.console.tables import Column, Filter, Link, Listing, State, Value
from telvend.web.console.verbs import Field, Given, On, Preview, Verb, figures, routes_of
from telvend.web.shell.paths import number_in_path
from telvend.web.site import base_url_of

_WORDS: Final = {
    Role.OWNER: "Owner: everything",
    Role.FINANCE: "Finance: money, prices, providers",
    Role.SUPPORT: "Support: looks, and asks again",
}
_AT_ONCE: Final = 200


def pages(console: Console) -> list[Route]:
    """The pages of the office."""
    log, staff, mail = _Log(console), _Staff(console), _Mail(console)
    return [
        console.page("/console/audit-log", Right.LOOK, log.listed),
        console.page("/console/audit-log.csv", Right.LOOK, log.csv),
        console.page("/console/audit-log/{number}", Right.LOOK, log.one),
        console.page("/console/staff", Right.STAFF, staff.listed),
        *(routes_of(console, verb) for verb in staff.verbs()),
        console.page("/console/emails", Right.MAIL, mail.listed),
        *(routes_of(console, verb) for verb in mail.verbs()),
        console.page("/console/emails/{number}", Right.MAIL, mail.one),
        console.page("/console/settings", Right.SETTINGS, log.settings),
    ]


# The log of acts ------------------------------------------------------------------------------------------------------------


class _Log:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk
        self._origins = _origins(console.desk.settings)

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before = number_of(request, "before")
        problem = ""
        try:
            found = await self._found(request, before, PAGE + 1)
        except InvalidInput as error:
            found, problem = [], str(error)
        rows: list[Sequence[Value]] = [
            (
                a.done_at,
                a.who or "–",
                Link(f"/console/audit-log/{a.id}", a.what),
                f"{a.thing} {a.key}".strip(),
                a.reason or None,
                a.address,
                State(a.surface, tone="plain"),
            )
            for a in found[:PAGE]
        ]
        listing = Listing(
            "Acts",
            [
                Column("When"),
                Column("Who"),
                Column("What"),
                Column("On"),
                Column("Reason"),
                Column("From"),
                Column("Through"),
            ],
            rows,
            [
                Filter("who", "Who (e-mail)"),
                Filter("what", "What"),
                Filter("thing", "Kind of thing"),
                Filter("key", "Which"),
                *from_to(),
            ],
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            csv=leading(request, before=None).replace("/console/audit-log", "/console/audit-log.csv", 1),
            empty="No such acts",
            advice=problem or "Everything that changes money or access stands here. Nobody can change it.",
        )
        return self._console.list(request, visitor, "Audit log", listing)

    async def csv(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - every page gets it
        await self._found(request, None, 1)
        titles = ("when", "who", "through", "from", "what", "thing", "key", "reason", "before", "after")

        async def fetch(place: int | None) -> tuple[Sequence[Sequence[Value]], int | None]:
            found = await self._found(request, place, _AT_ONCE)
            rows = [
                (
                    a.done_at,
                    a.who,
                    a.surface,
                    a.address,
                    a.what,
                    a.thing,
                    a.key,
                    a.reason,
                    _text(a.before),
                    _text(a.after),
                )
                for a in found
            ]
            return rows, found[-1].id if len(found) == _AT_ONCE else None

        return await as_csv("audit-log.csv", [Column(title) for title in titles], fetch)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        text = request.path_params["number"]
        found: list[RecordedAct] = []
        if text.isascii() and text.isdigit() and len(text) <= 15:
            found = await self._desk.people.acts(before=int(text) + 1, limit=1)
        if not found or str(found[0].id) != text:
            raise NotFound("Act")
        act = found[0]
        facts: list[tuple[str, Value]] = [
            ("When", act.done_at),
            ("Who", act.who or None),
            ("From", act.address),
            ("Through", act.surface),
            ("On", f"{act.thing} {act.key}"),
            ("Reason", act.reason or None),
        ]
        names = [*(act.before or {}), *(name for name in act.after or {} if name not in (act.before or {}))]
        changes: list[Sequence[Value]] = [
            (name, _value((act.before or {}).get(name)), _value((act.after or {}).get(name))) for name in names
        ]
        return self._console.render(
            request,
            visitor,
            "console/act.html",
            act=act,
            facts=facts,
            changes=Listing(
                "Before and after",
                [Column("What"), Column("Before"), Column("After")],
                changes,
                empty="No figures were recorded",
            ),
        )

    async def _found(self, request: Request, before: int | None, count: int) -> list[RecordedAct]:
        """Raises InvalidInput for a day that is none."""
        return await self._desk.people.acts(
            who=text_of(request, "who", longest=254) or None,
            what=text_of(request, "what") or None,
            thing=text_of(request, "thing") or None,
            key=text_of(request, "key", longest=254) or None,
            since=begins(day_of(request, "from"), self._console.zone),
            until=ends(day_of(request, "to"), self._console.zone),
            before=before,
            limit=count,
        )

    # Settings -----------------------------------------------------------------------------------------------------------

    async def settings(self, request: Request, visitor: Visitor) -> Response:
        """Every setting, secrets starred, and what the checks of this installation say."""
        rows: list[Sequence[Value]] = [
            (name, None if value is None or value == "" else str(value), self._origins.get(name, ""), variable, text)
            for name, value, _, variable, text in rows_of(self._desk.settings, {})
        ]
        findings: list[Sequence[Value]] = [
            (
                one.check,
                State(one.level, tone={"ok": "good", "warning": "wait", "failure": "bad"}[one.level]),
                one.text,
                one.advice or None,
            )
            for one in await self._desk.attention.findings()
        ]
        return self._console.render(
            request,
            visitor,
            "console/settings.html",
            settings=Listing(
                "Settings",
                [Column("Setting"), Column("Value"), Column("From"), Column("Variable"), Column("What it is")],
                rows,
            ),
            findings=Listing(
                "Checks", [Column("Check"), Column("State"), Column("What"), Column("What to do")], findings
            ),
            rights=[(str(right), [str(role) for role in Role if role in ROLES[right]]) for right in Right],
        )


def _origins(settings: Settings) -> Mapping[str, str]:
    """Which settings differ from their defaults."""
    plain = Settings(data_dir=settings.data_dir)
    return {
        name: "default" if getattr(settings, name) == getattr(plain, name) and name != "data_dir" else "set"
        for name in settings.__struct_fields__
    }


def _text(values: Mapping[str, Any] | None) -> str:
    return "" if values is None else msgspec.json.encode(values, enc_hook=str).decode()


def _value(value: Any) -> Value:
    if value is None:
        return None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# Who may come in ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Invited:
    """A link that was made for somebody."""

    email: str
    path: str


class _Staff:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        found = await self._desk.people.staff()
        rows: list[Sequence[Value]] = [
            (
                s.person.email,
                ", ".join(sorted(s.roles)),
                "yes" if s.person.has_totp else "no",
                State("suspended" if s.person.suspended_at else "active"),
                s.seen_at,
                Link(f"/console/staff/{s.person.id}/roles", "Change"),
                Link(
                    f"/console/staff/{s.person.id}/{'resume' if s.person.suspended_at else 'suspend'}",
                    "Resume" if s.person.suspended_at else "Suspend",
                ),
            )
            for s in found
        ]
        listing = Listing(
            "Staff",
            [
                Column("Email"),
                Column("Roles"),
                Column("Second factor"),
                Column("State"),
                Column("Seen"),
                Column(""),
                Column(""),
            ],
            rows,
            empty="Nobody has a role",
        )
        return self._console.list(
            request, visitor, "Staff", listing, actions=[("/console/staff/invite", "Invite somebody")]
        )

    def verbs(self) -> Iterable[Verb[Any]]:
        """Invite, change roles, suspend."""
        return [self._invite(), *self._of_one()]

    def _invite(self) -> Verb[None]:
        desk, console = self._desk, self._console

        async def load(_: Request) -> None:
            return None

        async def preview(_: None, given: Given) -> Preview:
            roles = _roles(given)
            return Preview(
                figures(email=given["email"], roles=", ".join(roles)),
                "The next page shows a link, this once. It works once, for 72 hours; pass it on by a way that you trust.",
                after={"roles": [str(role) for role in roles]},
            )

        async def perform(_: None, given: Given, visitor: Visitor) -> _Invited:
            path = await desk.people.invite_staff(given["email"], _roles(given), given.reason, visitor)
            return _Invited(given["email"], path)

        def answer(request: Request, visitor: Visitor, invited: object, given: Given) -> Response:
            own = desk.settings.public_url if not desk.settings.console_port else ""
            link = f"{base_url_of(request, own)}{invited.path}" if isinstance(invited, _Invited) else ""
            return console.render(
                request, visitor, "console/invited.html", link=link, email=given["email"], compress=False
            )

        return Verb(
            path="/console/staff/invite",
            right=Right.STAFF,
            title="Invite to the console",
            button="Make the link",
            what="staff.invite",
            records=False,
            on=On("person", load, lambda _: "", lambda _: "/console/staff"),
            preview=preview,
            perform=perform,
            answer=answer,
            fields=(Field("email", "Email", "email"), *_role_fields(frozenset())),
        )

    def _of_one(self) -> Iterable[Verb[Staff]]:
        desk = self._desk

        async def load(request: Request) -> Staff:
            for one in await desk.people.staff():
                if str(one.person.id) == request.path_params["id"]:
                    return one
            raise NotFound("Person")

        on = On("person", load, lambda s: s.person.email, lambda _: "/console/staff")

        async def roles_preview(s: Staff, given: Given) -> Preview:
            wanted = _roles(given, needed=False)
            if set(wanted) == set(s.roles):
                raise InvalidInput("owner", "and the others are as they were")
            taken = sorted(s.roles - set(wanted))
            text = "Its sessions end at once, on every node." if taken else "It counts from the next page on."
            return Preview(
                figures(roles_now=", ".join(sorted(s.roles)) or "none", roles_then=", ".join(wanted) or "none"),
                text,
                before={"roles": sorted(s.roles)},
                after={"roles": [str(role) for role in wanted]},
            )

        async def roles(s: Staff, given: Given, visitor: Visitor) -> str:
            wanted = _roles(given, needed=False)
            await desk.people.set_roles(s.person.id, wanted, given.reason, visitor)
            return f"{s.person.email} is {', '.join(wanted) or 'nothing'} now."

        def preview_of(text: str, before: str, after: str) -> Callable[[Staff, Given], Awaitable[Preview]]:
            async def preview(s: Staff, given: Given) -> Preview:  # noqa: ARG001
                shown = figures(person=s.person.email, roles=", ".join(sorted(s.roles)))
                return Preview(shown, text, before={"state": before}, after={"state": after})

            return preview

        async def suspend(s: Staff, given: Given, visitor: Visitor) -> str:
            await desk.people.suspend(s.person.id, given.reason, visitor)
            return f"{s.person.email} is suspended."

        async def resume(s: Staff, given: Given, visitor: Visitor) -> str:
            await desk.people.resume(s.person.id, given.reason, visitor)
            return f"{s.person.email} can sign in again."

        base = "/console/staff/{id}"
        return (
            Verb(
                path=f"{base}/roles",
                right=Right.STAFF,
                title="Change roles",
                button="Change",
                what="staff.roles",
                records=False,
                on=on,
                preview=roles_preview,
                perform=roles,
                choices=lambda s: _role_fields(s.roles),
                danger=True,
            ),
            Verb(
                path=f"{base}/suspend",
                right=Right.STAFF,
                title="Suspend somebody",
                button="Suspend",
                what="staff.suspend",
                records=False,
                on=on,
                preview=preview_of("Its sessions end at once, on every node.", "active", "suspended"),
                perform=suspend,
                danger=True,
            ),
            Verb(
                path=f"{base}/resume",
                right=Right.STAFF,
                title="Let somebody in again",
                button="Resume",
                what="staff.resume",
                records=False,
                on=on,
                preview=preview_of("It can sign in again.", "suspended", "active"),
                perform=resume,
            ),
        )


def _role_fields(has: frozenset[Role]) -> Sequence[Field]:
    return [Field(str(role), _WORDS[role], "tick", required=False, start="yes" if role in has else "") for role in Role]


def _roles(given: Given, *, needed: bool = True) -> list[Role]:
    found = [role for role in Role if given[str(role)]]
    if needed and not found:
        raise InvalidInput("owner", "or another role is needed")
    return found


# E-mails --------------------------------------------------------------------------------------------------------------------


class _Mail:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._mail = console.desk.people.mail

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before, state = number_of(request, "before"), text_of(request, "state")
        states = (EmailState(state),) if state in set(EmailState) else tuple(EmailState)
        found = await self._mail.listed(states=states, before=before, limit=PAGE + 1)
        rows: list[Sequence[Value]] = [
            (
                m.created_at,
                Link(f"/console/emails/{m.id}", m.subject or str(m.kind).replace("_", " ")),
                m.recipient,
                State(m.state),
                m.tries,
                m.failure or None,
            )
            for m in found[:PAGE]
        ]
        listing = Listing(
            "E-mails",
            [
                Column("Written"),
                Column("About"),
                Column("To"),
                Column("State"),
                Column("Tries", True),
                Column("Failure"),
            ],
            rows,
            [Filter("state", "State", options=choices([str(s) for s in EmailState]))],
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="No e-mails",
            advice="What resellers and staff are written appears here. Without a mail server the texts are kept here too.",
        )
        return self._console.list(request, visitor, "E-mails", listing)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        m = await self._found(request)
        facts: list[tuple[str, Value]] = [
            ("To", m.recipient),
            ("State", State(m.state)),
            ("Written", m.created_at),
            ("Tries", m.tries),
            ("Next", m.due_at),
            ("Ended", m.ended_at),
            ("Failure", m.failure or None),
        ]
        text = await self._mail.text(m.id)
        return self._console.render(
            request, visitor, "console/email.html", email=m, facts=facts, text=text, compress=False
        )

    async def _found(self, request: Request) -> Email:
        return await self._mail.find(number_in_path(request, "E-mail"))

    def verbs(self) -> Iterable[Verb[Any]]:
        """Send one again; send a test."""
        mail = self._mail

        async def again_preview(m: Email, given: Given) -> Preview:  # noqa: ARG001
            return Preview(figures(to=m.recipient, tries=m.tries, state=State(m.state)), before={"state": m.state})

        async def again(m: Email, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            await mail.try_again(m.id)
            return "It is sent now."

        async def nothing(_: Request) -> None:
            return None

        async def trial_preview(_: None, given: Given) -> Preview:
            return Preview(
                figures(to=given["email"]), "A test goes to this address through the mail server of the settings."
            )

        async def trial(_: None, given: Given, visitor: Visitor) -> str:  # noqa: ARG001
            sent = await mail.send_test(given["email"])
            return f"E-mail {sent.id} goes to {sent.recipient}."

        yield Verb(
            path="/console/emails/test",
            right=Right.MAIL,
            title="Send a test",
            button="Send",
            what="email.test",
            on=On("email", nothing, lambda _: "", lambda _: "/console/emails"),
            preview=trial_preview,
            perform=trial,
            needs_reason=False,
            fields=(Field("email", "Email", "email"),),
        )
        yield Verb(
            path="/console/emails/{number}/again",
            right=Right.MAIL,
            title="Send an e-mail again",
            button="Send",
            what="email.again",
            on=On("email", self._found, lambda m: m.recipient, lambda m: f"/console/emails/{m.id}"),
            preview=again_preview,
            perform=again,
            needs_reason=False,
        )
