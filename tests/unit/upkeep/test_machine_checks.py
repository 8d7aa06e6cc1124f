"""The doctor's checks of the machine, each with machines that are sound, short of something, or lying."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from telvend.config import Settings
from telvend.kit.secret import Secret
from telvend.upkeep import certificate, clock, disk, machine, ports
from telvend.upkeep.findings import Finding, Level
from telvend.upkeep.machine import GIB, Machine

SOUND = Machine(2, 4 * GIB, 2 * GIB, 65536, of_server=True)


def levels(found: list[Finding]) -> dict[str, Level]:
    assert all(bool(one.advice) is (one.level is not Level.OK) for one in found)
    assert all(one.text.endswith(".") for one in found)
    return {one.check: one.level for one in found}


def test_a_machine_that_is_large_enough_is_well() -> None:
    assert set(levels([*machine._findings(SOUND, Settings(workers=2))]).values()) == {Level.OK}


@pytest.mark.parametrize(
    ("found", "settings", "check"),
    [
        (SOUND, Settings(workers=4), "processors"),
        (Machine(0.5, 4 * GIB, 2 * GIB, 65536, of_server=True), Settings(), "processors"),
        (Machine(2, GIB // 2, GIB // 4, 65536, of_server=True), Settings(), "memory"),
        (Machine(2, 4 * GIB, GIB // 64, 65536, of_server=True), Settings(), "memory"),
        (Machine(2, 4 * GIB, 2 * GIB, 1024, of_server=False), Settings(), "open files"),
        (SOUND, Settings(max_client_connections=100_000), "open files"),
    ],
)
def test_what_a_machine_is_short_of_is_a_warning(found: Machine, settings: Settings, check: str) -> None:
    told = levels([*machine._findings(found, settings)])
    assert told.pop(check) is Level.WARNING
    assert set(told.values()) == {Level.OK}


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    found = machine.measure(tmp_path)
    assert found.cores > 0
    assert 0 < found.available_bytes <= found.memory_bytes
    assert found.files > 0
    assert not found.of_server


def test_files_are_those_of_the_process_that_serves(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f'{{"pid": {os.getpid()}, "role": "serve"}}')
    assert machine.measure(tmp_path).of_server
    for text in ('{"pid": 999999999, "role": "serve"}', '{"pid": 1, "role": "command"}', "[]", ""):
        (tmp_path / "lock").write_text(text)
        assert not machine.measure(tmp_path).of_server


# The disk -------------------------------------------------------------------------------------------------------------------


def a_disk(
    free: float = 50, total: float = 100, kind: str = "ext4", fsync_s: float | None = 1e-3, preloaded: bool = False
) -> disk.Disk:
    return disk.Disk(int(free * GIB), int(total * GIB), kind, fsync_s, preloaded)


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (a_disk(), Level.OK),
        (a_disk(free=9, total=10), Level.OK),
        (a_disk(free=60, total=1000), Level.OK),
        (a_disk(free=8, total=100), Level.WARNING),
        (a_disk(free=4, total=10), Level.WARNING),
        (a_disk(free=2, total=100), Level.FAILURE),
        (a_disk(free=0.5, total=1), Level.FAILURE),
    ],
)
def test_room_on_the_disk_is_judged_by_share_and_size(found: disk.Disk, level: Level) -> None:
    assert levels([disk._room(found, Path("/data"))]) == {"disk space": level}


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (a_disk(), Level.OK),
        (a_disk(fsync_s=3e-5), Level.OK),
        (a_disk(fsync_s=1e-6), Level.WARNING),
        (a_disk(fsync_s=0.05), Level.WARNING),
        (a_disk(kind="tmpfs"), Level.FAILURE),
        (a_disk(preloaded=True), Level.FAILURE),
    ],
)
def test_a_disk_that_cannot_keep_what_it_says_is_noticed(found: disk.Disk, level: Level) -> None:
    assert levels(disk._kept(found)) == {"fsync": level}


def test_a_data_directory_in_memory_is_a_failure_and_nothing_is_left_in_it() -> None:
    memory = Path("/dev/shm/telvend-doctor-test")
    memory.mkdir(exist_ok=True)
    try:
        found = levels([*asyncio.run(disk.disk(Settings(data_dir=str(memory))))])
        assert list(memory.iterdir()) == []
    finally:
        memory.rmdir()
    assert found["fsync"] is Level.FAILURE


async def test_a_database_elsewhere_and_no_data_directory_need_no_disk(tmp_path: Path) -> None:
    url = Secret("postgresql://db/telvend")
    found = await disk.disk(Settings(data_dir=str(tmp_path), database_url=url))
    assert [one.check for one in found] == ["disk space"]
    assert await disk.disk(Settings(data_dir=str(tmp_path / "none"))) == []


def test_the_time_of_a_forced_write_is_measured(tmp_path: Path) -> None:
    found = disk.measure(tmp_path, writes=True)
    assert found is not None
    assert found.fsync_s is not None
    assert 0 < found.fsync_s < 5
    assert list(tmp_path.iterdir()) == []


# The clock ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "level", "part"),
    [
        (clock.Clock(True, None), Level.OK, "A time service"),
        (clock.Clock(None, 0.4), Level.OK, "UTC"),
        (clock.Clock(False, 0.0), Level.WARNING, "Nothing keeps"),
        (clock.Clock(True, 61.0), Level.WARNING, "forward by 61 s"),
        (clock.Clock(True, -3600.0), Level.WARNING, "back by 3600 s"),
    ],
)
async def test_a_clock_that_nobody_keeps_or_that_was_set_is_a_warning(
    found: clock.Clock, level: Level, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "measure", lambda _: found)
    told = [*await clock.clock(Settings())]
    assert levels(told) == {"clock": level}
    assert part in told[0].text


def test_a_clock_that_was_set_after_the_start_of_the_database_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "postgres" / "postmaster.pid"
    file.parent.mkdir()
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    age_s = clock.time.clock_gettime(clock.time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    started = clock.time.time() - age_s
    file.write_text(f"{os.getpid()}\n/data\n{int(started) - 100}\n5432\n")
    jumped = clock.measure(tmp_path).jumped_s
    assert jumped is not None
    assert abs(jumped - 100) < 3
    file.write_text("nonsense\n")
    assert clock.measure(tmp_path).jumped_s is None


# Ports ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and what it answers."""
    answers = [b""]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], answers
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (b'HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"status":"alive"}', Level.OK),
        (b"HTTP/1.1 200 OK\r\n\r\n<h1>It works!</h1>", Level.FAILURE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Level.FAILURE),
        (b"", Level.FAILURE),
    ],
)
async def test_a_port_is_ours_or_somebody_elses(listener: tuple[int, list[bytes]], answer: bytes, level: Level) -> None:
    port, answers = listener
    answers[0] = answer
    assert levels([*await ports.ports(Settings(port=port))]) == {"port": level}
    assert levels([*await ports.ports(Settings(port=port, host="0.0.0.0"))]) == {"port": level}  # noqa: S104


