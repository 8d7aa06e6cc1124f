"""Where log lines go: whatever is wrong with the target, a line is lost or written, and nobody waits for it."""

import errno
import io
import os
import pty
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from telvend.kit.log_target import PATIENCE_S, LogTarget

LINE = b"x" * 199 + b"\n"


def lost_line(count: int) -> bytes:
    return b"lost %d\n" % count


Ends = tuple[BinaryIO, Callable[[], bytes]]


def pipe() -> tuple[BinaryIO, int, Callable[[], bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(writing, "wb"), reading, lambda: os.read(reading, 1 << 20)


def stream_socket() -> tuple[BinaryIO, int, Callable[[], bytes]]:
    ours, theirs = socket.socketpair()
    reading = theirs.detach()
    return os.fdopen(ours.detach(), "wb"), reading, lambda: os.read(reading, 1 << 20)


def terminal() -> tuple[BinaryIO, int, Callable[[], bytes]]:
    reading, writing = pty.openpty()
    file = os.fdopen(writing, "wb", buffering=0)
    return file, reading, lambda: os.read(reading, 1 << 20).replace(b"\r\n", b"\n")


@pytest.fixture(params=[pipe, stream_socket, terminal])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    file, reading, read = request.param()
    yield file, read
    file.close()
    os.close(reading)


def test_a_reader_that_stands_still_costs_lines_and_no_time(ends: Ends) -> None:
    file, read = ends
    target = LogTarget(file, lost_line)
    started = time.monotonic()
    for _ in range(20_000):  # 4 MB: more than any of them holds
        target.write(LINE)
    assert time.monotonic() - started < 5
    seen = read()
    while b"after\n" not in seen:
        target.write(b"after\n")
        seen += read()
    target.close()
    lines = seen.split(b"\n")
    whole, (told,) = lines.count(LINE[:-1]), [line for line in lines if line.startswith(b"lost ")]
    assert 0 < whole < 20_000
    # What was lost are the lines that did not come whole, and the first words of "after" for which there was no room yet.
    assert int(told.split()[1]) >= 20_000 - whole
    assert [line for line in lines if line not in (LINE[:-1], told, b"after", b"") and not LINE.startswith(line)] == []


def test_a_reader_that_is_only_late_loses_nothing() -> None:
    reading, writing = os.pipe()
    received = bytearray()

    def receive() -> None:
        while piece := os.read(reading, 1 << 16):
            received.extend(piece)
            time.sleep(0.001)

    reader = threading.Thread(target=receive)
    reader.start()
    with os.fdopen(writing, "wb") as file:
        target = LogTarget(file, lost_line)
        for _ in range(20_000):
            target.write(LINE)
        target.close()
    reader.join(30)
    os.close(reading)
    assert bytes(received) == LINE * 20_000


def test_a_reader_that_has_gone_costs_lines() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as file:
        target = LogTarget(file, lost_line)
        started = time.monotonic()
        for _ in range(1000):
            target.write(LINE)
        assert time.monotonic() - started < PATIENCE_S * 5


def test_a_full_disk_costs_lines() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        target = LogTarget(file, lost_line)
        target.write(LINE)
        target.flush()


def test_what_was_lost_is_said_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        target = LogTarget(file, lost_line)
        real, room = os.write, [7]

        def write(descriptor: int, data: memoryview) -> int:
            if room[0] <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = real(descriptor, data[: room[0]])
            room[0] -= taken
            return taken

        monkeypatch.setattr(os, "write", write)
        target.write(LINE)
        target.write(LINE)
        room[0] = 1 << 20
        target.write(b"next\n")
        target.write(b"last\n")
    assert path.read_bytes() == LINE[:7] + b"\nlost 2\nnext\nlast\n"


def test_a_closed_descriptor_is_no_reason_to_fail() -> None:
    reading, writing = os.pipe()
    file = os.fdopen(writing, "wb")
    target = LogTarget(file, lost_line)
    file.close()
    os.close(reading)
    target.write(LINE)
    LogTarget(file, lost_line).write(LINE)


def test_memory_is_written_to_as_it_is() -> None:
    memory = io.BytesIO()
    target = LogTarget(memory, lost_line)
    target.write(LINE)
    target.flush()
    assert memory.getvalue() == LINE
