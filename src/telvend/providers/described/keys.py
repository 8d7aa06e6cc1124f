"""Every key of a description. The reader checks by this table, and docs/reference/upstream-description.md is made of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telvend.catalog.kinds import KINDS, WITH_PAYLOAD
from telvend.providers.contract import Reason

SOLD: Final = tuple(name for name in KINDS if name not in WITH_PAYLOAD)
"""The product kinds that a description can sell: those whose deliveries carry nothing back."""

ENCODINGS: Final = ("json", "form", "query")
CHARACTERS: Final = ("dashes", "alphanumeric", "digits", "uuid")
AMOUNTS: Final = ("decimal", "minor")
METHODS: Final = ("GET", "POST", "PUT")


class Form(StrEnum):
    """What a value must be."""

    TEXT = "text"
    TEMPLATE = "template"
    PATH = "path"
    NUMBER = "number"
    WHOLE = "whole number"
    FLAG = "true or false"
    TEXTS = "list of texts"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `default` is None where a missing key means nothing; `low` and `high` bound numbers."""

    name: str
    form: Form
    text: str
    needed: bool = False
    default: str | int | float | bool | None = None
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0


class Free(StrEnum):
    """What the values of a table are whose keys are the operator's or the vendor's own words."""

    NONE = ""
    TEXT = "text"
    TEMPLATE = "template"
    OUTCOME = "outcome"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `KIND` in its name stands for a product kind."""

    name: str
    text: str
    keys: tuple[Key, ...] = ()
    free: Free = Free.NONE
    needed: bool = False


def _request(name: str, text: str, *more: Key, needed: bool = False, method: str) -> Iterator[Table]:
    yield Table(
        name,
        text,
        (
            Key("method", Form.TEXT, "the HTTP method", default=method, choices=METHODS),
            Key("url", Form.TEMPLATE, "the path behind `base_url`, from its slash on", needed=True),
            Key("encoding", Form.TEXT, "how `body` is sent", default="json", choices=ENCODINGS),
            *more,
        ),
        needed=needed,
    )
    yield Table(f"{name}.headers", "headers of this request alone; they win over `[headers]`", free=Free.TEMPLATE)
    yield Table(f"{name}.body", "what is sent; tables and arrays within it only in JSON", free=Free.BODY)


def _answer(name: str, text: str, *, needed: bool = False) -> Iterator[Table]:
    yield Table(
        name,
        text,
        (
            Key("status", Form.PATH, "where the word stands that says what became of the purchase", needed=True),
            Key("reference", Form.PATH, "where their reference stands; then nothing counts as delivered without it"),
            Key("our_reference", Form.PATH, "where our reference comes back; with another one the answer is unknown"),
            Key("phone", Form.PATH, "where the recipient comes back; with another one the answer is unknown"),
            Key("cost", Form.PATH, "where it says what was taken of the float"),
            Key("cost_format", Form.TEXT, "how `cost` is written", default="decimal", choices=AMOUNTS),
            Key("error", Form.PATH, "where the code of an error stands"),
            Key("no_error", Form.TEXTS, "values of `error` that mean none; null and nothing mean that too"),
            Key("text", Form.PATH, "where the sentence for the operator stands"),
        ),
        needed=needed,
    )
    yield Table(f"{name}.statuses", "what each value of `status` means", free=Free.OUTCOME, needed=needed)
    yield Table(f"{name}.errors", "what each value of `error` means", free=Free.OUTCOME)


TABLES: Final = (
    Table(
        "upstream",
        "whose API it is",
        (
            Key("title", Form.TEXT, "its name for people", needed=True),
            Key("country", Form.TEXT, "the country whose networks it serves: `NG`", needed=True),
            Key("currency", Form.TEXT, "the currency of its amounts; without it the country's"),
            Key("base_url", Form.TEXT, "where the API is; that of the settings wins"),
            Key(
                "timeout_s",
                Form.NUMBER,
                "how long an answer may take at least; the settings' own time-out counts where it is longer",
                default=30,
                low=1,
                high=300,
            ),
            Key(
                "repeat_guard_s", Form.NUMBER, "how long it refuses a second delivery to a number", default=0, high=3600
            ),
            Key("concurrency", Form.WHOLE, "requests at once that it takes from one process", low=1, high=10000),
            Key("rate_per_s", Form.NUMBER, "requests a second that it takes from one process", low=0.01, high=100000),
        ),
        needed=True,
    ),
    Table("networks", "our code of each network that it serves, and how it spells it", free=Free.TEXT, needed=True),
    Table("products", "our code of a product, and what it calls it; `product offer --code` wins", free=Free.TEXT),
    Table(
        "reference",
        "how our reference may look to it; each attempt has one of its own",
        (
            Key(
                "sent",
                Form.FLAG,
                "whether purchases carry it; without it no lost answer is ever found again",
                default=True,
            ),
            Key("is_key", Form.FLAG, "whether a repeated purchase under it never delivers twice", default=False),
            Key("characters", Form.TEXT, "what it may consist of", default="dashes", choices=CHARACTERS),
            Key("max_length", Form.WHOLE, "how long it may be, prefix included", default=64, low=1, high=128),
            Key("prefix", Form.TEXT, "what it begins with", default=""),
        ),
    ),
    Table("headers", "headers of every request", free=Free.TEMPLATE),
    *_request(
        "purchase.KIND",
        "the request that delivers",
        Key("product", Form.TEMPLATE, "what it calls a product that has neither a code nor a line of `[products]`"),
        needed=True,
        method="POST",
    ),
    *_answer("answer", "what an answer to a purchase means", needed=True),
    Table("answer.http", "what an answer of 4xx means that has neither status nor error", free=Free.OUTCOME),
    *_request(
        "requery",
        "the request that asks what became of a purchase; it must never deliver",
        Key("not_found", Form.TEXTS, "values that say that it has never heard of our reference"),
        Key("not_found_at", Form.PATH, "where they stand; without it at `error` of the answer, else at `status`"),
        Key(
            "not_found_counts_after_s",
            Form.NUMBER,
            "how old a purchase must be before that is believed",
            low=0,
            high=86400,
        ),
        Key("requery_after_s", Form.NUMBER, "when to ask first about what was accepted", low=0.1, high=3600),
        needed=True,
        method="GET",
    ),
    *_answer("requery.answer", "what an answer to a requery means, where that differs from `[answer]`"),
    *_request(
        "balance",
        "the request for the float",
        Key("amount", Form.PATH, "where the float stands", needed=True),
        Key("format", Form.TEXT, "how it is written", default="decimal", choices=AMOUNTS),
        method="GET",
    ),
    Table(
        "callback",
        "what it posts by itself, in JSON; it is believed in nothing, and the outcome is asked for at once",
        (
            Key("status", Form.PATH, "where the status stands, for whoever reads the file: it is not looked at"),
            Key("our_reference", Form.PATH, "where our reference stands"),
            Key("reference", Form.PATH, "where theirs stands"),
        ),
    ),
)

OUTCOMES: Final = {
    "delivered": "the recipient has it; the reseller pays",
    "accepted": "it will be delivered; it is asked about",
    "unknown": "nobody knows; it is asked about, and what is not mapped is this",
    "refused": "it was not delivered and never will be; the reseller gets the money back",
    "not_sent": "the upstream has not taken the request; it may be sent again (errors and HTTP only)",
}

REASONS: Final = {
    Reason.BAD_NUMBER: "the number cannot receive it",
    Reason.BARRED: "the subscriber is barred",
    Reason.WRONG_NETWORK: "the number is on another network",
    Reason.TOO_SOON: "the number was served a moment ago",
    Reason.NOT_SOLD: "it does not sell this; another provider is tried",
    Reason.OUT_OF_STOCK: "it has none of it now; another provider is tried",
    Reason.DOWN: "it has said that it has not taken the request, being out of service; another provider is tried",
    Reason.NO_FLOAT: "our float is empty; another provider is tried",
    Reason.NOT_ALLOWED: "our key, address or account; another provider is tried",
    Reason.REFUSED: "a plain no",
}
"""What may stand behind `refused:`."""


def table_of(path: tuple[str | int, ...]) -> Table | None:
    """Return the table that stands at a path."""
    words = [str(part) for part in path]
    if len(words) >= 2 and words[0] == "purchase":
        words[1] = "KIND"
    return _BY_NAME.get(".".join(words))


def below(path: tuple[str | int, ...]) -> list[str]:
    """Return the names of the tables directly within a path."""
    words = [str(part) for part in path]
    if len(words) >= 2 and words[0] == "purchase":
        words[1] = "KIND"
    start = ".".join([*words, ""]) if words else ""
    found = {name.removeprefix(start).split(".")[0] for name in _BY_NAME if name.startswith(start)}
    return sorted(found)


_BY_NAME: Final = {table.name: table for table in TABLES}
