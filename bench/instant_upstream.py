"""An upstream that delivers every purchase at once, in a process of its own: `python -m bench.instant_upstream`.

It prints the port that it listens on.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from bench.http_server import Responder, listen


class _Upstream(Responder):
    def respond(self, body: bytes) -> bytes:
        """Report the purchase as delivered."""
        reference = json.loads(body)["reference"]
        answer = json.dumps({"status": "DELIVERED", "id": f"U-{reference}", "reference": reference}).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
            len(answer),
            answer,
        )


async def _serve() -> None:
    server, port = await listen(_Upstream)
    print(port, flush=True)
    await server.serve_forever()


@asynccontextmanager
async def instant_upstream() -> AsyncIterator[str]:
    """Run an instant upstream until the end of the block; yields its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.instant_upstream", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(_serve())
