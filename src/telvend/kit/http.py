"""The one place that makes HTTP clients for calls to the outside."""

import httpx


def client(base_url: str, *, timeout_s: float, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """A client for one service. It follows no redirects and takes no proxy from the environment.

    A redirect of a request that moves money would be another request to somebody else.
    """
    return httpx.AsyncClient(
        base_url=base_url, timeout=httpx.Timeout(timeout_s), headers=headers, follow_redirects=False, trust_env=False
    )
