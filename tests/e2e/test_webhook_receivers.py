"""The receivers of docs/howto/receive-webhooks.md, as they stand there: started, and sent to by a real shop and by a forger."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from telvend.kit.processes import die_with_parent
from tests.e2e.conftest import Keys
from tests.e2e.generated import make
from tests.e2e.guides.page import ROOT, blocks
from tests.e2e.shop import _NO_CERTIFICATES, Shop, free_port, purchase, wait_for
from tests.e2e.test_webhooks import AMA, allow_private

GUIDE = ROOT / "docs" / "howto" / "receive-webhooks.md"


@dataclass(frozen=True)
class Language:
    """How the guide's program in a language is started. `target`: what of the Makefile brings the language."""

    files: Sequence[str]
    serves: Sequence[str]
    works: Sequence[str] = ()
    target: str = ""


LANGUAGES = {
    "python": Language(["receiver.py"], [sys.executable, "receiver.py"]),
    "js": Language(["receiver.mjs"], ["node", "receiver.mjs"], target="npm"),
    "php": Language(
        ["receive.php", "work.php"],
        ["php", "-S", "127.0.0.1:{port}", "receive.php"],
        ["php", "work.php"],
        target="php",
    ),
}
EACH = pytest.mark.parametrize(
    "language", ["python", *(pytest.param(language, marks=pytest.mark.soak) for language in ("js", "php"))]
)


def test_every_program_of_the_guide_is_started_by_this_test() -> None:
    programs = [block.language for block in blocks(GUIDE.read_text("utf-8")) if block.language not in ("sh", "text")]
    assert sorted(programs) == sorted(name for name, language in LANGUAGES.items() for _ in language.files)


@dataclass
class Receiver:
    """A program of the guide in a folder of its own."""

    language: Language
    folder: Path
    secret: str
    port: int = field(default_factory=free_port)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def start(self) -> None:
        parent = os.getpid()
        for command in filter(None, (self.language.serves, self.language.works)):
            with (self.folder / "printed").open("ab") as printed:
                self.processes.append(
                    subprocess.Popen(
                        [word.format(port=self.port) for word in command],
                        cwd=self.folder,
                        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": self.secret, "PORT": str(self.port)},
                        stdout=printed,
                        stderr=subprocess.STDOUT,
                        preexec_fn=lambda: die_with_parent(parent),
                    )
                )
        wait_for(self._answers, 20, "the receiver listens")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    def handled(self) -> list[str]:
        """What it has worked on: type and reference of each event."""
        lines = (self.folder / "printed").read_text("utf-8").splitlines()
        return [line.removeprefix("handled ") for line in lines if line.startswith("handled ")]

    def send(self, message: str, body: str, *, signed_with: str = "", at: float = 0.0, **headers: str) -> int:
        """Send what Telvend would have sent at a moment, or what somebody else does; return the status."""
        moment = datetime.fromtimestamp(int(time.time() + at), UTC)
        signature = Webhook(signed_with or self.secret).sign(message, moment, body)
        sent = {
            "webhook-id": message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }
        encoded = {name: value.encode("latin-1") for name, value in (sent | headers).items()}
        with httpx.Client(timeout=10, verify=_NO_CERTIFICATES) as client:
            return client.post(self.url, content=body.encode(), headers=encoded).status_code


