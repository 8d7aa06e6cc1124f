"""The address of a database as libpq writes it, made readable for asyncpg."""

import pytest

from telvend.database.connecting import for_asyncpg


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgresql://u:p@h/d?connect_timeout=3&sslmode=require", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql://u:p@/d?host=/tmp/x&port=5432&keepalives=1", "postgresql://u:p@/d?host=/tmp/x&port=5432"),
        ("postgresql://u:p%40%2F@h/d?application_name=a%20b", "postgresql://u:p%40%2F@h/d?application_name=a+b"),
    ],
)
def test_what_only_libpq_understands_is_left_out(given: str, understood: str) -> None:
    assert for_asyncpg(given) == understood
