"""Large bodies in pieces, so that a client that does not read keeps only a piece in memory."""

from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from telvend.kit.turnstile import Budget

AT_ONCE_BYTES: Final = 32 * 1024


async def send_in_pieces(send: Send, parts: Iterable[bytes]) -> None:
    """Send a whole body; each piece when those before have left, but for what a connection may hold."""
    for part in parts:
        for start in range(0, len(part), AT_ONCE_BYTES):
            piece = part[start : start + AT_ONCE_BYTES]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


class LargeResponse(Response):
    """A response in pieces. Until it is sent or given up its body is held, out of a budget that all such responses share."""

    def __init__(self, budget: Budget, content: bytes, *given: Any, **named: Any) -> None:
        """Raises Busy. Once made it is to be called, which gives back what it has taken."""
        super().__init__(content, *given, **named)
        budget.take(len(content))
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send_in_pieces(send, (bytes(self.body),) if scope["method"] != "HEAD" else ())
        finally:
            self._budget.give_back(len(self.body))
