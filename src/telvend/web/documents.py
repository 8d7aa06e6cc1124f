"""The APIs' documents: written once, and sent with the address of this server in its place.

The address comes from the request, so there are as many versions of a document as clients care to name. None is kept: what
is before and after the address is the same in all of them.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from telvend.web.pieces import send_in_pieces

_PLACE: Final = "https://here.telvend.invalid"

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Document:
    """One document. `write` writes it for an address, and is called once, by the first who asks."""

    def __init__(self, write: Callable[[str], Mapping[str, Any]]) -> None:
        self._write = write
        self._parts: list[bytes] = []
        self._digest = b""

    def at(self, base_url: str) -> tuple[list[bytes], str]:
        """The document for the server at this address in parts, and its entity tag."""
        if not self._parts:
            text = _encode(self._write(_PLACE))
            self._digest = hashlib.sha256(text).digest()
            self._parts = text.split(_encode(_PLACE))
        address = _encode(base_url)
        tag = hashlib.blake2b(address, key=self._digest, digest_size=16).hexdigest()
        body = [self._parts[0]]
        for part in self._parts[1:]:
            body += (address, part)
        return body, f'"{tag}"'


class DocumentResponse:
    """Answers GET and HEAD with a document, or 304 where the client has it."""

    def __init__(self, parts: list[bytes], tag: str, headers: Mapping[str, str]) -> None:
        self._parts = parts
        self._tag = tag.encode()
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = [(b"etag", self._tag), (b"vary", b"Host"), *self._headers]
        if _knows(scope, self._tag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body"})
            return
        length = str(sum(map(len, self._parts))).encode()
        headers += [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send_in_pieces(send, self._parts if scope["method"] != "HEAD" else ())


def _knows(scope: Scope, tag: bytes) -> bool:
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            return any(given.strip().removeprefix(b"W/") in (tag, b"*") for given in value.split(b",", 32))
    return False
