"""Reads a description, and explains everything that is wrong with it, each mistake with its line.

examined = examine(Path("upstreams/wazodata.toml"))
examined.problems           # [SettingsProblem("wazodata.toml:14 answer.statuses.failed", "…; write …")]
examined.description        # None where there are problems
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from telvend.catalog.kinds import KINDS
from telvend.catalog.model import CURRENCY_BY_COUNTRY
from telvend.kit.money import CURRENCIES, Currency
from telvend.providers.contract import Reason
from telvend.providers.described import lines
from telvend.providers.described.keys import (
    OUTCOMES,
    REASONS,
    SOLD,
    TABLES,
    Form,
    Key,
    below,
    table_of,
)
from telvend.providers.described.model import (
    MAY_HAVE_DELIVERED,
    Balance,
    Body,
    Description,
    Ending,
    Leaf,
    Purchase,
    Reading,
    ReferenceRule,
    Requery,
    Request,
    Steps,
    Verdict,
    steps_of,
    word_of,
)
from telvend.providers.described.rules import judge, table_at
from telvend.providers.described.templates import Template, TemplateRefused, parse, templates_of
from telvend.providers.requirements import is_address
from telvend.providers.upstream import CallbackForm, SettingsProblem

LARGEST_BYTES: Final = 256 * 1024

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_TEXT: Final = re.compile(r"[ -~]{0,4000}", re.ASCII)
_NOT_YOURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "cookie"})
_SECRET_HEADERS: Final = re.compile(r"auth|token|key|secret|password", re.IGNORECASE)
_LONGEST_OPEN_LITERAL: Final = 12
_TIME_OUT_KEYS: Final = re.compile(r"time_?-?out|no_?-?answer|no_?-?response", re.IGNORECASE)
_WILD_KEYS: Final = frozenset({"*", "default", "otherwise", "else", "other", "any", "_"})


@dataclass(slots=True)
class Examined:
    """A file as it was read. `warnings` do not keep it from selling."""

    name: str
    description: Description | None = None
    problems: list[SettingsProblem] = field(default_factory=list)
    warnings: list[SettingsProblem] = field(default_factory=list)


def examine(path: Path) -> Examined:
    """Read a file. Does not raise: what is wrong stands in `problems`."""
    found = Examined(path.name)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ValueError(f"is larger than {LARGEST_BYTES // 1024} KiB")
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        found.problems.append(SettingsProblem(path.name, "is not text in UTF-8"))
        return found
    except OSError as error:
        found.problems.append(SettingsProblem(path.name, f"cannot be read: {error.strerror or type(error).__name__}"))
        return found
    except ValueError as error:
        found.problems.append(SettingsProblem(path.name, str(error)))
        return found
    return read(text, path.name)


def read(text: str, name: str) -> Examined:
    """Read the text of a description; `name` is the file's, for the problems. Does not raise."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError, ArithmeticError) as error:
        line = lines.syntax_line(error) if isinstance(error, tomllib.TOMLDecodeError) else 0
        where = f"{name}:{line or len(text.splitlines()) or 1}"
        return Examined(name, problems=[SettingsProblem(where, f"is no TOML: {error}")])
    return read_document(name, document, lines.index(text))


def read_document(name: str, document: dict[str, Any], index: Mapping[lines.Path, int]) -> Examined:
    """Read what tomllib has made of a description; `index` says where its keys stand. Does not raise."""
    return _Reader(name, document, index).whole()


