"""Settings: one record, filled from defaults, a TOML file and the environment; the later wins.

    settings = load(file=None, overrides={})      # raises SettingsRefused with one sentence

Each setting `pool_size` is `TELVEND_POOL_SIZE` in the environment and `pool_size` in the file. The file is the one that
`TELVEND_CONFIG` names, else `telvend.toml` in the data directory. `telvend settings` prints them all.
Tables of providers are read by provider_tables.py.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from telvend.kit.keyfile import key_refusal
from telvend.kit.limits import NotALimit, written
from telvend.kit.moved import FILE as MOVED
from telvend.kit.moved import read_moved
from telvend.kit.networks import NotANetwork, parse_network
from telvend.kit.permissions import folder_refusal, reachable_secret_refusal, secret_refusal, write_refusal
from telvend.kit.phone import NotAPrefix, validate_prefixes
from telvend.kit.secret import Secret
from telvend.provider_tables import PROVIDER_NAME as PROVIDER_NAME
from telvend.provider_tables import ProviderSettings as ProviderSettings
from telvend.provider_tables import holds_secrets, read_tables

PREFIX: Final = "TELVEND_"

CONNECTIONS_BESIDE_POOL: Final = 15
"""Database connections that a serving process holds beside its pool: one for each lane, store and reader that has its own.

Every text takes the number from here; tests/store/test_connections.py counts them.
"""


class SettingsRefused(Exception):
    """A setting cannot be what it is. The message is one sentence that names it and where it came from."""


def _meta(text: str, **limits: Any) -> Any:
    return msgspec.Meta(description=text, **limits)


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[simulators.NAME]` in the file: a pretended upstream. `steered = false` delivers everything at once.

    It delivers for test keys only, unless it is `live = true`: for live keys too then, which it must not be beside a real
    upstream.
    """

    live: bool = False
    steered: bool = True
    priority: int = 100
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0


