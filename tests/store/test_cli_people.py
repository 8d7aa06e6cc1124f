"""Commands about people: links for resellers and the console, roles, e-mails; and how the first owner gets in."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from telvend.bootstrap import open_shop
from telvend.cli.server import _is_read_at_once, first_link
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit.secret import Secret
from telvend.people.model import FromWhere, Role
from telvend.upkeep.served_at import FILE, note_address, served_at
from tests.store.portals import PASSWORD, token_in
from tests.store.test_cli import EMAIL, Shop

HOME = FromWhere("197.210.1.2", "Chrome")


@pytest.fixture
def shop(data_dir: Path, database_url: str) -> Iterator[Shop]:
    return Shop(database_url)


def opened(shop: Shop, url: str, email: str = "owner@example.com") -> None:
    """Follow a console link."""

    async def work(database: Database) -> None:
        settings = Settings(data_dir=os.environ["TELVEND_DATA_DIR"], database_url=Secret(shop.url))
        async with open_shop(settings, shop.url) as made:
            await made.people.open_console(token_in(url), email, PASSWORD, HOME)

    shop.work(work)


def test_an_invitation_is_an_absolute_link(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add_reseller()
    answer = shop.data("user", "invite", EMAIL)
    assert answer.keys() == {"url"}
    assert answer["url"].startswith("http://127.0.0.1:8000/invitation/")
    monkeypatch.setenv("TELVEND_PUBLIC_URL", "https://shop.example/")
    assert shop.data("user", "invite", EMAIL)["url"].startswith("https://shop.example/invitation/")
    assert shop.refused("user", "invite", "nobody@example.com") == "Reseller not found."
    assert "telvend user invite" in shop.refused("user", "reset", EMAIL)
    monkeypatch.setenv("TELVEND_SIGNUP", "closed")
    assert "closed" in shop.refused("user", "invite", EMAIL)


def test_an_invitation_that_is_sent_is_not_printed(shop: Shop) -> None:
    shop.add_reseller()
    assert shop.data("user", "invite", EMAIL, "--send") == {"email": EMAIL, "sent": True}
    (email,) = shop.data("email", "list")["emails"]
    assert (email["to"], email["kind"], email["state"]) == (EMAIL, "invite", "waiting")


def test_a_console_link_makes_the_owner_who_is_listed_and_whose_roles_change(shop: Shop) -> None:
    assert "console link" in shop.run("console", "list").stdout
    url = shop.data("console", "link")["url"]
    assert url.startswith("http://127.0.0.1:8000/console/link/")
    opened(shop, url)
    (owner,) = shop.data("console", "list")["people"]
    assert (owner["email"], owner["roles"]) == ("owner@example.com", ["owner"])
    invited = shop.data("console", "invite", "efua@example.com", "--role", "finance", "--role", "support")
    assert invited["url"].startswith("http://127.0.0.1:8000/console/invitation/")
    assert "needs an owner" in shop.refused("console", "roles", "owner@example.com", "--reason", "x")
    answer = shop.data("console", "roles", "owner@example.com", "--role", "owner", "--role", "support", "--reason", "x")
    assert answer == {"email": "owner@example.com", "roles": [Role.OWNER, Role.SUPPORT]}
    assert "owner, support" in shop.run("console", "list").stdout


def test_what_was_done_is_listed_page_by_page(shop: Shop) -> None:
    assert shop.run("console", "acts").stdout == "Nobody has done anything yet.\n"
    for _ in range(3):
        shop.run("console", "link")
    first = shop.data("console", "acts", "--what", "console.", "--limit", "2")
    assert ([act["number"] for act in first["acts"]], first["more"]) == ([3, 2], 1)
    assert (first["acts"][0]["what"], first["acts"][0]["surface"]) == ("console.link", "command")
    assert [act["number"] for act in shop.data("console", "acts", "--before", "2")["acts"]] == [1]
    assert shop.data("console", "acts", "--until", "2020-01-01")["acts"] == []
    assert len(shop.data("console", "acts", "--since", "2020-01-01")["acts"]) == 3
    assert "console.link" in shop.run("console", "acts").stdout


def test_a_test_email_is_kept_and_can_be_shown(shop: Shop, data_dir: Path) -> None:
    answer = shop.data("email", "send-test", "ama@example.com")
    assert (answer["state"], answer["to"]) == ("kept", "ama@example.com")
    assert "A test of the mail settings" in shop.run("email", "show", str(answer["number"])).stdout
    assert "E-mails of this shop arrive here" in shop.data("email", "show", "1")["text"]
    assert "ama@example.com" in shop.run("email", "list", "--state", "kept").stdout
    assert shop.run("email", "list", "--state", "failed").stdout == "There are no e-mails.\n"
    assert shop.data("email", "retry", "1")["state"] == "kept"
    shop.execute("update email set state = 'sent', sealed = null, key_id = null")
    assert "not sent again" in shop.refused("email", "retry", "1")
    assert shop.refused("email", "show", "7") == "E-mail not found."
    assert shop.refused("email", "send-test", "nobody").startswith("email: ")
    # Beside an external database nothing is written to a folder of one machine.
    assert not (data_dir / "outbox").exists()


def test_a_mail_server_that_does_not_answer_is_said_by_the_test(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("TELVEND_SMTP_PORT", "1")
    ended = shop.run("email", "send-test", "ama@example.com", code=1)
    assert ended.stdout.startswith("It was not taken, and is tried again by itself: ")
    assert shop.data("email", "retry", "1", code=1)["tries"] == 1


def test_a_long_list_of_emails_goes_on(shop: Shop) -> None:
    for number in range(3):
        shop.run("email", "send-test", f"user{number}@example.com")
    first = shop.data("email", "list", "--limit", "2")
    assert ([one["number"] for one in first["emails"]], first["more"]) == ([3, 2], 1)
    assert [one["number"] for one in shop.data("email", "list", "--before", "2")["emails"]] == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNUP", "maybe"),
        ("SMTP_TLS", "yes"),
        ("MAIL_FROM", "Shop"),
        ("MAIL_FROM", "a@b.co\nBcc: x@y.example"),
        ("PEOPLE_KEY", "c2hvcnQ="),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TELVEND_{name}", value)
    assert f"TELVEND_{name}" in shop.refused("email", "list")


def test_a_password_of_the_mail_server_may_stand_in_a_file(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELVEND_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("TELVEND_SMTP_PORT", "1")
    monkeypatch.setenv("TELVEND_SMTP_PASSWORD_FILE", str(tmp_path / "password"))
    assert "smtp_password_file" in shop.refused("email", "send-test", "ama@example.com")
    (tmp_path / "password").write_text("hunter2 hunter2\n")
    shop.run("email", "send-test", "ama@example.com", code=1)


# The first owner --------------------------------------------------------------------------------------------------------


async def test_a_start_says_how_the_first_owner_gets_in_until_there_is_one(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=str(data_dir), database_url=Secret(database_url), port=8123)
    async with open_shop(settings, database_url, serves=True) as shop:
        monkeypatch.setattr("telvend.cli.server._is_read_at_once", lambda _: False)
        (kept,) = await first_link(shop)
        assert "telvend console link" in kept
        assert "http" not in kept
        monkeypatch.setattr("telvend.cli.server._is_read_at_once", lambda _: True)
        (sentence,) = await first_link(shop)
        url = sentence.split()[-1]
        assert url.startswith("http://127.0.0.1:8123/console/link/")
        await shop.people.open_console(token_in(url), "owner@example.com", PASSWORD, HOME)
        assert await first_link(shop) == []


def test_a_link_is_written_to_a_pipe_and_not_to_a_file_or_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    reading, writing = os.pipe()
    with open(tmp_path / "log", "w") as log, os.fdopen(writing, "w") as pipe, os.fdopen(reading):
        assert not _is_read_at_once(log)
        assert _is_read_at_once(pipe)
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
        assert not _is_read_at_once(pipe)


def test_links_lead_to_the_server_that_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    assert served_at(settings) == "http://127.0.0.1:8000"
    note_address(Settings(data_dir=str(tmp_path), host="0.0.0.0", port=8123))  # noqa: S104 - nothing is bound to it
    assert served_at(settings) == "http://127.0.0.1:8123"
    note_address(Settings(data_dir=str(tmp_path), host="::1", port=8123))
    assert served_at(settings) == "http://[::1]:8123"
    file = tmp_path / FILE
    for other in ("{}", "no JSON", json.dumps({"url": "http://127.0.0.1:9", "pid": 2**22 + 1})):
        file.write_text(other)
        assert served_at(settings) == "http://127.0.0.1:8000"
