"""The client of endpoints on both event loops: TLS to an address under a name, and receivers that do not answer well."""

import asyncio
import ipaddress
import re
import ssl
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from telvend.webhooks.client import Resolver, WebhookClient
from telvend.webhooks.destination import Address, parse_url
from telvend.webhooks.model import Reply
from tests.store.receivers import Behaviour, Receiver, hangs, receiving, resets, says, sends

HOST = "reseller.example"


class Here(Resolver):
    """Every name leads to this machine."""

    async def addresses(self, host: str) -> list[Address]:
        assert host == HOST
        return [ipaddress.ip_address("127.0.0.1")]


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for `name` that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on a loop of its own, beside that of the tests."""
    answers: list[Any] = []

    def inside() -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            answers.append(runner.run(work()))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    return answers[0]


async def posted(folder: Path, named: str, *, trusted: bool, times: int = 1) -> tuple[list[Reply], Receiver]:
    """The replies of a receiver whose certificate is for `named`."""
    public, private = certificate(folder, named)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(public, private)
    names: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: names.append(name)
    receiver = Receiver(says())
    server = await asyncio.start_server(receiver.accept, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context()
    if trusted:
        context.load_verify_locations(public)
    client = WebhookClient(allow_private=True, timeout_s=5.0, tls=context, resolver=Here())
    to = parse_url(f"https://{HOST}:{port}/hooks", allow_private=True)
    replies = [await client.post(to, {"webhook-id": "msg_1"}, b"{}") for _ in range(times)]
    await client.close()
    server.close()
    for task in receiver.serving:
        task.cancel()
    await asyncio.gather(*receiver.serving, return_exceptions=True)
    assert set(names) == {HOST}
    return replies, receiver


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@LOOPS
def test_the_certificate_is_for_the_name_although_the_address_is_connected_to(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    replies, receiver = run(loop, lambda: posted(tmp_path, HOST, trusted=True, times=3))
    assert [reply.status for reply in replies] == [200, 200, 200], replies
    assert receiver.requests[0].headers["host"].startswith(f"{HOST}:")
    assert receiver.connections == 1


@LOOPS
@pytest.mark.parametrize(("named", "trusted"), [("other.example", True), (HOST, False)])
def test_another_certificate_is_not_sent_anything(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], named: str, trusted: bool
) -> None:
    (reply,), receiver = run(loop, lambda: posted(tmp_path, named, trusted=trusted))
    assert reply.status is None
    assert "certificate is not trusted" in reply.error
    assert receiver.requests == []


@LOOPS
@pytest.mark.parametrize(
    ("behaviour", "status", "why"),
    [
        (resets, None, "reset the connection|without an answer"),
        (hangs, None, "no answer within"),
        (sends(b"garbage\r\n\r\n"), None, "not HTTP"),
        (sends(b"HTTP/1.1 200", then_close=True), None, "within its answer"),
        (sends(b"", then_close=True), None, "without an answer|within its answer"),
        (sends(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", then_close=True), 200, ""),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000), 200, ""),
        (says("302 Found", b"", "Location: https://203.0.114.7/"), 302, ""),
    ],
)
def test_whatever_a_receiver_does_has_a_reply(
    loop: Callable[[], asyncio.AbstractEventLoop], behaviour: Behaviour, status: int | None, why: str
) -> None:
    async def work() -> tuple[Reply, Reply]:
        async with receiving(behaviour) as receiver:
            client = WebhookClient(allow_private=True, timeout_s=0.7)
            to = parse_url(receiver.url, allow_private=True)
            bad = await client.post(to, {}, b"{}")
            # What a connection was left with does not reach the next message.
            receiver.behaviour = says("201 Created", b"next")
            good = await client.post(to, {}, b"{}")
            await client.close()
            return bad, good

    bad, good = run(loop, work)
    assert bad.status == status
    assert re.search(why, bad.error)
    assert (good.status, good.text) == (201, "next")


@LOOPS
def test_retry_after_is_read_of_the_answer_that_has_it(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    late = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 7\r\n\r\n"
    behaviours = [
        says("503 Busy", b"", "retry-AFTER:  90 "),
        says("503 Busy", b""),
        says("503 Busy", b"", "Retry-After: soon"),
        sends(early),
        sends(late),
    ]

    async def work() -> list[float | None]:
        async with receiving(says()) as receiver:
            client = WebhookClient(allow_private=True, timeout_s=5.0)
            found = []
            for behaviour in behaviours:
                receiver.behaviour = behaviour
                reply = await client.post(parse_url(receiver.url, allow_private=True), {}, b"{}")
                assert reply.status == 503
                found.append(reply.retry_after_s)
            await client.close()
            return found

    assert run(loop, work) == [90.0, None, None, None, None]
