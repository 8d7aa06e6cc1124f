"""The listening sockets of a server."""

import socket
from typing import Final

from telvend.config import Settings
from telvend.embedded_postgres.refused import PostgresRefused

BACKLOG: Final = 2048


class PortTaken(PostgresRefused):
    """The port is in use, or the address is not ours."""


def listen(settings: Settings, *, shared: bool) -> socket.socket:
    """The listening socket; for several workers only the claim to the port, each of them then listens by itself.

    The claim to `metrics_port` is only tried: each serving process listens there for itself. Raises PortTaken.
    """
    made = _claimed(settings.host, settings.port, shared=shared)
    if settings.metrics_port:
        try:
            _claimed(settings.metrics_host, settings.metrics_port, shared=False).close()
        except PortTaken:
            made.close()
            raise
    return made


def listen_for_metrics(settings: Settings) -> socket.socket:
    """Listen on `metrics_port`, together with the other workers: any of them answers for the node. Raises PortTaken."""
    if settings.workers == 1:
        return _claimed(settings.metrics_host, settings.metrics_port, shared=False)
    try:
        made = bound(settings.metrics_host, settings.metrics_port, reuse_port=True)
    except OSError as error:
        raise _taken(settings.metrics_host, settings.metrics_port, error) from None
    made.listen(BACKLOG)
    return made


def _claimed(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        claim = bound(host, port, reuse_port=False)
        if not shared:
            return claim
        claim.close()
        return bound(host, port, reuse_port=True)
    except OSError as error:
        raise _taken(host, port, error) from None


def _taken(host: str, port: int, error: OSError) -> PortTaken:
    return PortTaken(f"Cannot listen on {host} port {port}: {error.strerror}.")


def bound(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A socket of this address; it listens unless it is to be shared. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        if not reuse_port:
            made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
