"""Checks of the providers outside this shop: their floats, who of them is switched off, and when each was reconciled."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from telvend.fulfilment.routing import ProviderState
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level
from telvend.upstreams.model import Standing
from telvend.upstreams.reconciliation.model import Day
from telvend.upstreams.reconciliation.service import Reconciliations
from telvend.upstreams.service import Upstreams

_FLOAT: Final = "floats"
_SWITCHED: Final = "providers"
_RECONCILED: Final = "reconciliation"

_STALE_S: Final = 600.0
_LATE: Final = timedelta(days=3)
"""How long after a day it should be reconciled."""
_LOOKED_AT: Final = timedelta(days=30)


async def floats(examined: Examined) -> Sequence[Finding]:
    """Warn of floats that run low or cannot be read; fail where a provider does not accept our credentials."""
    tables = examined.settings.providers
    standings = await Upstreams(examined.database).standings(tables)
    return [finding for name, standing in standings.items() for finding in _of_float(name, standing)]


async def switched(examined: Examined) -> Sequence[Finding]:
    """Warn of providers that were switched off, and fail where nobody is left for live orders."""
    settings = examined.settings
    live = [name for name, table in settings.providers.items() if table.live]
    standings = await Upstreams(examined.database).standings(live)
    stopped = {name: s for name, s in standings.items() if s.state is not ProviderState.ON}
    if not stopped:
        return []
    texts = "; ".join(
        f"{name} is {s.state}" + (f" ({s.switched.reason})" if s.switched and s.switched.reason else "")
        for name, s in stopped.items()
    )
    if len(stopped) == len(live):
        advice = (
            "`telvend provider on NAME` gives one orders again; until then live orders fail, and the money goes back."
        )
        return [Finding(_SWITCHED, Level.FAILURE, f"No upstream gets live orders: {texts}.", advice)]
    advice = "`telvend provider on NAME` gives it orders again."
    return [Finding(_SWITCHED, Level.WARNING, f"Live orders go to fewer upstreams: {texts}.", advice)]


async def reconciled(examined: Examined) -> Sequence[Finding]:
    """Warn of providers whose days are not reconciled, and of money that the last reconciliation has found."""
    zone = ZoneInfo(examined.settings.timezone)
    reconciliations = Reconciliations(examined.database, zone)
    today = datetime.now(UTC).astimezone(zone).date()
    findings = []
    for name, table in examined.settings.providers.items():
        if table.live and (found := await _of_reconciled(reconciliations, name, zone, today)) is not None:
            findings.append(found)
    return findings


async def _of_reconciled(reconciliations: Reconciliations, name: str, zone: ZoneInfo, today: date) -> Finding | None:
    last = await reconciliations.last(name)
    if last is not None and not last.agrees:
        text = (
            f"{name} and our books did not agree about {last.day}: {last.only_there} only there, {last.only_here} only here,"
            f" {last.different} different."
        )
        advice = f"`telvend reconcile {name} --date {last.day}` lists them, and says what to do about each."
        return Finding(_RECONCILED, Level.WARNING, text, advice)
    since = today - _LOOKED_AT
    if last is not None:
        # A day that was not over then has to be reconciled once more.
        whole = last.made_at >= Day.of(last.day, ZoneInfo(last.zone)).ends_at
        since = max(since, last.day + timedelta(days=whole))
    begins_at, ends_at = Day.of(since, zone).begins_at, Day.of(today - _LATE, zone).begins_at
    if begins_at < ends_at and await reconciliations.used(name, begins_at, ends_at):
        when = "never" if last is None else f"last for {last.day}"
        text = f"{name} has delivered more than {_LATE.days} days ago, and was {when} reconciled."
        return Finding(
            _RECONCILED, Level.WARNING, text, f"`telvend reconcile {name} --date YYYY-MM-DD` compares a day."
        )
    return (
        None if last is None else Finding(_RECONCILED, Level.OK, f"{name} was reconciled for {last.day}, and agrees.")
    )


def _of_float(name: str, standing: Standing) -> list[Finding]:
    read = standing.float
    if read is None:
        return []
    if read.not_allowed:
        advice = "Correct its table in the settings; `telvend provider check` names what is wrong."
        return [Finding(_FLOAT, Level.FAILURE, f"{name} does not accept our credentials: {read.error}.", advice)]
    if read.amount is None:
        return [Finding(_FLOAT, Level.WARNING, f"The float at {name} was never read: {read.error or 'no answer yet'}.")]
    hours = standing.last_hour.hours_left(read.amount)
    lasts = "" if hours is None else f"; at the rate of the last hour it lasts {hours:g} hours"
    if read.low:
        advice = f"Pay into it; `telvend provider topup {name}` records it."
        return [Finding(_FLOAT, Level.WARNING, f"The float at {name} is low: {read.amount}{lasts}.", advice)]
    if read.error or (read.age_s or 0) > _STALE_S:
        minutes = round((read.age_s or 0) / 60)
        why = f": {read.error}" if read.error else ", as long as nothing of this shop runs"
        text = f"The float at {name} was {read.amount} {minutes} minutes ago, and is not read since{why}."
        return [Finding(_FLOAT, Level.WARNING, text, "`telvend provider check` asks for it now.")]
    return [Finding(_FLOAT, Level.OK, f"The float at {name} is {read.amount}{lasts}.")]