async def test_a_port_where_nobody_listens_is_free(listener: tuple[int, list[bytes]]) -> None:
    port, answers = listener
    answers[0] = b"HTTP/1.1 200 OK\r\n\r\n# HELP telvend_build_info x\ntelvend_build_info 1\n"
    found = levels([*await ports.ports(Settings(port=1, metrics_port=port))])
    assert found == {"port": Level.OK, "metrics port": Level.OK}


# The certificate ------------------------------------------------------------------------------------------------------------


def signed(folder: Path, days: float) -> Path:
    """A certificate of `localhost` that vouches for itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days, minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize(
    ("days", "trusted", "level", "part"),
    [
        (60, True, Level.OK, "good for 60 more days"),
        (5, True, Level.WARNING, "good for 5 more days"),
        (-2, True, Level.FAILURE, "expired"),
        (60, False, Level.FAILURE, "self-signed"),
    ],
)
async def test_a_certificate_is_seen_as_clients_see_it(
    days: float, trusted: bool, level: Level, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = signed(tmp_path, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        told = [*await certificate.certificate(Settings(public_url=url))]
    finally:
        server.close()
        await server.wait_closed()
    assert levels(told) == {"certificate": level}
    assert part in told[0].text


async def test_an_address_that_cannot_be_reached_is_a_warning_and_one_without_tls_too(
    listener: tuple[int, list[bytes]],
) -> None:
    port, answers = listener
    answers[0] = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    for url in ("https://127.0.0.1:1", f"https://127.0.0.1:{port}", "http://shop.example.com"):
        assert levels([*await certificate.certificate(Settings(public_url=url))]) == {"certificate": Level.WARNING}
    assert await certificate.certificate(Settings()) == []