def _one_simulator() -> dict[str, SimulatorSettings]:
    return {"simulator": SimulatorSettings()}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting with its default. Durations are seconds."""

    data_dir: Annotated[str, _meta("where the embedded database and everything else of this shop is kept")] = ""
    database_url: Annotated[
        Secret | None, _meta("a PostgreSQL (15 or newer) to use instead of the embedded one: postgresql://…")
    ] = None
    host: Annotated[str, _meta("the address to listen on")] = "127.0.0.1"
    port: Annotated[int, _meta("the port to listen on", ge=1, le=65535)] = 8000
    workers: Annotated[int, _meta("server processes; each serves the API and fulfils", ge=1, le=64)] = 1
    fulfilment: Annotated[bool, _meta("whether serving processes also deliver orders")] = True
    public_url: Annotated[str, _meta("how clients reach this server, for absolute addresses in answers")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        _meta("addresses and networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed"),
    ] = ()
    max_header_bytes: Annotated[
        int, _meta("request line, headers and trailers of one request; more is refused with 431", ge=8192, le=1048576)
    ] = 65536
    max_header_fields: Annotated[
        int, _meta("header fields of one request; more are refused with 431", ge=16, le=10000)
    ] = 128
    max_pipelined_requests: Annotated[
        int, _meta("requests that may wait on one connection; beyond them it is not read from", ge=2, le=1000)
    ] = 16
    client_header_timeout_s: Annotated[
        float, _meta("how long the headers of a request may take, or the first byte of a connection", gt=0, le=3600)
    ] = 15.0
    client_body_timeout_s: Annotated[float, _meta("how long the body of a request may take", gt=0, le=3600)] = 30.0
    keepalive_timeout_s: Annotated[
        float, _meta("how long a connection may be idle between two requests", gt=0, le=3600)
    ] = 60.0
    send_timeout_s: Annotated[
        float, _meta("how long a client may take to read what waits to be sent to it", gt=0, le=3600)
    ] = 30.0
    max_client_connections: Annotated[
        int, _meta("connections of clients to one process; 0: as many as its open files allow, at most 10000", ge=0)
    ] = 0
    max_connections_per_address: Annotated[
        int,
        _meta("connections of one client address to one process; this machine and trusted proxies may have more", ge=1),
    ] = 1024
    metrics_port: Annotated[
        int, _meta("a port of its own for `/metrics`, where nothing else is answered; 0: none", ge=0, le=65535)
    ] = 0
    metrics_host: Annotated[str, _meta("the address that `metrics_port` listens on")] = "127.0.0.1"
    console_port: Annotated[
        int, _meta("a port of its own for the console, which `port` does not answer then; 0: none", ge=0, le=65535)
    ] = 0
    console_host: Annotated[str, _meta("the address that `console_port` listens on")] = "127.0.0.1"
    metrics_public: Annotated[
        bool,
        _meta("whether `port` answers `/metrics` to requests that a proxy passed on or that are not from this machine"),
    ] = False
    redis_url: Annotated[Secret | None, _meta("a Redis that shares rate limits between nodes: redis://…")] = None
    pool_size: Annotated[
        int,
        _meta(
            f"database connections of a process, beside {CONNECTIONS_BESIDE_POOL} for lanes, fulfilment and simulator",
            ge=1,
            le=100,
        ),
    ] = 4
    fulfilment_concurrency: Annotated[int, _meta("orders that a process delivers at the same time", ge=1, le=10000)] = (
        600
    )
    lane_waiting: Annotated[int, _meta("purchases that may wait in a process before it answers 503", ge=1)] = 8192
    paystack_secret_key: Annotated[Secret | None, _meta("the live key of Paystack, for funding wallets: sk_live_…")] = (
        None
    )
    paystack_test_secret_key: Annotated[Secret | None, _meta("its test key, for wallets of test keys: sk_test_…")] = (
        None
    )
    funding_expires_s: Annotated[int, _meta("how long a payer has to pay a funding", ge=60, le=604800)] = 3600
    prembly_api_key: Annotated[
        Secret | None, _meta("the key of Prembly, which answers NIN and BVN checks (idpass)")
    ] = None
    prembly_app_id: Annotated[str, _meta("the application id that belongs to it")] = ""
    dojah_secret_key: Annotated[
        Secret | None, _meta("the key of Dojah, which answers NIN and BVN checks (mobilsix)")
    ] = None
    dojah_app_id: Annotated[str, _meta("the application id that belongs to it")] = ""
    identity_master_key: Annotated[
        Secret | None, _meta("what identity records are sealed with, base64; else a file in the data directory")
    ] = None
    identity_retention_days: Annotated[
        int, _meta("age at which `telvend identity purge` destroys what is known of people", ge=1, le=36500)
    ] = 365
    premium_retention_days: Annotated[
        int, _meta("how long the answer to a premium is kept, so that a repeat gets it again", ge=90, le=36500)
    ] = 365
    attempt_retention_days: Annotated[
        int,
        _meta(
            "how long it is kept what providers were asked for orders that were delivered; 0: for good", ge=0, le=36500
        ),
    ] = 0
    voucher_key: Annotated[
        Secret | None, _meta("what PINs of vouchers are hashed with, base64; else a file in the data directory")
    ] = None
    payload_key: Annotated[
        Secret | None,
        _meta("what tokens and PINs of deliveries are sealed with, base64; else a file in the data directory"),
    ] = None
    webhook_key: Annotated[
        Secret | None, _meta("what secrets of webhooks are sealed with, base64; else a file in the data directory")
    ] = None
    webhook_allow_private: Annotated[
        bool, _meta("whether webhooks may be sent to private and local addresses, and by http: for one's own machine")
    ] = False
    people_key: Annotated[
        Secret | None,
        _meta("what second factors of people are sealed with, base64; else a file in the data directory"),
    ] = None
    signup: Annotated[
        str,
        _meta(
            "who may get an account in the portal: open (everybody), invite (who was given a link) or closed (nobody new)",
            pattern="^(open|invite|closed)$",
        ),
    ] = "invite"
    verify_email: Annotated[
        bool, _meta("whether a person buys with real money on a page only once the e-mail address is proven")
    ] = True
    smtp_host: Annotated[
        str,
        _meta(
            "the mail server that e-mails are sent by; without one they are kept, as files beside an embedded database"
        ),
    ] = ""
    smtp_port: Annotated[int, _meta("its port", ge=1, le=65535)] = 587
    smtp_tls: Annotated[
        str,
        _meta(
            "how the connection to it is protected: starttls, tls (from the first byte) or none",
            pattern="^(starttls|tls|none)$",
        ),
    ] = "starttls"
    smtp_user: Annotated[str, _meta("the user at the mail server; empty: without signing in")] = ""
    smtp_password: Annotated[Secret | None, _meta("the password of that user")] = None
    smtp_password_file: Annotated[str, _meta("a file that holds it instead")] = ""
    mail_from: Annotated[
        str,
        _meta(
            "what e-mails say they are from, as `Ama's Airtime <shop@example.com>`; else no-reply at the host of public_url"
        ),
    ] = ""
    delivery_wait_s: Annotated[
        float,
        _meta(
            "how long a networkdatasub purchase, and `order place`, wait for the delivery before they answer pending",
            ge=0,
            le=60,
        ),
    ] = 8.0
    pause_network_after_minutes: Annotated[
        float,
        _meta(
            "minutes without a delivery, while attempts fail, after which a network is paused by itself; 0: never",
            ge=0,
            le=1440,
        ),
    ] = 0.0
    pause_network_min_attempts: Annotated[
        int, _meta("attempts that must have failed in these minutes before a network is paused", ge=1, le=100000)
    ] = 5
    pause_network_retry_minutes: Annotated[
        float, _meta("how long a network that was paused by itself rests before some sales are tried", gt=0, le=1440)
    ] = 5.0
    pause_network_retry_sales: Annotated[
        int, _meta("sales that are tried each time, over all nodes", ge=1, le=1000)
    ] = 3
    madapi_home_country: Annotated[
        str,
        _meta(
            "whose national numbers MADAPI reads first, as GH or ZA; else Ghana's and Nigeria's",
            pattern="^([A-Z]{2})?$",
        ),
    ] = ""
    number_prefixes: Annotated[
        dict[str, tuple[str, ...]],
        _meta("prefixes of mobile numbers by country, beside those that the program knows; a table of the file"),
    ] = msgspec.field(default_factory=dict)
    madapi_literal_999: Annotated[
        bool, _meta("whether a refill that failed for no known reason has the document's status 999 instead of 500")
    ] = False
    second_person_above: Annotated[
        str | dict[str, str],
        _meta(
            "above which amount a credit, debit, refund, provisional credit or decision by hand waits for a second person: one amount,"
            " or a table by currency; empty: never"
        ),
    ] = ""
    second_person_days: Annotated[
        int, _meta("how long what waits for a second person can be confirmed", ge=1, le=90)
    ] = 7
    unreached_orders_wait_s: Annotated[
        float,
        _meta(
            "how long an order is tried that reaches no upstream, before it fails and the money goes back; 0: four attempts",
            ge=0,
            le=604800,
        ),
    ] = 3600.0
    otlp_endpoint: Annotated[
        str,
        _meta(
            "where traces of sales are sent, by OTLP over HTTP: http://127.0.0.1:4318; needs telvend[tracing]",
            pattern="^(https?://[^ ]+)?$",
        ),
    ] = ""
    drain_s: Annotated[float, _meta("how long a stopping server waits for calls to providers", ge=0, le=300)] = 10.0
    watchdog_s: Annotated[
        float, _meta("after how long without a sign of life a worker is replaced; 0: never", ge=0, le=3600)
    ] = 10.0
    timezone: Annotated[
        str, _meta("the zone in which commands show times to people, as Africa/Accra; JSON and CSV stay in UTC")
    ] = "UTC"
    provisional_credit_after_hours: Annotated[
        float,
        _meta(
            "after how many hours of an unknown outcome the shop lends the price of a live order to its wallet; 0: never",
            ge=0,
            le=8760,
        ),
    ] = 0.0
    backup_to: Annotated[
        str,
        _meta(
            "where backups go, and continuously the write-ahead log of the embedded database: a folder, or s3://bucket/prefix"
        ),
    ] = ""
    backup_recipient: Annotated[
        str, _meta("whom backups are encrypted for: a recipient of age, age1…, or several separated by commas")
    ] = ""
    backup_every_hours: Annotated[
        float, _meta("after how many hours `serve` takes the next backup into `backup_to`; 0: never", ge=0, le=8760)
    ] = 0.0
    backup_full_every_days: Annotated[
        float,
        _meta("how old a full backup may be before the next one is not incremental; 0: all are full", ge=0, le=365),
    ] = 7.0
    backup_keep: Annotated[
        int, _meta("how many backups are kept at least; 0, with backup_keep_days 0 too: all", ge=0, le=100000)
    ] = 0
    backup_keep_days: Annotated[
        int, _meta("for how many days backups are kept, whatever backup_keep says; 0: it says all", ge=0, le=36500)
    ] = 0
    backup_verify_every_hours: Annotated[
        float,
        _meta(
            "after how many hours `serve` restores and audits the newest backup beside the shop; 0: never",
            ge=0,
            le=8760,
        ),
    ] = 0.0
    backup_identity_file: Annotated[
        str, _meta("the identity file that opens backups, for verifying them; better kept on another machine")
    ] = ""
    backup_s3_endpoint: Annotated[
        str, _meta("the address of an S3-compatible store, https://…; else AWS_ENDPOINT_URL, or Amazon's")
    ] = ""
    backup_s3_region: Annotated[str, _meta("its region; else AWS_REGION")] = ""
    backup_s3_access_key_id: Annotated[str, _meta("its access key; else AWS_ACCESS_KEY_ID")] = ""
    backup_s3_secret_access_key: Annotated[
        Secret | None, _meta("the secret that belongs to it; else AWS_SECRET_ACCESS_KEY")
    ] = None
    log_level: Annotated[str, _meta("debug, info, warning or error", pattern="^(debug|info|warning|error)$")] = "info"
    log_format: Annotated[str, _meta("json, text, or auto: text on a terminal", pattern="^(auto|json|text)$")] = "auto"
    own_network: Annotated[
        bool, _meta("whether live orders go to the subscribers of our own network; false beside a real upstream")
    ] = True
    own_network_creates_subscribers: Annotated[
        bool, _meta("whether a number that our own network does not know becomes a subscriber; else it is refused")
    ] = True
    simulators: Annotated[dict[str, SimulatorSettings], _meta("pretended upstreams, by name; a table of the file")] = (
        msgspec.field(default_factory=_one_simulator)
    )
    providers: Annotated[
        dict[str, ProviderSettings], _meta("upstreams that deliver what is sold, by name; tables of the file")
    ] = msgspec.field(default_factory=dict)


OWN_NETWORK: Final = "own_network"
"""The name of the provider that delivers on the shop's own network."""

