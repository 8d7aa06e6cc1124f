"""Statements that write are joined to one: their parameters are numbered on, and each is written once."""

from telvend.database.together import joined


def test_one_statement_stays_as_it_is() -> None:
    assert joined((("insert into a select $1, $2, $1", 2),)) == "insert into a select $1, $2, $1"


def test_parameters_are_numbered_on() -> None:
    first, second, third = (
        "insert into a select $1, $2",
        "update b set x = $1",
        "delete from c where y = $1 and z = $10",
    )
    assert joined(((first, 2), (second, 1), (third, 10))) == (
        "with written_0 as (insert into a select $1, $2), written_1 as (update b set x = $3)"
        " delete from c where y = $4 and z = $13"
    )
