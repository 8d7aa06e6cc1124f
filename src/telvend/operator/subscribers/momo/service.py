"""The verbs on mobile money: give it to a subscriber and change it, show it, block it."""

from dataclasses import asdict
from datetime import datetime
from typing import Final

from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, NotFound
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret, digest, random_text
from telvend.operator.subscribers.balances.account import MAXIMUM
from telvend.operator.subscribers.balances.store import bucket_numbers, load_accounts, write_accounts
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.subscribers.momo import store
from telvend.operator.subscribers.momo.model import MomoAccount, MomoChange
from telvend.operator.subscribers.store import lock_subscribers, require_subscriber

_AUTHORIZATION_LENGTH: Final = 32


class MobileMoney:
    """See the head of this file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, mode: Mode, msisdn: str, change: MomoChange, *, renew: bool = False) -> Secret | None:
        """Give a subscriber mobile money, or change what it is.

        Return what partners send as `x-authorization`, only when the account is new or `renew` asks for another one: a digest
        is all that is kept.
        Raises InvalidInput, NotFound.
        """
        columns = {
            (name if name == "blocked" else f"{name}_minor"): value
            for name, value in asdict(change).items()
            if value is not None and name != "balance"
        }
        for name, value in asdict(change).items():
            if value is not None and not 0 <= value <= MAXIMUM:
                raise InvalidInput(name.replace("_", " "), "must not be negative, and less than can be counted")
        authorization = Secret(random_text(_AUTHORIZATION_LENGTH))
        sealed = digest(authorization.reveal())
        async with self._database.transaction() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            subscribers, now = await lock_subscribers(tx, [subscriber.id])
            if now is None:
                raise NotFound("Subscriber")
            made = await store.insert_momo(tx, subscriber.id, sealed)
            if renew and not made:
                columns["authorization_digest"] = sealed
            if columns:
                await store.change_momo(tx, subscriber.id, columns)
            await self._set_balance(tx, subscribers, now, subscriber.id, change.balance)
        return authorization if made or renew else None

    async def _set_balance(
        self, tx: Tx, subscribers: dict[int, Subscriber], now: datetime, subscriber_id: int, balance: int | None
    ) -> None:
        numbers = bucket_numbers()
        await numbers.provide(tx, 1)
        accounts = await load_accounts(tx, subscribers, now, numbers)
        account = accounts[subscriber_id]
        bucket = await store.momo_bucket(tx, subscriber_id)
        if bucket is None:
            bucket = account.open_momo()
        else:
            account.buckets.append(bucket)
        if balance is not None:
            account.adjust(bucket, balance, "mobile money")
        await write_accounts(tx, accounts.values())

    async def find(self, mode: Mode, msisdn: str) -> MomoAccount | None:
        """Return the subscriber's mobile money; None where there is none. Raises NotFound."""
        async with self._database.connection() as tx:
            await require_subscriber(tx, mode, msisdn)
            (row,) = await store.read_momo(tx, [{"place": 0, "mode": mode, "msisdn": msisdn}])
        return store.momo_of(row)

    async def set_blocked(self, mode: Mode, msisdn: str, blocked: bool) -> None:
        """Block a subscriber's mobile money, or unblock it. Raises NotFound, also where there is none."""
        async with self._database.transaction() as tx:
            subscriber = await require_subscriber(tx, mode, msisdn)
            if not await store.change_momo(tx, subscriber.id, {"blocked": blocked}):
                raise NotFound("Mobile money of this subscriber")
