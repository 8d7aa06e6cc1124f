"""What a description may not say, because money would be given back for something delivered, or something bought twice.

Forms are the work of `reader.py`. A rule stands here where every key is well formed and the file is dangerous all the same.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from telvend.providers.contract import Reason
from telvend.providers.described.model import (
    Description,
    Ending,
    Purchase,
    Reading,
    Request,
    Verdict,
    word_of,
)
from telvend.providers.described.templates import WITHOUT_DELIVERY, Placeholder, Template, is_number, templates_of

if TYPE_CHECKING:
    from telvend.providers.described.reader import Place

SOONEST_S: Final = 60.0
"""The least age at which "never heard of it" may count where a reference is no key."""

_UNDER_WAY: Final = re.compile(
    r"time_?d?[ _-]?out|no[ _-]?(response|answer|reply)|pending|process(ing|ed)?|queued?|initiated|in[ _-]?progress"
    r"|submitted|accepted|unknown|ongoing|awaiting.*|waiting|scheduled|new|created|received|sent|duplicate.*|ambiguous",
)
_PARTLY_UNDER_WAY: Final = re.compile(
    r"time[ _-]*d?[ _-]*out|\bpending\b|\bawaiting\b|\bqueued?\b|\bon hold\b|\bin (progress|transit)\b"
    r"|\b(under|manual) review\b|\bpartial(ly)?\b"
    r"|\balready (exists?|processed|processing|sent|delivered|submitted|completed?|used|received|done|paid)\b"
    r"|\b(reference|order|transaction|request)( id)? exists\b"
    r"|\b(internal|system|server|unexpected|unknown)( server)? (error|exception|failure|fault)\b|\bbad gateway\b"
)
"""The same within a longer word or sentence, whose words blanks part."""
_FAILED_ON_THE_WAY: Final = frozenset(
    {"408", "409", "425", "499", "500", "502", "503", "504", "520", "521", "522", "523", "524"}
)
"""HTTP statuses that leave it unknown what has become of a request, also where a body repeats them."""
_NEVER_HEARD: Final = re.compile(
    r"not (found|existing|known)|((does|do|did) not|doesn'?t) exist|no such\b|non ?existent|never heard"
    r"|\bno (record|order|transaction|purchase|request|entry|data)\b"
    r"|\b(unknown|invalid|missing|unrecogni[sz]ed) (reference|order|transaction|purchase|request)\b|^(unknown|missing|absent)$"
)
_GOOD: Final = re.compile(r"success(ful|fully)?|succeeded|delivered|completed?|done|ok|fulfilled|paid")
_BAD: Final = re.compile(
    r"fail(ed|ure)?|error|rejected|declined|cancell?ed|reversed|refunded|denied|invalid|insufficient"
)
_TURNS_ROUND: Final = re.compile(r"not?|non|never|without|un|in|free|zero")
_FLAGS: Final = frozenset({"true", "false", "yes", "no"})
_FLAGS_OF_A_CALL: Final = _FLAGS | {"0", "1", "ok", "error", "200"}
"""What says of a call only whether it went well. Of a purchase's own status, numbers may be the vendor's words."""

_FILLED: Final = "\0"
"""What stands for a placeholder where only constants are looked at."""
_OF_A_PRODUCT: Final = frozenset({"network", "our_product", "size", "type", "validity_days"})
_BACK: Final = (Ending.REFUSED, Ending.NOT_SENT)


def table_at(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the table at a path; an empty one where there is none, or something else."""
    found: Any = document
    for word in path:
        found = found.get(word) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def judge(description: Description, document: Mapping[str, Any], place: "Place") -> None:
    """Note everything in a description that could lose money."""
    rules = _Rules(description, document, place)
    rules.purchases()
    rules.words(("answer",), description.answer)
    if rules.has_own_answer:
        rules.words(("requery", "answer"), description.requery.reading)
    rules.requery()
    rules.not_found()
    rules.balance()
    rules.networks()
    rules.endings()
    rules.callback()


