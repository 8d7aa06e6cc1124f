"""Resellers and keys on a real database: adding, wallets, revoking, and telling who a request comes from."""

import asyncio
import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from telvend.bootstrap import APIS
from telvend.database.connections import Database, revisions
from telvend.errors import AlreadyExists, InvalidInput, NotAuthenticated, NotFound
from telvend.funding.credits.service import Credits
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import UGX, Money
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.resellers.service import Resellers
from telvend.wallets.service import Wallets

EMAIL = "Kofi@example.com"


@pytest.fixture
async def resellers(database: Database) -> Resellers:
    """A shop with one reseller."""
    resellers = Resellers(database, Ledger(database), APIS)
    await resellers.add(EMAIL, "Kofi Mensah", "024 123 4567")
    return resellers


async def revision(database: Database) -> int:
    async with database.connection() as tx:
        return (await revisions(tx))["keys"]


async def refused(resellers: Resellers, api: str, text: str) -> bool:
    try:
        await resellers.authenticate(api, text)
    except NotAuthenticated:
        return True
    return False


async def test_a_reseller_is_found_by_its_address_in_any_case(resellers: Resellers) -> None:
    found = await resellers.find(" kofi@EXAMPLE.com ")
    assert (found.email, found.name, found.phone, found.number) == (EMAIL, "Kofi Mensah", "+233241234567", 1)
    assert found.created_at <= datetime.now(UTC)
    assert await resellers.list_resellers() == [found]


async def test_an_unknown_address_is_not_found(resellers: Resellers) -> None:
    for email in ("nobody@example.com", "", "no address", "a\x00@b.co", "\udcff@b.co"):
        with pytest.raises(NotFound):
            await resellers.find(email)


async def test_a_known_address_is_refused_in_any_case(database: Database, resellers: Resellers) -> None:
    before = await resellers.list_resellers()
    with pytest.raises(AlreadyExists):
        await resellers.add("KOFI@example.com", "Somebody", "0201234567")
    assert await resellers.list_resellers() == before


async def test_of_two_who_add_the_same_address_at_once_one_wins(resellers: Resellers) -> None:
    both = await asyncio.gather(
        *(resellers.add("ama@example.com", "Ama", "0201234567") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, AlreadyExists) for one in both) == 3
    assert len(await resellers.list_resellers()) == 2


