"""Checks of who can open the console, and of e-mails that do not arrive."""

from collections.abc import Sequence

from telvend.people import store
from telvend.people.mail import store as mail
from telvend.people.mail.model import EmailState
from telvend.upkeep.examined import Examined
from telvend.upkeep.findings import Finding, Level


async def owner(shop: Examined) -> Sequence[Finding]:
    """Warn where nobody owns the console. Raises Busy."""
    async with shop.database.connection() as tx:
        owners = await store.count_owners(tx)
    if owners:
        return [Finding("console", Level.OK, "The console has an owner.")]
    advice = "`telvend console link` prints a link that makes one."
    return [Finding("console", Level.WARNING, "Nobody owns the console.", advice)]


async def emails(shop: Examined) -> Sequence[Finding]:
    """Warn of e-mails that have failed, and where strangers sign up who never get theirs. Raises Busy."""
    settings = shop.settings
    async with shop.database.connection() as tx:
        failed = (await mail.counts(tx))[EmailState.FAILED]
    findings = []
    if failed:
        text = f"{failed} e-mail{'s' * (failed > 1)} could not be sent."
        advice = "`telvend email list --state failed` says why; `telvend email retry NUMBER` sends one again."
        findings.append(Finding("e-mail", Level.WARNING, text, advice))
    if not settings.smtp_host and settings.signup == "open" and settings.public_url:
        text = "Everybody may sign up, and no e-mail leaves this shop: it is kept here, and nobody confirms an address."
        advice = "Set smtp_host, and try it: telvend email send-test YOUR-ADDRESS"
        findings.append(Finding("e-mail", Level.WARNING, text, advice))
    if findings:
        return findings
    where = f"E-mails are sent by {settings.smtp_host}." if settings.smtp_host else "E-mails are kept here, to be read."
    return [Finding("e-mail", Level.OK, where)]
