"""The checks of `telvend doctor`, in lists by what they need.

    SETTINGS    need only the settings, so that they are looked at when the database is away
    DATABASE    need a database that answers, whatever its schema
    SHOP        need the schema of this version and everything that the settings connect

A check returns findings and changes nothing. To add one, write it in a file of its own beside this one and put it into the
list that fits. One that raises is a finding itself: the others are looked at all the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.kit import log
from telvend.upkeep import (
    audits,
    backups,
    book,
    certificate,
    clock,
    deployment,
    disk,
    keys,
    machine,
    networks,
    people,
    ports,
    queue,
    reality,
    storage,
    upstreams,
    version,
    webhooks,
    write_offs,
)
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level

_log = log.get(__name__)

T = TypeVar("T")
Check = Callable[[T], Awaitable[Sequence[Finding]]]


SETTINGS: Final[tuple[Check[Settings], ...]] = (
    version.version,
    machine.machine,
    disk.disk,
    clock.clock,
    ports.ports,
    deployment.public_address,
    certificate.certificate,
    backups.backups,
)
DATABASE: Final[tuple[Check[Database], ...]] = (
    storage.promises,
    storage.schema,
    clock.database_clock,
    backups.server_archive,
)
SHOP: Final[tuple[Check[Examined], ...]] = (
    book.book,
    storage.wallets,
    audits.audits,
    queue.queue,
    clock.order_clock,
    disk.growth,
    networks.networks,
    keys.identity_master_key,
    keys.voucher_key,
    keys.payload_key,
    keys.webhook_key,
    keys.people_key,
    people.owner,
    people.emails,
    webhooks.webhooks,
    reality.vendors,
    reality.play_money,
    write_offs.write_offs,
    upstreams.floats,
    upstreams.switched,
    upstreams.reconciled,
)


async def look(checks: Sequence[Check[T]], subject: T) -> list[Finding]:
    """Run the checks one after the other. Raises nothing that a check raises."""
    found: list[Finding] = []
    for check in checks:
        try:
            found += await check(subject)
        except Busy:
            found.append(Finding(_name(check), Level.FAILURE, "The database does not answer.", "Look at its log."))
        except Exception as error:
            _log.exception("check_failed", check=_name(check))
            text = f"This could not be looked at: {type(error).__name__}."
            found.append(Finding(_name(check), Level.FAILURE, text, "Report it with what stands above: it is a bug."))
    return found


def unreachable(sentence: str) -> Finding:
    """Return what is said instead of every check that needs the database."""
    advice = "Correct that, or the setting database_url; nothing else could be looked at."
    return Finding("database", Level.FAILURE, sentence, advice)


def failed(findings: Sequence[Finding]) -> bool:
    """Return whether any of these would lose money or stop sales."""
    return any(finding.level is Level.FAILURE for finding in findings)


def _name(check: Check[T]) -> str:
    return getattr(check, "__name__", "check").replace("_", " ")
