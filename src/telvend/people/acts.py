"""The log of acts: what people did with money and access. Nobody can change it; the database refuses that.

    await people.record(Act("reseller.suspend", "reseller", "ama@example.com", reason="…"), visitor, tx=tx)

With `tx` the act stands if and only if what it tells of has happened. Commands of the command line that change money or access
leave their traces in their own tables (who gave a credit, who decided an order) and not here.
"""

from datetime import datetime

from telvend.database.connections import Database, Tx
from telvend.kit.clock import Clock
from telvend.people import store
from telvend.people.model import COMMAND, Act, FromWhere, Person, RecordedAct, Surface, Visitor, told


class ActLog:
    """Records acts and lists them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def record(self, act: Act, by: Visitor, *, address: str | None = None, tx: Tx | None = None) -> None:
        """Record what a visitor did: in the transaction `tx`, or in one of its own. Raises Busy.

        `address`: where the request came from, if that is not where the session began.
        """
        from_where = FromWhere(by.session.address if address is None else address)
        await self._in(tx, self._recorded(act, by.person, by.session.surface, from_where))

    async def record_of(
        self, tx: Tx, act: Act, person: Person | None, surface: Surface, from_where: FromWhere, *, who: str = ""
    ) -> None:
        """Record what somebody did who has no session, such as by a link."""
        await store.insert_act(tx, self._recorded(act, person, surface, from_where, who))

    async def record_by(self, tx: Tx, act: Act, by: Visitor | str) -> None:
        """Record what a visitor did, or a command of the command line: then `by` is the user of the machine."""
        if isinstance(by, Visitor):
            await self.record(act, by, tx=tx)
        else:
            await store.insert_act(tx, self._recorded(act, None, "command", COMMAND, by))

    async def listed(
        self,
        *,
        who: str | None = None,
        what: str | None = None,
        thing: str | None = None,
        key: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RecordedAct]:
        """Return acts, newest first, from below number `before`. Raises Busy.

        `who` is an e-mail address; `what` a whole name or its beginning with a dot (`reseller.`); `thing` and `key` name what
        was acted on.
        """
        async with self._database.connection() as tx:
            return await store.acts(
                tx,
                who=who or None,
                what=what or None,
                thing=thing or None,
                key=key or None,
                since=since,
                until=until,
                before=before,
                limit=limit,
            )

    async def _in(self, tx: Tx | None, act: RecordedAct) -> None:
        if tx is not None:
            await store.insert_act(tx, act)
            return
        async with self._database.transaction() as own:
            await store.insert_act(own, act)

    def _recorded(
        self, act: Act, person: Person | None, surface: Surface | str, from_where: FromWhere, who: str = ""
    ) -> RecordedAct:
        return RecordedAct(
            what=act.what,
            thing=act.thing,
            key=act.key,
            reason=act.reason,
            before=told(act.before),
            after=told(act.after),
            done_at=self._clock.now(),
            person_id=None if person is None else person.id,
            who=who if person is None else person.email,
            surface=str(surface),
            address=from_where.address,
        )
