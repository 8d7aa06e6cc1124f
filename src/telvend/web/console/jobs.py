"""Jobs: what was started here and runs in the background, how far it is, and what has come of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.desk.jobs.model import Job, JobKind, JobState
from telvend.desk.jobs.work import MOST_SHOWN
from telvend.kit.money import Money, currency_of
from telvend.people.model import Visitor
from telvend.web.console.frame import PAGE, Console, leading, number_of
from telvend.web.console.rights import Right
from telvend.web.console.tables import Column, Link, Listing, State, Value
from telvend.web.shell.paths import number_in_path

_LOOK_EVERY_S: Final = 5
_TITLES: Final = {
    JobKind.FIGURES: "Figures of {subject}",
    JobKind.CLOSE: "Closing {subject}",
    JobKind.AUDIT: "Audit of the books",
}
_STATES: Final = {
    JobState.WAITING: State("waiting", "Waits", "wait"),
    JobState.RUNNING: State("running", "Runs", "wait"),
    JobState.DONE: State("done", "Done", "good"),
    JobState.FAILED: State("failed", "Failed", "bad"),
}
_BACK: Final = {
    JobKind.FIGURES: ("/console/reports/months", "Months"),
    JobKind.CLOSE: ("/console/reports/months", "Months"),
    JobKind.AUDIT: ("/console/books", "Books"),
}


def pages(console: Console) -> list[Route]:
    """The pages of jobs."""
    own = _Pages(console)
    return [
        console.page("/console/jobs", Right.LOOK, own.listed),
        console.page("/console/jobs/{number}", Right.LOOK, own.one),
    ]


def path_of(job: Job) -> str:
    """The page of a job."""
    return f"/console/jobs/{job.id}"


class _Pages:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._desk = console.desk

    async def listed(self, request: Request, visitor: Visitor) -> Response:
        before = number_of(request, "before")
        found = await self._desk.jobs.listed(before=before, limit=PAGE + 1)
        rows: list[Sequence[Value]] = [
            (Link(path_of(job), title_of(job)), _STATES[job.state], job.asked_at, _took(job), job.by_whom, job.error or None)
            for job in found[:PAGE]
        ]  # fmt: skip
        columns = ("Job", "State", "Started", "Took", "By", "Why it failed")
        listing = Listing(
            "Jobs",
            [Column(one) for one in columns],
            rows,
            newer=leading(request, before=None) if before else "",
            older=leading(request, before=found[PAGE - 1].id) if len(found) > PAGE else "",
            empty="Nothing was started here yet",
            advice="Closing a month and auditing the books run in the background, and appear here.",
        )
        actions = [("/console/books", "Books"), ("/console/reports/months", "Months")]
        return self._console.list(request, visitor, "Jobs", listing, actions=actions)

    async def one(self, request: Request, visitor: Visitor) -> Response:
        """How far a job is; once it has ended, what has come of it."""
        job = await self._desk.jobs.find(number_in_path(request, "Job"))
        facts: list[tuple[str, Value]] = [
            ("Started", job.asked_at), ("By", job.by_whom), ("Reason", job.reason or None), ("Ended", job.ended_at),
            ("Took", _took(job)),
        ]  # fmt: skip
        result = job.result or {}
        closes = job.kind is JobKind.FIGURES and job.state is JobState.DONE
        closed = {str(one.month) for one in await self._desk.reports.closed()} if closes else set()
        return self._console.render(
            request, visitor, "console/job.html", fragment="live", refresh_s=_LOOK_EVERY_S if job.state.open else None,
            job=job, title=title_of(job), state=_STATES[job.state], back=_BACK[job.kind], sentence=_sentence(job),
            facts=[(label, value) for label, value in facts if value is not None],
            figures=figure_lines(result.get("figures", {})),
            audit=audit_listing(job) if job.kind is JobKind.AUDIT and job.state is JobState.DONE else None,
            open_sales=_open_sales(result), may_close=closes and job.subject not in closed,
        )  # fmt: skip


def title_of(job: Job) -> str:
    """What a job does, in words."""
    return _TITLES[job.kind].format(subject=job.subject)


def _took(job: Job) -> str | None:
    if job.took is None:
        return None
    seconds = job.took.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _sentence(job: Job) -> str:
    if job.state is JobState.WAITING:
        return "It begins in a moment." if job.claims == 0 else "It was interrupted, and begins again by itself."
    if job.state is JobState.RUNNING:
        return "It goes on when this page is closed."
    if job.state is JobState.FAILED:
        return f"Nothing has changed. {job.error}"
    if job.kind is JobKind.AUDIT and job.result is not None:
        counts = f"{job.result['transfers']:,} transfers, {job.result['orders']:,} orders"
        if not job.result["found"]:
            return f"The books hold: {counts}."
        return f"THE BOOKS DO NOT HOLD: {job.result['found']:,} findings in {counts}. Stop selling, and keep the database as it is."
    if job.kind is JobKind.CLOSE:
        return f"{job.subject} is closed: these figures never change."
    return f"Nothing is closed yet. These are the figures of {job.subject}."


def figure_lines(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Value]]:
    """The figures of a result, each currency after the other."""
    found: list[tuple[str, Value]] = []
    for code, of_currency in figures.items():
        for name, value in of_currency.items():
            words = name.removesuffix("_minor").replace("_", " ").capitalize()
            shown = Money(value, currency_of(code)) if name.endswith("_minor") else value
            found.append((f"{words} ({code})", shown))
    return found


def audit_listing(job: Job | None) -> Listing:
    """The rules of the audit that was done last, with what each has found."""
    result = {} if job is None or job.result is None else job.result
    findings: dict[str, list[str]] = {}
    for one in result.get("findings", ()):
        findings.setdefault(one["rule"], []).append(one["text"])
    return Listing(
        "Audit",
        [Column("Rule"), Column("State"), Column("Found")],
        [
            (
                rule,
                State("wrong", "Does not hold", "bad") if rule in findings else State("holds", tone="good"),
                "; ".join(findings.get(rule, ())) or None,
            )
            for rule in result.get("rules", ())
        ],
        empty="No audit was run from here yet",
        advice="“telvend ledger check” runs one on the server, best every night.",
    )


def _open_sales(result: Mapping[str, Any]) -> Listing | None:
    """Sales of a closed month that were still open, of which the first are listed."""
    references = result.get("open_sales", ())
    if not references:
        return None
    more = result["open_count"] - len(references)
    text = f"Sales that were open ({result['open_count']:,}" + (f"; the first {MOST_SHOWN} of them)" if more else ")")
    return Listing(text, [Column("Order")], [(Link(f"/console/orders/{one}", one),) for one in references])
