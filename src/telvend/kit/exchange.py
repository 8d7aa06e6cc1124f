"""What our own server offers beside ASGI: a request whose body has come whole, and an answer that is sent whole.

ASGI takes three messages for that, each through a coroutine, and looks at each header of an answer again: a third of what a
purchase cost the server. An application that finds an `Exchange` in its scope may use it; every other server goes without.

    exchange = scope.get(EXCHANGE)
    body = exchange.whole_body() if exchange is not None else None      # None: `receive` it
    if exchange is None or not exchange.answer(200, b"content-length: 2\\r\\n", b"{}"):
        await send(...)
"""

from typing import Final, Protocol

EXCHANGE: Final = "telvend.exchange"
"""Where it stands in the scope of a request."""


class Exchange(Protocol):
    """One request and its answer."""

    def whole_body(self) -> bytes | None:
        """Return the body; None while a part of it is missing, or when the client has gone. It is not received again."""
        ...

    def answer(self, status: int, headers: bytes, body: bytes) -> bool:
        """Send an answer at once. Return False where that cannot be, and nothing was sent: it is for `send` then.

        `headers`: lines of names in lower case and values, which the caller vouches for, each with CRLF; with content-length.
        """
        ...
