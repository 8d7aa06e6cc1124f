"""deploy/: the image, the compose file and the proxies, as linters see them and as the server needs them."""

import ipaddress
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from telvend.config import Settings
from tests.e2e.guides.page import ROOT

DEPLOY = ROOT / "deploy"
LINTERS = ROOT / ".linters" / "bin"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
TELVEND: dict[str, Any] = COMPOSE["services"]["telvend"]
DATA_DIR = "/var/lib/telvend"


def lint(*words: str | Path) -> str:
    """Run a linter; what it found. `make linters` installs them."""
    done = subprocess.run(
        [LINTERS / words[0], *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each in one line."""
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def final_stage() -> dict[str, str]:
    """Each instruction of the image that is run, by its name; of several the last."""
    found: dict[str, str] = {}
    for word, rest in instructions(DOCKERFILE):
        found = {} if word == "FROM" else found | {word: rest}
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert lint("hadolint", "--no-color", DEPLOY / "Dockerfile") == ""


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp\n")
    assert "DL3006" in lint("hadolint", "--no-color", bad)


def test_the_compose_file_has_the_form_of_one(tmp_path: Path) -> None:
    assert lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml") == ""
    bad = tmp_path / "compose.yaml"
    bad.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace("stop_grace_period", "stop_grace_time"))
    assert "stop_grace_time" in lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", bad)


# The image ------------------------------------------------------------------------------------------------------------------


def test_the_image_does_not_run_as_root_and_keeps_its_data_in_a_volume() -> None:
    stage = final_stage()
    user, _, group = stage["USER"].partition(":")
    assert int(user) == int(group) > 0
    assert f"--uid {user} " in stage["RUN"]
    assert stage["VOLUME"] == DATA_DIR
    assert f"TELVEND_DATA_DIR={DATA_DIR}" in stage["ENV"]
    assert f"-m 700 -o telvend -g telvend {DATA_DIR}" in stage["RUN"]


def test_the_image_is_asked_for_its_health_and_stopped_by_the_signal_that_drains() -> None:
    stage = final_stage()
    assert stage["STOPSIGNAL"] == "SIGTERM"
    asked = json.loads(stage["HEALTHCHECK"].partition("CMD ")[2])
    assert f"http://127.0.0.1:{Settings().port}/healthz" in asked[-1]
    assert int(stage["EXPOSE"]) == Settings().port
    # The first process gets the signal: no shell stands between.
    assert json.loads(stage["ENTRYPOINT"]) == ["/opt/telvend/bin/telvend"]
    assert json.loads(stage["CMD"]) == ["serve"]


def test_everything_that_is_copied_is_there_and_in_the_context() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = [
        path
        for word, rest in instructions(DOCKERFILE)
        if word == "COPY" and not rest.startswith("--from")
        for path in rest.split()[:-1]
    ]
    assert set(copied) == kept
    assert all((ROOT / path).exists() for path in copied)


def test_what_the_image_downloads_is_compared_with_hashes() -> None:
    installs = re.findall(r"pip install [^&\n\\]*", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in line or "--no-deps dist/" in line for line in installs)


# The compose file -----------------------------------------------------------------------------------------------------------


def test_the_compose_file_builds_from_the_tree() -> None:
    build = TELVEND["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert set(build["args"]) == {rest.partition("=")[0] for word, rest in instructions(DOCKERFILE) if word == "ARG"}


def test_variables_of_the_image_and_of_compose_are_settings() -> None:
    named = set(re.findall(r"TELVEND_([A-Z_]+)[=:]", DOCKERFILE + (DEPLOY / "compose.yaml").read_text("utf-8")))
    assert {name.lower() for name in named} - {"build_commit"} <= set(Settings.__struct_fields__)
    assert "TELVEND_HOST=0.0.0.0" in final_stage()["ENV"]


def test_a_server_may_drain_before_it_is_killed() -> None:
    assert TELVEND["stop_signal"] == "SIGTERM"
    assert int(TELVEND["stop_grace_period"].removesuffix("s")) >= Settings().drain_s + 30


def test_only_the_proxy_is_believed_and_nobody_else_reaches_the_server() -> None:
    caddy = COMPOSE["services"]["caddy"]
    address = caddy["networks"]["inside"]["ipv4_address"]
    assert TELVEND["environment"]["TELVEND_TRUSTED_PROXIES"] == address
    (pool,) = COMPOSE["networks"]["inside"]["ipam"]["config"]
    network = ipaddress.ip_network(pool["subnet"])
    own = TELVEND["networks"]["inside"]["ipv4_address"]
    # The first address is the gateway's.
    assert {ipaddress.ip_address(address), ipaddress.ip_address(own)} <= set(list(network.hosts())[1:])
    assert address != own
    assert "ports" not in TELVEND
    assert caddy["depends_on"]["telvend"]["condition"] == "service_healthy"
    assert caddy["environment"]["UPSTREAM"] == f"telvend:{Settings().port}"


def test_the_container_can_write_its_data_the_socket_and_nothing_else() -> None:
    assert TELVEND["read_only"] is True
    assert TELVEND["volumes"] == [f"data:{DATA_DIR}"]
    assert TELVEND["tmpfs"] == ["/tmp"]
    assert TELVEND["cap_drop"] == ["ALL"]
    assert "data" in COMPOSE["volumes"]
    # More than the 64 MB of Docker, of which PostgreSQL may want more for a parallel query.
    assert int(TELVEND["shm_size"].removesuffix("m")) >= 128


# Proxies --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_a_proxy_waits_longer_than_a_purchase_may_take(name: str) -> None:
    text = (DEPLOY / name).read_text("utf-8")
    (wait,) = re.findall(r"(?:proxy_read_timeout|response_header_timeout) ([0-9]+)s", text)
    assert int(wait) > 60  # The most that delivery_wait_s may be.
    assert f"127.0.0.1:{Settings().port}" in text