class _Rules:
    def __init__(self, description: Description, document: Mapping[str, Any], place: "Place") -> None:
        self._it = description
        self._document = document
        self._place = place

    @property
    def has_own_answer(self) -> bool:
        """Whether a requery's answers are read by a table of their own."""
        return bool(table_at(self._document, "requery", "answer"))

    def purchases(self) -> None:
        for kind, purchase in self._it.purchases.items():
            path = ("purchase", kind)
            names = _names(purchase.request, self._it.headers)
            if self._it.reference.sent and "reference" not in names:
                self._place.add(
                    path,
                    "sends no {reference}: after a lost answer nobody could find the purchase again; put it where the vendor wants"
                    " it, or write sent = false in [reference] if the vendor takes none",
                )
            if not self._it.reference.sent and "reference" in names:
                self._place.add(("reference", "sent"), f"is false, and [purchase.{kind}] sends it; take this line out")
            if "provider_reference" in names:
                self._place.add(path, "sends {provider_reference}, which nobody knows before the purchase; take it out")
            if purchase.request.method == "GET":
                self._place.warn(
                    (*path, "method"), "is GET, which proxies may repeat; use POST where the vendor offers both"
                )
            self._numbers(path, purchase.request)
            if not names & {"phone"}:
                self._place.add(path, "sends no {phone:…}: nobody would know whom to deliver to")
            if kind == "airtime" and not _told(names, purchase) & {"amount", "size"}:
                self._place.add(
                    path, "sends no {amount:…}: nobody would know how much to deliver; what it costs is another amount"
                )
            if kind == "data" and not _told(names, purchase) & {"product", "our_product", "size"}:
                self._place.add(path, "sends no {product}: nobody would know which bundle to deliver")
            if purchase.product is not None and (strange := purchase.product.names - _OF_A_PRODUCT):
                known = ", ".join(sorted(_OF_A_PRODUCT))
                self._place.add((*path, "product"), f"has {', '.join(sorted(strange))}; it may have {known}")
            if purchase.request.url.secrets:
                self._place.warn(
                    (*path, "url"),
                    "has a secret, which stands in the logs of whoever is between; use a header where you can",
                )
            if len(self._it.networks) > 1 and not (names & {"network", "product", "our_product"}):
                self._place.warn(path, "does not say the network; the upstream has to find it by the number")
        if not self._it.reference.sent:
            self._place.warn(
                ("reference", "sent"),
                "is false: every purchase whose answer is lost waits for a person (order resolve)",
            )
            if self._it.reference.is_key:
                self._place.add(
                    ("reference", "is_key"), "is true, and purchases do not carry the reference; take one out"
                )
        if self._it.reference.is_key and self._it.reference.sent:
            self._place.warn(
                ("reference", "is_key"),
                "is true: what may not have arrived is sent again under its reference. Be sure that the vendor delivers once",
            )

    def _numbers(self, path: tuple[str, ...], request: Request) -> None:
        for template in templates_of(request.body):
            for part in template.placeholders:
                if part.name == "network" and part.number:
                    for ours, theirs in self._it.networks.items():
                        if not is_number(theirs):
                            self._place.add(
                                ("networks", ours),
                                f"is {theirs!r}, and [{'.'.join(path)}] sends it as a number; write digits, or {{network}}",
                            )

    def words(self, path: tuple[str, ...], reading: Reading) -> None:
        """What a single line of a map cannot mean."""
        for table, verdicts in (("statuses", reading.statuses), ("errors", reading.errors or {})):
            for word, verdict in verdicts.items():
                here = (*path, table, self._as_written(path, table, word))
                if word == "":
                    self._place.add(here, "is no value; an answer without one is always unknown: take it out")
                elif verdict.ending in _BACK and _may_be_under_way(word):
                    self._place.add(
                        here,
                        f"does not say that nothing was delivered, so that it cannot be {verdict.ending}; write"
                        ' "accepted" if it will be delivered, else "unknown"',
                    )
                elif verdict.ending in _BACK and _reads_like(_GOOD, _BAD, word):
                    self._place.add(here, f'reads like success and is mapped to {verdict.ending}; write "delivered"')
                elif verdict.ending in (Ending.DELIVERED, Ending.ACCEPTED) and _reads_like(_BAD, _GOOD, word):
                    self._place.add(here, f'reads like failure and is mapped to {verdict.ending}; write "refused"')
        for word in reading.no_error:
            if word in (reading.errors or {}):
                self._place.add((*path, "no_error"), f"has {word!r}, which `errors` maps too; keep one")
        if reading.errors and reading.error is None:
            self._place.add((*path, "error"), "is missing: where the codes of `errors` stand")
        if reading.error is not None and reading.error == reading.status:
            self._place.add(
                (*path, "error"), "is the place of `status`; put its values into `statuses` and take `error` out"
            )
        if reading.our_reference is not None and reading.our_reference in (reading.status, reading.error):
            self._place.add((*path, "our_reference"), "is the place of another value; an answer has them apart")
        if reading.reference is not None and reading.reference in (reading.status, reading.error):
            self._place.add((*path, "reference"), "is the place of another value; an answer has them apart")
        for word in sorted(set(reading.statuses) & set(reading.errors or {})):
            one, other = reading.statuses[word], (reading.errors or {})[word]
            if one.ending is not other.ending:
                self._place.add(
                    (*path, "errors", self._as_written(path, "errors", word)),
                    f"is {other.ending} here and {one.ending} in `statuses`; one value has one meaning",
                )

    def _as_written(self, path: tuple[str, ...], table: str, folded: str) -> str:
        found = table_at(self._document, *path, table)
        return next((word for word in found if word.strip().casefold() == folded), folded)

    def requery(self) -> None:
        requery = self._it.requery
        path = ("requery",)
        names = _names(requery.request, self._it.headers)
        if not names & {"reference", "provider_reference"}:
            self._place.add(
                path, "names no purchase: put {reference} or {provider_reference} where the vendor wants it"
            )
        if not self._it.reference.sent and "reference" in names:
            self._place.add(
                path,
                "asks by {reference}, which purchases do not carry ([reference] sent = false); ask by {provider_reference}",
            )
        if "provider_reference" in names and self._it.answer.reference is None:
            self._place.add(
                ("answer", "reference"),
                "is missing: [requery] asks by {provider_reference}, and it has to stand somewhere",
            )
        for kind, purchase in self._it.purchases.items():
            if _same(requery.request, purchase.request):
                self._place.add(
                    (*path, "url"),
                    f"is the request of [purchase.{kind}]: a question would deliver again; write the vendor's request for the status",
                )
        if requery.reading.reference is None and requery.reading.our_reference is None:
            refusing = [word for word, verdict in requery.reading.statuses.items() if verdict.ending is Ending.REFUSED]
            if refusing:
                self._place.add(
                    ("requery", "answer") if self.has_own_answer else ("answer",),
                    f"maps {refusing[0]!r} to refused, and nothing tells a purchase that has failed from a question that has;"
                    " write where the order's `reference` or `our_reference` stands",
                )
        inherits = not self.has_own_answer
        reading_path = ("answer",) if inherits else ("requery", "answer")
        for word, verdict in requery.reading.statuses.items():
            if (
                verdict.ending is not Ending.UNKNOWN
                and _NEVER_HEARD.search(_plain(word))
                and verdict.reason is not Reason.BAD_NUMBER
            ):
                self._place.add(
                    (*reading_path, "statuses", self._as_written(reading_path, "statuses", word)),
                    f"would be {verdict.ending} at once in an answer to a question, when the purchase may still be on its way;"
                    " put it into `not_found` of [requery]"
                    + (", or give that a table [requery.answer] of its own where a product is meant" * inherits),
                )
            flags = _FLAGS_OF_A_CALL if inherits else _FLAGS
            if word in flags and verdict.ending is not Ending.UNKNOWN:
                where = path if inherits else ("requery", "answer", "statuses", word)
                self._place.add(
                    where,
                    f"takes {word!r} for {verdict.ending}: in an answer to a question such a flag says whether the question"
                    " succeeded, not the purchase; write [requery.answer] with the path of the purchase's own status",
                )

    def not_found(self) -> None:
        requery, path = self._it.requery, ("requery", "not_found")
        if not requery.not_found:
            if requery.not_found_after_s is not None:
                self._place.add(
                    ("requery", "not_found_counts_after_s"),
                    "has no effect without not_found; write that, or take it out",
                )
            return
        if not self._it.reference.sent or "reference" not in _names(requery.request, self._it.headers):
            self._place.add(path, "can mean nothing: the question does not name our {reference}; take not_found out")
        for word in sorted(requery.not_found):
            if re.fullmatch(r"[1-5]\d\d", word) and requery.not_found_at == requery.reading.status:
                self._place.add(
                    path,
                    f"has {word!r}: an HTTP status alone is what a wrong address answers too; write a value of the answer's body",
                )
            if word in _FLAGS_OF_A_CALL:
                self._place.add(
                    path, f"has {word!r}, which says only that the question failed; write the vendor's code for it"
                )
            verdict = self._mapped(word)
            if verdict is not None and verdict.ending is not Ending.UNKNOWN:
                self._place.add(path, f"has {word!r}, which is mapped to {verdict.ending} too; keep one")
        after = requery.not_found_after_s
        soonest = max(SOONEST_S, 2 * self._it.timeout_s)
        if after is None:
            self._place.add(
                ("requery", "not_found_counts_after_s"),
                f"is missing: a request may still be on its way; write the vendor's time, at least {soonest:g}",
            )
        elif after < soonest and not self._it.reference.is_key:
            self._place.add(
                ("requery", "not_found_counts_after_s"),
                f"is {after:g}, when the request may still be on its way: the order would be paid back, or sent to another, and"
                f" delivered all the same; write at least {soonest:g}",
            )

    def _mapped(self, word: str) -> Verdict | None:
        reading = self._it.requery.reading
        if self._it.requery.not_found_at == reading.status:
            return reading.statuses.get(word)
        if self._it.requery.not_found_at == reading.error:
            return (reading.errors or {}).get(word)
        return None

    def balance(self) -> None:
        balance = self._it.balance
        if balance is None:
            self._place.warn(("balance",), "is missing: the float is not shown, and nobody warns when it runs out")
            return
        names = _names(balance.request, {})
        if strange := names - WITHOUT_DELIVERY:
            self._place.add(("balance",), f"has {', '.join(sorted(strange))}, which only a purchase has; take it out")
        for kind, purchase in self._it.purchases.items():
            if _same(balance.request, purchase.request):
                self._place.add(
                    ("balance", "url"), f"is the request of [purchase.{kind}]; write the one for the balance"
                )

    def endings(self) -> None:
        reading, requery = self._it.answer, self._it.requery.reading
        endings = {verdict.ending for verdict in reading.statuses.values()}
        later = {verdict.ending for verdict in requery.statuses.values()}
        if Ending.DELIVERED not in later:
            where = ("requery", "answer", "statuses") if self.has_own_answer else ("answer", "statuses")
            self._place.add(
                where,
                'has no "delivered": what a requery finds would never count; map the word that the vendor documents',
            )
        if not endings & {Ending.DELIVERED, Ending.ACCEPTED}:
            self._place.add(
                ("answer", "statuses"),
                'has neither "delivered" nor "accepted": every purchase would be unknown; map what the vendor documents',
            )

    def networks(self) -> None:
        """Two networks of one name: one of them is delivered as the other."""
        first: dict[str, str] = {}
        for ours, theirs in self._it.networks.items():
            other = first.setdefault(theirs.strip().casefold(), ours)
            if other != ours:
                self._place.warn(("networks", ours), f"is {theirs!r}, which is what {other} is called; is that meant?")
        if urlsplit(self._it.base_url).scheme == "http":
            self._place.warn(("upstream", "base_url"), "is http: credentials and numbers travel in the open")

    def callback(self) -> None:
        if self._it.callback is not None and not self._it.callback.references:
            self._place.warn(
                ("callback",),
                "is not used yet: it has neither `our_reference` nor `reference`, so that nobody knows what it is about",
            )


