"""The outbox of e-mails: written with what causes them, sent once, retried, given up visibly; and what never stands in them."""

import asyncio
import email
import stat
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound
from telvend.kit.secret import Secret
from telvend.people.mail import store
from telvend.people.mail.model import RETRIES_S, EmailKind, EmailState, written
from telvend.people.mail.notices import Notices
from telvend.people.mail.sender import EmailRetention
from telvend.people.mail.transport import KeptHere, MailNotSent, MailServer
from telvend.people.model import Purpose
from telvend.webhooks import store as webhooks
from tests.store.mail_servers import TestServer, mail_server, self_signed
from tests.store.portals import BASE, ELSEWHERE, HOME, PASSWORD, Portal, both


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> Portal:
    return Portal(database, tmp_path)


def by(server: TestServer, *, tls: str = "none", user: str = "", password: str | None = None) -> MailServer:
    return MailServer("127.0.0.1", server.port, tls, user, None if password is None else Secret(password))


async def states(portal: Portal) -> list[str]:
    """The states of all e-mails, oldest first."""
    return [str(one.state) for one in reversed(await portal.mail.listed())]


class Counted:
    """A transport that counts, takes its time, and may refuse."""

    keeps = False

    def __init__(self, refusal: MailNotSent | None = None) -> None:
        self.taken: list[EmailMessage] = []
        self.refusal = refusal

    async def send(self, number: int, message: EmailMessage) -> None:  # noqa: ARG002 - it is another's
        await asyncio.sleep(0.02)
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(message)


# Sending ----------------------------------------------------------------------------------------------------------------


async def test_an_email_is_taken_by_the_mail_server(portal: Portal) -> None:
    await portal.ama()
    async with mail_server() as server:
        sender = portal.sender(by(server, user="shop", password="hunter2 hunter2"))
        assert await sender.work() == 1
        ((from_whom, to, message),) = server.taken
    assert (from_whom, to) == ("shop@shop.example", "ama@example.com")
    assert message["From"] == "Shop <shop@shop.example>"
    assert message["To"] == "ama@example.com"
    assert message["Subject"] == "Confirm your e-mail address"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@shop.example>")
    (link,) = [line for line in message.get_content().splitlines() if line.startswith(BASE)]
    await portal.people.confirm_email(link.rpartition("/")[2])
    (sent,) = await portal.mail.listed()
    assert (sent.state, sent.tries, sent.due_at) == (EmailState.SENT, 1, None)
    assert await portal.mail.text(sent.id) is None
    assert await sender.work() == 0


async def test_two_nodes_do_not_send_one_email_twice(portal: Portal) -> None:
    for number in range(15):
        await portal.mail.send_test(f"user{number}@example.com")
    counted = Counted()
    senders = [portal.sender(counted) for _ in range(3)]
    await asyncio.gather(*(sender.work() for sender in senders))
    assert sorted(str(one["To"]) for one in counted.taken) == sorted(f"user{n}@example.com" for n in range(15))


async def test_what_one_node_has_in_hand_another_neither_takes_nor_waits_for(portal: Portal) -> None:
    for number in range(3):
        await portal.mail.send_test(f"user{number}@example.com")
    now, lease = portal.clock.now(), timedelta(minutes=2)
    async with portal.database.transaction() as first, asyncio.timeout(10):
        taken = await store.claim(first, now, lease, 2)
        async with portal.database.transaction() as second:
            others = await store.claim(second, now, lease, 2)
    assert ([one.id for one in taken], [one.id for one in others]) == ([1, 2], [3])


