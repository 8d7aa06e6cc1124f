"""The log of acts: what is recorded, that nobody changes it, and how it is read."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from telvend.database.connections import Database
from telvend.kit.secret import Secret
from telvend.people.model import Act, Role, told
from tests.store.portals import ELSEWHERE, HOME, PASSWORD, Portal, token_in


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> Portal:
    return Portal(database, tmp_path)


async def test_an_act_says_who_when_from_where_what_on_what_why_and_what_it_changed(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())
    act = Act(
        "reseller.limit",
        "reseller",
        "ama@example.com",
        "asked by phone",
        {"read_limit": 60},
        {"read_limit": 600, "phone": "+233241234567", "pin": "1234", "keys": [Secret("sk_live_x")]},
    )
    await portal.people.record(act, owner)
    (one,) = await portal.people.acts(what="reseller.limit")
    assert (one.who, one.surface, one.address, one.reason) == (
        "owner@example.com",
        "console",
        HOME.address,
        "asked by phone",
    )
    assert (one.thing, one.key, one.done_at, one.person_id) == (
        "reseller",
        "ama@example.com",
        portal.clock.now(),
        owner.person.id,
    )
    assert one.before == {"read_limit": 60}
    assert one.after == {"read_limit": 600, "phone": "+23324*****67", "pin": "********", "keys": ["********"]}


async def test_an_act_stands_with_the_change_that_it_tells_of(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())

    async def changes() -> None:
        async with portal.database.transaction() as tx:
            await portal.people.record(Act("product.price", "product", "MTN-1GB"), owner, tx=tx)
            raise RuntimeError("nothing is changed")

    with pytest.raises(RuntimeError, match="changed"):
        await changes()
    assert await portal.people.acts(what="product.") == []


@pytest.mark.parametrize("statement", ["update act set who = 'x'", "delete from act", "truncate act"])
async def test_nobody_changes_what_was_done(portal: Portal, statement: str) -> None:
    await portal.owner()
    with pytest.raises(asyncpg.PostgresError):
        async with portal.database.connection() as tx:
            await tx.execute(statement)
    assert await portal.people.acts() != []


async def test_acts_are_found_by_who_what_thing_and_time_page_by_page(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())
    for number in range(5):
        portal.pass_time(minutes=1)
        await portal.people.record(Act("order.refund", "order", f"NP-{number}"), owner)
        await portal.people.record(Act("order.resolve", "order", f"NP-{number}"), owner)
    first = await portal.people.acts(what="order.", limit=4)
    rest = await portal.people.acts(what="order.", before=first[-1].id)
    assert [one.key for one in (*first, *rest)] == [f"NP-{n}" for n in (4, 4, 3, 3, 2, 2, 1, 1, 0, 0)]
    assert len(await portal.people.acts(what="order.refund", who="OWNER@example.com")) == 5
    assert await portal.people.acts(what="order") == []
    assert await portal.people.acts(what="order.", who="nobody@example.com") == []
    assert len(await portal.people.acts(thing="order", key="NP-3")) == 2
    now = portal.clock.now()
    within = await portal.people.acts(what="order.", since=now - timedelta(minutes=2), until=now)
    assert {one.key for one in within} == {"NP-2", "NP-3"}


async def test_what_opens_the_console_is_recorded(portal: Portal) -> None:
    owner = await portal.visits(await portal.owner())
    path = await portal.people.invite_staff("efua@example.com", [Role.SUPPORT], "helps", owner)
    efua = await portal.visits(await portal.people.accept_staff(token_in(path), PASSWORD, ELSEWHERE))
    await portal.people.set_roles(efua.person.id, [], "left", owner)
    found = [(one.what, one.who, one.address) for one in reversed(await portal.people.acts())]
    assert found == [
        ("console.link", "root", "command line"),
        ("console.opened", "owner@example.com", HOME.address),
        ("staff.invited", "owner@example.com", HOME.address),
        ("console.opened", "efua@example.com", ELSEWHERE.address),
        ("roles.changed", "owner@example.com", HOME.address),
    ]
    (changed,) = await portal.people.acts(what="roles.changed")
    assert (changed.before, changed.after) == ({"roles": ["support"]}, {"roles": []})
    assert not [one for one in await portal.people.acts() if token_in(path) in str(one)]


def test_secrets_are_starred_and_numbers_masked_wherever_they_stand() -> None:
    assert told(None) is None
    facts = {
        "api_key": "sk",
        "Password": "x",
        "nin": "12345678901",
        "subscriber": "0241234567",
        "list": [{"token": "x", "price_minor": 450}],
        "keyword": "seen",
        "live": True,
    }
    assert told(facts) == {
        "api_key": "********",
        "Password": "********",
        "nin": "********",
        "subscriber": "024*****67",
        "list": [{"token": "********", "price_minor": 450}],
        "keyword": "seen",
        "live": True,
    }
