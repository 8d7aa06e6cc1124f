"""Every request that /docs shows, copied from the page and run against the shop that shows it, with test keys."""

import contextlib
import html
import io
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from telvend.webhooks.signing import secret_text, signed_headers
from tests.e2e.conftest import PLENTY
from tests.e2e.generated import make
from tests.e2e.shop import _NO_CERTIFICATES, Shop

ADA = "ada@example.com"
APIS = ("netpluse", "networkdatasub", "madapi")
SUBSCRIBERS = ("+2348031234567", "+2348031234568")

NOT_THERE = {
    "netpluse": {"order-status": 404},
    "networkdatasub": {"nin-details": 404, "bvn-details": 404, "transaction": 404},
    "madapi": {"premium": 400},
}
"""Examples of what only their readers have: a reference, a quote. Everything else succeeds as printed."""

NEW_SUBSCRIBERS = {"curl": "2348031234571", "python": "2348031234572", "php": "2348031234573"}


@dataclass
class Printed:
    """A shop in whose documentation requests are printed, and what their readers would put into them."""

    shop: Shop
    keys: dict[str, dict[str, str]]
    consent: str

    def snippets(self, api: str, language: str) -> dict[str, str]:
        """The requests of an API in one language by the place on the page, with a key and a reference of their reader."""
        page = httpx.get(
            f"{self.shop.url}/docs/{api}", headers={"accept": "text/html"}, timeout=30, verify=_NO_CERTIFICATES
        )
        assert page.status_code == 200
        found = re.findall(rf'<pre id="([a-z0-9-]+)-{language}"[^>]*><code>(.*?)</code></pre>', page.text, re.DOTALL)
        mine = {
            "YOUR-KEY": self.keys[api]["key"],
            "s3cr3t": self.keys[api].get("secret", ""),
            "ORDER-1001": f"order-{language}",
        }
        # A transactionId is a purchase's name as well.
        mine |= {
            "TX-176400": f"TX-{language[:4]}00",
            "2348031234569": NEW_SUBSCRIBERS[language],
            "7Qm2x0": self.consent,
        }
        texts = {}
        for place, text in found:
            text = html.unescape(text)
            for example, own in mine.items():
                text = text.replace(example, own)
            texts[place] = text
        return texts


@pytest.fixture(scope="module")
def printed(copied: Callable[[], Shop]) -> Iterator[Printed]:
    shop = copied()
    shop.settings["TELVEND_DELIVERY_WAIT_S"] = "0"
    shop.start()
    made = shop.several(
        [
            ["user", "add", ADA, "--name", "Ada Obi", "--phone", "08031234567"],
            ["wallet", "credit", ADA, "1000", "GHS", "--reference", "opening", "--mode", "test"],
            ["wallet", "credit", ADA, "20000", "NGN", "--reference", "opening", "--mode", "test"],
            *(["subscriber", "add", msisdn, "--tariff-plan", "Basic", "--currency", "NGN"] for msisdn in SUBSCRIBERS),
            ["subscriber", "momo", SUBSCRIBERS[0], "--balance", "18400", "--mode", "test"],
            ["key", "add", ADA, "--api", "netpluse", "--mode", "test"],
            *(["key", "add", ADA, "--api", api, "--mode", "test", "--read-limit", PLENTY, "--purchase-limit", PLENTY] for api in APIS[1:]),
        ]
    )  # fmt: skip
    yield Printed(shop, dict(zip(APIS, made[-3:], strict=True)), made[-4]["x_authorization"])
    shop.check_books()
    shop.end()


def run_curl(text: str, _: Path) -> int:
    done = subprocess.run(
        ["sh", "-c", f"{text} -s -S -o /dev/null -w '%{{http_code}}'"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return int(done.stdout)


def run_python(text: str, _: Path) -> int:
    """In this process, as `python3 file.py` would: starting Python for each would take longer than all of them."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "snippet.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - that is what is tested
    return int(out.getvalue()[:3])


def run_php(text: str, folder: Path) -> int:
    program = folder / "snippet.php"
    program.write_text(text)
    done = subprocess.run(["php", program], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout[:3])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("language", "run"),
    [("curl", run_curl), ("python", run_python), pytest.param("php", run_php, marks=pytest.mark.soak)],
)
def test_what_is_printed_is_what_works(
    printed: Printed, api: str, language: str, run: Callable[[str, Path], int], tmp_path: Path
) -> None:
    if language == "php":
        make("php")
    snippets = printed.snippets(api, language)
    assert len(snippets) == {"netpluse": 5, "networkdatasub": 22, "madapi": 15}[api]
    assert all(printed.shop.url in text for text in snippets.values())
    statuses = {place: run(text, tmp_path) for place, text in snippets.items()}
    refused = {place: status for place, status in statuses.items() if not 200 <= status < 300}
    assert refused == NOT_THERE[api]


@pytest.mark.parametrize(
    ("language", "check"),
    [("python", None), ("node", "node"), pytest.param("php", "php", marks=pytest.mark.soak)],
)
def test_the_printed_check_of_a_signature_takes_what_is_genuine_and_nothing_else(
    printed: Printed, language: str, check: str | None, tmp_path: Path
) -> None:
    page = httpx.get(
        f"{printed.shop.url}/docs/webhooks", headers={"accept": "text/html"}, timeout=30, verify=_NO_CERTIFICATES
    )
    found = re.search(rf'<pre id="check-{language}"[^>]*><code>(.*?)</code></pre>', page.text, re.DOTALL)
    assert found is not None
    text = html.unescape(found[1])
    secret, other, body = b"s" * 32, b"o" * 32, b'{"type": "order.completed"}'
    now = int(time.time())
    cases = [
        (signed_headers("msg_1", now, body, [secret]), body, True),
        (signed_headers("msg_1", now, body, [other, secret]), body, True),
        (signed_headers("msg_1", now, body, [other]), body, False),
        (signed_headers("msg_1", now, body, [secret]), body + b" ", False),
        (signed_headers("msg_1", now - 400, body, [secret]), body, False),
        ({}, body, False),
    ]
    given = [{"headers": dict(headers), "body": sent.decode()} for headers, sent, _ in cases]
    (tmp_path / "cases.json").write_text(json.dumps({"secret": secret_text(secret).reveal(), "cases": given}))
    if language == "python":
        names: dict[str, object] = {}
        exec(compile(text, "check.py", "exec"), names)  # noqa: S102 - that is what is tested
        verified = names["verified"]
        assert callable(verified)
        answers = [
            verified(secret_text(secret).reveal(), case["headers"], str(case["body"]).encode()) for case in given
        ]
    else:
        answers = json.loads(_checked(language, check or "", text, tmp_path))
    assert answers == [genuine for *_, genuine in cases]


def _checked(language: str, program: str, text: str, folder: Path) -> str:
    if language == "php":
        make("php")
        file = folder / "check.php"
        file.write_text(
            text + "\n$given = json_decode(file_get_contents('cases.json'), true);\n"
            "echo json_encode(array_map(fn ($case) => verified($given['secret'], $case['headers'], $case['body']), $given['cases']));"
        )
    else:
        make("npm")
        file = folder / "check.mjs"
        file.write_text(
            text
            + '\nimport { readFileSync } from "node:fs";\nconst given = JSON.parse(readFileSync("cases.json", "utf8"));\n'
            "console.log(JSON.stringify(given.cases.map((one) => verified(given.secret, one.headers, Buffer.from(one.body)))));"
        )
    done = subprocess.run([program, file], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout
