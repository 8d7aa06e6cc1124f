"""A mail server for tests: speaks enough SMTP to take an e-mail, or to refuse it as it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(slots=True)
class TestServer:
    """`says` maps the beginning of a command to what is answered in the place of 250; `users` is what AUTH was given."""

    __test__ = False

    port: int = 0
    says: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, str, EmailMessage]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def _answer(self, command: str) -> str:
        return next((text for begin, text in self.says.items() if command.upper().startswith(begin)), "250 ok")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = recipient = ""
        writer.write(b"220 mail.example ready\r\n")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            word = line.upper().split()[0]
            answer = self._answer(line)
            if word == "EHLO":
                answer = self.says.get("EHLO", "250-mail.example\r\n250-AUTH PLAIN\r\n250 8BITMIME")
            elif word == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
            elif word == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
            elif word == "AUTH" and "AUTH" not in self.says:
                answer = "235 welcome"
            elif word == "DATA" and answer == "250 ok":
                writer.write(b"354 go on\r\n")
                lines = []
                while (one := await reader.readline()) != b".\r\n":
                    lines.append(one.removeprefix(b".") if one.startswith(b"..") else one)
                message = cast("EmailMessage", message_from_bytes(b"".join(lines), policy=policy.SMTP))
                answer = self._answer("MESSAGE")
                if answer == "250 ok":
                    self.taken.append((sender, recipient, message))
            writer.write(f"{answer}\r\n".encode())
            if word == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def mail_server(
    says: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[TestServer]:
    made = TestServer(says=dict(says or {}))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that its owner has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