@pytest.mark.parametrize(
    ("field", "email", "name", "phone"),
    [
        ("email", "", "Ama", "0201234567"),
        ("email", "ama", "Ama", "0201234567"),
        ("name", "ama@example.com", " ", "0201234567"),
        ("name", "ama@example.com", "A\x00ma", "0201234567"),
        ("name", "ama@example.com", "x" * 201, "0201234567"),
        ("phone", "ama@example.com", "Ama", "12345"),
        ("phone", "ama@example.com", "Ama", ""),
    ],
)
async def test_bad_input_is_refused_and_names_the_field(
    resellers: Resellers, field: str, email: str, name: str, phone: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        await resellers.add(email, name, phone)
    assert error.value.field == field
    assert len(await resellers.list_resellers()) == 1


@pytest.mark.parametrize(
    ("phone", "stored"),
    [("0241234567", "+233241234567"), ("08031234567", "+2348031234567"), ("+256 772 123456", "+256772123456")],
)
async def test_a_phone_of_any_market_is_stored_in_e164(resellers: Resellers, phone: str, stored: str) -> None:
    assert (await resellers.add("ama@example.com", "Ama", phone)).phone == stored


async def test_numbers_count_up_and_resellers_come_in_pages(resellers: Resellers) -> None:
    for letter in "abc":
        await resellers.add(f"{letter}@example.com", letter, "0201234567")
    everybody = await resellers.list_resellers()
    assert [one.number for one in everybody] == sorted({one.number for one in everybody})
    assert await resellers.list_resellers(limit=2) == everybody[:2]
    assert await resellers.list_resellers(limit=2, offset=2) == everybody[2:]


async def test_wallets_are_open_in_two_currencies_and_both_modes(database: Database, resellers: Resellers) -> None:
    wallets = await Wallets(database).of_reseller((await resellers.find(EMAIL)).id)
    assert sorted((wallet.mode.value, str(wallet.balance)) for wallet in wallets) == [
        ("live", "GHS 0.00"), ("live", "NGN 0.00"), ("test", "GHS 0.00"), ("test", "NGN 0.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "mode", "start"),
    [
        ("netpluse", Mode.LIVE, "np_live_"),
        ("netpluse", Mode.TEST, "np_test_"),
        ("networkdatasub", Mode.LIVE, "nds_live_"),
        ("madapi", Mode.TEST, "mtn_test_"),
    ],
)
async def test_a_key_tells_who_its_caller_is(
    database: Database, resellers: Resellers, api: str, mode: Mode, start: str
) -> None:
    key, secret, _ = await resellers.add_key(EMAIL.lower(), api, mode)
    assert re.fullmatch(rf"{start}[A-Za-z0-9]{{40}}", secret.reveal())
    reseller = await resellers.find(EMAIL)
    caller = await resellers.authenticate(api, secret.reveal())
    wallets = {
        w.balance.currency.code: w.wallet_id for w in await Wallets(database).of_reseller(reseller.id) if w.mode == mode
    }
    assert (caller.reseller_id, caller.reseller_number) == (reseller.id, reseller.number)
    assert (caller.key_id, caller.key_bytes, caller.api, caller.mode) == (key.id, key.id.bytes, api, mode)
    assert (caller.read_limit, caller.purchase_limit) == (60, 30)
    assert caller.wallets == wallets
    assert set(wallets) == {"GHS", "NGN"}


async def test_what_is_stored_of_a_key_does_not_contain_it(database: Database, resellers: Resellers) -> None:
    key, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    text = secret.reveal()
    assert key.hint == f"{text[:12]}...{text[-4:]}"
    async with database.connection() as tx:
        stored = str(dict(await tx.fetchrow("select * from api_key")))
    assert text not in stored
    assert text[12:-4] not in stored
    assert text not in repr((key, secret))


async def test_limits_are_taken_from_whoever_made_the_key(resellers: Resellers) -> None:
    key, secret, _ = await resellers.add_key(EMAIL, "netpluse", read_limit=1, purchase_limit=100_000)
    caller = await resellers.authenticate("netpluse", secret.reveal())
    assert (caller.read_limit, caller.purchase_limit) == (key.read_limit, key.purchase_limit) == (1, 100_000)


async def test_bad_limits_apis_and_resellers_make_no_key(resellers: Resellers) -> None:
    for limits in ({"read_limit": 0}, {"purchase_limit": -1}, {"read_limit": 2**31}):
        with pytest.raises(InvalidInput):
            await resellers.add_key(EMAIL, "netpluse", **limits)
    with pytest.raises(InvalidInput, match="netpluse, networkdatasub, madapi"):
        await resellers.add_key(EMAIL, "paystack")
    with pytest.raises(NotFound):
        await resellers.add_key("nobody@example.com", "netpluse")
    assert await resellers.list_keys(EMAIL) == []


async def test_a_key_of_another_api_is_refused(resellers: Resellers) -> None:
    _, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    assert await refused(resellers, "networkdatasub", secret.reveal())
    assert await refused(resellers, "madapi", secret.reveal())


async def test_a_revoked_key_is_refused_at_once_and_keeps_its_first_date(resellers: Resellers) -> None:
    key, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    resellers.refreshed(SystemClock().monotonic())
    await resellers.authenticate("netpluse", secret.reveal())
    assert resellers.cached("netpluse", secret.reveal()) is not None
    revoked = await resellers.revoke_key(str(key.id))
    assert revoked.revoked_at is not None
    assert resellers.cached("netpluse", secret.reveal()) is None
    assert await refused(resellers, "netpluse", secret.reveal())
    assert await resellers.revoke_key(key.id) == revoked
    assert await resellers.list_keys(EMAIL) == [revoked]


async def test_another_key_goes_on_working_when_one_is_revoked(resellers: Resellers) -> None:
    first, _, _ = await resellers.add_key(EMAIL, "netpluse")
    second, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    await resellers.revoke_key(first.id)
    assert (await resellers.authenticate("netpluse", secret.reveal())).key_id == second.id
    assert [key.id for key in await resellers.list_keys(EMAIL)] == [first.id, second.id]


async def test_an_unknown_key_id_is_not_found(resellers: Resellers) -> None:
    for key_id in (uuid4(), str(uuid4()), "", "not a uuid", "é", "\x00"):
        with pytest.raises(NotFound):
            await resellers.revoke_key(key_id)


async def test_adding_and_revoking_are_seen_by_other_processes(database: Database, resellers: Resellers) -> None:
    seen = [await revision(database)]
    key, _, _ = await resellers.add_key(EMAIL, "netpluse")
    seen.append(await revision(database))
    await resellers.revoke_key(key.id)
    seen.append(await revision(database))
    await resellers.add("ama@example.com", "Ama", "0201234567")
    seen.append(await revision(database))
    assert seen == sorted(set(seen))


async def test_a_process_that_nobody_tells_checks_every_request(database: Database, resellers: Resellers) -> None:
    elsewhere = Resellers(database, Ledger(database), APIS)
    key, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    await elsewhere.authenticate("netpluse", secret.reveal())
    assert elsewhere.cached("netpluse", secret.reveal()) is None
    await resellers.revoke_key(key.id)
    assert await refused(elsewhere, "netpluse", secret.reveal())


async def test_a_wallet_that_is_opened_later_is_known_after_forget(database: Database, resellers: Resellers) -> None:
    _, secret, _ = await resellers.add_key(EMAIL, "netpluse")
    resellers.refreshed(SystemClock().monotonic())
    before = await resellers.authenticate("netpluse", secret.reveal())
    seen = await revision(database)
    await Credits(database, Ledger(database)).add(before.reseller_id, Money(5000, UGX), Mode.LIVE, "first")
    assert await revision(database) > seen
    resellers.forget()
    after = await resellers.authenticate("netpluse", secret.reveal())
    assert set(after.wallets) == {"GHS", "NGN", "UGX"}


async def test_a_key_for_oauth_has_a_secret_of_which_only_a_digest_is_kept(
    database: Database, resellers: Resellers
) -> None:
    _, key, secret = await resellers.add_key(EMAIL, "madapi")
    assert secret is not None
    assert secret != key
    async with database.connection() as tx:
        row = await tx.fetchrow("select api_key::text as everything, secret_digest from api_key")
    assert row["secret_digest"] is not None
    assert secret.reveal() not in row["everything"]
    assert (await resellers.add_key(EMAIL, "netpluse"))[2] is None


# Tokens


async def test_a_token_stands_for_its_key_until_that_is_revoked(database: Database, resellers: Resellers) -> None:
    key, text, secret = await resellers.add_key(EMAIL, "madapi", Mode.TEST, read_limit=7)
    assert secret is not None
    caller = await resellers.authenticate("madapi", text.reveal())
    token = await resellers.issue_token(caller, secret)
    assert re.fullmatch(r"mtn_token_[A-Za-z0-9]{40}", token.reveal())
    stood_for = await resellers.authenticate("madapi", token.reveal())
    assert (stood_for.key_id, stood_for.mode, stood_for.read_limit, stood_for.wallets) == (
        key.id, Mode.TEST, 7, caller.wallets,
    )  # fmt: skip
    assert stood_for.expires_in_s is not None
    assert 3590 < stood_for.expires_in_s <= 3599
    await resellers.revoke_key(key.id)
    assert await refused(resellers, "madapi", token.reveal())
    with pytest.raises(NotAuthenticated):
        await resellers.issue_token(caller, secret)


async def test_a_token_needs_the_secret_of_its_own_key(resellers: Resellers) -> None:
    _, text, _ = await resellers.add_key(EMAIL, "madapi")
    _, _, other_secret = await resellers.add_key(EMAIL, "madapi")
    _, plain, _ = await resellers.add_key(EMAIL, "netpluse")
    assert other_secret is not None
    caller = await resellers.authenticate("madapi", text.reveal())
    for secret in (other_secret, Secret(""), Secret("\udcff"), text):
        with pytest.raises(NotAuthenticated):
            await resellers.issue_token(caller, secret)
    with pytest.raises(NotAuthenticated):
        await resellers.issue_token(await resellers.authenticate("netpluse", plain.reveal()), Secret(""))


async def test_tokens_that_have_ended_are_refused_and_cleared_away(database: Database, resellers: Resellers) -> None:
    _, text, secret = await resellers.add_key(EMAIL, "madapi")
    assert secret is not None
    caller = await resellers.authenticate("madapi", text.reveal())
    old = await resellers.issue_token(caller, secret)
    async with database.transaction() as tx:
        await tx.execute("update access_token set expires_at = now() - interval '1 second'")
    assert await refused(resellers, "madapi", old.reveal())
    await resellers.issue_token(caller, secret)
    async with database.connection() as tx:
        assert await tx.fetchval("select count(*) from access_token") == 1
        assert await tx.fetchval("select count(*) from access_token where digest = $1", old.reveal().encode()) == 0


PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


async def test_a_picture_has_an_address_that_nobody_guesses_and_a_new_picture_a_new_one(resellers: Resellers) -> None:
    assert (await resellers.change(EMAIL, address="1 High St")).avatar_token is None
    first = (await resellers.change(EMAIL, avatar=PNG)).avatar_token
    assert first is not None
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert (await resellers.change(EMAIL, gender="Male")).avatar_token == first
    assert await resellers.avatar(first) == (PNG, "image/png")
    second = (await resellers.change(EMAIL, avatar=b"\xff\xd8\xff" + PNG)).avatar_token
    assert second is not None
    assert await resellers.avatar(second) == (b"\xff\xd8\xff" + PNG, "image/jpeg")
    removed = await resellers.change(EMAIL, remove_avatar=True)
    assert removed.avatar_token is None
    for gone in ("1", "", first, second, "0" * 64, "\x00"):
        with pytest.raises(NotFound):
            await resellers.avatar(gone)
    assert second not in repr(await resellers.change(EMAIL, avatar=PNG))


async def test_a_picture_from_the_version_before_gets_an_address_too(database: Database, resellers: Resellers) -> None:
    async with database.connection() as tx:
        await tx.execute("update reseller set avatar = $1, avatar_type = 'image/png'", PNG)
    token = (await resellers.change(EMAIL, address="1 High St")).avatar_token
    assert token is not None
    assert await resellers.avatar(token) == (PNG, "image/png")


async def test_a_suspended_resellers_keys_and_tokens_stop_on_every_node_and_work_again_when_it_is_resumed(
    database: Database, resellers: Resellers
) -> None:
    other_node = Resellers(database, Ledger(database), APIS)
    _, plain, _ = await resellers.add_key(EMAIL, "netpluse")
    _, revoked, _ = await resellers.add_key(EMAIL, "netpluse")
    key, client, secret = await resellers.add_key(EMAIL, "madapi")
    await resellers.revoke_key((await resellers.list_keys(EMAIL))[1].id)
    assert secret is not None
    token = await resellers.issue_token(await resellers.authenticate("madapi", client.reveal()), secret)
    credentials = (("netpluse", plain.reveal()), ("madapi", client.reveal()), ("madapi", token.reveal()))
    nodes = (resellers, other_node)
    for node in nodes:
        node.refreshed(SystemClock().monotonic())
        for api, text in credentials:
            assert (await node.authenticate(api, text)).key_id
    before = await revision(database)
    await resellers.suspend(EMAIL, "owes rent")
    assert await revision(database) > before, "other nodes look again"
    other_node.forget()
    for node in nodes:
        assert [await refused(node, api, text) for api, text in credentials] == [True] * 3
    before = await revision(database)
    await resellers.resume(EMAIL)
    assert await revision(database) > before
    other_node.forget()
    for node in nodes:
        assert [await refused(node, api, text) for api, text in credentials] == [False] * 3
        assert await refused(node, "netpluse", revoked.reveal())
    found, email = await resellers.find_key(token)
    assert (found.id, email) == (key.id, EMAIL)
