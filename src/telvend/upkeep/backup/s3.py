"""A bucket of an S3-compatible store as a place for backups, through obstore (the extra `s3`).

Endpoint, region and keys come from the settings `backup_s3_…`, else from the variables that every S3 program reads
(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), else from the machine's role.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from telvend.config import Settings
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.sealing import Reads, Writes

_BUFFER: Final = 8 << 20
"""A part of an upload; at least 5 MB, and at most 10,000 of them make a file."""
_PATIENCE: Final = timedelta(seconds=60)


class Bucket:
    """A bucket, and a prefix in it. An object appears when all of it is there."""

    def __init__(self, store: Any, text: str) -> None:
        self._store = store
        self._text = text

    @classmethod
    def at(cls, text: str, settings: Settings) -> "Bucket":
        """The bucket of s3://bucket/prefix. Raises BackupRefused."""
        try:
            from obstore.store import S3Store
        except ImportError:
            raise BackupRefused(
                "Backups to an S3-compatible store need the extra s3: pip install 'telvend[s3]'."
            ) from None
        parts = urlsplit(text)
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise BackupRefused(f"{text!r} does not name a bucket: s3://bucket/prefix.")
        given: dict[str, Any] = {
            "endpoint": settings.backup_s3_endpoint or None,
            "region": settings.backup_s3_region or None,
            "access_key_id": settings.backup_s3_access_key_id or None,
            "secret_access_key": settings.backup_s3_secret_access_key and settings.backup_s3_secret_access_key.reveal(),
        }
        options = {name: value for name, value in given.items() if value}
        http = {"timeout": _PATIENCE}
        if settings.backup_s3_endpoint.startswith("http://"):
            http["allow_http"] = True  # type: ignore[assignment]
        try:
            store = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                client_options=http,  # type: ignore[arg-type]
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
                **options,
            )
        except Exception as error:
            raise BackupRefused(f"{text} cannot be used: {_line(error)}.") from None
        return cls(store, text.rstrip("/"))

    @property
    def text(self) -> str:
        return self._text

    def prepare(self) -> None:
        self.names("nothing-is-called-so")

    def names(self, prefix: str = "") -> list[str]:
        import obstore

        with self._refusing():
            return sorted(one["path"] for page in obstore.list(self._store, prefix or None) for one in page)

    @contextmanager
    def writing(self, name: str) -> Iterator[Writes]:
        import obstore

        with self._refusing():
            writer = obstore.open_writer(self._store, name, buffer_size=_BUFFER)
            # Not closed on an error: what was not completed never becomes an object.
            yield writer
            writer.close()

    @contextmanager
    def reading(self, name: str) -> Iterator[Reads]:
        import obstore

        with self._refusing():
            found = obstore.get(self._store, name)
        yield _Streamed(iter(found.stream(_BUFFER)), self._refusing)

    def remove(self, name: str) -> None:
        import obstore

        with self._refusing():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise BackupRefused(f"{self._text} cannot be used: {_line(error)}.") from error


class _Streamed:
    """A download as something to read from."""

    def __init__(self, pieces: Iterator[Any], refusing: Any) -> None:
        self._pieces = pieces
        self._refusing = refusing
        self._left = io.BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        found = self._left.read(size)
        while not found:
            with self._refusing():
                piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = io.BytesIO(bytes(piece))
            found = self._left.read(size)
        return found


def _line(error: BaseException) -> str:
    """The first line of an error that says why; obstore adds its settings below, which are nobody's business."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:300].rstrip(".")