RESERVED_NAMES: Final = {
    OWN_NETWORK: "the shop's own network",
    "simulator": "the simulator",
    "personas": "what answers identity checks without an authority",
    "prembly": "an authority",
    "dojah": "an authority",
}
"""Names that no provider may have, and whose they are: they stand in the ledger as its name would."""

_PROVIDERS: Final = "providers"

SECRETS: Final = {
    "database_url": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "paystack_secret_key": ("sk_live_",),
    "paystack_test_secret_key": ("sk_test_",),
    "prembly_api_key": ("",),
    "dojah_secret_key": ("",),
    "identity_master_key": ("",),
    "voucher_key": ("",),
    "payload_key": ("",),
    "webhook_key": ("",),
    "people_key": ("",),
    "smtp_password": ("",),
    "backup_s3_secret_access_key": ("",),
}
"""The settings that are never shown, and what each may begin with."""

_IN_HEADERS: Final = frozenset(
    (
        "paystack_secret_key",
        "paystack_test_secret_key",
        "prembly_api_key",
        "prembly_app_id",
        "dojah_secret_key",
        "dojah_app_id",
    )
)
_SENDER: Final = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9.-]{1,253}", re.ASCII)
_HEADER_TEXT: Final = re.compile(r"[!-~]{1,1000}", re.ASCII)
_KEYS: Final = frozenset(("identity_master_key", "voucher_key", "payload_key", "webhook_key", "people_key"))
_MOVED_KEY: Final = re.compile(r"[0-9a-f]{16}\.[0-9]{1,6}\.", re.ASCII)
"""What stands before an identity master key that a purge has moved forward; identity/vault.py."""