async def test_a_mail_server_that_does_not_answer_is_tried_again_on_a_schedule_and_given_up_visibly(
    portal: Portal,
) -> None:
    await portal.ama()
    sender = portal.sender(MailServer("127.0.0.1", 1, "none", "", None))
    for tries, wait_s in enumerate(RETRIES_S, 1):
        assert await sender.work() == 1
        assert await sender.work() == 0
        (one,) = await portal.mail.listed()
        assert (one.state, one.tries) == (EmailState.WAITING, tries)
        assert one.due_at == portal.clock.now() + timedelta(seconds=wait_s)
        assert one.failure
        portal.pass_time(seconds=wait_s)
    with capture_logs() as logs:
        assert await sender.work() == 1
    (one,) = await portal.mail.listed()
    assert (one.state, one.due_at) == (EmailState.FAILED, None)
    assert [line["log_level"] for line in logs] == ["error"]
    assert (await portal.mail.counts())[EmailState.FAILED] == 1
    counted = Counted()
    await portal.mail.try_again(one.id)
    assert await portal.sender(counted).work() == 1
    assert await states(portal) == ["sent"]
    with pytest.raises(InvalidInput):
        await portal.mail.try_again(one.id)


@pytest.mark.parametrize(
    ("says", "state", "failure"),
    [
        ({"RCPT": "550 no such user"}, "failed", "550 no such user"),
        ({"RCPT": "450 try later"}, "waiting", "450 try later"),
        ({"DATA": "554 spam"}, "failed", "554 spam"),
        ({"MESSAGE": "554 spam"}, "failed", "554 spam"),
        ({"MESSAGE": "451 busy"}, "waiting", "451 busy"),
        ({"MAIL": "550 sender unknown"}, "waiting", "550 sender unknown"),
        ({"AUTH": "535 wrong password"}, "waiting", "535 wrong password"),
    ],
)
async def test_what_a_mail_server_says_decides_whether_it_is_asked_again(
    portal: Portal, says: dict[str, str], state: str, failure: str
) -> None:
    await portal.mail.send_test("ama@example.com")
    async with mail_server(says) as server:
        await portal.sender(by(server, user="shop", password="hunter2 hunter2")).work()
    (one,) = await portal.mail.listed()
    assert (one.state, one.failure) == (state, failure)
    assert "hunter2" not in one.failure


async def test_nothing_is_sent_in_the_open_where_the_server_offers_no_tls(portal: Portal) -> None:
    await portal.mail.send_test("ama@example.com")
    async with mail_server() as server:
        await portal.sender(by(server, tls="starttls", user="shop", password="hunter2 hunter2")).work()
        assert not [line for line in server.commands if line.startswith(("AUTH", "MAIL"))]
    assert await states(portal) == ["waiting"]


async def test_a_mail_server_that_nobody_vouches_for_gets_no_password(portal: Portal) -> None:
    await portal.mail.send_test("ama@example.com")
    async with mail_server(context=self_signed(portal.folder)) as server:
        await portal.sender(by(server, tls="tls", user="shop", password="hunter2 hunter2")).work()
        assert server.commands == []
    (one,) = await portal.mail.listed()
    assert one.state is EmailState.WAITING
    assert "certificate" in one.failure.lower()


