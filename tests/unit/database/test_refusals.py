"""Why a database cannot be used: each way in which connecting fails has a sentence that names its cause, and no password."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from telvend.database.connections import CONNECTION_LOSS, Database, DatabaseRefused
from telvend.database.refusals import CANNOT_BE_READ, sentence_of
from telvend.kit import environment

PASSWORD = "hunter2-secret"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No environment of whoever runs the tests, as a command has it."""
    for name in ("PGPASSFILE", "PGSSLROOTCERT", "PGSSLMODE", "PGHOST", "PGPORT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
        assert environment.is_removed(name) or name in environment.FOR_DATABASE_URL
    monkeypatch.setenv("HOME", str(tmp_path))


async def refusal(url: str) -> DatabaseRefused:
    with pytest.raises(DatabaseRefused) as refused:
        await (await Database.open(url, pool_size=1)).close()
    text = str(refused.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not text.endswith(": .")
    assert PASSWORD not in text
    assert "hunter2" not in text
    return refused.value


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """A port where something answers that is no PostgreSQL."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def url_of(port: int, options: str = "", host: str = "127.0.0.1") -> str:
    return f"postgresql://ama:{PASSWORD}@{host}:{port}/shop{options}"


# What the network does


async def test_nobody_listens() -> None:
    error = await refusal(url_of(1))
    assert str(error) == "Nothing listens at 127.0.0.1:1: the connection was refused."
    assert isinstance(error, CONNECTION_LOSS)  # Later it may be there.


async def test_a_host_that_is_not_known() -> None:
    error = await refusal(url_of(5432, host="db.invalid"))
    assert str(error).startswith("The host of the database at db.invalid:5432 is not known: ")


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    error = await refusal(f"postgresql://ama:{PASSWORD}@/shop?host={tmp_path}&port=7")
    assert str(error) == f"No PostgreSQL listens at {tmp_path}/.s.PGSQL.7: there is no such socket."


async def test_somebody_else_who_hangs_up() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)

    async with listening(hang_up) as port:
        assert "perhaps what listens there is no PostgreSQL" in str(await refusal(url_of(port)))


async def test_somebody_else_who_speaks_another_language() -> None:
    async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(web_server) as port:
        assert f"127.0.0.1:{port}" in str(await refusal(url_of(port)))


def test_silence() -> None:
    assert sentence_of(TimeoutError(), url_of(5432)) == "The database at 127.0.0.1:5432 does not answer in time."


# TLS


def certificates(folder: Path, name: str, host: str) -> tuple[Path, Path]:
    """A certificate for `host` that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


async def test_certificates_that_are_not_accepted_are_told_apart(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path, "server", "db.internal")
    other, _ = certificates(tmp_path, "other", "db.internal")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(context)

    async with listening(postgres) as port:
        error = await refusal(url_of(port, f"?sslmode=verify-full&sslrootcert={certificate}"))
        assert f"of the database at 127.0.0.1:{port} is not accepted: it is for another host" in str(error)
        error = await refusal(url_of(port, f"?sslmode=verify-ca&sslrootcert={other}"))
        assert "is not accepted: none of the trusted authorities vouches for it" in str(error)


async def test_a_server_without_tls_where_the_address_asks_for_it() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await writer.drain()

    async with listening(plain) as port:
        error = await refusal(url_of(port, "?sslmode=require"))
    assert (
        str(error) == f"The PostgreSQL at 127.0.0.1:{port} does not speak TLS, and the address asks for it (sslmode)."
    )


@pytest.mark.parametrize("option", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
async def test_a_file_for_tls_that_is_not_there(option: str, tmp_path: Path) -> None:
    error = await refusal(url_of(5432, f"?sslmode=require&{option}={tmp_path}/none"))
    assert f"({option}) {tmp_path}/none does not exist." in str(error)


async def test_a_file_of_the_environment_for_tls_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "/nonexistent")
    assert "(sslrootcert) /nonexistent does not exist." in str(await refusal(url_of(5432, "?sslmode=verify-full")))


async def test_no_file_of_authorities_and_one_that_holds_none(tmp_path: Path) -> None:
    assert "name one with sslrootcert=FILE" in str(await refusal(url_of(5432, "?sslmode=verify-full")))
    empty = tmp_path / "empty"
    empty.write_text("nothing")
    assert "does not hold a certificate" in str(await refusal(url_of(5432, f"?sslmode=verify-ca&sslrootcert={empty}")))


# The address


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ama:{PASSWORD}@127.0.0.1:99999/shop",
        f"postgresql://ama:{PASSWORD}@127.0.0.1:port/shop",
        f"postgresql://ama:{PASSWORD}/3@127.0.0.1/shop",
        f"postgresql://ama:{PASSWORD}#3@127.0.0.1/shop",
        f"postgresql://ama:3@{PASSWORD}@127.0.0.1:1/shop",
        f"postgresql://ama:[{PASSWORD}@127.0.0.1/shop",
        f"postgresql://ama:{PASSWORD}@/shop?host=127.0.0.1&port=x",
    ],
)
async def test_an_address_that_cannot_be_read(url: str) -> None:
    assert str(await refusal(url)) == CANNOT_BE_READ