NETWORKS: Final = frozenset({"trusted_proxies"})
"""The settings that are lists of addresses and networks; in the environment separated by commas, or a list as in the file."""


def default_data_dir() -> str:
    """Where data is kept when nobody says: the XDG data directory of the user."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(base, "telvend")


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and for each where its value came from: `default`, `file`, `environment` or `command line`.

    Keys of providers have origins of their own, as `providers.vt.api_key`.
    """

    settings: Settings
    origins: dict[str, str]
    file: str | None


def load(overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings. `overrides` come from the command line and win. Raises SettingsRefused."""
    environment = os.environ if environment is None else environment
    chosen = {name: value for name, value in (overrides or {}).items() if value is not None}
    named = {
        name: environment[PREFIX + name.upper()]
        for name in _NAMES
        if name != _PROVIDERS and environment.get(PREFIX + name.upper())
    }
    data_dir = str(chosen.get("data_dir") or named.get("data_dir") or "")
    _require_private(Path(data_dir or default_data_dir()).expanduser())
    file = _file(environment.get(PREFIX + "CONFIG"), data_dir or default_data_dir())
    values: dict[str, Any] = {}
    origins = dict.fromkeys(_NAMES, "default")
    tables: Any = None
    for origin, source in (("file", _read(file)), ("environment", named), ("command line", chosen)):
        if origin == "file":
            tables = source.pop(_PROVIDERS, None)
            secret = holds_secrets(tables) or any(source.get(name) for name in SECRETS)
            if file is not None:
                _require_private_file(file, holds_secrets=secret)
        for name, value in source.items():
            if name not in _NAMES:
                raise SettingsRefused(f"{file}: there is no setting {name!r}; `telvend settings` lists them.")
            values[name] = _convert(name, value, origin)
            origins[name] = origin
    values.setdefault("data_dir", default_data_dir())
    if not values["data_dir"]:
        values["data_dir"] = default_data_dir()
    values["data_dir"] = os.path.abspath(os.path.expanduser(values["data_dir"]))
    if values.get("database_url") is None:
        _follow_move(values, origins)
    if _PROVIDERS not in chosen:
        folder = Path(os.path.abspath(file.parent if file else values["data_dir"]))
        values[_PROVIDERS] = _providers(tables, environment, folder, origins)
    settings = Settings(**values)
    _require_own_names(settings)
    return Loaded(settings, origins, str(file) if file else None)


def _follow_move(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Take the database that the shop of this data directory was moved to (`telvend database move`), where no other is named."""
    data_dir = Path(values["data_dir"])
    try:
        moved = read_moved(data_dir)
    except ValueError as error:
        raise SettingsRefused(f"{error}, and says which database this shop was moved to.") from None
    if moved is None:
        return
    if (refusal := reachable_secret_refusal(data_dir / MOVED, "The file")) is not None:
        raise SettingsRefused(f"{refusal}.")
    values["database_url"], origins["database_url"] = Secret(moved.url), MOVED


def _providers(
    in_file: Any, environment: Mapping[str, str], folder: Path, origins: dict[str, str]
) -> dict[str, ProviderSettings]:
    """Read the tables of providers, and note where their keys came from. Raises SettingsRefused with every problem."""
    found = read_tables(in_file, environment, folder)
    if found.problems:
        text = "; ".join(found.problems)
        raise SettingsRefused(f"{text}.")
    places = sorted(set(found.origins.values()), reverse=True)
    origins[_PROVIDERS] = " and ".join(places) or "default"
    origins |= {f"{_PROVIDERS}.{key}": origin for key, origin in found.origins.items()}
    return found.tables


def _require_own_names(settings: Settings) -> None:
    """Refuse a provider that is called as something else that delivers: attempts and the ledger would take it for that."""
    for name in settings.providers:
        if name in settings.simulators:
            raise SettingsRefused(f"providers.{name}: there is a simulator {name}; call one of them differently.")
        if name in RESERVED_NAMES:
            raise SettingsRefused(f"providers.{name}: this is the name of {RESERVED_NAMES[name]}; choose another.")


def _require_private(data_dir: Path) -> None:
    """Refuse a data directory that others may write to, and secrets in it that others may read."""
    refusal = folder_refusal(data_dir, "The data directory") or secret_refusal(
        data_dir / "secret", "The folder of keys and passwords"
    )
    if refusal is not None:
        raise SettingsRefused(refusal + ".")


def _require_private_file(file: Path, *, holds_secrets: bool) -> None:
    check = reachable_secret_refusal if holds_secrets else write_refusal
    refusal = check(file, "The settings file")
    if refusal is not None:
        raise SettingsRefused(refusal + ".")


def _file(named: str | None, data_dir: str) -> Path | None:
    if named:
        path = Path(named)
        if not path.is_file():
            raise SettingsRefused(f"TELVEND_CONFIG names {named}, which is not a file.")
        return path
    path = Path(data_dir).expanduser() / "telvend.toml"
    try:
        return path if path.is_file() else None
    except PermissionError as error:
        raise SettingsRefused(f"The data directory {data_dir} may not be entered by this user.") from error


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text("utf-8")
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsRefused(f"{file} cannot be read: {error}.") from None
    if "second_person_above" in values:  # Amounts as they are written: a float may have been rounded.
        values["second_person_above"] = tomllib.loads(text, parse_float=str)["second_person_above"]
    return values


_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}
_NAMES: Final = tuple(_FIELDS)


