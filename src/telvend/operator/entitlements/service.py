"""The operator's verbs on what products and refills turn into, and the snapshot that deliveries look them up in.

A verb that writes begins with `increment_revision`: it tells every process to load the offering again, and its row lock lets one writer
in at a time.
"""

import re
from collections.abc import Sequence
from typing import Final

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.money import Currency
from telvend.kit.text import require_text
from telvend.operator.entitlements import store
from telvend.operator.entitlements.model import (
    WHOLE,
    Bonus,
    Bundle,
    EntitlementSnapshot,
    Fault,
    FaultyPart,
    RefillProfile,
)
from telvend.operator.subscribers.balances.model import BucketKind, Grant
from telvend.operator.subscribers.store import require_subscriber

TOPIC: Final = "network"
"""The revision that counts the changes of bundles, refill profiles, faults, and premium rates."""

DEFAULT_PROFILE: Final = "DB00"

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_PROFILE_ID = re.compile(r"[A-Za-z0-9]{1,4}", re.ASCII)
_LONGEST_DAYS: Final = 3650
_LONGEST_NAME: Final = 80
_LARGEST: Final = 10**15
_HIGHEST_PRIORITY: Final = 32767


class Entitlements:
    """See the head of this file. `load` the snapshot first; the watch loads it again when it has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.snapshot = EntitlementSnapshot()

    # Looking up -------------------------------------------------------------------------------------------------------

    async def load(self, tx: Tx) -> None:
        """Take a new snapshot."""
        self.snapshot = EntitlementSnapshot(await store.bundles(tx), await store.profiles(tx), await store.faults(tx))

    def grants_of(self, product: str, size: str, validity_days: int | None, currency: Currency) -> list[Grant]:
        """What a product of the catalogue credits; see `Snapshot.grants_of`. Raises InvalidInput."""
        return self.snapshot.grants_of(product, size, validity_days, currency)

    def days_of(self, grants: Sequence[Grant]) -> tuple[int, int]:
        """By how many days a delivery of these moves the clocks: usable, reachable.

        Airtime is a refill, and does what the default profile does. A bundle is of no use to somebody who may not use it,
        so that its own days count for both.
        """
        days = max((grant.validity_days or 0 for grant in grants), default=0)
        usable = reachable = min(days, _LONGEST_DAYS)
        profile = self.snapshot.profile(DEFAULT_PROFILE)
        if profile is not None and any(grant.main for grant in grants):
            usable, reachable = max(usable, profile.active_days), max(reachable, profile.grace_days)
        return usable, reachable

    # Bundles ----------------------------------------------------------------------------------------------------------

    async def bundles(self) -> list[Bundle]:
        """Every bundle that is defined, from the database, by code."""
        async with self._database.connection() as tx:
            return list((await store.bundles(tx)).values())

    async def set_bundle(
        self,
        code: str,
        parts: Sequence[tuple[BucketKind, int]],
        *,
        name: str,
        validity_days: int | None = None,
        first_use: bool = False,
        priority: int = 100,
    ) -> Bundle:
        """Say what a product credits. Raises InvalidInput."""
        if _CODE.fullmatch(code) is None:
            raise InvalidInput("code", "must be 1 to 64 letters, digits, dots, dashes and underscores")
        if not parts:
            raise InvalidInput("parts", "must name at least one amount")
        if len({kind for kind, _ in parts}) < len(parts):
            raise InvalidInput("parts", "must name each kind once")
        if any(kind is BucketKind.MOMO or not 0 < amount <= _LARGEST for kind, amount in parts):
            raise InvalidInput("parts", "must be amounts of money, data, minutes or SMS")
        require_text("name", name, _LONGEST_NAME)
        _require_days("validity", validity_days)
        if not 0 <= priority <= _HIGHEST_PRIORITY:
            raise InvalidInput("priority", f"must be from 0 to {_HIGHEST_PRIORITY}")
        bundle = Bundle(code, name, validity_days, first_use, priority, tuple(sorted(parts)))
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            await store.write_bundle(tx, bundle)
        return bundle

    async def remove_bundle(self, code: str) -> None:
        """Let a product credit what its size says again. What was given stays. Raises NotFound."""
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            if not await store.delete_bundle(tx, code):
                raise NotFound("Bundle")

    # Refill profiles --------------------------------------------------------------------------------------------------

    async def profiles(self) -> list[RefillProfile]:
        """Every refill profile, from the database, by id."""
        async with self._database.connection() as tx:
            return list((await store.profiles(tx)).values())

    async def set_profile(self, profile: RefillProfile) -> RefillProfile:
        """Add a refill profile, or change it. Raises InvalidInput."""
        if _PROFILE_ID.fullmatch(profile.id) is None:
            raise InvalidInput("id", "must be 1 to 4 letters and digits")
        require_text("description", profile.description, _LONGEST_NAME)
        if not 0 <= profile.main_basis_points <= WHOLE:
            raise InvalidInput("main", "must be from 0 to 100 percent")
        if not 0 <= profile.active_days <= profile.grace_days <= _LONGEST_DAYS:
            raise InvalidInput(
                "days", f"must be from 0 to {_LONGEST_DAYS}, the usable ones not more than the reachable ones"
            )
        if len({(bonus.kind, bonus.from_minor) for bonus in profile.bonuses}) < len(profile.bonuses):
            raise InvalidInput("bonus", "must be given once for each kind and threshold")
        for bonus in profile.bonuses:
            _require_bonus(bonus)
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            await store.write_profile(tx, profile)
        return profile

    # Faults -----------------------------------------------------------------------------------------------------------

    async def faults(self) -> dict[tuple[str, FaultyPart], Fault]:
        """Everything that is to fail, from the database, by MSISDN and part."""
        async with self._database.connection() as tx:
            return await store.faults(tx)

    async def set_fault(self, msisdn: str, part: FaultyPart, how: Fault | None) -> None:
        """Make a part of a subscriber (E.164, both modes) fail, or (None) work again. Raises NotFound."""
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            await require_subscriber(tx, Mode.LIVE, msisdn)
            await store.write_fault(tx, msisdn, part, how)


def _require_days(field: str, days: int | None) -> None:
    if days is not None and not 1 <= days <= _LONGEST_DAYS:
        raise InvalidInput(field, f"must be from 1 to {_LONGEST_DAYS} days")


def _require_bonus(bonus: Bonus) -> None:
    _require_days("bonus", bonus.validity_days)
    if (
        bonus.kind is BucketKind.MOMO
        or min(bonus.flat, bonus.per_unit, bonus.from_minor) < 0
        or not bonus.flat + bonus.per_unit
    ):
        raise InvalidInput("bonus", "must be an amount of money, data, minutes or SMS")
    if max(bonus.flat, bonus.per_unit, bonus.from_minor) > _LARGEST:
        raise InvalidInput("bonus", "must be less than can be counted")