@contextmanager
def receiving(language: Language, folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    programs = [block.text for block in blocks(GUIDE.read_text("utf-8")) if _is_of(language, block.language)]
    for name, text in zip(language.files, programs, strict=True):
        (folder / name).write_text(text)
    receiver = Receiver(language, folder, "")
    try:
        yield receiver
    finally:
        receiver.kill()


def _is_of(language: Language, name: str) -> bool:
    return LANGUAGES.get(name) is language


@EACH
def test_a_receiver_takes_what_is_genuine_once_and_refuses_the_rest(
    fresh_shop: Shop, keys: Keys, tmp_path: Path, language: str
) -> None:
    shop, spoken = fresh_shop, LANGUAGES[language]
    if spoken.target:
        make(spoken.target)
    allow_private(shop)
    shop.start()
    with receiving(spoken, tmp_path / "receiver") as receiver, shop.client(keys.ama) as client:
        made = shop.telvend("webhook", "add", AMA, receiver.url)
        receiver.secret = made["secret"]
        receiver.start()

        def buy(reference: str) -> dict[str, Any]:
            assert client.post("purchase", json=purchase(0, reference)).status_code == 200
            wait_for(lambda: f"order.completed {reference}" in receiver.handled(), 20, reference)
            return delivery_of(shop, made["id"], reference)

        # Genuine: taken at once, and worked on.
        first = buy("g-1")
        assert (first["status"], first["last_status"], first["attempts"]) == ("delivered", 204, 1)
        # Repeated by Telvend: taken, and not worked on again; also by a program that was killed and started again.
        for attempts in (2, 3):
            shop.telvend("webhook", "replay", first["id"])
            wait_for(lambda: delivery_of(shop, made["id"], "g-1")["attempts"] == attempts, 20, "the replay")  # noqa: B023
            assert delivery_of(shop, made["id"], "g-1")["last_status"] == 204
            receiver.kill()
            receiver.start()
        # Forged by another shop's secret: Telvend is answered 400, and what the right endpoint gets is taken.
        other = shop.telvend("webhook", "add", AMA, f"{receiver.url}?as=another")
        buy("g-2")
        wait_for(lambda: delivery_of(shop, other["id"], "g-2")["attempts"] >= 1, 20, "the forged one")
        assert delivery_of(shop, other["id"], "g-2")["last_status"] == 400
        shop.telvend("webhook", "remove", str(other["id"]))
        # After a rotation the secret of before is good for a day.
        shop.telvend("webhook", "rotate", str(made["id"]))
        assert buy("g-3")["last_status"] == 204
        # An example is taken, and not worked on.
        assert shop.telvend("webhook", "send-test", str(made["id"]))["log"][0]["status"] == 204

        body = shop.telvend("webhook", "show", first["id"])["body"]
        attack(receiver, first["webhook_id"], body)
        time.sleep(1)
        assert sorted(receiver.handled()) == [
            *(f"order.completed g-{number}" for number in (1, 2, 3)),
            *["order.completed twice-at-once", "order.completed young-enough"],
        ]
    shop.check_books()


def attack(receiver: Receiver, known: str, body: str) -> None:
    """Send what is forged, changed, old, or no message; and two of one at the same time."""

    def of(reference: str) -> str:
        return body.replace('"g-1"', f'"{reference}"')

    assert receiver.send(known, body) == 204
    assert receiver.send("msg_new1", of("forged"), signed_with="whsec_" + "A" * 43 + "=") == 400
    assert receiver.send("msg_new2", of("old"), at=-310) == 400
    assert receiver.send("msg_new3", of("early"), at=310) == 400
    assert receiver.send("msg_new4", of("young-enough"), at=-240) == 204
    genuine = Webhook(receiver.secret).sign("msg_new5", datetime.now(UTC), of("changed"))
    assert receiver.send("msg_new5", of("changed").replace("4.50", "9.50"), **{"webhook-signature": genuine}) == 400
    for headers in (
        {"webhook-id": "msg_renamed"},
        {"webhook-id": ""},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1, v1,x v2,y"},
        {"webhook-signature": "v1,=\u00e9"},
    ):
        assert receiver.send("msg_new6", of("unsigned"), **headers) == 400, headers
    with httpx.Client(timeout=10, verify=_NO_CERTIFICATES) as client:
        assert client.post(receiver.url).status_code == 400
        assert client.get(receiver.url).status_code >= 400
        assert client.post(receiver.url, content=b"x" * 60_000).status_code == 400

    statuses: list[int] = []
    at_once = [
        threading.Thread(target=lambda: statuses.append(receiver.send("msg_new7", of("twice-at-once"))))
        for _ in range(8)
    ]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert statuses == [204] * 8


def delivery_of(shop: Shop, endpoint: int, reference: str) -> dict[str, Any]:
    """The delivery of a sale's message to an endpoint, once its first attempt is written down."""

    def found() -> list[dict[str, Any]]:
        listed = shop.telvend("webhook", "deliveries", AMA, "--endpoint", str(endpoint))["deliveries"]
        return [
            one
            for one in listed
            if one["attempts"] and f'"{reference}"' in shop.telvend("webhook", "show", one["id"])["body"]
        ]

    wait_for(found, 20, f"the delivery of {reference}")
    return found()[0]