def _convert(name: str, value: Any, origin: str) -> Any:
    where = PREFIX + name.upper() if origin == "environment" else f"{name} ({origin})"
    if name in SECRETS:
        secret = value if isinstance(value, Secret) or value is None else Secret(str(value))
        if secret is not None and not secret.reveal().startswith(SECRETS[name]):
            # The value itself may hold a password, and is not repeated.
            raise SettingsRefused(f"{where} must begin with {' or '.join(SECRETS[name])}.")
        if secret is not None and (refusal := _refusal(name, secret.reveal())) is not None:
            raise SettingsRefused(f"{where} {refusal}.")
        return secret
    if name in _IN_HEADERS and value and (refusal := _refusal(name, str(value))) is not None:
        raise SettingsRefused(f"{where} {refusal}.")
    if name == "mail_from" and value and not _is_sender(str(value)):
        raise SettingsRefused(
            f"{where} is {value!r}: no e-mail address, such as shop@example.com or Shop <shop@example.com>."
        )
    if name == "timezone" and not _is_zone(value):
        raise SettingsRefused(f"{where} is {value!r}: no zone that is known here, such as Africa/Accra.")
    try:
        if origin == "environment" and name == "simulators":
            value = tomllib.loads(f"value = {value}")["value"]
        if origin == "environment" and name == "number_prefixes":
            text = str(value).strip()
            value = tomllib.loads(f"value = {text}")["value"] if text.startswith("{") else tomllib.loads(text)
        if name == "second_person_above":
            if origin == "environment":
                value = str(value).strip()
                if value.startswith("{"):
                    value = tomllib.loads(f"value = {value}", parse_float=str)["value"]
                elif "=" in value:
                    value = tomllib.loads(value, parse_float=str)
            value = written(value)
        if name in NETWORKS:
            value = _networks(value, origin)
        converted = msgspec.convert(value, _FIELDS[name].type, strict=origin != "environment")
        if name == "number_prefixes":
            validate_prefixes(converted)
    except (NotANetwork, NotAPrefix, NotALimit) as error:
        raise SettingsRefused(f"{where}: {error}.") from None
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, UnicodeEncodeError) as error:
        raise SettingsRefused(f"{where} is {value!r}: {error}.") from None
    return converted


