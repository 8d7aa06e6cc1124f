"""`[providers.NAME]`: the tables of the upstreams that deliver, from the settings file and from the environment.

    [providers.vt]                          TELVEND_PROVIDERS__VT__CONNECTOR=vtpass
    connector = "vtpass"                    TELVEND_PROVIDERS__VT='{ connector = "vtpass", api_key_file = "vt.key" }'
    api_key_file = "vt.key"                 TELVEND_PROVIDERS='{ vt = { connector = "vtpass", api_key_file = "vt.key" } }'

The more exact variable wins: `TELVEND_PROVIDERS` takes the place of all tables of the file, `TELVEND_PROVIDERS__VT` that of one
table, `TELVEND_PROVIDERS__VT__API_KEY` that of one key. In a variable's name a provider's hyphens are underscores, and case
does not matter. No sentence repeats a secret, an address or a file's content.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from telvend.kit.permissions import reachable_secret_refusal
from telvend.kit.secret import Secret

VARIABLE: Final = "TELVEND_PROVIDERS"
FILE_SUFFIX: Final = "_file"
"""Behind the name of a secret key: the file that holds it."""

PROVIDER_NAME: Final = re.compile(r"(?=.{1,32}\Z)[a-z](?:[_-]?[a-z0-9])*", re.ASCII)
"""What a provider may be called. It stands on attempts, in ledger accounts, in metrics and in names of variables."""

NAME_FORM: Final = (
    "a provider's name begins with a small letter and goes on with small letters and digits, at most 32, with single hyphens"
    " or underscores between them"
)

_SECRET_TEXT: Final = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?", re.ASCII)
_NETWORK: Final = re.compile(r"[A-Z]{2}/[^/\s](?:[^/]{0,62}[^/\s])?", re.ASCII)
_LARGEST_FILE_BYTES: Final = 65536
_URLS: Final = frozenset({"base_url", "token_url"})


def _meta(text: str, **limits: Any) -> Any:
    return msgspec.Meta(description=text, **limits)


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[providers.NAME]`: an upstream that delivers. Which keys a connector needs, it says itself."""

    connector: Annotated[str, _meta("whose API it is: the name of a connector")]
    base_url: Annotated[str, _meta("where the API is; empty: where the vendor has it")] = ""
    api_key: Annotated[Secret | None, _meta("the vendor's API key")] = None
    api_secret: Annotated[Secret | None, _meta("what belongs to `api_key` where the vendor gives two")] = None
    public_key: Annotated[Secret | None, _meta("the public key of an account that has one for reading")] = None
    secret_key: Annotated[Secret | None, _meta("the secret key that belongs to it, for buying")] = None
    client_id: Annotated[Secret | None, _meta("the client of an API with OAuth")] = None
    client_secret: Annotated[Secret | None, _meta("the secret of that client")] = None
    callback_secret: Annotated[
        Secret | None,
        _meta("what proves that a callback is the vendor's: the secret in its address, or of its signature"),
    ] = None
    token_url: Annotated[str, _meta("where tokens of OAuth are, where that is not the vendor's own address")] = ""
    audience: Annotated[str, _meta("whom a token of OAuth is asked for, where that is not `base_url`")] = ""
    file: Annotated[str, _meta('the description of an upstream with `connector = "http"`')] = ""
    live: Annotated[bool, _meta("whether it delivers live orders")] = True
    test: Annotated[bool, _meta("whether it delivers for test keys, at a vendor's sandbox; needs `live = false`")] = (
        False
    )
    priority: Annotated[int, _meta("the lower one is asked first", ge=-1000000, le=1000000)] = 100
    concurrency: Annotated[int, _meta("calls at once, from one process", ge=1, le=10000)] = 64
    rate_per_s: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=100000)] | None,
        _meta("calls a second, from one process; unset: what the vendor allows"),
    ] = None
    timeout_s: Annotated[float, _meta("how long a request may take; after it the outcome is unknown", gt=0, le=300)] = (
        30.0
    )
    networks: Annotated[
        tuple[str, ...], _meta("the networks that it is asked for, as `NG/MTN`; empty: all that it serves")
    ] = ()
    caller_reference: Annotated[
        bool, _meta("whether the far side honours our reference: for `networkdatasub`, where another Telvend answers")
    ] = False
    low_float: Annotated[str, _meta("the float below which the operator is warned: an amount of its currency")] = ""


_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(ProviderSettings)}
SECRET_KEYS: Final = tuple(name for name, found in _FIELDS.items() if "Secret" in str(found.type))
"""The keys that are never shown. Each may stand in a file of its own instead: `api_key_file`."""

_KNOWN: Final = (*_FIELDS, *(name + FILE_SUFFIX for name in SECRET_KEYS))


@dataclass(slots=True)
class ProviderTables:
    """The providers, where each key came from (`vt.api_key`: `file` or `environment`), and every problem as a clause."""

    tables: dict[str, ProviderSettings] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Given:
    """A key's value as it was given, and how sentences call its place."""

    value: Any
    where: str
    origin: str


