"""Where providers call back: POST /providers/NAME/callback, with the secret behind it where the vendor does not sign.

Answers: what the vendor wants to read, once the callback is stored; 404 without the right secret or signature, for a provider
that is not there or has none, and for what is no JSON object; 413 too long; 503 not stored, to be sent again. No answer says
what has become of a purchase, or whether there is one.
"""

from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from telvend.errors import Busy
from telvend.kit.turnstile import Budget
from telvend.providers.upstream import callback_path
from telvend.upstreams.callbacks.service import Callbacks
from telvend.web.pages import EveryMethod, Json, error_json
from telvend.web.site import Site

BODY_LIMIT_BYTES: Final = 64 * 1024

TOGETHER_BYTES: Final = 8 * 1024 * 1024
"""What all callbacks that are being read may take: whose they are is only known when they are whole. Beyond it, 503."""


def callbacks(taken_by: Callbacks) -> Site:
    """All of `/providers`."""
    together = Budget(TOGETHER_BYTES)

    async def callback(request: Request) -> Response:
        body = bytearray()
        try:
            async for part in request.stream():
                together.grow(len(body), len(body) + len(part))
                body += part
                if len(body) > BODY_LIMIT_BYTES:
                    return Json({"error": "The body is too long."}, status_code=413)
            if request.method != "POST":
                return _nothing()
            acknowledgement = await taken_by.receive(
                request.path_params["name"],
                request.path_params.get("secret"),
                dict(request.headers),
                bytes(body),
            )
        except ClientDisconnect:
            return Json({"error": "The body was cut off."}, status_code=400)
        except Busy as error:
            return Json({"error": str(error)}, status_code=503, headers={"retry-after": str(error.retry_after_s)})
        finally:
            together.shrink(len(body))
        return _nothing() if acknowledgement is None else Json(acknowledgement)

    paths = (callback_path("{name}", None), callback_path("{name}", "{secret}"))
    # For every method, so that none has an answer of its own.
    routes = [Route(path, EveryMethod(callback)) for path in paths]
    return Site(Router(routes=routes, default=_default, redirect_slashes=False), error_json)


def _nothing() -> Response:
    return Json({"error": "There is nothing at this path."}, status_code=404)


async def _default(scope: Scope, receive: Receive, send: Send) -> None:
    await _nothing()(scope, receive, send)
