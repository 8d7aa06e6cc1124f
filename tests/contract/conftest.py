"""A database that the contract tests share: no test in here changes what another one reads."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Server


@pytest.fixture(scope="session")
async def simulator_database_url(server: Server) -> AsyncIterator[str]:
    async with server.database("contract") as url:
        yield url