_Raw = dict[str, dict[str, _Given]]


def described() -> dict[str, str]:
    """Return each key of a table and its sentence."""
    return {name: found.type.__metadata__[0].description or "" for name, found in _FIELDS.items()}


def defaults() -> dict[str, Any]:
    """Return each key's default; a key without one is missing."""
    return {name: found.default for name, found in _FIELDS.items() if found.default is not msgspec.NODEFAULT}


def variable_of(name: str, key: str = "") -> str:
    """Return the variable of a provider's table, or of one key of it."""
    return "__".join(filter(None, (VARIABLE, name.replace("-", "_").upper(), key.upper())))


def holds_secrets(tables: Any) -> bool:
    """Whether the tables of a settings file, as they were read, have a secret in them."""
    if not isinstance(tables, dict):
        return False
    return any(isinstance(table, dict) and any(table.get(key) for key in SECRET_KEYS) for table in tables.values())


def read_tables(in_file: Any, environment: Mapping[str, str], folder: Path) -> ProviderTables:
    """Read every provider's table. `folder`: where relative files are, which is where the settings file is.

    Does not raise: what is wrong stands in `problems`.
    """
    found = ProviderTables()
    raw = _of_file(in_file, found.problems)
    _overlay(raw, environment, found.problems)
    spelt: dict[str, str] = {}
    for name in sorted(raw):
        if not PROVIDER_NAME.fullmatch(name):
            found.problems.append(f"{_place(name, raw[name])}: {NAME_FORM}")
            continue
        other = spelt.setdefault(variable_of(name), name)
        if other != name:
            found.problems.append(f"providers.{name}: {other} has the same name but for hyphens; call one differently")
        table = _converted(name, raw[name], folder, found.problems)
        if table is not None:
            found.tables[name] = table
            found.origins |= {f"{name}.{key.removesuffix(FILE_SUFFIX)}": x.origin for key, x in raw[name].items()}
    return found


def _of_file(tables: Any, problems: list[str]) -> _Raw:
    if tables is None:
        return {}
    if not isinstance(tables, dict):
        problems.append("providers (file) must be tables: [providers.NAME]")
        return {}
    return {
        name: given
        for name, table in tables.items()
        if (given := _table(table, f"providers.{_word(name)}", "file", problems)) is not None
    }


def _table(table: Any, where: str, origin: str, problems: list[str]) -> dict[str, _Given] | None:
    if not isinstance(table, dict):
        problems.append(f"{where} must be a table with the key `connector`")
        return None
    if origin == "file":
        return {key: _Given(value, f"{where}.{_word(key)} (file)", origin) for key, value in table.items()}
    point = " " if where.endswith(":") else "."
    return {key: _Given(value, f"{where}{point}{_word(key)}", origin) for key, value in table.items()}


def _place(name: str, table: dict[str, _Given]) -> str:
    given = next(iter(table.values()), None)
    return f"providers.{_word(name)}" if given is None else given.where.removesuffix(" (file)")


def _word(text: str) -> str:
    """A name or key for a sentence: as it is, or in quotes where it is more than a word."""
    return text if re.fullmatch(r"[\w.-]+", text) else repr(text)


def _overlay(raw: _Raw, environment: Mapping[str, str], problems: list[str]) -> None:
    """Put what the environment says over what the file says."""
    if environment.get(VARIABLE):
        whole = _inline(environment[VARIABLE])
        if not isinstance(whole, dict):
            problems.append(f'{VARIABLE} must be tables in TOML\'s inline form: {{ vt = {{ connector = "vtpass" }} }}')
        else:
            raw.clear()
            for name, table in whole.items():
                given = _table(table, f"{VARIABLE}: {_word(name)}", "environment", problems)
                if given is not None:
                    raw[name] = given
    seen: dict[tuple[str, str], str] = {}
    # A whole table comes before the keys that are put into it.
    for depth in (1, 2):
        for variable, words in _variables(environment):
            if len(words) != depth:
                continue
            name, key = _name_for(raw, words[0]), words[1] if depth == 2 else ""
            other = seen.setdefault((name, key), variable)
            if other != variable:
                problems.append(f"{variable} and {other} say the same thing twice")
            elif key:
                _put(raw.setdefault(name, {}), key, _Given(environment[variable], variable, "environment"))
            else:
                table = _inline(environment[variable])
                given = _table(table, f"{variable}:", "environment", problems)
                if given is not None:
                    raw[name] = given
    problems += [
        f"{variable} names no key of a provider: {VARIABLE}__NAME__KEY"
        for variable, words in _variables(environment)
        if len(words) > 2 or not all(words)
    ]


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the variables that are about one provider, with the words after the prefix, in small letters."""
    prefix = VARIABLE + "__"
    for variable in sorted(environment):
        if variable.startswith(prefix) and environment[variable]:
            yield variable, variable.removeprefix(prefix).lower().split("__")


def _name_for(raw: _Raw, word: str) -> str:
    """Return the provider that a variable means: one that there is, else a new one."""
    return next((name for name in sorted(raw) if name.lower().replace("-", "_") == word.replace("-", "_")), word)


def _put(table: dict[str, _Given], key: str, given: _Given) -> None:
    """A secret and its file exclude each other; the one that is given later counts."""
    if key.removesuffix(FILE_SUFFIX) in SECRET_KEYS:
        for sibling in (key.removesuffix(FILE_SUFFIX), key.removesuffix(FILE_SUFFIX) + FILE_SUFFIX):
            if sibling in table and table[sibling].origin != given.origin:
                del table[sibling]
    table[key] = given


def _inline(text: str) -> Any:
    """The value that a text is in TOML; None where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return parsed["value"] if len(parsed) == 1 else None


