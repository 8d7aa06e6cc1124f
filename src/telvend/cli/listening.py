"""The listening sockets of a server."""

import socket

from telvend.config import Settings
from telvend.kit.postgres import PostgresRefused


def listen(settings: Settings, *, shared: bool) -> socket.socket:
    """The listening socket; for several workers only the claim to the port, each of them then listens by itself."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        claim = bound(family, settings, reuse_port=False)
        if not shared:
            return claim
        claim.close()
        return bound(family, settings, reuse_port=True)
    except OSError as error:
        raise PortTaken(f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}.") from None


class PortTaken(PostgresRefused):
    """The port is in use, or the address is not ours."""


def bound(family: socket.AddressFamily, settings: Settings, *, reuse_port: bool) -> socket.socket:
    """A socket of this server's address. Raises OSError."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((settings.host, settings.port))
        if not reuse_port:
            made.listen(2048)
    except BaseException:
        made.close()
        raise
    return made