async def test_a_mail_server_that_takes_the_connection_and_says_nothing_is_given_up(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telvend.people.mail.transport.SENT_WITHIN_S", 0.2)
    for number in range(3):
        await portal.mail.send_test(f"user{number}@example.com")

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await portal.sender(MailServer("127.0.0.1", port, "none", "", None)).work() == 3
    server.close()
    assert {one.failure for one in await portal.mail.listed()} == {"the mail server did not answer in time"}


async def test_a_sender_that_dies_leaves_an_email_to_the_next_one_after_its_lease(
    portal: Portal, armed: Callable[[str], None]
) -> None:
    await portal.ama()
    armed("email.before_record=error")
    first, second = Counted(), Counted()
    with pytest.raises(Exception, match="before_record"):
        await portal.sender(first).work()
    armed("")
    assert await portal.sender(second).work() == 0
    portal.pass_time(minutes=3)
    assert await portal.sender(second).work() == 1
    links = [one.get_content().rpartition(BASE + "/verify/")[2].split()[0] for one in (*first.taken, *second.taken)]
    assert links[0] != links[1]
    # Two e-mails came; the link in the second one is the one that works.
    await portal.people.confirm_email(links[1])


async def test_an_email_that_nobody_wants_any_more_is_dropped(portal: Portal) -> None:
    ama = await portal.visits(await portal.ama())
    await portal.people.ask_verification(ama)
    await portal.people.ask_verification(ama)
    await portal.people.confirm_email(await portal.link("verify"))
    await portal.people.ask_verification(ama)
    await portal.sender().work()
    assert await states(portal) == ["kept", "kept", "kept", "dropped"]


async def test_what_a_newer_program_writes_is_left_to_it(portal: Portal) -> None:
    async with portal.database.connection() as tx:
        await tx.execute(
            "insert into email (kind, recipient, facts, due_at, created_at) values ('new', 'a@b.co', '{}', $1, $1)",
            portal.clock.now(),
        )
    assert await portal.sender(Counted()).work() == 0
    assert await portal.mail.listed() == []


# Without a mail server ---------------------------------------------------------------------------------------------------


async def test_without_a_mail_server_an_email_is_a_file_for_its_owner_alone_and_can_be_shown(portal: Portal) -> None:
    await portal.ama()
    await portal.sender().work()
    (file,) = (portal.folder / "outbox").iterdir()
    assert file.name == "000001.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    message = email.message_from_bytes(file.read_bytes())
    assert message["To"] == "ama@example.com"
    text = await portal.mail.text(1)
    assert text is not None
    assert f"{BASE}/verify/" in text
    assert f"{BASE}/verify/" in file.read_text()
    assert await states(portal) == ["kept"]


async def test_beside_an_external_database_it_stays_there_sealed(portal: Portal) -> None:
    await portal.ama()
    await portal.sender(KeptHere(None)).work()
    text = await portal.mail.text(1)
    assert text is not None
    token = text.rpartition(f"{BASE}/verify/")[2].split()[0]
    async with portal.database.connection() as tx:
        stored = await tx.fetchval("select e::text from email e")
    assert token not in stored
    assert (await portal.people.link(Purpose.VERIFY, token)).email == "ama@example.com"


async def test_a_folder_that_cannot_be_written_is_a_failure_like_any_other(portal: Portal) -> None:
    await portal.ama()
    (portal.folder / "outbox").write_text("no folder")
    await portal.sender().work()
    (one,) = await portal.mail.listed()
    assert one.state is EmailState.WAITING
    assert "cannot be written" in one.failure


async def test_a_key_that_is_missing_keeps_emails_waiting_and_nothing_dies(portal: Portal) -> None:
    await portal.ama()
    await portal.sender().work()
    (portal.folder / "secret" / "people-key").unlink()
    later = Portal(portal.database, portal.folder)
    await later.mail.send_test("kofi@example.com")
    await later.sender().work()
    one = await later.mail.find(2)
    assert one.state is EmailState.WAITING
    assert "people key" in one.failure


async def test_old_emails_and_their_files_are_removed(portal: Portal) -> None:
    await portal.ama()
    transport = KeptHere(portal.folder / "outbox")
    await portal.sender(transport).work()
    retention = EmailRetention(portal.database, portal.clock, transport)
    assert await retention.look() == 0
    portal.pass_time(days=31)
    assert await retention.look() == 1
    assert await portal.mail.listed() == []
    # A file is as old as its file system says, which is today.
    transport.remove_older_than(2**40)
    assert list((portal.folder / "outbox").iterdir()) == []


# What stands in them -----------------------------------------------------------------------------------------------------


async def test_no_token_stands_in_the_database_or_the_log(portal: Portal) -> None:
    with capture_logs() as logs:
        await portal.ama()
        await portal.people.ask_reset("ama@example.com", ELSEWHERE)
        counted = Counted()
        await portal.sender(counted).work()
    tokens = [one.get_content().rpartition(f"{BASE}/")[2].split()[0].partition("/")[2] for one in counted.taken]
    assert len(tokens) == 2
    assert all(len(token) == 43 for token in tokens)
    async with portal.database.connection() as tx:
        for table in ("email", "person_token", "act"):
            rows = await tx.fetch(f"select t::text as row from {table} t")
            assert rows
            assert not [row for row in rows for token in tokens if token in row["row"]]
    assert not [token for token in tokens if token in str(logs)]


@pytest.mark.parametrize("address", ["a@b.co\r\nBcc: x@y.example", "a@b.co, x@y.example", "<a@b.co>", "", "a b@c.de"])
async def test_an_address_that_would_be_more_than_one_is_refused(portal: Portal, address: str) -> None:
    with pytest.raises(InvalidInput):
        await portal.mail.send_test(address)
    assert await portal.mail.listed() == []


async def test_what_somebody_calls_themselves_writes_to_nobody_else(portal: Portal) -> None:
    await portal.people.sign_up(
        "You have won, see http://evil.example", "ama@example.com", "0241234567", PASSWORD, HOME
    )
    ((_, _, text),) = await portal.post()
    assert "evil.example" not in text


def test_names_are_no_templates_and_have_no_lines() -> None:
    text = written(EmailKind.RESET, {"name": "{link}\r\nBcc: {shop}"}, BASE, f"{BASE}/reset/x").text
    assert "Hello {link}  Bcc: {shop}," in text
    assert text.count(f"{BASE}/reset/x") == 1


@pytest.mark.parametrize("kind", list(EmailKind))
def test_every_email_is_short_and_in_words(kind: EmailKind) -> None:
    made = written(kind, {}, BASE, f"{BASE}/x")
    assert made.subject.isprintable()
    assert len(made.subject) < 60
    assert len(made.text) < 700
    assert "{" not in made.subject + made.text


# Notices ----------------------------------------------------------------------------------------------------------------


async def test_the_owner_of_an_endpoint_that_is_stopped_is_told_in_the_same_transaction(portal: Portal) -> None:
    await portal.ama()
    await portal.people.confirm_email(await portal.link("verify"))
    reseller = await portal.resellers.find("ama@example.com")
    async with portal.database.transaction() as tx:
        await tx.execute(
            "insert into webhook_endpoint (reseller_id, url, key_id, secret, failing_since, failure)"
            " values ($1, 'https://ama.example/hooks?key=hidden', 'k', 's', now() - interval '4 days', 'answered 500')",
            reseller.id,
        )
        (stopped,) = await webhooks.pause_failing(tx, [1])
        await Notices(portal.database, portal.mail).endpoints_stopped(tx, [stopped])
    _, (to, about, text) = await portal.post()
    assert (to, about) == ("ama@example.com", "endpoint_stopped")
    assert "ama.example" in text
    assert "answered 500" in text
    assert "hidden" not in text


async def test_a_reseller_without_a_person_is_told_at_its_own_address(portal: Portal) -> None:
    await portal.resellers.add("kofi@example.com", "Kofi", "0241234567")
    reseller = await portal.resellers.find("kofi@example.com")
    async with portal.database.transaction() as tx:
        await portal.mail.write_to_members(tx, EmailKind.LOW_BALANCE, reseller.id, {"currency": "GHS"}, about="x")
        await portal.mail.write_to_members(tx, EmailKind.LOW_BALANCE, reseller.id, {"currency": "GHS"}, about="x")
    assert [(to, about) for to, about, _ in await portal.post()] == [("kofi@example.com", "low_balance")]


async def test_a_low_wallet_is_told_of_once_and_again_after_a_top_up(portal: Portal) -> None:
    await portal.ama()
    await portal.people.confirm_email(await portal.link("verify"))
    notices = Notices(portal.database, portal.mail)
    async with portal.database.transaction() as tx:
        wallet = await tx.fetchval("select account_id from wallet where currency = 'GHS' and mode = 'live'")
        await webhooks.set_threshold(tx, wallet, 2000)
    counts, _ = await both(notices.look_for_low_wallets(), notices.look_for_low_wallets())
    assert await notices.look_for_low_wallets() == 0
    assert [about for _, about, _ in await portal.post()].count("low_balance") == 1
    assert sum(counts) >= 1
    async with portal.database.transaction() as tx:
        await tx.execute("update wallet set funded_minor = 100, balance_minor = 100 where account_id = $1", wallet)
    assert await notices.look_for_low_wallets() == 1
    *_, (to, _, text) = await portal.post()
    assert to == "ama@example.com"
    assert "GHS 1.00" in text
    assert "GHS 20.00" in text


async def test_an_email_that_is_not_there_is_not_found(portal: Portal) -> None:
    with pytest.raises(NotFound):
        await portal.mail.find(1)
