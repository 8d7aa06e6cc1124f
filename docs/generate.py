"""Writes the pages of docs/reference/ that the code itself can tell: `make docs` runs it.

    python docs/generate.py            write them
    python docs/generate.py --check    exit code 1, and their names, where a page is not what the code says

`pages()` answers every page by its file name; tests/unit/test_docs.py holds the files in the tree against it.
"""

import argparse
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

from telvend import errors, provider_tables
from telvend.bootstrap import FAILPOINTS, load_modules
from telvend.cli import app
from telvend.config import PREFIX, SECRETS, Settings, described
from telvend.dialects.madapi.refusals import ERROR_TABLE as MADAPI
from telvend.dialects.netpluse.wire import ERROR_TABLE as NETPLUSE
from telvend.dialects.networkdatasub.wire import ERROR_TABLE as NETWORKDATASUB
from telvend.kit.failpoints import VARIABLE
from telvend.kit.metrics import described as described_metrics
from telvend.providers.described.keys import OUTCOMES, REASONS, SOLD, TABLES, Free, Key
from telvend.providers.described.templates import FORMS, NUMBERS, TEXTS
from telvend.providers.described.templates import SECRETS as SECRETS_OF_TEMPLATES
from telvend.providers.simulator import secrets as simulator_secrets
from telvend.providers.simulator import table as simulator_table
from telvend.webhooks import examples
from telvend.webhooks.model import RETRIES_S, TIMEOUT_S, EventType
from telvend.webhooks.signing import secret_text

FOLDER: Final = Path(__file__).parent / "reference"

_MADE_BY: Final = (
    "<!-- Written by docs/generate.py from the code; `make docs` writes it again. Do not edit it here. -->\n"
)


def pages() -> dict[str, str]:
    """Every generated page: its file name and its text."""
    made = {
        "command-line.md": command_line(),
        "settings.md": settings(),
        "simulator.md": simulator(),
        "failpoints.md": failpoints(),
        "errors.md": error_tree(),
        "metrics.md": metrics(),
        "upstream-description.md": upstream_description(),
        "webhooks.md": webhooks(),
    }
    return {name: f"{_MADE_BY}\n{text.strip()}\n" for name, text in made.items()}


# The command line ----------------------------------------------------------------------------------------------------

_COMMAND_LINE: Final = """
# The command line

Every command works while the server runs: it then uses the server's database. When nobody serves, it starts the
embedded database for itself and stops it again.

Only `serve` and `demo` open a shop. Any other command in a folder without one changes nothing, and says where it found
a shop. Only `serve` and `upgrade` bring the database's schema to this version; any other command says that it is older.

Telephone numbers are read as the APIs read them: E.164, international digits, or the national form of
`madapi_home_country`, of Ghana or of Nigeria, with spaces and dashes; also those that `number_prefixes` adds.

A list that leaves something off says below the table how many more there are (counted up to 1,000) and how to ask for
them; as JSON it has `more`, and `next` where it can be gone on from. CSV is whole unless `--limit` is given.

Times in tables are those of the setting `timezone`, which the headings name; JSON and CSV have them in UTC.

These options stand on every command, before its name or after its arguments, and are left out below.
`simulator table` needs no shop and takes none of them; `serve` and `work` run until they are stopped and have no
`--json`; `demo` keeps its shop in a folder of its own and takes only `--data-dir`.

| option | what it does |
|---|---|
| `--data-dir DIR` | Where this shop is kept; also `TELVEND_DATA_DIR`. |
| `--database-url URL` | A PostgreSQL to use instead of the embedded one; also `TELVEND_DATABASE_URL`, where a password belongs: in an argument, every user of the machine can read it. |
| `--version` | Print the version, and end; only before a command. |
| `--json` | Print one JSON object on stdout. Amounts are exact numbers, times are RFC 3339. |
| `-h`, `--help` | What the command does. |

Exit codes:

| code | meaning |
|---|---|
| 0 | Done. |
| 1 | Refused. One sentence on stderr says why. `upgrade --check` ends so when this version cannot take the shop over, `ledger check` when the books do not hold, `doctor` when something would lose money or stop sales, `simulator book` when something was delivered twice, `product import` when a line of the file is wrong. |
| 2 | Wrong usage: an unknown command or option, or a value that cannot be one. |
| 3 | Not done and not refused: it waits for a second person ([how](../howto/two-people-for-large-amounts.md)). `wallet credit`, `wallet debit`, `order refund` and `order resolve` above `second_person_above` end so, with `"state": "waiting_for_second_person"`. |
| 70 | `serve` or `work`: a task that others wait for has died, which only a bug can do. Start it again; nothing is lost. |
| 130 | Interrupted by Ctrl-C. |

What a terminal cannot show is printed as an escape (`\\u1ecd`), which in JSON is the same letter. Where stdout cannot be
written (a full disk, a closed pipe), a command that has changed something has done so: it ends with 0 and says on stderr
that its output was lost. A command whose output is its work, such as a list, ends with 1; so does one that shows a key or
another secret this once, and it says what to do.

"""  # noqa: E501 - a row of a table is one line

