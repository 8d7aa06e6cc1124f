"""The verbs of named numbers."""

from typing import Final
from uuid import UUID

from telvend.database.connections import Database
from telvend.errors import InvalidFields, InvalidInput, NotFound
from telvend.kit.phone import NotAMobileNumber, parse_mobile_of_any_market
from telvend.kit.text import require_text
from telvend.orders.beneficiaries import store
from telvend.orders.beneficiaries.store import Beneficiary

MOST: Final = 500
"""How many numbers one reseller may name."""
_LONGEST_NAME: Final = 60


class Beneficiaries:
    """The named numbers of every reseller of one shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, reseller_id: UUID, name: str, number: str) -> None:
        """Name a mobile number, in any spelling; one that has a name gets this one. Raises InvalidFields, Busy."""
        name = name.strip()
        problems: dict[str, str] = {}
        parsed = ""
        try:
            require_text("name", name, _LONGEST_NAME)
        except InvalidInput as error:
            problems["name"] = error.problem
        try:
            parsed = parse_mobile_of_any_market(number)
        except NotAMobileNumber as error:
            problems["phone"] = str(error)
        if problems:
            raise InvalidFields(problems)
        async with self._database.transaction() as tx:
            full = await store.count(tx, reseller_id) >= MOST
            if full and not await store.knows(tx, reseller_id, parsed):
                raise InvalidFields({"name": f"you have {MOST} named numbers; remove one first"})
            await store.write(tx, reseller_id, parsed, name)

    async def remove(self, reseller_id: UUID, beneficiary_id: int) -> None:
        """Forget a named number. Raises NotFound, also for somebody else's, and Busy."""
        async with self._database.transaction() as tx:
            if not await store.remove(tx, reseller_id, beneficiary_id):
                raise NotFound("Number")

    async def listed(self, reseller_id: UUID) -> list[Beneficiary]:
        """Return the named numbers of a reseller, by name. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.listed(tx, reseller_id, MOST)
