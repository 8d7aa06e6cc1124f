"""Why a database cannot be used, in one true sentence for each way in which connecting fails.

    except Exception as error:
        raise DatabaseRefused(sentence_of(error, url)) from error

No sentence repeats a password, nor a part of the address that may be one: what Python and asyncpg say of an address that
they cannot read is not repeated at all, and whatever else is said has the password of the address taken out.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

CANNOT_BE_READ: Final = (
    "The address of the database cannot be read; it must look like postgresql://user:password@host:5432/name,"
    " with odd letters percent-encoded."
)
STARS: Final = "*****"

_ERRNO: Final = re.compile(r"\A\[Errno -?[0-9]+\] ", re.ASCII)

_FILES: Final = {
    "sslrootcert": "The file of trusted authorities (sslrootcert)",
    "sslcert": "The certificate (sslcert)",
    "sslkey": "The key of the certificate (sslkey)",
    "sslcrl": "The list of revoked certificates (sslcrl)",
}


def sentence_of(error: BaseException, url: str | None = None) -> str:
    """One sentence on why the database cannot be used. `url`: the address, where it is known."""
    address = _Address(url)
    if address.is_ambiguous:
        return CANNOT_BE_READ
    return address.without_password(_sentence(error, address))


def _sentence(error: BaseException, address: "_Address") -> str:
    at = address.text
    match error:
        case asyncpg.InvalidPasswordError():
            if not address.has_password:
                return f"The database at {at} asks for a password of {_user(error)}; neither the address nor PGPASSFILE has it."
            return f"The database at {at} does not accept the password of {_user(error)}."
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"The database at {at} does not let us in: {_said(error)}."
        case asyncpg.InvalidCatalogNameError():
            return f"The PostgreSQL at {at} has no such database: {_said(error)}."
        case asyncpg.InsufficientPrivilegeError():
            return f"The database at {at} does not permit this: {_said(error)}."
        case asyncpg.TooManyConnectionsError():
            return (
                f"The PostgreSQL at {at} has no connection left ({_said(error)}): raise its max_connections,"
                " or give this shop fewer (pool_size, workers)."
            )
        case asyncpg.CannotConnectNowError():
            return f"The PostgreSQL at {at} does not take connections now ({_said(error)}); try again in a moment."
        case asyncpg.ObjectNotInPrerequisiteStateError():
            return f"The PostgreSQL at {at} takes no connections to this database: {_said(error)}."
        case asyncpg.ReadOnlySQLTransactionError():
            return f"The database at {at} is read-only now: {_said(error)}."
        case asyncpg.DiskFullError():
            return f"The disk of the PostgreSQL at {at} is full: {_said(error)}."
        case asyncpg.PostgresError() if getattr(error, "sqlstate", None):
            return f"The database at {at} refuses: {_said(error)}."
        case asyncpg.TargetServerAttributeNotMatched():
            return f"None of the servers at {at} is of the kind that the address asks for (target_session_attrs)."
        case ssl.SSLCertVerificationError():
            return f"The certificate of the database at {at} is not accepted: {_verification(error)}."
        case ssl.SSLError():
            return _tls(error, address)
        case socket.gaierror():
            return f"The host of the database at {at} is not known: {error.strerror}."
        case TimeoutError():
            return f"The database at {at} does not answer in time."
        case ValueError() | OverflowError() | asyncpg.ClientConfigurationError():
            return _configuration(error, address)
        case OSError() | asyncpg.InterfaceError() | asyncpg.PostgresConnectionError() | asyncpg.InternalClientError():
            return _connection(error, address)
    return f"The database at {at} cannot be used: {_said(error)}."


def _connection(error: BaseException, address: "_Address") -> str:
    """What the network, or whoever answers there, did."""
    at, said = address.text, str(error)
    if (sentence := address.missing_file()) is not None:
        return sentence
    if "rejected SSL upgrade" in said:
        return f"The PostgreSQL at {at} does not speak TLS, and the address asks for it (sslmode)."
    if isinstance(error, FileNotFoundError):
        return f"No PostgreSQL listens at {at}: there is no such socket."
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {at}: the connection was refused."
    if isinstance(error, PermissionError):
        return f"This user may not connect to {at}: permission denied."
    hung_up = isinstance(error, ConnectionResetError | BrokenPipeError | asyncpg.ConnectionDoesNotExistError)
    if hung_up or "connection_lost" in said:
        return (
            f"The connection to {at} was closed while it was being made; perhaps what listens there is no PostgreSQL."
        )
    if isinstance(error, OSError):
        # With several addresses behind one name, the operating system's sentences stand in one text.
        return f"The database at {at} cannot be reached: {_clean(error.strerror or said) or type(error).__name__}."
    return f"The connection to {at} failed: {_said(error)}; perhaps what listens there is no PostgreSQL."


def _configuration(error: BaseException, address: "_Address") -> str:
    """What the address itself asks for."""
    if (sentence := address.missing_file()) is not None:
        return sentence
    said = str(error)
    if isinstance(error, asyncpg.ClientConfigurationError):
        if said.startswith("root certificate file"):
            return (
                "The address asks for a certificate that is verified (sslmode), and the file of trusted authorities"
                f" {said.split(chr(34))[1]} does not exist: name one with sslrootcert=FILE."
            )
        for option in ("sslmode", "sslnegotiation", "target_session_attrs", "TLS version"):
            if option in said:
                return f"The address of the database has a value of {option} that does not exist."
    return CANNOT_BE_READ


def _verification(error: ssl.SSLCertVerificationError) -> str:
    reason = (error.verify_message or "").rstrip(".")
    if error.verify_code == 62 or "mismatch" in reason.lower():
        return f"it is for another host ({reason})"
    if error.verify_code in (18, 19, 20, 21):
        return f"none of the trusted authorities vouches for it ({reason}); name theirs with sslrootcert=FILE"
    return reason or "it cannot be verified"


def _tls(error: ssl.SSLError, address: "_Address") -> str:
    if (sentence := address.missing_file()) is not None:
        return sentence
    reason = (error.reason or "").replace("_", " ").lower()
    if reason in ("no certificate or crl found", "no start line", "pem lib", "bad base64 decode"):
        return f"A file that the address of the database names for TLS does not hold a certificate or key ({reason})."
    return f"TLS with the database at {address.text} failed: {reason or _clean(str(error)) or 'no reason was given'}."


def _user(error: BaseException) -> str:
    words = str(error).split('"')
    return f'the role "{words[1]}"' if len(words) >= 3 else "this role"


def _said(error: BaseException) -> str:
    """What was said, in one line and without its full stop; never nothing."""
    return _clean(str(error)) or type(error).__name__


def _clean(text: str) -> str:
    return _ERRNO.sub("", text.strip().partition("\n")[0]).strip().rstrip(".")


class _Address:
    """An address as far as it may be shown."""

    def __init__(self, url: str | None) -> None:
        self.text = "this address"
        self.has_password = self.is_ambiguous = False
        self._options: dict[str, str] = {}
        self._secrets: set[str] = set()
        if url is None:
            return
        try:
            self._read(url)
        except ValueError:
            return

    def _read(self, url: str) -> None:
        parts = urlsplit(url)
        self._options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        # The password ends at the last @; asyncpg lets it end at the first one, so both pieces count as secret.
        login, at, hosts = parts.netloc.rpartition("@")
        password = login.partition(":")[2]
        for secret in (password, self._options.get("password"), self._options.get("sslpassword"), *password.split("@")):
            if secret:
                self._secrets |= {secret, unquote(secret)}
        self.is_ambiguous = login.count("@") > 0
        self.has_password = bool(self._secrets)
        hosts = unquote(hosts if at else parts.netloc)
        ports = ""
        if not hosts:
            hosts, ports = self._options.get("host", ""), self._options.get("port", "")
        self.text = hosts or "the local socket"
        if hosts.startswith("/"):
            self.text = f"{hosts}/.s.PGSQL.{ports or 5432}"
        elif ports and hosts:
            self.text = f"{hosts} port {ports}"
        elif hosts and "," not in hosts and not hosts.rpartition("]")[2].count(":"):
            self.text = f"{hosts}:5432"

    def missing_file(self) -> str | None:
        """A sentence on a file that the address names and that cannot be read."""
        for option, what in _FILES.items():
            name = self._options.get(option) or (os.environ.get("PGSSLROOTCERT") if option == "sslrootcert" else None)
            if not name or self._options.get("sslmode", "prefer") in ("disable", "allow", "prefer"):
                continue
            path = Path(name)
            if not path.is_file():
                return f"{what} {name} does not exist."
            if not os.access(path, os.R_OK):
                return f"{what} {name} may not be read by this user."
        return None

    def without_password(self, sentence: str) -> str:
        for secret in self._found(sentence):
            sentence = sentence.replace(secret, STARS)
        return sentence

    def _found(self, sentence: str) -> Iterator[str]:
        # The longest first, so that no rest of one is left. What is shorter than a word could be anything.
        yield from sorted((secret for secret in self._secrets if len(secret) >= 4 and secret in sentence), key=len)[
            ::-1
        ]