@pytest.mark.parametrize("option", ["sslmode", "target_session_attrs"])
async def test_an_option_with_a_value_that_does_not_exist(option: str) -> None:
    error = await refusal(url_of(1, f"?{option}=bogus"))
    assert str(error) == f"The address of the database has a value of {option} that does not exist."


# What PostgreSQL says


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "ama"'),
            'The database at 127.0.0.1:5432 does not accept the password of the role "ama".',
        ),
        (
            asyncpg.InvalidAuthorizationSpecificationError('no pg_hba.conf entry for host "1.2.3.4", user "ama"'),
            'The database at 127.0.0.1:5432 does not let us in: no pg_hba.conf entry for host "1.2.3.4", user "ama".',
        ),
        (
            asyncpg.InvalidCatalogNameError('database "shop" does not exist'),
            'The PostgreSQL at 127.0.0.1:5432 has no such database: database "shop" does not exist.',
        ),
        (
            asyncpg.TooManyConnectionsError("sorry, too many clients already"),
            "The PostgreSQL at 127.0.0.1:5432 has no connection left (sorry, too many clients already): raise its"
            " max_connections, or give this shop fewer (pool_size, workers).",
        ),
        (
            asyncpg.CannotConnectNowError("the database system is starting up"),
            "The PostgreSQL at 127.0.0.1:5432 does not take connections now (the database system is starting up);"
            " try again in a moment.",
        ),
        (
            asyncpg.InsufficientPrivilegeError('permission denied for database "shop"'),
            'The database at 127.0.0.1:5432 does not permit this: permission denied for database "shop".',
        ),
        (
            asyncpg.UndefinedObjectError('unrecognized configuration parameter "jit"\nHINT: none'),
            'The database at 127.0.0.1:5432 refuses: unrecognized configuration parameter "jit".',
        ),
        (asyncpg.InternalClientError(""), "The connection to 127.0.0.1:5432 failed: InternalClientError;"),
        (OSError(), "The database at 127.0.0.1:5432 cannot be reached: OSError."),
        (OSError(113, "No route to host"), "The database at 127.0.0.1:5432 cannot be reached: No route to host."),
        (RuntimeError(), "The database at 127.0.0.1:5432 cannot be used: RuntimeError."),
        (RuntimeError(f"it was {PASSWORD}"), "The database at 127.0.0.1:5432 cannot be used: it was *****."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_was_said_is_named(error: Exception, sentence: str) -> None:
    assert sentence_of(error, url_of(5432)).startswith(sentence)


def test_no_password_at_all_is_another_cause_than_a_wrong_one() -> None:
    error = asyncpg.InvalidPasswordError('password authentication failed for user "ama"')
    assert "asks for a password of the role" in sentence_of(error, "postgresql://ama@db/shop")


def test_without_the_address_there_is_a_sentence_too() -> None:
    assert sentence_of(TimeoutError()) == "The database at this address does not answer in time."
