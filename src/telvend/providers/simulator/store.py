"""The simulator's book in PostgreSQL, in its own schema, written through a connection of its own.

Everybody's lines that are waiting are written with one statement and one commit, so that hundreds of deliveries a
moment cost a few commits. The rules are those of `book.py`; here they stand in SQL, and a test compares the two.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from telvend.database.connections import TRANSIENT, Database, DedicatedConnection, Tx
from telvend.database.lane import Lane
from telvend.errors import Busy
from telvend.kit.money import Money, currency_of
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.providers.contract import Reason
from telvend.providers.simulator.book import BookState, BookUnavailable, Line, Twice

# A delivery and a question are the same write: a question counts no request, and closes a reference that is new. A
# statement that conflicts with one that another process has not committed yet waits for it, so one of them is first.
_WRITE = """
    insert into simulator.book as known (
        provider, reference, subscriber, country, network, product, size, cost_minor, currency,
        state, becomes, settles_at, reason, requests, first_at, last_at
    )
    select * from unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
        $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::integer[], $15::timestamptz[], $16::timestamptz[]
    )
    on conflict (reference, provider) do update set
        requests = known.requests + case when known.state = 'closed' then 0 else excluded.requests end,
        late = known.late + case when known.state = 'closed' then excluded.requests else 0 end,
        state = case when known.settles_at <= excluded.last_at then known.becomes else known.state end,
        becomes = case when known.settles_at <= excluded.last_at then null else known.becomes end,
        settles_at = case when known.settles_at <= excluded.last_at then null else known.settles_at end,
        last_at = excluded.last_at
    returning *
"""

# '.' follows '-' in the alphabet of the column, so the range holds the references that begin with the order's and '-'.
_PAGE = """
    select * from simulator.book
    where ($1::text is null or subscriber = $1)
      and ($2::text is null or reference = $2 or (
          reference >= $2 || '-' and reference < $2 || '.' and substr(reference, length($2) + 2) ~ '^[0-9]+$'))
      and ($3::text is null or provider = $3)
      and ($4::bigint is null or id < $4)
    order by id desc
    limit $5
"""

_DELIVERED_TWICE = """
    select regexp_replace(reference, '-[0-9]+$', '') as order_reference, sum(deliveries) as deliveries
    from simulator.book
    where deliveries > 0
    group by 1
    having sum(deliveries) > 1
    order by 1
    limit $1
"""

_DELIVERIES = "select coalesce(sum(deliveries), 0) from simulator.book"


class PostgresBook:
    """A book that outlives everybody."""

    def __init__(self, database: Database, *, runtime: Runtime = NO_RUNTIME) -> None:
        self._database = database
        self._connection = DedicatedConnection(database)
        self._lane: Lane[Line, Line] = Lane("simulator", self._write_together, runtime=runtime)
        self._started = False

    async def write(self, line: Line) -> Line:
        if not self._started:
            self._started = True
            self._lane.start()
        try:
            return await self._lane.submit(line)
        except Busy as error:
            raise BookUnavailable from error

    async def page(
        self,
        *,
        subscriber: str | None = None,
        reference: str | None = None,
        provider: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Line]:
        return [_line(row) for row in await self._read(_PAGE, subscriber, reference, provider, before, limit)]

    async def delivered_twice(self, limit: int = 100) -> Sequence[Twice]:
        return [
            Twice(row["order_reference"], int(row["deliveries"])) for row in await self._read(_DELIVERED_TWICE, limit)
        ]

    async def deliveries(self) -> int:
        return int((await self._read(_DELIVERIES))[0][0])

    async def close(self) -> None:
        await self._lane.close()
        await self._connection.close()

    async def _read(self, statement: str, *arguments: object) -> list[Any]:
        """Rows, read through the pool: people and tests read, and must not wait behind the writing."""
        try:
            async with self._database.connection() as tx:
                return list(await tx.fetch(statement, *arguments))
        except Busy as error:
            raise BookUnavailable from error

    async def _write_together(self, lines: list[Line]) -> Sequence[Line | Exception]:
        """Write a batch in one transaction. After a lost connection it may or may not be in the book, so it is never
        written a second time: that would deliver twice."""
        written: dict[int, Line] = {}
        try:
            connection = await self._connection.get()
            rounds = _rounds(lines)
            if len(rounds) == 1:
                return await _write_round(connection, lines)
            async with connection.transaction():
                for places in rounds:
                    answers = await _write_round(connection, [lines[place] for place in places])
                    written.update(zip(places, answers, strict=True))
        except TRANSIENT as error:
            self._connection.drop()
            return [BookUnavailable(f"{type(error).__name__}: {error}") for _ in lines]
        return [written[place] for place in range(len(lines))]


def _rounds(lines: list[Line]) -> list[list[int]]:
    """Places in the batch, cut so that no statement meets a key twice: the n-th line of a key is in the n-th round."""
    rounds: list[list[int]] = []
    met: dict[tuple[str, str], int] = {}
    for place, line in enumerate(lines):
        key = (line.reference, line.provider)
        number = met[key] = met.get(key, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


async def _write_round(connection: Tx, lines: list[Line]) -> list[Line]:
    """Write lines whose keys differ. Answers what they are now, in their order.

    The rows are written in the order of their keys; two processes with some in common would otherwise wait for each
    other.
    """
    ordered = sorted(lines, key=lambda line: (line.reference, line.provider))
    columns = zip(*(_columns(line) for line in ordered), strict=True)
    written = {
        (row["reference"], row["provider"]): _line(row) for row in await connection.fetch(_WRITE, *map(list, columns))
    }
    return [written[line.reference, line.provider] for line in lines]


def _columns(line: Line) -> tuple[object, ...]:
    return (
        line.provider,
        line.reference,
        line.subscriber,
        line.country,
        line.network,
        line.product,
        line.size,
        line.cost.minor,
        line.cost.currency.code,
        line.state.value,
        line.becomes.value if line.becomes else None,
        line.settles_at,
        line.reason.value if line.reason else None,
        line.requests,
        line.first_at,
        line.last_at,
    )


def _line(row: "asyncpg.Record") -> Line:
    return Line(
        id=row["id"],
        provider=row["provider"],
        reference=row["reference"],
        subscriber=row["subscriber"],
        country=row["country"],
        network=row["network"],
        product=row["product"],
        size=row["size"],
        cost=Money(row["cost_minor"], currency_of(row["currency"])),
        state=BookState(row["state"]),
        becomes=BookState(row["becomes"]) if row["becomes"] else None,
        settles_at=row["settles_at"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        requests=row["requests"],
        late=row["late"],
        first_at=row["first_at"],
        last_at=row["last_at"],
    )
