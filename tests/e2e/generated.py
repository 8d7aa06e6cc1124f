"""What the tests of generated clients share: a shop with a key for each API, its documents, and its stories as plans."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec

from telvend.dialects.contract import Dialect
from telvend.dialects.examples import Step, filled
from telvend.dialects.forms import Form
from telvend.dialects.madapi.routes import MADAPI
from telvend.dialects.netpluse.routes import NETPLUSE
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.dialects.openapi import Schemas, plain_path
from tests.e2e.conftest import PLENTY
from tests.e2e.shop import _NO_CERTIFICATES, Shop

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tests" / "clients"
CLIENTS, GENERATORS = ROOT / ".clients", ROOT / ".generators"
DIALECTS = {dialect.name: dialect for dialect in (NETPLUSE, NETWORKDATASUB, MADAPI)}
ADA = "ada@example.com"
SUBSCRIBER, RECEIVER = "+2348031234567", "+2348031234568"
LIMITS = ("--read-limit", PLENTY, "--purchase-limit", PLENTY)
HEADERS = {"netpluse": ("x-api-key", ""), "networkdatasub": ("Authorization", "Token"), "madapi": ("X-API-Key", "")}
"""The header of the key, and the word before it."""


def _more(operation: str, name: str, status: int = 200, **more: Any) -> dict[str, Any]:
    step = {"values": {}, "body": None, "form": "", "makes": {}, "keeps": {}, "keyless": False, "bearer": ""}
    return {**step, "name": name, "operation": operation, "status": status, **more}


_AIRTIME = {"network": "mtn", "amount": 100}
MORE = (
    _more("airtime_purchase", "one that is refused", 400, form="AirtimeForm", body=_AIRTIME | {"phone": "08031230004"}),
    _more(
        "airtime_purchase", "one that is not known yet", form="AirtimeForm", body=_AIRTIME | {"phone": "08031230015"}
    ),
    _more(
        "airtime_purchase",
        "more than there is",
        400,
        form="AirtimeForm",
        body=_AIRTIME | {"phone": "08031230000", "amount": 45000},
    ),
    _more("transactions", "all", keeps={f"reference{n}": f"data.data[{n}].reference" for n in range(7)}),
    *(_more("transaction", f"number {n}", values={"reference": f"{{{{reference{n}}}}}"}) for n in range(7)),
)
"""What stories leave out: purchases that end otherwise, and a transaction of every kind."""


def make(target: str) -> None:
    """For whoever runs pytest and not `make`."""
    made = subprocess.run(
        ["make", "--silent", target], cwd=ROOT, timeout=900, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr


def ran(arguments: list[Any], **more: Any) -> str:
    """What a program prints; its complaint is the test's."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300, **more)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout + done.stderr


@dataclass
class Market:
    """A shop with a key for each API, and what MADAPI's story needs; what it uses up is made anew for each run."""

    shop: Shop
    folder: Path
    keys: dict[str, dict[str, str]]
    authorization: str
    runs: int = 0

    @classmethod
    def open(cls, shop: Shop, folder: Path) -> "Market":
        """Start the shop, furnish it and save its documents as files in the folder."""
        shop.settings["TELVEND_DELIVERY_WAIT_S"] = "2"
        shop.start()
        made = shop.several(
            [
                ["user", "add", ADA, "--name", "Ada Obi", "--phone", "08031234567"],
                ["wallet", "credit", ADA, "1000", "GHS", "--reference", "opening"],
                ["wallet", "credit", ADA, "20000", "NGN", "--reference", "opening"],
                *(["subscriber", "add", msisdn, "--tariff-plan", "Basic", "--currency", "NGN"] for msisdn in (SUBSCRIBER, RECEIVER)),
                ["subscriber", "momo", SUBSCRIBER, "--balance", "18400", "--positive", "500", "--negative", "1200"],
                *(["key", "add", ADA, "--api", name, *LIMITS] for name in DIALECTS),
            ]
        )  # fmt: skip
        market = cls(shop, folder, dict(zip(DIALECTS, made[-3:], strict=True)), made[5]["x_authorization"])
        for name in DIALECTS:
            market.document(name).write_bytes(market.get(f"/openapi/{name}.json?download").content)
        return market

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.shop.url}{path}", timeout=30, verify=_NO_CERTIFICATES)

    def document(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def plan(self, name: str, *, checking: bool) -> dict[str, Any]:
        """What a client needs to send the story of this API: see tests/clients/walk.py. `checking`: as of `plan_steps`."""
        self.runs += 1
        dialect = DIALECTS[name]
        header, prefix = HEADERS[name]
        variables = {variable.name: variable.example for variable in dialect.variables}
        variables |= {"key": self.keys[name]["key"]}
        if name == "madapi":
            voucher = self.shop.telvend("voucher", "issue", "--amount", "200", "--currency", "NGN", "--count", "1")
            variables |= {
                "secret": self.keys[name]["secret"],
                "customerId": SUBSCRIBER,
                "receiverId": RECEIVER,
                "newCustomerId": f"+23480399{self.runs:05}",
                "momoAuthorization": self.authorization,
                "pin": voucher["vouchers"][0]["pin"],
            }
        return {
            "address": self.shop.url,
            "key": self.keys[name]["key"],
            "header": header,
            "prefix": prefix,
            "variables": variables,
            "steps": [*plan_steps(dialect, checking=checking), *(MORE if name == "networkdatasub" else ())],
        }

    def walk(self, kind: str, folder: Path, package: str, name: str) -> list[dict[str, Any]]:
        """Send the story through a generated Python client; one entry for each step that was answered and read."""
        checking = kind == "openapi-generator"
        python = (GENERATORS if checking else CLIENTS) / "bin" / "python"
        return self.walk_with([python, TOOLS / "walk.py", kind, folder, package], name, checking=checking)

    def walk_with(self, program: list[Any], name: str, *, checking: bool = True) -> list[dict[str, Any]]:
        """The same with a program that reads the plan and prints a line of JSON for each step."""
        plan = msgspec.json.encode(self.plan(name, checking=checking))
        done = subprocess.run(program, input=plan, capture_output=True, check=False, timeout=110)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-6000:]
        return [json.loads(line) for line in done.stdout.splitlines()]