def _is_sender(text: str) -> bool:
    address = text.rpartition("<")[2].removesuffix(">") if text.endswith(">") else text
    return text.isprintable() and _SENDER.fullmatch(address) is not None


def _is_zone(name: Any) -> bool:
    try:
        return isinstance(name, str) and bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _networks(value: Any, origin: str) -> Any:
    """The list, each entry in its one spelling. Raises NotANetwork."""
    if origin == "environment":
        text = str(value).strip()
        value = tomllib.loads(f"value = {text}")["value"] if text.startswith("[") else text.split(",")
        value = [part for part in value if not isinstance(part, str) or part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        return value  # What it should be is said by its type.
    networks = [parse_network(part) for part in value]
    return [str(network.network_address if network.num_addresses == 1 else network) for network in networks]


def _refusal(name: str, text: str) -> str | None:
    """Why a text cannot be this setting, without repeating it; None where it can."""
    if not text.strip():
        return "is empty"
    if name in _IN_HEADERS:
        return None if _HEADER_TEXT.fullmatch(text) else "must be printable ASCII without blanks and line ends"
    if name in _KEYS:
        words = text.replace(",", " ").split()
        if name == "identity_master_key":
            words = [_MOVED_KEY.sub("", word, count=1) if _MOVED_KEY.match(word) else word for word in words]
        refusal = next(filter(None, map(key_refusal, words)), None)
        return refusal and f"holds something that {refusal}: no key"
    return None if text.isprintable() and " " not in text else "must not hold blanks, line ends or control characters"


def described() -> dict[str, str]:
    """Each setting's name and its sentence."""
    texts = {}
    for name, field in _FIELDS.items():
        meta = field.type.__metadata__[0] if hasattr(field.type, "__metadata__") else None
        texts[name] = (meta.description or "") if meta else ""
    return texts
