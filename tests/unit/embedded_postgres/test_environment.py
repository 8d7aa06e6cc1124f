"""What other programs of PostgreSQL are told of a database by variables."""

import pytest

from telvend.embedded_postgres.environment import environment_of
from telvend.embedded_postgres.refused import PostgresRefused


def test_an_address_becomes_variables() -> None:
    assert environment_of("postgresql://u:p%40@/shop?host=/run/x&port=6000") == {
        "PGUSER": "u", "PGPASSWORD": "p@", "PGHOST": "/run/x", "PGPORT": "6000", "PGDATABASE": "shop",
    }  # fmt: skip
    several = environment_of("postgresql://u@a:1,b:2/shop?target_session_attrs=read-write&passfile=/x")
    assert several == {
        "PGUSER": "u", "PGHOST": "a,b", "PGPORT": "1,2", "PGDATABASE": "shop", "PGPASSFILE": "/x",
        "PGTARGETSESSIONATTRS": "read-write",
    }  # fmt: skip


def test_a_port_that_is_not_said_and_an_address_of_version_6() -> None:
    assert environment_of("postgresql://[::1]:6000,b/x") == {"PGHOST": "::1,b", "PGPORT": "6000,", "PGDATABASE": "x"}
    assert environment_of("postgresql://h") == {"PGHOST": "h"}


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@[::1/x", "postgresql://u:hunter2@h/x?nothing=hunter2"])
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(PostgresRefused) as refused:
        environment_of(url)
    assert "hunter2" not in str(refused.value)
