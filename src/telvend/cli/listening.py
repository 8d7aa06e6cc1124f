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

    The claims to `metrics_port` and `console_port` are only tried: each serving process listens there for itself. Raises PortTaken.
    """
    made = _claimed(settings.host, settings.port, shared=shared)
    for host, port in own_ports(settings):
        try:
            _claimed(host, port, shared=False).close()
        except PortTaken:
            made.close()
            raise
    return made


def own_ports(settings: Settings) -> list[tuple[str, int]]:
    """What has a listener of its own: the metrics and the console, where the settings say so."""
    ports = ((settings.metrics_host, settings.metrics_port), (settings.console_host, settings.console_port))
    return [(host, port) for host, port in ports if port]


def listen_apart(settings: Settings) -> list[socket.socket]:
    """Listen on the ports of `own_ports`, together with the other workers: any of them answers for the node. Raises PortTaken."""
    made: list[socket.socket] = []
    try:
        for host, port in own_ports(settings):
            made.append(_apart(host, port, shared=settings.workers > 1))
    except PortTaken:
        for one in made:
            one.close()
        raise
    return made


def _apart(host: str, port: int, *, shared: bool) -> socket.socket:
    if not shared:
        return _claimed(host, port, shared=False)
    try:
        made = bound(host, port, reuse_port=True)
    except OSError as error:
        raise _taken(host, port, error) from None
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