class Place:
    """Collects problems and warnings about keys, each with its line in the file."""

    def __init__(self, name: str, index: Mapping[lines.Path, int]) -> None:
        self._name = name
        self._index = index
        self.problems: list[tuple[int, SettingsProblem]] = []
        self.warnings: list[tuple[int, SettingsProblem]] = []

    def add(self, path: lines.Path, text: str) -> None:
        """Note a mistake at a key; of one that is missing, at the table where it belongs."""
        self.problems.append(self._problem(path, text))

    def warn(self, path: lines.Path, text: str) -> None:
        self.warnings.append(self._problem(path, text))

    def _problem(self, path: lines.Path, text: str) -> tuple[int, SettingsProblem]:
        line = next((self._index[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._index), 1)
        return line, SettingsProblem(f"{self._name}:{line} {spelt(path)}".rstrip(), text)


def spelt(path: lines.Path) -> str:
    """Return a path as TOML writes it: `answer.statuses."not found"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{word}" if text else word
    return text


class _Reader:
    def __init__(self, name: str, document: dict[str, Any], index: Mapping[lines.Path, int]) -> None:
        self._name = name
        self._document = document
        self._place = Place(name, index)

    def whole(self) -> Examined:
        self._keys((), self._document)
        for table in TABLES:
            if table.needed and "." not in table.name and table.name not in self._document:
                self._place.add((table.name,), f"is missing: {table.text}")
        # Mistakes of form come before those of meaning: a value of a wrong type means nothing.
        description = self._description()
        found = Examined(self._name)
        if description is not None:
            judge(description, self._document, self._place)
        found.problems = [problem for _, problem in sorted(self._place.problems, key=lambda one: one[0])]
        found.warnings = [problem for _, problem in sorted(self._place.warnings, key=lambda one: one[0])]
        found.description = description if not found.problems else None
        return found

    # Keys and types -------------------------------------------------------------------------------------------------------

    def _keys(self, path: lines.Path, table: Mapping[str, Any]) -> None:
        """Look for keys that there are not, and tables that are something else."""
        known = table_of(path)
        if known is not None and known.free:
            return
        inner = below(path)
        names = {key.name: key for key in known.keys} if known is not None else {}
        for word, value in table.items():
            here = (*path, word)
            if word in names:
                self._form(here, names[word], value)
            elif "KIND" in inner or word in inner:
                if "KIND" in inner and word not in SOLD:
                    self._place.add(here, _no_kind(word))
                elif not isinstance(value, dict):
                    self._place.add(here, f"must be a table: [{spelt(here)}]")
                else:
                    self._keys(here, value)
            else:
                self._place.add(here, _unknown(word, [*names, *(name for name in inner if name != "KIND")]))
        for key in names.values():
            if key.needed and key.name not in table:
                self._place.add((*path, key.name), f"is missing: {key.text}")

    def _form(self, path: lines.Path, key: Key, value: Any) -> None:
        """Check the type and the bounds of one value."""
        wanted = _wanted(key, value)
        if wanted:
            self._place.add(path, wanted)
        elif key.form is Form.PATH:
            try:
                steps_of(value)
            except ValueError as error:
                self._place.add(path, str(error))

    def _table(self, *path: str) -> Mapping[str, Any]:
        return table_at(self._document, *path)

    def _value(self, path: tuple[str, ...], name: str) -> Any:
        """Return the value of a key where it has its form, else the default."""
        key = _key_of(path, name)
        value = self._table(*path).get(name)
        return key.default if value is None or _wanted(key, value) else value

    def _steps(self, path: tuple[str, ...], name: str) -> Steps | None:
        value = self._value(path, name)
        try:
            return None if value is None else steps_of(value)
        except ValueError:
            return None

    # The parts ------------------------------------------------------------------------------------------------------------

    def _description(self) -> Description | None:
        country, currency = self._market()
        purchases = {
            kind: Purchase(self._request("purchase", kind), self._template(("purchase", kind), "product"))
            for kind in self._table("purchase")
            if kind in SOLD and self._table("purchase", kind)
        }
        if not purchases:
            kinds = " or ".join(f"[purchase.{kind}]" for kind in SOLD)
            self._place.add(("purchase",), f"has nothing that it sells; write {kinds}")
        headers = self._headers("headers")
        answer = self._reading(("answer",))
        requery = self._requery(answer)
        description = Description(
            title=self._value(("upstream",), "title") or "",
            country=country,
            currency=currency or next(iter(CURRENCIES.values())),
            base_url=self._base_url(),
            timeout_s=float(self._value(("upstream",), "timeout_s")),
            repeat_guard_s=float(self._value(("upstream",), "repeat_guard_s")),
            concurrency=self._value(("upstream",), "concurrency"),
            rate_per_s=None if (rate := self._value(("upstream",), "rate_per_s")) is None else float(rate),
            networks=self._words("networks"),
            products=self._words("products", fold=False),
            reference=self._reference(),
            headers=headers,
            purchases=purchases,
            answer=answer,
            http=self._http(),
            requery=requery,
            balance=(balance := self._balance()),
            callback=self._callback(),
            secrets=frozenset(_secrets(headers, purchases, requery, balance)),
        )
        return None if currency is None or not purchases or "requery" not in self._document else description

    def _market(self) -> tuple[str, Currency | None]:
        country = self._value(("upstream",), "country")
        if country is None:
            return "", None
        if country not in CURRENCY_BY_COUNTRY:
            self._place.add(
                ("upstream", "country"), f"is {country!r}; the catalogue has {', '.join(CURRENCY_BY_COUNTRY)}"
            )
            return country, None
        sold_in = CURRENCY_BY_COUNTRY[country]
        code = self._value(("upstream",), "currency")
        if code is not None and code != sold_in.code:
            self._place.add(
                ("upstream", "currency"), f"is {code!r}, and {country} is sold in {sold_in}; write {sold_in}"
            )
        return country, sold_in

    def _base_url(self) -> str:
        text = self._value(("upstream",), "base_url")
        if text is None:
            return ""
        if not is_address(text):
            self._place.add(("upstream", "base_url"), "must be an address such as https://api.example.com/v1")
            return ""
        return str(text).rstrip("/")

    def _words(self, name: str, *, fold: bool = True) -> dict[str, str]:
        """A table of our words and theirs. Numbers are taken as they are written."""
        found: dict[str, str] = {}
        table = self._table(name)
        if not table and name == "networks" and name in self._document:
            self._place.add((name,), 'names none; write lines such as mtn = "MTN"')
        for ours, value in table.items():
            theirs = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
            if not isinstance(theirs, str) or not theirs.strip() or not theirs.isprintable():
                self._place.add((name, ours), "must be a text in quotes: what the upstream calls it")
                continue
            if fold and ours.casefold() in map(str.casefold, found):
                self._place.add((name, ours), "stands here twice, but for capitals; keep one")
            found[ours] = theirs
        return found

    def _reference(self) -> ReferenceRule:
        def of(name: str) -> Any:
            return self._value(("reference",), name)

        rule = ReferenceRule(of("sent"), of("is_key"), of("characters"), of("max_length"), of("prefix"))
        if rule.sent and (fault := rule.fault) is not None:
            self._place.add(
                ("reference", "prefix" if "begins" in fault or "has a prefix" in fault else "max_length"), fault
            )
        return rule

    def _template(self, path: tuple[str, ...], name: str) -> Template | None:
        value = self._table(*path).get(name)
        return None if not isinstance(value, str) else self._parsed((*path, name), value)

    def _parsed(self, path: lines.Path, text: str, *, typed: bool = False) -> Template | None:
        try:
            return parse(text, typed=typed)
        except TemplateRefused as error:
            self._place.add(path, str(error))
            return None

    def _headers(self, *path: str) -> dict[str, Template]:
        found: dict[str, Template] = {}
        for name, value in self._table(*path).items():
            here = (*path, name)
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _NOT_YOURS:
                self._place.add(here, "is no header that a description may set; take it out")
            elif not isinstance(value, str) or not _HEADER_TEXT.fullmatch(value):
                self._place.add(here, "must be a text of printable ASCII in quotes")
            elif (template := self._parsed(here, value)) is not None:
                found[name] = template
                if (
                    _SECRET_HEADERS.search(name)
                    and not template.secrets
                    and any(len(word) > _LONGEST_OPEN_LITERAL for word in template.literal.split())
                ):
                    self._place.warn(
                        here,
                        "looks like a secret that stands in the file; put it into the settings and write {api_key}",
                    )
        return found

    def _request(self, *path: str) -> Request:
        encoding = self._value(path, "encoding")
        url = self._template(path, "url") or Template(())
        body = self._body((*path, "body"), self._table(*path, "body"), encoding)
        method = self._value(path, "method")
        if path in self._paths() and encoding != "query" and method == "GET" and body:
            self._place.add((*path, "encoding"), 'is not "query", and a GET has no body; write encoding = "query"')
        if url.parts and not str(url.parts[0] if isinstance(url.parts[0], str) else "").startswith("/"):
            self._place.add((*path, "url"), 'must begin with a slash: it comes behind base_url ("/data/")')
        if "#" in url.literal or not re.fullmatch(r"[!-~]*", url.literal, re.ASCII):
            self._place.add((*path, "url"), "must be printable ASCII without blanks and #")
        return Request(method, url, encoding, self._headers(*path, "headers"), body)

    def _paths(self) -> set[tuple[str, ...]]:
        return {("requery",), ("balance",), *(("purchase", kind) for kind in SOLD)}

    def _body(self, path: tuple[str, ...], table: Mapping[str, Any], encoding: str) -> Body:
        found: dict[str, Leaf] = {}
        for name, value in table.items():
            if (leaf := self._leaf((*path, name), value, encoding)) is not None:
                found[name] = leaf
        return found

    def _leaf(self, path: lines.Path, value: Any, encoding: str) -> Leaf:
        match value:
            case str():
                return self._parsed(path, value, typed=encoding == "json")
            case bool() | int():
                return value if encoding == "json" else str(value).lower()
            case Decimal() if value.is_finite():
                return value if encoding == "json" else str(value)
            case dict() | list() if encoding != "json":
                self._place.add(path, f"is a table or an array, which {encoding} has not; write texts only")
            case dict():
                return {name: self._leaf((*path, name), inner, encoding) for name, inner in value.items()}
            case list():
                return [self._leaf((*path, at), inner, encoding) for at, inner in enumerate(value)]
            case _:
                self._place.add(path, "is no value of JSON; write a text in quotes")
        return None

    def _reading(self, path: tuple[str, ...]) -> Reading:
        return Reading(
            status=self._steps(path, "status") or (),
            statuses=self._verdicts((*path, "statuses"), errors=False),
            reference=self._steps(path, "reference"),
            our_reference=self._steps(path, "our_reference"),
            phone=self._steps(path, "phone"),
            cost=self._steps(path, "cost"),
            cost_format=self._value(path, "cost_format"),
            error=self._steps(path, "error"),
            errors=self._verdicts((*path, "errors"), errors=True),
            no_error=frozenset(filter(None, map(word_of, self._value(path, "no_error") or ()))),
            text=self._steps(path, "text"),
        )

    def _verdicts(self, path: tuple[str, ...], *, errors: bool) -> dict[str, Verdict]:
        found: dict[str, Verdict] = {}
        first: dict[str, str] = {}
        for word, value in self._table(*path).items():
            here = (*path, word)
            if word.strip().casefold() in _WILD_KEYS:
                self._place.add(here, "would stand for every value; what is not mapped is unknown: take it out")
                continue
            verdict = self._verdict(here, value, errors=errors)
            key = word.strip().casefold()
            if key in first:
                self._place.add(
                    here, f"is mapped twice: {first[key]!r} is the same value, case does not count; keep one"
                )
            elif verdict is not None:
                first[key] = word
                found[key] = verdict
        return found

    def _verdict(self, path: lines.Path, value: Any, *, errors: bool) -> Verdict | None:
        text = value if isinstance(value, str) else ""
        ending, colon, reason = (part.strip() for part in text.partition(":"))
        allowed = [one for one in OUTCOMES if errors is (one in ("not_sent",)) or one in ("refused", "unknown")]
        if not errors:
            allowed = [one for one in OUTCOMES if one != "not_sent"]
        if ending not in allowed or (colon and ending != "refused"):
            self._place.add(path, f'is {value!r}; write one of {", ".join(allowed)}, or "refused: REASON"')
            return None
        if ending != "refused":
            return Verdict(Ending(ending))
        if colon and reason not in set(REASONS):
            self._place.add(path, f"has the reason {reason!r}; there are {', '.join(REASONS)}")
            return None
        return Verdict(Ending.REFUSED, Reason(reason) if colon else Reason.REFUSED)

    def _http(self) -> dict[int, Verdict]:
        found: dict[int, Verdict] = {}
        for word, value in self._table("answer", "http").items():
            here = ("answer", "http", word)
            if why := _not_mapped(word):
                self._place.add(here, why)
            elif (verdict := self._verdict(here, value, errors=True)) is not None:
                found[int(word)] = verdict
        return found

    def _requery(self, answer: Reading) -> Requery:
        path = ("requery",)
        reading = self._reading(("requery", "answer")) if self._table("requery", "answer") else answer
        after = self._value(path, "not_found_counts_after_s")
        ask = self._value(path, "requery_after_s")
        return Requery(
            request=self._request("requery"),
            reading=reading,
            not_found=frozenset(filter(None, map(word_of, self._value(path, "not_found") or ()))),
            not_found_at=self._steps(path, "not_found_at") or reading.error or reading.status,
            not_found_after_s=None if after is None else float(after),
            requery_after_s=None if ask is None else float(ask),
        )

    def _balance(self) -> Balance | None:
        if not self._table("balance"):
            return None
        amount = self._steps(("balance",), "amount") or ()
        return Balance(self._request("balance"), amount, self._value(("balance",), "format"))

    def _callback(self) -> CallbackForm | None:
        if "callback" not in self._document:
            return None
        steps = (self._steps(("callback",), name) for name in ("our_reference", "reference"))
        return CallbackForm(tuple(filter(None, steps)), {"status": "ok"})


def _secrets(
    headers: Mapping[str, Template], purchases: Mapping[str, Purchase], requery: Requery, balance: Balance | None
) -> Iterator[str]:
    requests = [*(purchase.request for purchase in purchases.values()), requery.request]
    if balance is not None:
        requests.append(balance.request)
    for template in headers.values():
        yield from template.secrets
    for request in requests:
        for template in (request.url, *request.headers.values(), *templates_of(request.body)):
            yield from template.secrets


def _key_of(path: tuple[str, ...], name: str) -> Key:
    table = table_of(path)
    assert table is not None  # noqa: S101 - the names stand in this file
    return next(key for key in table.keys if key.name == name)


def _wanted(key: Key, value: Any) -> str:
    """What is wrong with a value by its form; empty where nothing is."""
    match key.form:
        case Form.FLAG:
            return "" if isinstance(value, bool) else "must be true or false, without quotes"
        case Form.TEXTS:
            good = isinstance(value, list) and all(isinstance(one, str) for one in value)
            return "" if good else 'must be a list of texts: ["…", "…"]'
        case Form.NUMBER | Form.WHOLE:
            whole = isinstance(value, int) and not isinstance(value, bool)
            good = whole or (key.form is Form.NUMBER and isinstance(value, Decimal) and value.is_finite())
            if not good or not key.low <= value <= key.high:
                return f"must be a {key.form} from {key.low:g} to {key.high:g}, without quotes"
            return ""
        case _:
            if not isinstance(value, str) or (not value.strip() and key.name != "prefix"):
                return "must be a text in quotes"
            if key.choices and value not in key.choices:
                return f"is {value!r}; there are {', '.join(key.choices)}"
            return ""


def _unknown(word: str, names: list[str]) -> str:
    if _TIME_OUT_KEYS.search(word) and word != "timeout_s":
        return "cannot be said: a request without an answer is always unknown, since it may have arrived; take it out"
    if word.casefold() in _WILD_KEYS:
        return "cannot be said: what is not mapped is always unknown; take it out"
    near = difflib.get_close_matches(word, names, 1)
    return (
        f"is no key here; did you mean {near[0]}?" if near else f"is no key here; there are {', '.join(sorted(names))}"
    )


def _no_kind(word: str) -> str:
    if word in KINDS:
        return f"cannot be described: what {word} delivers carries something back, which needs a connector in code"
    return f"is no kind that can be described; there are {', '.join(SOLD)}"


def _not_mapped(word: str) -> str:
    """Why an HTTP status cannot be mapped; empty where it can."""
    if not re.fullmatch(r"[1-5][0-9]{2}", word, re.ASCII):
        return "is no single HTTP status; write one such as 401, for each that the vendor documents"
    code = int(word)
    if code >= 500:
        return (
            "is a 5xx: the request may have been delivered before it failed, so that it is always unknown; take it out"
        )
    if code < 300:
        return "means that the call went well and says nothing of the purchase; map a value of `status` instead"
    if code < 400:
        return "is no answer of the vendor and always unknown; take it out"
    if code in MAY_HAVE_DELIVERED:
        return f"means {MAY_HAVE_DELIVERED[code]}, so that it is always unknown; take it out"
    return ""
