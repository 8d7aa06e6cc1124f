"""Compressing and encrypting what is stored, and the way back. age (https://age-encryption.org/v1), through pyrage.

sealer = Sealer.of(["age1…"])
sealer.copy(source, target)                  # gzip, then age where there is a recipient
opener = Opener.of(Path("identity.txt"))
opener.copy(stored, target, encrypted=True)  # back
"""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from telvend.kit.permissions import secret_refusal
from telvend.upkeep.backup.model import BackupDamaged, BackupRefused

CHUNK: Final = 1 << 20
_LEVEL: Final = 1
"""gzip's quickest: a backup shall be over soon, and the data is mostly text and numbers."""
_GZIP: Final = 16 + zlib.MAX_WBITS


class Reads(Protocol):
    """A source of bytes; empty at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Writes(Protocol):
    """A sink of bytes."""

    def write(self, data: bytes, /) -> Any: ...


class Compressed:
    """Reads `source` compressed."""

    def __init__(self, source: Reads) -> None:
        self._source = source
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._ready = memoryview(b"")
        self._done = False
        self.plain_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        while not self._ready and not self._done:
            piece = self._source.read(CHUNK)
            self.plain_bytes += len(piece)
            if piece:
                self._ready = memoryview(self._compressor.compress(piece))
            else:
                self._ready = memoryview(self._compressor.flush())
                self._done = True
        taken = self._ready if size < 0 else self._ready[:size]
        self._ready = self._ready[len(taken) :]
        return bytes(taken)


class _Decompressing:
    """Writes what it is given, decompressed, to `target`."""

    def __init__(self, target: Writes) -> None:
        self._target = target
        self._decompressor = zlib.decompressobj(_GZIP)

    def write(self, data: bytes, /) -> int:
        left = data
        while left and not self._decompressor.eof:
            self._target.write(self._decompressor.decompress(left, CHUNK))
            left = self._decompressor.unconsumed_tail
        return len(data)

    def flush(self) -> None:
        """pyrage asks for it."""

    def finish(self) -> None:
        if rest := self._decompressor.flush():
            self._target.write(rest)
        if not self._decompressor.eof:
            raise zlib.error("the end is missing")


class _Flushing:
    """A sink with the `flush` that pyrage asks for."""

    def __init__(self, target: Writes) -> None:
        self._target = target

    def write(self, data: bytes, /) -> int:
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here."""


class Sealer:
    """Stores for recipients; without one only compressed."""

    def __init__(self, recipients: Sequence[Any], names: Sequence[str]) -> None:
        self._recipients = recipients
        self.names = list(names)

    @classmethod
    def of(cls, names: Sequence[str]) -> "Sealer":
        """`names` are recipients as `age-keygen` prints them. Raises BackupRefused."""
        if not names:
            return cls([], [])
        import pyrage

        recipients = []
        for name in names:
            if name.upper().startswith("AGE-SECRET-KEY-"):
                raise BackupRefused(
                    "A recipient begins with age1; this is an identity, which opens backups: keep it away from this machine."
                )
            try:
                recipients.append(pyrage.x25519.Recipient.from_str(name.strip()))
            except pyrage.RecipientError as error:
                raise BackupRefused(f"{name!r} is no recipient of age, which begins with age1: {error}.") from None
        return cls(recipients, [name.strip() for name in names])

    @property
    def encrypts(self) -> bool:
        return bool(self._recipients)

    @property
    def suffix(self) -> str:
        return ".age" if self.encrypts else ""

    def copy(self, source: Reads, target: Writes, *, compress: bool = True) -> None:
        """Read `source` to its end into `target`. Raises OSError."""
        source = Compressed(source) if compress else source
        if self.encrypts:
            import pyrage

            try:
                pyrage.encrypt_io(source, _Flushing(target), self._recipients)
            except pyrage.EncryptError as error:
                raise error.__cause__ or OSError(str(error)) from None
            return
        while piece := source.read(CHUNK):
            target.write(piece)


class Opener:
    """Opens what was stored, with the identities of a file."""

    def __init__(self, identities: Sequence[Any], place: str) -> None:
        self._identities = identities
        self._place = place

    @classmethod
    def of(cls, file: Path | None) -> "Opener":
        """`file` is what `age-keygen` or `telvend backup identity` writes. Raises BackupRefused."""
        if file is None:
            return cls([], "")
        import pyrage

        try:
            lines = file.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BackupRefused(f"The identity file {file} cannot be read: {type(error).__name__}.") from None
        if (refusal := secret_refusal(file, "The identity file")) is not None:
            raise BackupRefused(f"{refusal}.")
        words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        try:
            identities = [pyrage.x25519.Identity.from_str(word) for word in words]
        except pyrage.IdentityError:
            raise BackupRefused(f"{file} is no identity file: its line begins with AGE-SECRET-KEY-1.") from None
        if not identities:
            raise BackupRefused(f"There is no identity in {file}.")
        return cls(identities, str(file))

    def require(self, recipients: Sequence[str], what: str) -> None:
        """Refuse, before anything is read, what these identities do not open. Raises BackupRefused."""
        if not recipients:
            return
        if not self._identities:
            raise BackupRefused(
                f"{what} is encrypted for {', '.join(recipients)}: name its identity file, --identity FILE."
            )
        if not {str(one.to_public()) for one in self._identities} & {*recipients}:
            raise BackupRefused(
                f"{what} is encrypted for {', '.join(recipients)}, which the identity in {self._place} does not open."
            )

    def copy(self, source: Reads, target: Writes, *, encrypted: bool, name: str, compressed: bool = True) -> None:
        """Read `source` to its end and write what it holds into `target`. Raises BackupDamaged, OSError."""
        sink: Any = _Decompressing(target) if compressed else _Flushing(target)
        failed: list[BaseException] = []
        guarded = _Guarded(sink, failed)
        try:
            if encrypted:
                import pyrage

                try:
                    pyrage.decrypt_io(source, guarded, self._identities)
                except (pyrage.DecryptError, OSError) as error:
                    if failed:
                        raise failed[0] from None
                    raise BackupDamaged(f"{name} does not open: it is damaged, or not for this identity.") from error
            else:
                while piece := source.read(CHUNK):
                    guarded.write(piece)
            if compressed:
                sink.finish()
        except zlib.error as error:
            raise BackupDamaged(f"{name} is damaged: {error}.") from None


class _Guarded:
    """Keeps what `sink` raises, which pyrage would hide behind an error of its own."""

    def __init__(self, sink: Any, failed: list[BaseException]) -> None:
        self._sink = sink
        self._failed = failed

    def write(self, data: bytes, /) -> int:
        try:
            self._sink.write(bytes(data))
        except BaseException as error:
            self._failed.append(error)
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here."""


def new_identity(file: Path) -> str:
    """Write a new identity to `file`, for its owner alone; return its recipient. Raises BackupRefused."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupRefused(f"{file} exists; an identity is not written over.") from None
    except OSError as error:
        raise BackupRefused(f"{file} cannot be written: {error.strerror}.") from None
    with os.fdopen(fd, "w") as written:
        written.write(f"# recipient: {recipient}\n{identity}\n")
        written.flush()
        os.fsync(fd)
    return recipient
