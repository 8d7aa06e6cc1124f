"""The examples of reverse proxies in deploy/, run: TLS, a purchase through it, who Telvend takes for the client."""

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Keys
from tests.e2e.guides.page import ROOT
from tests.e2e.shop import Shop, free_port, purchase, wait_for

pytestmark = pytest.mark.soak  # `make soak` installs nginx and Caddy.

_sources = iter(f"127.0.0.{number}" for number in range(77, 99))
"""Where requests come from: addresses that are not the proxies' own."""


@pytest.fixture(scope="module")
def behind(copied: Callable[[], Shop]) -> Iterator[Shop]:
    """A shop that believes a proxy on its own machine."""
    opened = copied()
    opened.settings |= {"TELVEND_TRUSTED_PROXIES": "127.0.0.1", "TELVEND_PUBLIC_URL": "https://localhost"}
    opened.start()
    yield opened
    opened.end()


class Proxy:
    """A proxy that runs in front of a shop, on a port of its own."""

    def __init__(self, port: int, words: list[str | Path], **environment: str) -> None:
        self.url = f"https://localhost:{port}"
        self.source = next(_sources)
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.process = subprocess.Popen(words, env=path | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for(self.answers, 20, "the proxy answers")

    def client(self, **headers: str) -> httpx.Client:
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        transport = httpx.HTTPTransport(verify=unverified, local_address=self.source)
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=30)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.stdout and self.process.stdout.read().decode()
        try:
            with self.client() as client:
                return client.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()


def nginx(shop: Shop, folder: Path) -> Proxy:
    """The example with this machine's ports and a certificate of our own."""
    port, plain = free_port(), free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    text = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    for before, after in (
        ("127.0.0.1:8000", f"127.0.0.1:{shop.port}"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("/etc/ssl/certs/api.example.com.pem", str(certificate)),
        ("/etc/ssl/private/api.example.com.key", str(key)),
        ("server_name api.example.com;", "server_name localhost;"),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / "telvend.conf").write_text(text)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"include {folder}/telvend.conf; }}\n"
    )
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program, "make monitors installs nginx"
    tested = subprocess.run([program, "-t", "-c", main], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr
    return Proxy(port, [program, "-c", main])


def caddy(shop: Shop, folder: Path) -> Proxy:
    """The example for a name that gets a certificate of Caddy's own authority."""
    port = free_port()
    program = shutil.which("caddy")
    assert program, "make monitors installs Caddy"
    environment = {
        "DOMAIN": f"https://localhost:{port}",
        "UPSTREAM": f"127.0.0.1:{shop.port}",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    example = ROOT / "deploy" / "Caddyfile"
    checked = subprocess.run(
        [program, "validate", "--adapter", "caddyfile", "--config", example],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    main = folder / "Caddyfile"
    main.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\nimport {example}\n")
    return Proxy(port, [program, "run", "--adapter", "caddyfile", "--config", main], **environment)


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda one: one.__name__)
def proxy(request: pytest.FixtureRequest, behind: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    folder.chmod(0o755)
    running: Proxy = request.param(behind, folder)
    yield running
    running.end()


def test_a_purchase_goes_through_once(proxy: Proxy, behind: Shop, keys: Keys) -> None:
    body = purchase(reference=f"proxied-{proxy.process.pid}")
    with proxy.client(**{"x-api-key": keys.ama}) as client:
        first, second = (client.post("/api/v1/purchase", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 409), (first.text, second.text)
    behind.wait_until_final()
    behind.check_books()


def refusals(shop: Shop) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in shop.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "not_authenticated"]


def test_the_client_is_who_connects_to_the_proxy_whatever_its_headers_say(proxy: Proxy, behind: Shop) -> None:
    before = len(refusals(behind))
    lie = {"x-api-key": f"wrong-{proxy.process.pid}", "x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9"}
    with proxy.client(**lie) as client:
        assert client.get("/api/v1/ping").status_code == 401
    wait_for(lambda: len(refusals(behind)) > before, 5, "the refusal is logged")
    assert {line["client"] for line in refusals(behind)[before:]} == {proxy.source}


def test_metrics_are_refused_to_who_comes_through_the_proxy(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/metrics").status_code == 403


def test_connections_to_the_server_are_used_again(proxy: Proxy, behind: Shop, keys: Keys) -> None:
    with proxy.client(**{"x-api-key": keys.ama}) as client:
        for _ in range(50):
            assert client.get("/api/v1/ping").status_code == 200
    found = subprocess.run(["ss", "-Htn", f"dport = :{behind.port}"], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        assert 0 < len(re.findall(r"ESTAB", found.stdout)) < 20
