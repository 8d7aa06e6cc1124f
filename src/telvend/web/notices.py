"""Where gateways send their notices: POST /gateways/NAME/notice.

A notice is verified, stored, and answered at once; asking the gateway comes afterwards. Answers: 200 stored (a copy of one
that is known too), 401 wrong signature, 404 no such gateway, 413 too long, 503 not stored, to be sent again.
"""

from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from telvend.errors import Busy, NotFound
from telvend.funding.service import Fundings, Received
from telvend.kit.turnstile import Budget
from telvend.web.pages import EveryMethod, Json, error_json
from telvend.web.site import Site

BASE: Final = "/gateways"
"""What the paths begin with."""

BODY_LIMIT_BYTES: Final = 256 * 1024

TOGETHER_BYTES: Final = 16 * 1024 * 1024
"""What all notices that are being read may take: whose they are is only known when they are whole. Beyond it, 503."""


def notices(fundings: Fundings) -> Site:
    """All of `/gateways`."""
    together = Budget(TOGETHER_BYTES)

    async def notice(request: Request) -> Response:
        if request.method != "POST":
            return Json({"error": "Method not allowed here."}, status_code=405, headers={"allow": "POST"})
        body = bytearray()
        try:
            async for part in request.stream():
                together.grow(len(body), len(body) + len(part))
                body += part
                if len(body) > BODY_LIMIT_BYTES:
                    return Json({"error": "The notice is too long."}, status_code=413)
            source = request.client.host if request.client else ""
            received = await fundings.notice(
                request.path_params["name"], dict(request.headers), bytes(body), source=source
            )
        except ClientDisconnect:
            return Json({"error": "The notice was cut off."}, status_code=400)
        except NotFound as error:
            return Json({"error": str(error)}, status_code=404)
        except Busy as error:
            return Json({"error": str(error)}, status_code=503, headers={"retry-after": str(error.retry_after_s)})
        finally:
            together.shrink(len(body))
        if received is Received.FORGED:
            return Json({"error": "The signature is missing or wrong."}, status_code=401)
        return Json({"status": "stored"})

    routes = [Route("/gateways/{name}/notice", EveryMethod(notice))]
    return Site(Router(routes=routes, default=_nothing, redirect_slashes=False), error_json)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await Json({"error": "There is nothing at this path."}, status_code=404)(scope, receive, send)
