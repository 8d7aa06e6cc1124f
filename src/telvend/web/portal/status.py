"""`/status`: every network and whether it sells, for everybody."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telvend.fulfilment.recent.model import Condition, NetworkCondition
from telvend.fulfilment.recent.service import NetworkConditions
from telvend.web.shell import Shell

REFRESH_S: Final = 30

COUNTRIES: Final = {
    "GH": "Ghana", "NG": "Nigeria", "SZ": "Eswatini", "UG": "Uganda", "ZA": "South Africa",
}  # fmt: skip

WORDS: Final = {
    Condition.SELLING: ("Selling", "good"),
    Condition.SLOW: ("Slow", "wait"),
    Condition.FAILING: ("Many sales fail", "bad"),
    Condition.TRIAL: ("Being tried again", "wait"),
    Condition.PAUSED: ("Paused", "bad"),
    Condition.OFF: ("Not sold", "plain"),
}
"""What a condition is called, and its tone."""

_EXPLAINED: Final = {
    Condition.SELLING: "",
    Condition.SLOW: "Sales wait longer than usual. What fails comes back to your wallet by itself.",
    Condition.FAILING: "You can buy, but many sales fail at the moment. What fails comes back to your wallet by itself.",
    Condition.TRIAL: "It did not deliver for a while. A few sales are let through to see whether it does again.",
    Condition.PAUSED: "Nothing is sold until it delivers again. Orders that were placed before go on.",
    Condition.OFF: "",
}


def routes(shell: Shell, conditions: NetworkConditions) -> list[Route]:
    """The page of the networks."""

    async def show(request: Request) -> Response:
        found = await conditions.now()
        by_country: dict[str, list[NetworkCondition]] = {}
        for one in found:
            by_country.setdefault(one.network.country, []).append(one)
        return shell.render(
            request,
            "portal/status.html",
            fragment="live",
            refresh_s=REFRESH_S,
            countries=[(COUNTRIES.get(code, code), networks) for code, networks in by_country.items()],
            words=WORDS,
            explained=_EXPLAINED,
            facts_of=facts_of,
            troubled=sum(one.condition not in (Condition.SELLING, Condition.OFF) for one in found),
            every_s=REFRESH_S,
        )

    return [shell.page("/status", get=show)]


def facts_of(one: NetworkCondition) -> str:
    """How well a network has delivered in the last hour, in words; never how much was sold. Empty of too few sales."""
    if one.success is None or not one.on_sale:
        return ""
    text = f"{_percent(one.success)} of sales delivered in the last hour"
    return text if one.median_s is None else f"{text}, usually within {_span(one.median_s)}"


def _percent(part: float) -> str:
    """Whole percents, and never 100 or 0 where it is not all or none."""
    percent = round(100 * part)
    if part < 1:
        percent = min(percent, 99)
    if part > 0:
        percent = max(percent, 1)
    return f"{percent}%"


def _span(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 60:
        whole = round(seconds)
        return f"{whole} second{'s' * (whole != 1)}"
    whole = round(seconds / 60)
    return f"{whole} minute{'s' * (whole != 1)}"
