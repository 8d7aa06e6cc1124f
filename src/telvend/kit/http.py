"""The one place that makes HTTP clients for calls to the outside."""

from typing import Final

import httpx

NEVER_ARRIVED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""No connection was had: the request cannot have reached anybody."""

NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
"""Anything that leaves a request without an answer; whether it arrived is not known, unless it is one of the above."""


def client(
    base_url: str,
    *,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client for one service. It follows no redirects and takes no proxy from the environment.

    A redirect of a request that moves money would be another request to somebody else. `transport` is the tests' way to
    put something else in the network's place.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s),
        headers=headers,
        transport=transport,
        follow_redirects=False,
        trust_env=False,
    )
