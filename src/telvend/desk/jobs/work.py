"""What jobs do, and their results.

figures   {"figures": {currency: {figure: text or number}}}
close     {"figures"}, and open_sales: references of its sales that are open still, open_count: how many they are
audit     {"transfers", "orders", "rules": [rule], "findings": [{"rule", "text"}], "why", "since"}
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from telvend.audit.model import Report
from telvend.desk.jobs.model import Job, Progress
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.reports.columns import EARNED, Minor
from telvend.reports.model import By, Month, Sales
from telvend.reports.service import Reports

MOST_SHOWN: Final = 200
"""So many open sales, and so many findings of a rule, are kept in a result."""


def adding_up(reports: Reports) -> Callable[[Job, Progress], Awaitable[Mapping[str, Any]]]:
    """The work of FIGURES."""

    async def work(job: Job, progress: Progress) -> Mapping[str, Any]:
        return {"figures": await _figures(reports, Month.parse(job.subject), progress, 1)}

    return work


def closing(reports: Reports) -> Callable[[Job, Progress], Awaitable[Mapping[str, Any]]]:
    """The work of CLOSE."""

    async def work(job: Job, progress: Progress) -> Mapping[str, Any]:
        month = Month.parse(job.subject)
        open_sales: list[str] = []
        try:
            done = await reports.close(month, job.by_whom, progress=progress)
            open_sales = done.open_sales
        except InvalidInput:
            # A process that was killed after its COMMIT has closed it, for this job.
            mine = [one for one in await reports.closed() if one.month == month and one.closed_at >= job.asked_at]
            if not mine or mine[0].by_whom != job.by_whom:
                raise
        figures = await _figures(reports, month, progress, 6)
        return {"figures": figures, "open_sales": open_sales[:MOST_SHOWN], "open_count": len(open_sales)}

    return work


def auditing(audit: Callable[..., Awaitable[Report]]) -> Callable[[Job, Progress], Awaitable[Mapping[str, Any]]]:
    """The work of AUDIT. `audit`: runs one, as `telvend ledger check` does."""

    async def work(job: Job, progress: Progress) -> Mapping[str, Any]:  # noqa: ARG001 - every kind gets its job
        report = await audit(progress=lambda at, many, rule, _: progress(at, many, rule))
        kept: dict[str, int] = {}
        findings = []
        for one in report.findings:
            kept[one.rule] = kept.get(one.rule, 0) + 1
            if kept[one.rule] <= MOST_SHOWN:
                findings.append({"rule": one.rule, "text": one.text})
        return {
            "transfers": report.transfers,
            "orders": report.orders,
            "rules": [*report.rules],
            "findings": findings,
            "found": len(report.findings),
            "why": report.why,
            "since": None if report.since is None else report.since.isoformat(),
        }

    return work


async def _figures(reports: Reports, month: Month, progress: Progress, steps: int) -> dict[str, dict[str, str | int]]:
    progress(steps, steps, "Adding up the figures")
    found = await reports.sales(month.days[0], month.days[-1], [By.DAY], Mode.LIVE, with_cost=True)
    return {code: _plain(sales) for code, sales in found.totals.items()}


def _plain(sales: Sales) -> dict[str, Any]:
    """The figures of one currency: amounts in minor units under `…_minor`."""
    plain: dict[str, Any] = {}
    for name, say in EARNED.items():
        figure = say(sales)
        if isinstance(figure, Minor):
            plain[f"{name}_minor"] = int(figure)
        elif figure is not None:
            plain[name] = figure if isinstance(figure, int) else f"{figure}"
    return plain