def _names(request: Request, headers: Mapping[str, Template]) -> set[str]:
    """Every placeholder that a request sends."""
    found = set(request.url.names)
    for template in (*headers.values(), *request.headers.values(), *templates_of(request.body)):
        found |= template.names
    return found


def _told(names: set[str], purchase: Purchase) -> set[str]:
    """What a purchase says of the product, what stands in the product's name included."""
    return names | purchase.product.names if purchase.product is not None and "product" in names else names


def _plain(word: str) -> str:
    """A value with blanks for everything that parts its words."""
    return " ".join(re.split(r"[\s_.:/-]+", word.strip()))


def _may_be_under_way(word: str) -> bool:
    plain = _plain(word)
    return bool(_UNDER_WAY.fullmatch(word) or _PARTLY_UNDER_WAY.search(plain)) or plain in _FAILED_ON_THE_WAY


def _reads_like(one: re.Pattern[str], other: re.Pattern[str], word: str) -> bool:
    """Whether a value has a word of the one sort, none of the other, and none that turns it round."""
    words = re.findall(r"[a-z]+", word)
    return (
        any(map(one.fullmatch, words))
        and not any(map(other.fullmatch, words))
        and not any(map(_TURNS_ROUND.fullmatch, words))
    )


def _same(question: Request, purchase: Request) -> bool:
    """Whether a request would be taken for a purchase: one address, and no constant that tells them apart.

    The method tells a GET from a purchase that is none, as in the manuals of most vendors; nothing else does.
    """
    if _address(question.url) != _address(purchase.url) or (question.method == "GET" != purchase.method):
        return False
    ours, theirs = _all_constants(question), _all_constants(purchase)
    return not any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())


def _address(url: Template) -> str:
    """The path as a server may take it: case, slashes, dots and percent signs aside."""
    path = unquote(_written(url).partition("?")[0]).casefold()
    steps: list[str] = []
    for step in path.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    return "/".join(steps)


def _written(url: Template) -> str:
    return "".join(part if isinstance(part, str) else _FILLED for part in url.parts)


def _all_constants(request: Request) -> dict[str, str | None]:
    """What of a request is always the same, its query included."""
    query = parse_qsl(_written(request.url).partition("?")[2], keep_blank_values=True)
    return _constants(request.body) | {f".{name}": word_of(value) for name, value in query if _FILLED not in value}


def _constants(body: Any, path: str = "") -> dict[str, str | None]:
    """The values of a body that are the same in each request, by their place."""
    if isinstance(body, Mapping):
        return {
            place: value for name, inner in body.items() for place, value in _constants(inner, f"{path}.{name}").items()
        }
    if isinstance(body, Template):
        return {} if any(isinstance(part, Placeholder) for part in body.parts) else {path: word_of(body.literal)}
    return {path: word_of(body)} if isinstance(body, str | int | bool) else {}
