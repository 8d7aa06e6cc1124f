"""People of a running shop: how its first owner gets in, where links lead, and an e-mail whose sender is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, wait_for

AMA = "ama@example.com"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "data")
    made.data_dir.mkdir(mode=0o700)
    try:
        yield made
    finally:
        made.end()


def link_in(shop: Shop) -> str:
    """The link in the only e-mail, as its file has it."""
    (file,) = (shop.data_dir / "outbox").glob("*.eml")
    (line,) = [line for line in file.read_text().splitlines() if line.startswith("http")]
    return line


def state(shop: Shop) -> str:
    ((found,),) = shop.sql("select state from email")
    return str(found)


def test_links_lead_to_the_server_and_an_email_whose_sender_is_killed_is_sent_again(shop: Shop) -> None:
    shop.start("--workers", "2", failpoints="email.before_record=kill@1")
    # Two processes serve, and a log is kept: it says once how to get in, and lets nobody in who reads it.
    wait_for(lambda: "no owner" in shop.log(), 10, "said")
    assert shop.log().count("The console has no owner yet") == 1
    assert "/console/link/" not in shop.log()

    workers = set(shop.worker_pids())
    link, *_ = shop.several(
        [
            ["console", "link"],
            ["user", "add", AMA, "--name", "Ama", "--phone", "0241234567"],
            ["user", "invite", AMA, "--send"],
        ]
    )
    assert link["url"].startswith(f"{shop.url}/console/link/")
    wait_for(lambda: not workers <= set(shop.worker_pids()), 30, "a sender was killed")
    wait_for(lambda: (shop.data_dir / "outbox").is_dir(), 10, "the e-mail was written")
    first = link_in(shop)
    assert state(shop) == "waiting"
    shop.stop()

    shop.start()
    shop.sql("update email set due_at = now() where due_at is not null")
    wait_for(lambda: state(shop) == "kept", 20, "sent again")
    second = link_in(shop)
    assert first != second
    assert first.startswith(f"{shop.url}/invitation/")
    assert second in shop.telvend("email", "show", "1")["text"]
    ended = shop.sql("select ended_at is not null from person_token where purpose = 'invite' order by made_at")
    assert ended == [(True,), (False,)]
    assert first.rpartition("/")[2] not in shop.log()
