"""Reading a tar archive that passes by, piece by piece: PostgreSQL's own, of plain files and folders.

watching = TarStream(handler)
watching.write(piece)       # again and again
watching.finish()           # raises BackupDamaged where the end is missing
"""

from dataclasses import dataclass
from typing import Final, Protocol

from telvend.upkeep.backup.model import BackupDamaged
from telvend.upkeep.backup.sealing import Writes

_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Member:
    """The head of a file or folder in an archive. `kind`: 0 a file, 5 a folder, 2 a link."""

    name: str
    size: int
    kind: str


class Members(Protocol):
    """What is told of the members of an archive, in order."""

    def begin(self, member: Member) -> Writes | None:
        """A member begins; its bytes go where this says, or nowhere."""
        ...

    def end(self, member: Member) -> None:
        """All bytes of the member have passed."""
        ...


class TarStream:
    """See the head of this file."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._head = b""
        self._member: Member | None = None
        self._sink: Writes | None = None
        self._left = 0
        self._padding = 0
        self._ended = False

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        while view:
            if self._ended:
                break
            if self._left:
                piece = view[: self._left]
                if self._sink is not None:
                    self._sink.write(piece)  # type: ignore[arg-type]
                self._left -= len(piece)
                view = view[len(piece) :]
                if not self._left:
                    self._end()
            elif self._padding:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
            else:
                wanted = _BLOCK - len(self._head)
                self._head += bytes(view[:wanted])
                view = view[wanted:]
                if len(self._head) == _BLOCK:
                    self._begin(self._head)
                    self._head = b""
        return len(data)

    def finish(self) -> None:
        """The archive has to have ended here."""
        if not self._ended:
            raise BackupDamaged("The archive of the database is cut off.")

    def _begin(self, head: bytes) -> None:
        if not head.strip(b"\0"):
            self._ended = True
            return
        try:
            checksum = int(head[148:156].split(b"\0")[0].strip() or b"0", 8)
            size = _size(head[124:136])
            name = head[:100].split(b"\0")[0].decode()
            prefix = head[345:500].split(b"\0")[0].decode()
        except (ValueError, UnicodeDecodeError) as error:
            raise BackupDamaged("The archive of the database is damaged.") from error
        if sum(head[:148]) + sum(head[156:]) + 32 * 8 != checksum:
            raise BackupDamaged("The archive of the database is damaged.")
        kind = chr(head[156]) if head[156] else "0"
        self._member = Member(f"{prefix}/{name}" if prefix else name, size, kind)
        self._sink = self._members.begin(self._member)
        self._left = size if kind == "0" else 0
        self._padding = -size % _BLOCK if kind == "0" else 0
        if not self._left:
            self._end()

    def _end(self) -> None:
        assert self._member is not None  # noqa: S101 - one has begun
        self._members.end(self._member)
        self._sink = None


def _size(field: bytes) -> int:
    """Octal digits, or binary where the first bit says so. Source: tar(5)."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << 95) - 1)
    return int(field.split(b"\0")[0].strip() or b"0", 8)