_COMMON_OPTIONS: Final = frozenset({"data_dir", "database_url", "as_json"})


def command_line() -> str:
    """Every command with its arguments, options and what it says of itself."""
    return _COMMAND_LINE.rstrip() + "\n" + "".join(_group("telvend", typer.main.get_command(app)))


def _group(path: str, group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield f"\n## {path} {name}\n\n{command.help}\n"
            yield from (text.replace("\n## ", "\n### ") for text in _group(f"{path} {name}", command))
        else:
            yield _command(f"{path} {name}", command)


def _command(path: str, command: Any) -> str:
    parameters = [p for p in command.params if p.name not in (*_COMMON_OPTIONS, "help") and not p.hidden]
    words = [path]
    words += [_spelling(p) for p in parameters if p.param_type_name == "argument"]
    words += [_spelling(p) for p in parameters if p.param_type_name == "option" and p.required]
    if any(p.param_type_name == "option" and not p.required for p in parameters):
        words.append("[OPTIONS]")
    text = f"\n## {path}\n\n```text\n{' '.join(words)}\n```\n\n{command.help}\n"
    if parameters:
        text += "\n| | what it is | |\n|---|---|---|\n" + "".join(map(_row, parameters))
    return text


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        word = (parameter.metavar or parameter.name).upper()
        return word if parameter.required or word.startswith("[") else f"[{word}]"
    names = "|".join((*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} {_value_word(parameter)}"


def _value_word(parameter: Any) -> str:
    choices = _choices(parameter)
    if choices:
        return "|".join(choices)
    return str(parameter.metavar or parameter.opts[0].lstrip("-").replace("-", "_")).upper()


def _choices(parameter: Any) -> list[str]:
    return [str(getattr(choice, "value", choice)) for choice in getattr(parameter.type, "choices", ())]


def _row(parameter: Any) -> str:
    return _cells(f"`{_spelling(parameter)}`", parameter.help, _note(parameter))


def _cells(*cells: str) -> str:
    """One row of a table; a bar inside of a cell would end it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _note(parameter: Any) -> str:
    notes = []
    if parameter.required and parameter.param_type_name == "option":
        notes.append("needed")
    least, most = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    if least is not None and most is not None:
        notes.append(f"{least} to {most:,}")
    elif least is not None:
        notes.append(f"from {least}")
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if isinstance(shown, Enum):
        shown = shown.value
    if shown not in (None, "", False):
        notes.append(f"default `{shown}`")
    return ", ".join(notes)


# Webhooks ------------------------------------------------------------------------------------------------------------

_WEBHOOKS: Final = """
# Webhooks

The messages that a reseller's program receives, event by event. [A guide](../howto/receive-webhooks.md) shows how to receive them,
with programs in Python, Node.js and PHP; the design is [explained here](../explain/webhooks.md). The OpenAPI document of each API
has the same under `webhooks`.

A message is a `POST` with a JSON body, by [Standard Webhooks](https://www.standardwebhooks.com). Which API a sale came through
makes no difference. New fields may be added to `data`; those below stay.
"""


def webhooks() -> str:
    """Headers, the signature of an example, the schedule, and every event with its fields."""
    text = _WEBHOOKS + "\n| header | what it is |\n|---|---|\n"
    text += "".join(_cells(f"`{name}`", about) for name, about in examples.HEADERS.items())
    text += (
        "\n## The signature\n\nTest a verifier with this message, with its check of the time left out; the secret is"
        f" `{secret_text(examples.EXAMPLE_SECRET).reveal()}`.\n\n```text\n"
        + "".join(f"{name}: {value}\n" for name, value in examples.EXAMPLE_HEADERS.items())
        + f"\n{examples.example_body(EventType.ORDER_COMPLETED).decode()}\n```\n"
    )
    text += (
        f"\n## Answers\n\nAny status of 2xx within {TIMEOUT_S:g} seconds takes the message. `410` ends the endpoint. After anything"
        " else, redirects included, it is sent again: "
        + ", ".join(f"{_wait(wait)}" for wait in RETRIES_S)
        + " after the attempt before, and then no more. With `429` or `503`, `Retry-After` puts the next attempt off, by an hour at"
        " most.\n\n## Test messages\n\nWhat `telvend webhook send-test` sends has a"
        ' `webhook-id` that begins with `msg_test_`, and `"mode": "test"` and `"example": true` in its data. Nothing in it'
        ' exists. What is done with a test key exists in test mode, has `"mode": "test"`, and no `example`.\n'
    )
    return text + "".join(map(_event, EventType))


def _wait(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _event(kind: EventType) -> str:
    text = f"\n## {kind}\n\n{examples.SUMMARIES[kind]}\n\n| field of `data` | what it is |\n|---|---|\n"
    text += _cells("`mode`", "`live` or `test`.")
    for name, field in examples.FIELDS[kind].items():
        values = f" One of {', '.join(f'`{value}`' for value in field.values)}." if len(field.values) > 1 else ""
        text += _cells(f"`{name}`", field.about + values)
    shown = msgspec.json.format(examples.example_body(kind), indent=2).decode()
    return f"{text}\n```json\n{shown}\n```\n"


# Settings ------------------------------------------------------------------------------------------------------------

_SETTINGS: Final = """
# Settings

A setting comes from the first of these places that has it:

1. the command line, where it has an option of that name (`telvend serve --port 8100`);
2. the environment: `TELVEND_` and the name in capitals (`TELVEND_PORT=8100`);
3. a TOML file: the one that `TELVEND_CONFIG` names, else `telvend.toml` in the data directory (`port = 8100`);
4. the default.

`telvend settings` prints what is in force and where each value comes from; secrets are starred. An unknown name in the
file, or a value that cannot be, stops the program with one sentence, so that a misspelt setting is not overlooked.
Durations are in seconds.

Nothing else decides what a shop does. Variables that were set for other programs and that a library would read are taken out
when the program starts: `PGSERVICE`, `PGOPTIONS` and all others of PostgreSQL, `HTTP_PROXY` and the like, `SSL_CERT_FILE`,
`SSLKEYLOGFILE`, `WEB_CONCURRENCY`, `PROMETHEUS_MULTIPROC_DIR` and more (`src/telvend/kit/environment.py` lists them). For a
database of `database_url` two stay, so that secrets need not stand in the address: `PGPASSFILE` and `PGSSLROOTCERT`, beside
the files `~/.pgpass` and `~/.postgresql/`. Everything else about it stands in the URL (`?sslmode=verify-full&…`).
`OPENSSL_CONF` stays too: it is the policy of the whole machine. Calls to providers and gateways go through no proxy.

"""

_SETTINGS_FILE: Final = """
The settings file as it might look for a server behind a reverse proxy:

```toml
port = 8100
workers = 2
public_url = "https://api.example.com"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]

[second_person_above]
GHS = "500.00"
NGN = "20000.00"

[number_prefixes]
NG = ["0918"]
GH = ["0250", "0251", "0252", "0253", "0254", "0255"]

[simulators.simulator]
timeout_s = 3.0
```

`second_person_above` is one amount in whole units of every currency, or a table by currency, in which a currency that is not named
has no limit. Text or a number does; more decimals than the currency has are refused. In the environment it is one value:
`TELVEND_SECOND_PERSON_ABOVE=500`, or `TELVEND_SECOND_PERSON_ABOVE='{GHS = "500.00", NGN = "20000.00"}'`.
[What waits, and how it is confirmed](../howto/two-people-for-large-amounts.md).

`number_prefixes` is for mobile numbers that a country gives out before this program knows them. A prefix is written as people
write the number, with what stands before it in the country. Its numbers are then taken everywhere (every API, every command), in
every spelling, and only with the length of the country's mobile numbers. A number that is known as something else, such as a
landline, or as another country's, stays that. In the environment it is one value in TOML:
`TELVEND_NUMBER_PREFIXES='{NG = ["0918"], GH = ["0250"]}'`. Every node of a shop needs the same.

In the environment a list is separated by commas: `TELVEND_TRUSTED_PROXIES=127.0.0.1,10.0.0.0/8`.

A simulator is a pretended upstream (see [simulator.md](simulator.md)). Each has a table `[simulators.NAME]` of its own;
naming any replaces the default one. In the environment the whole table is one value, in TOML's inline form:
`TELVEND_SIMULATORS='{simulator = {steered = false}}'`.

| in `[simulators.NAME]` | default | what it is |
|---|---|---|
| `live` | `false` | whether it delivers for live keys too; `false`: for test keys only |
| `steered` | `true` | whether the last four digits of the number decide; `false` delivers everything at once |
| `priority` | `100` | lower goes first, where there are several |
| `timeout_s` | `3.0` | how long it stays patient with an upstream that says nothing; up to 60 |
"""


def settings() -> str:
    """Every setting with its default."""
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    rows = []
    for name, text in described().items():
        default = fields[name].default
        if name == "data_dir":
            shown = "`~/.local/share/telvend`"
        elif name == "simulators":
            shown = "one, called `simulator`"
        elif default in (None, "", ()) or fields[name].default_factory is dict:
            shown = ""
        else:
            shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
        secret = " A secret." if name in SECRETS else ""
        rows.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {shown} | {text}.{secret} |\n")
    head = "| setting | in the environment | default | what it is |\n|---|---|---|---|\n"
    return _SETTINGS + head + "".join(rows) + _SETTINGS_FILE + _PROVIDERS + _provider_keys()


_PROVIDERS: Final = """
## Providers

An upstream that delivers what is sold is a table `[providers.NAME]`. You choose the name. It is stored with attempts,
in the ledger and in metrics, so keep it as long as the account with the vendor: a lower-case letter, then lower-case letters and
digits, at most 32 characters, with single hyphens or underscores between them. A simulator's name, `simulator`,
`own_network`, `personas`, `prembly` and `dojah` are taken. How to connect one: [connect-an-upstream.md](../howto/connect-an-upstream.md).

```toml
own_network = false

[providers.vt]
connector = "vtpass"
api_key_file = "vt/api-key"
public_key_file = "vt/public-key"
secret_key_file = "vt/secret-key"
```

Each key can come from the environment instead: `TELVEND_PROVIDERS__VT__API_KEY`. In a variable a name's hyphens are
underscores, so that two names may not differ in these alone; case does not matter there. A whole table is one value in
TOML's inline form: `TELVEND_PROVIDERS__VT='{ connector = "vtpass", priority = 5 }'` takes the place of the file's table, and
`TELVEND_PROVIDERS='{ vt = { connector = "vtpass" } }'` that of all of them. The most exact variable wins.

Each secret can stand in a file of its own: `api_key_file` beside `api_key`, and so on. A relative name is looked for where
the settings file is (in the data directory where there is none); line ends after the secret are removed. The file must not be
readable by other users, unless its folder is closed to them. A secret and its file together are refused, except where the
environment gives one and the settings file the other: then the environment's counts. A settings file with a secret in it must be
for its owner alone, too.

Settings are read when a process starts: restart `telvend serve` and `telvend work` after a change. A shop with an invalid
provider table does not start, and prints every mistake in all of them.

"""


def _provider_keys() -> str:
    defaults = provider_tables.defaults()
    rows = []
    for key, text in provider_tables.described().items():
        shown = provider_tables.default_text(defaults.get(key))
        secret = f" A secret; or `{key}{provider_tables.FILE_SUFFIX}`." if key in provider_tables.SECRET_KEYS else ""
        rows.append(f"| `{key}` | {f'`{shown}`' if shown else ''} | {text}.{secret} |\n")
    return "| in `[providers.NAME]` | default | what it is |\n|---|---|---|\n" + "".join(rows)


# The simulator -------------------------------------------------------------------------------------------------------

_SIMULATOR: Final = """
# The simulator

The simulator is a provider that pretends: it delivers nothing to anybody, and keeps a book of what it says that it
delivered. Test keys buy from it and never from anybody else. Live orders go to it only where an operator wants that
(`live = true`, [settings.md](settings.md)), and start-up then says so; in a fresh shop they go to
[our own network](own-network.md), which cannot be steered.

The last four digits of the subscriber's number decide what happens, so that every accident can be tried on purpose:
`0241230006` is a number of Ghana that ends in `0006`. `telvend simulator table` prints this table too.

"""

_SIMULATOR_SECRETS: Final = """
Products whose deliveries carry something back (electricity tokens, exam PINs) follow the same table, by the last four digits of the
meter or phone number, and this one. What comes back follows from the reference, so that a question brings the same texts.

"""

_SIMULATOR_BOOK: Final = """
The columns "first answer" and "asked about it, in the end" name outcomes; what the shop does with each is in
[exactly-once.md](../explain/exactly-once.md). How long the shop waits before it asks is in
[fulfilment.md](../explain/fulfilment.md).

`telvend simulator book` shows what it delivered, from its own point of view; the exit code is 1 when an order was
delivered more than once. The book does not recognise a repeated delivery as a repeat: it delivers again and counts it,
so that a shop that buys twice is found out.

`steered = false` for a simulator makes it deliver to every number at once: [settings.md](settings.md).
"""


def simulator() -> str:
    """What the simulator does for which number."""
    tables = simulator_table.markdown() + _SIMULATOR_SECRETS + simulator_secrets.markdown()
    return _SIMULATOR + tables + _SIMULATOR_BOOK


# Failpoints ----------------------------------------------------------------------------------------------------------

_FAILPOINTS: Final = f"""
# Failpoints

A failpoint is a named place in the code where a test can make a process die, wait or fail. Some moments are too short
to be met by chance: between the commit and the answer, for example. A failpoint holds such a moment open.

They are armed by an environment variable when a process starts, and cost about 50 ns each otherwise:

```text
{VARIABLE}="lane.after_commit=kill@3;attempt.after_send=sleep:0.5"
```

| action | what it does |
|---|---|
| `kill` | ends the process with SIGKILL, as a power cut would |
| `sleep:SECONDS` | waits |
| `error` | raises `FailpointError` |

With `@N` it happens the Nth time only, without it every time; each process counts for itself. A name or an action that
nobody knows stops the program at start, so that a misspelt test does not pass. Never set it where real money is.

"""


def failpoints() -> str:
    """Every failpoint and what has happened when it is reached."""
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in FAILPOINTS.items())
    return f"{_FAILPOINTS}| failpoint | when it is reached |\n|---|---|\n{rows}"


# Errors --------------------------------------------------------------------------------------------------------------

_ERRORS: Final = """
# Errors

What can go wrong for a caller is one small tree of classes in `src/telvend/errors.py`. Code that knows the cause
raises one of them; a dialect's table turns it into a status and a body. A test walks the tree, so that no class is
without a row in any dialect.

A bug is `InvariantBroken`, or an exception that nobody expected, which is shown as one: status 500, logged as critical,
and the client is told nothing about our insides. What a provider says is never an exception: see
[exactly-once.md](../explain/exactly-once.md).

MADAPI has a code beside the status, and a shape that depends on what was asked for: [madapi.md](madapi.md). Its table also
names what only the rooms of the operator's side raise, such as a voucher that cannot be loaded.

The class in the second column is the parent: a dialect without a row for a class uses its parent's.

"""


def error_tree() -> str:
    """Every error class, what it means and its status in each dialect."""
    rows = []
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.TelvendError) and found is not errors.TelvendError:
            parent = "" if found.__base__ is errors.TelvendError else f"`{found.__bases__[0].__name__}`"
            sentence = " ".join((found.__doc__ or "").split())
            status, code = MADAPI[found]
            rows.append(
                f"| `{found.__name__}` | {parent} | {sentence} | {NETPLUSE[found]} | {NETWORKDATASUB[found]}"
                f" | {status}/{code} |\n"
            )
    head = "| error | kind of | what happened | Netpluse | networkdatasub | MADAPI |\n|---|---|---|---|---|---|\n"
    return f"{_ERRORS}{head}{''.join(rows)}"


# Metrics ------------------------------------------------------------------------------------------------------------

_METRICS: Final = """
# Health, metrics, logs

## `GET /healthz`

200 when this process can serve, else 503 and why: the database does not answer, or sales are halted. No key is needed. An
answer is kept for a fifth of a second.

```json
{"status":"ready"}
```

`/readyz` is the same; `/livez` is 200 while the process answers, whatever the database does. None of the three needs a `Host`.
What else is the same for every address is in [http.md](http.md).

## `GET /metrics`

In the text format of Prometheus, for requests from this machine: a request that a proxy passed on (any `X-Forwarded-…`,
`Forwarded`, `X-Real-IP` or `Via` header), or that comes from elsewhere than loopback, is refused with 403. Three settings
change that:

| setting | what it does |
|---|---|
| `metrics_port` | the port of a listener that serves only `/metrics`, without access control; any of several workers answers for the node |
| `metrics_host` | the address of that listener; `127.0.0.1` unless set |
| `metrics_public` | `true`: the main port serves `/metrics` to every client |

For a Prometheus on another machine, listen on the address of a private network, and let your firewall keep it there:

```toml
metrics_port = 9108
metrics_host = "10.0.0.5"
```

```yaml
scrape_configs:
  - job_name: telvend
    static_configs:
      - targets: ["10.0.0.5:9108"]
```

A response is written in a thread and cached for a second, so that frequent scrapes do not slow sales down. Counts and times are
summed over the processes of the node; those of `telvend_orders_…`,
`telvend_network_paused` and `telvend_provisional_credits_open_…` are read from the database and are the same on every node.

"""

_LABELS: Final = """
| label | its values |
|---|---|
| `dialect` | the API: `netpluse`, `networkdatasub`, `madapi` |
| `route` | the template of the path, such as `/order-status/{reference}`, never the path |
| `status` | the HTTP status |
| `kind` | `read` or `purchase`; of vouchers `subscriber` and `partner`, which are locked, and `source`, which is not |
| `limit` | the name of a setting, see [limits before a key](../explain/limits-before-a-key.md) |
| `provider` | the name of a provider |
| `operation`, `outcome` | `deliver`, `requery` or `resend`, and what came of it: `delivered`, `accepted`, `refused`, `notsent`, `unknown` |
| `country`, `network` | of a network that is sold, such as `GH` and `MTN` |
| `step`, `by` | of [pauses](../explain/network-pauses.md): `paused`, `trial`, `trial_over`, `resumed`; `itself`, `person` |
| `said` | of a [late report](../explain/ledger.md#what-nobody-knows): `delivered`, `not_delivered` |
| `what` | of a provisional credit: `given`, `reversed`, `written_off` |
| `lane`, `pool` | what shares commits, and what shares connections, in one process |
| `state`, `mode`, `currency` | of an order: `accepted` …, `live` or `test`, `GHS` … |
"""

_FORMER_NAMES: Final = """
Former names, which are exported too, with the same values, until the next version:

| former name | now |
|---|---|
"""

_AFTER_METRICS: Final = """
In `telvend_provider_outcomes_total` operation and outcome are one label, `outcome`, and `requery` is `ask`.

Worth an alarm: `telvend_sales_halted_processes` above 0 (nothing is sold until an operator acts), anything in
`telvend_orders_open{state="review"}`, more of `telvend_late_reports_total` or of
`telvend_provisional_credits_total{what="written_off"}` (the shop has lost money), an old
`telvend_orders_oldest_age_seconds` in `accepted` (nothing is delivered), `telvend_provider_float_low` above 0, an old
`telvend_provider_float_age_seconds`, more of
`telvend_voucher_pin_limits_reached_total` (voucher PINs are being guessed), and status 503 or 500 among the requests.

## Logs

One JSON object a line on stderr, or coloured lines when stderr is a terminal (`log_format`, `log_level`). A refused
request's line carries the `request_id` that its answer had in `x-request-id`. Keys, tokens and PINs are starred and
telephone numbers masked (`+23324*****67`) by the names of their fields, before a line is written.
"""


def metrics() -> str:
    """Every metric: its type, its labels, what it says and its former name; health and logs."""
    load_modules()  # Every metric that a server shows is declared by then.
    found = described_metrics()
    rows = [_cells(f"`{one.name}`", one.kind, ", ".join(one.labels), one.sentence) for one in found]
    former = [_cells(f"`{one.formerly}`", f"`{one.name}`") for one in found if one.formerly]
    head = "| metric | type | labels | what it says |\n|---|---|---|---|\n"
    return f"{_METRICS}{head}{''.join(rows)}{_LABELS}{_FORMER_NAMES}{''.join(sorted(former))}{_AFTER_METRICS}"


# The command ---------------------------------------------------------------------------------------------------------


# Descriptions of upstreams -------------------------------------------------------------------------------------------

_DESCRIPTION: Final = """
# The description of an upstream

A provider with `connector = "http"` is described by a TOML file, which `file` of its table names. How one is written, checked and
switched on: [describe-an-upstream.md](../howto/describe-an-upstream.md). `telvend provider example` prints files to begin with.

## What an answer means

An answer is read in this order, and **what the file does not map is unknown**: the hold stays, and the upstream is asked again.

1. No answer at all, a 5xx, a redirect, and 408, 409, 423, 425 and 499 are unknown, whatever stands in them. Only where no
   connection could be made is the request known not to have arrived.
2. An answer that is no JSON object, or that has a key twice, is unknown; so is one about another reference, order or number.
3. The value at `status` decides, where `statuses` has it. `delivered` and `accepted` need a 2xx, no error beside them, and the
   upstream's reference where the file says where that stands. `refused` takes the closer reason of an error that is mapped.
4. Without a status, or with one that is mapped to `unknown`, the value at `error` decides.
5. Without either, of an answer to a purchase, `[answer.http]` decides. It can map 4xx alone.

An error in an answer to a requery is about the question, so that it refuses no purchase; there only statuses count, and `not_found`.

Values are compared without regard to case and to blanks around them; `true` is `"true"`, 0 is `"0"`. A path is keys with dots, and
positions in brackets: `data.items[0].status`. The syntax has nothing else.

"""

_REFUSALS: Final = """
## What is refused

A file that could give money back for something delivered, or deliver twice, is not used: the shop does not start with it, and
`telvend provider check` names each place with its line. Among others: a 5xx, a 2xx, a time-out or a conflict in `[answer.http]`; words
such as `timeout`, `pending`, `duplicate`, `system error` or 504 that are mapped to `refused` or `not_sent`, also within longer ones
(`GATEWAY_TIMEOUT`); a wildcard; a value with two meanings; a flag (`true`, `false`) that decides a requery; a requery that is the
purchase itself; "not found" that counts sooner than 60 s and twice the time-out, unless the reference is a key, or that stands among
the statuses of a requery; a purchase without `{reference}`, unless `sent = false` says so; a reference too short to differ for each
attempt; airtime without its amount.
"""


def upstream_description() -> str:
    """Every table and key of a description."""
    parts = [_DESCRIPTION, "| outcome | what it says |\n|---|---|\n"]
    parts += [f"| `{name}` | {text} |\n" for name, text in OUTCOMES.items()]
    parts.append("\nA reason may follow `refused:`; without one it is `refused`.\n\n| reason | when |\n|---|---|\n")
    parts += [f"| `{name}` | {text} |\n" for name, text in REASONS.items()]
    parts.append("\n## Tables and keys\n")
    for table in TABLES:
        parts.append(f"\n### [{table.name}]\n\n{_sentence(table.text)}{' Needed.' if table.needed else ''}\n")
        if table.free:
            parts.append(f"\nKeys are free. Values: {_FREE[table.free]}.\n")
        if table.keys:
            parts.append("\n| key | value | default | what it is |\n|---|---|---|---|\n")
            parts += [f"| `{key.name}` | {_value(key)} | {_default(key)} | {key.text} |\n" for key in table.keys]
    parts.append(
        f"\n`KIND` is {' or '.join(f'`{kind}`' for kind in SOLD)}. Kinds that return something (tokens, PINs) need a connector in code.\n"
    )
    parts.append(_REFUSALS)
    parts.append("\n## Placeholders\n\n| placeholder | what it becomes |\n|---|---|\n")
    for name, text in TEXTS.items():
        forms = FORMS.get(name)
        if forms is None:
            parts.append(f"| `{{{name}}}` | {text} |\n")
            continue
        parts += [f"| `{{{name}:{form}}}` | {text}: {looks} |\n" for form, looks in forms.items()]
    parts += [f"| `{{{name}}}` | the key `{name}` of the provider's settings |\n" for name in SECRETS_OF_TEMPLATES]
    parts.append("| `{basic:USER:PASSWORD}` | two of these keys, as HTTP's Basic authentication has them |\n")
    parts.append(
        "\nIn a JSON body a value that is one placeholder keeps its type: `major`, `whole`, `minor` and `validity_days` are numbers."
        " `:text` after it makes them texts, and `:number` makes a number of "
        + ", ".join(f"`{name}`" for name in sorted(NUMBERS))
        + ". Anywhere else everything is text. In a URL values are percent-encoded. A literal brace is written twice.\n"
    )
    return "".join(parts)


_FREE: Final = {
    Free.TEXT: "texts, or whole numbers",
    Free.TEMPLATE: "texts with placeholders",
    Free.OUTCOME: "outcomes",
    Free.BODY: "texts with placeholders, numbers, true and false; in JSON also tables and arrays of them",
}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _value(key: Key) -> str:
    if key.choices:
        return " \\| ".join(f"`{choice}`" for choice in key.choices)
    return f"{key.form}, {key.low:g} to {key.high:g}" if key.high else str(key.form)


def _default(key: Key) -> str:
    if key.needed:
        return "needed"
    if key.default is None or key.default == "":
        return ""
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"


def outdated() -> list[str]:
    """The names of the pages that are missing, or are not what the code says."""
    return [
        name
        for name, text in pages().items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text("utf-8") != text
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the pages of docs/reference/ that the code itself can tell.")
    parser.add_argument("--check", action="store_true", help="only say which pages are not what the code says")
    found = outdated()
    if parser.parse_args().check:
        for name in found:
            sys.stderr.write(f"docs/reference/{name} is not what the code says; run `make docs`\n")
        return 1 if found else 0
    for name in found:
        (FOLDER / name).write_text(pages()[name], "utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
