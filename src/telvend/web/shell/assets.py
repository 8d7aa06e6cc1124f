"""Files that pages load: style, script, pictures. Named by their content, so that browsers keep them for good.

    assets.path("site.css")      # /assets/site.1f2e3d4c5b.css

They are read, named and compressed when the process starts. Nobody is sent to another host.
"""

import gzip
import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from telvend.errors import UnknownPath

BASE: Final = "/assets"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"

_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "txt": "text/plain; charset=utf-8",
}
_COMPRESSED: Final = frozenset(("css", "js", "svg", "txt"))


class _Asset(NamedTuple):
    content: bytes
    compressed: bytes | None
    media_type: str
    tag: str


class Assets:
    """The asset files of the package."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._served: dict[str, _Asset] = {}
        for entry in sorted(files("telvend.web").joinpath("assets").iterdir(), key=lambda entry: entry.name):
            stem, _, kind = entry.name.rpartition(".")
            if kind not in _MEDIA_TYPES:
                continue
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            served = f"{stem}.{digest}.{kind}"
            self._paths[entry.name] = f"{BASE}/{served}"
            smaller = gzip.compress(content, 9, mtime=0) if kind in _COMPRESSED else None
            self._served[served] = _Asset(content, smaller, _MEDIA_TYPES[kind], f'"{digest}"')

    def path(self, name: str) -> str:
        """The address of a file. Raises KeyError where there is none."""
        return self._paths[name]

    async def serve(self, request: Request) -> Response:
        """Answer with the file of this name. Raises UnknownPath."""
        asset = self._served.get(request.path_params["name"])
        if asset is None:
            raise UnknownPath(request.url.path)
        headers = {
            "cache-control": _FOR_GOOD,
            "etag": asset.tag,
            "vary": "Accept-Encoding",
            "cross-origin-resource-policy": "same-origin",
        }
        if asset.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        content = asset.content
        if asset.compressed is not None and takes_gzip(request.headers.get("accept-encoding", "")):
            content = asset.compressed
            headers["content-encoding"] = "gzip"
        return Response(content, media_type=asset.media_type, headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding takes gzip."""
    for entry in accepted.lower().split(",")[:20]:
        coding, _, weight = entry.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
