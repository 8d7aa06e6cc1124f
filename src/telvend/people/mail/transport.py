"""How an e-mail leaves: to a mail server, into files, or not at all."""

import asyncio
import os
import ssl
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Final, Protocol

import aiosmtplib

from telvend.kit.secret import Secret

FOLDER: Final = "outbox"
"""Where e-mails are kept as files, below the data directory."""
_TIMEOUT_S: Final = 30.0
SENT_WITHIN_S: Final = 60.0
"""An e-mail that a mail server has not taken by then was not taken: half of the lease of whoever sends it."""
_LONGEST_FAILURE: Final = 200


class MailNotSent(Exception):
    """An e-mail was not taken. `permanent`: it will not be, whenever it is tried."""

    def __init__(self, why: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        printable = "".join(letter if letter.isprintable() else " " for letter in why)
        super().__init__(printable[:_LONGEST_FAILURE])


class Transport(Protocol):
    """Takes e-mails. `keeps`: the text is to be kept here as well, since it reaches nobody by itself."""

    keeps: bool

    async def send(self, number: int, message: EmailMessage) -> None:
        """Hand an e-mail on. Raises MailNotSent."""
        ...


class KeptHere:
    """No mail server: e-mails stay in the database, and where there is a folder they are written there too."""

    keeps = True

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    async def send(self, number: int, message: EmailMessage) -> None:
        """Write `<number>.eml`, for its owner alone, whole or not at all."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.folder / f"{number:06d}.eml"
            temporary = file.with_suffix(f".{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(bytes(message))
            temporary.replace(file)
        except OSError as error:
            raise MailNotSent(f"{self.folder} cannot be written: {error.strerror}") from None

    def remove_older_than(self, at: float) -> None:
        """Remove files that were written before this time of the file system."""
        for file in self.folder.glob("*.eml") if self.folder is not None else ():
            try:
                if file.stat().st_mtime < at:
                    file.unlink()
            except FileNotFoundError:
                continue


class MailServer:
    """A mail server, by SMTP."""

    keeps = False

    def __init__(self, host: str, port: int, tls: str, user: str, password: Secret | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._user = user
        self._password = password

    async def send(self, number: int, message: EmailMessage) -> None:  # noqa: ARG002 - files have it in their names
        """Hand an e-mail to the server. Raises MailNotSent."""
        try:
            async with asyncio.timeout(SENT_WITHIN_S):
                await self._send(message)
        except TimeoutError:
            raise MailNotSent("the mail server did not answer in time") from None

    async def _send(self, message: EmailMessage) -> None:
        try:
            await aiosmtplib.send(
                message,
                sender=parseaddr(str(message["From"]))[1],
                recipients=[parseaddr(str(message["To"]))[1]],
                hostname=self._host,
                port=self._port,
                username=self._user or None,
                password=None if self._password is None else self._password.reveal(),
                use_tls=self._tls == "tls",
                start_tls=self._tls == "starttls",
                timeout=_TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            why = "; ".join(f"{one.code} {one.message}" for one in error.recipients)
            raise MailNotSent(why, permanent=bool(codes) and min(codes) >= 500) from None
        except aiosmtplib.SMTPDataError as error:
            raise MailNotSent(f"{error.code} {error.message}", permanent=error.code >= 500) from None
        except aiosmtplib.SMTPResponseException as error:
            # A wrong password or sender is the shop's mistake: what waits is sent when that is corrected.
            raise MailNotSent(f"{error.code} {error.message}") from None
        except (aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected) as error:
            raise MailNotSent(f"the mail server did not answer: {error}") from None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as error:
            raise MailNotSent(f"{type(error).__name__}: {error}") from None