def plan_steps(dialect: Dialect, *, checking: bool) -> Iterator[dict[str, Any]]:
    """The steps of a story that a typed client can send: one with a word that an enum has not cannot even be written.

    `checking`: nor one with a body that the document forbids. Some clients of openapi-generator hold every pattern themselves.
    """
    names: dict[str, tuple[str, str]] = {}
    seen: dict[str, int] = {}
    for endpoint in dialect.endpoints:
        handler = endpoint.handler.__name__
        count = seen[handler] = seen.get(handler, 0) + 1
        name = handler + (str(count) if count > 1 else "")
        names[f"{endpoint.method} {plain_path(endpoint.path)}"] = (name, form_name(endpoint.form))
    enums = {
        (f"{endpoint.method} {plain_path(endpoint.path)}", parameter.name): parameter.limits.get("enum")
        for endpoint in dialect.endpoints
        for parameter in endpoint.parameters
    }
    for step in dialect.story:
        if checking and is_forbidden(dialect, step):
            continue
        query = filled(dict(step.query), dialect.variables)
        if all(value in (enums.get((step.endpoint, name)) or [value]) for name, value in query.items()):
            yield plan_step(step, *names[step.endpoint])


def is_forbidden(dialect: Dialect, step: Step) -> bool:
    """Whether the document forbids the body that the step sends, to show what is answered."""
    schemas = Schemas(dialect)
    (endpoint,) = (found for found in dialect.endpoints if step.endpoint == f"{found.method} {plain_path(found.path)}")
    if step.body is None or endpoint.form is None:
        return False
    body = json.loads(json.dumps(filled(dict(step.body), dialect.variables), default=float))
    return not jsonschema_rs.is_valid(schemas.standalone(schemas.form(endpoint.form)), body)


def sendable(name: str, *, checking: bool = False) -> list[str]:
    """The names of the steps that `Market.walk` sends."""
    more = MORE if name == "networkdatasub" else ()
    return [step["name"] for step in (*plan_steps(DIALECTS[name], checking=checking), *more)]


def form_name(form: type[Any] | Form[Any] | None) -> str:
    """What the document calls it; empty where there is none."""
    if form is None:
        return ""
    return form.name if isinstance(form, Form) else form.__name__


def plan_step(step: Step, operation: str, form: str) -> dict[str, Any]:
    headers: Mapping[str, str] = {
        name: value for name, value in step.headers.items() if name not in ("Content-Type", "Authorization")
    }
    return {
        "name": step.name,
        "operation": operation,
        "status": step.status,
        "values": {**step.path, **step.query, **headers},
        "body": step.body,
        "form": "" if "urlencoded" in step.headers.get("Content-Type", "") else form,
        "makes": step.makes,
        "keeps": step.keeps,
        "keyless": step.keyless,
        "bearer": step.headers.get("Authorization", "").removeprefix("Bearer "),
    }