def _converted(name: str, given: dict[str, _Given], folder: Path, problems: list[str]) -> ProviderSettings | None:
    """Return one table; None where something is wrong with it, which is then among the problems."""
    before = len(problems)
    values: dict[str, Any] = {}
    for key, one in given.items():
        if key not in _KNOWN:
            near = difflib.get_close_matches(key, _KNOWN, 1)
            meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_KNOWN)}"
            problems.append(f"{one.where} is not a key of a provider{meant}")
            continue
        try:
            values[key] = _value(key, one, folder)
        except ValueError as error:
            problems.append(f"{one.where} {error}")
    problems += [
        f"{given[secret].where}: {secret} and {secret}{FILE_SUFFIX} are both given; keep one"
        for secret in SECRET_KEYS
        if secret in given and secret + FILE_SUFFIX in given
    ]
    if "connector" not in given:
        problems.append(f"providers.{name}: the key `connector` is missing, which says whose API it is")
    if len(problems) > before:
        return None
    table = ProviderSettings(
        **{key if key in _FIELDS else key.removesuffix(FILE_SUFFIX): v for key, v in values.items()}
    )
    if table.live and table.test:
        problems.append(
            f"providers.{name}: test = true needs live = false, else test keys would buy for real; a sandbox has its own table"
        )
        return None
    return table


def _value(key: str, given: _Given, folder: Path) -> Any:
    """Return what a key's value means. Raises ValueError with what follows the key in a sentence."""
    value = given.value
    if key not in _FIELDS:
        return _secret_of_file(_text(value), folder)
    if key in SECRET_KEYS:
        return _secret(value.reveal() if isinstance(value, Secret) else _text(value))
    if key in _URLS:
        return _url(_text(value))
    if key == "file":
        return str(folder / Path(_text(value)).expanduser()) if _text(value) else ""
    if key == "networks":
        return _networks(value, given.origin)
    if key == "connector" and not _text(value).strip():
        raise ValueError("is empty")
    try:
        # Variables are text; their inline tables are typed as in the file.
        strict = given.origin == "file" or not isinstance(value, str)
        return msgspec.convert(value, _FIELDS[key].type, strict=strict)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ValueError(f"is {value!r}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")  # noqa: TRY004 - like every other value that cannot be
    return value


def _secret(text: str) -> Secret:
    if not text.strip():
        raise ValueError("is empty")
    if not _SECRET_TEXT.fullmatch(text):
        raise ValueError("must be printable ASCII, without line ends and without blanks at either end")
    return Secret(text)


def _secret_of_file(name: str, folder: Path) -> Secret:
    if not name:
        raise ValueError("is empty")
    try:
        path = folder / Path(name).expanduser()
        if not path.is_file():
            raise ValueError(f"names {path}, which is not a file")
        if (refusal := reachable_secret_refusal(path, "the file")) is not None:
            raise ValueError(f"cannot be used: {refusal}")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"names a file that cannot be read: {type(error).__name__}") from None
    try:
        return _secret(content.decode("ascii").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise ValueError("names a file that does not hold printable ASCII") from None
    except ValueError as error:
        raise ValueError(f"names a file whose content {error}") from None


def _url(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        whole = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        whole = False
    if not whole or not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise ValueError("must be an address that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; the keys of the table are for these")
    if parts.query or parts.fragment:
        raise ValueError("must not hold ? or #")
    return text


def _networks(value: Any, origin: str) -> tuple[str, ...]:
    if origin == "environment" and isinstance(value, str):
        value = _inline(value) if value.strip().startswith("[") else [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise ValueError('must be a list of networks: ["NG/MTN", "GH/Telecel"]')
    parts = tuple(part.strip() for part in value)
    for part in parts:
        if not _NETWORK.fullmatch(part):
            raise ValueError(f"has {part!r}; a network is its country and its code: NG/MTN")
    return parts


def default_text(value: Any) -> str:
    """Return a default as it stands in a settings file; empty where a key is unset."""
    if value is None or value == "" or value == ():
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(settings: ProviderSettings) -> dict[str, Any]:
    """Return the keys that differ from their defaults, as people may see them: secrets are stars."""
    before = defaults()
    values: dict[str, Any] = {}
    for key in _FIELDS:
        value = getattr(settings, key)
        if key in before and value == before[key]:
            continue
        values[key] = "********" if key in SECRET_KEYS else ", ".join(value) if isinstance(value, tuple) else value
    return values
