"""Checks of the providers outside this shop: their floats, and who of them is switched off."""

from collections.abc import Sequence
from typing import Final

from telvend.fulfilment.routing import ProviderState
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level
from telvend.upstreams.model import Standing
from telvend.upstreams.service import Upstreams

_FLOAT: Final = "floats"
_SWITCHED: Final = "providers"

_STALE_S: Final = 600.0


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
