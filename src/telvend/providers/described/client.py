"""How an upstream is called that a file describes. Everything that can be is made ready once; a call fills in what differs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, urlencode

import msgspec

from telvend.config import ProviderSettings
from telvend.kit.clock import Clock
from telvend.kit.money import Money
from telvend.kit.secret import Secret
from telvend.providers.contract import Delivery, Outcome, ProviderTraits, Reason, Refused, Unknown
from telvend.providers.described.model import Body, Description, Request
from telvend.providers.described.outcomes import balance_of, outcome_of, requery_outcome_of
from telvend.providers.described.reader import examine
from telvend.providers.described.templates import (
    SECRETS,
    WITHOUT_DELIVERY,
    CannotBeSaid,
    Render,
    Template,
    Words,
    basic,
)
from telvend.providers.over_http import STARS, ProviderOverHttp, ProviderReply, call_timeout_s
from telvend.providers.upstream import BalanceUnavailable, ConnectorRefused, SettingsProblem

if TYPE_CHECKING:
    import httpx

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_TYPES: Final = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_SETTLES_AFTER_S: Final = 300.0

_NOWHERE: Final = "https://base-url-of-the-settings.invalid"

Fill = Callable[[Delivery], Any]
Build = Callable[[Delivery], "httpx.Request"]


class Described(ProviderOverHttp):
    """An upstream by its description."""

    connector = "http"

    def __init__(
        self,
        name: str,
        description: Description,
        base_url: str,
        traits: ProviderTraits,
        secrets: Mapping[str, Secret],
        *,
        timeout_s: float,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        revealed = {key: secret.reveal() for key, secret in secrets.items()}
        super().__init__(
            name,
            base_url,
            traits,
            headers={},
            secrets=_hidden(description, revealed),
            timeout_s=timeout_s,
            transport=transport,
        )
        self._it = description
        form = description.callback
        self.callback = form if form is not None and form.references else None
        self._networks = {code.casefold(): theirs for code, theirs in description.networks.items()}
        words = Words(self._networks, description.products, None, revealed)
        self._purchases = {
            kind: self._build(purchase.request, replace(words, product=purchase.product))
            for kind, purchase in description.purchases.items()
        }
        self._requery = self._build(description.requery.request, words)
        self._float = (
            None
            if description.balance is None
            else self._build(description.balance.request, words, common=_of_nobody(description.headers))
        )

    def _build(self, request: Request, words: Words, common: Mapping[str, Template] | None = None) -> Build:
        """Return what makes a request of a delivery. What it returns raises CannotBeSaid."""
        fixed, varying = _headers(request, self._it.headers if common is None else common, words)
        url = _url(request.url, words)
        fill = _fill(request.body, words)
        make = self._client.build_request

        def build(delivery: Delivery) -> "httpx.Request":
            headers = fixed if not varying else fixed | {name: _header(of(delivery)) for name, of in varying.items()}
            address = url(delivery)
            if fill is None:
                return make(request.method, address, headers=headers)
            values = fill(delivery)
            if request.encoding == "json":
                return make(request.method, address, headers=headers, content=_ENCODER.encode(values))
            encoded = urlencode(values)
            if request.encoding == "form":
                return make(request.method, address, headers=headers, content=encoded.encode())
            return make(request.method, f"{address}{'&' if '?' in address else '?'}{encoded}", headers=headers)

        return build

    def _purchase_request(self, delivery: Delivery) -> "httpx.Request | Refused":
        build = self._purchases.get(delivery.kind)
        if build is None or delivery.country != self._it.country or delivery.network.casefold() not in self._networks:
            return Refused(
                Reason.NOT_SOLD,
                f"the description sells no {delivery.kind} of {delivery.country}/{delivery.network}",
            )
        if delivery.face_value.currency != self._it.currency:
            return Refused(
                Reason.NOT_SOLD, f"the description sells in {self._it.currency}, not {delivery.face_value.currency}"
            )
        try:
            return build(delivery)
        except CannotBeSaid as refused:
            return Refused(refused.reason, refused.text)

    def narrow(self, traits: ProviderTraits) -> None:
        """Take what the settings leave, within what the vendor takes by its description."""
        rates = [rate for rate in (traits.rate_per_s, self._it.rate_per_s) if rate is not None]
        most = self._it.concurrency or traits.concurrency
        super().narrow(replace(traits, concurrency=min(traits.concurrency, most), rate_per_s=min(rates, default=None)))

    def _outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return outcome_of(self._it, delivery, reply)

    def _requery_request(self, delivery: Delivery) -> "httpx.Request | Unknown":
        try:
            return self._requery(delivery)
        except CannotBeSaid as refused:
            return Unknown(f"cannot be asked: {refused.text}")

    def _requery_outcome(self, delivery: Delivery, reply: ProviderReply) -> Outcome:
        return requery_outcome_of(self._it, delivery, reply)

    def _balance_request(self) -> "httpx.Request | None":
        return None if self._float is None else self._float(_NOBODY)

    def _balance_of(self, reply: ProviderReply) -> Money | BalanceUnavailable:
        if self._it.balance is None:
            return super()._balance_of(reply)
        return balance_of(self._it.balance, self._it.currency, reply)


def notes(settings: ProviderSettings) -> list[SettingsProblem]:
    """Return what is doubtful in a description, and keeps it from nothing."""
    return list(examine(Path(settings.file)).warnings) if settings.file else []


def alone(settings: ProviderSettings) -> ProviderSettings:
    """Return settings with which a description can be looked at before there is a table for it: stars for credentials.

    A description that cannot be read is left to `connect` to explain.
    """
    description = examine(Path(settings.file)).description
    if description is None:
        return settings
    changes: dict[str, Any] = {key: Secret(STARS) for key in description.secrets if getattr(settings, key) is None}
    if not (settings.base_url or description.base_url):
        changes["base_url"] = _NOWHERE
    return msgspec.structs.replace(settings, **changes)


def connect(
    name: str, settings: ProviderSettings, _clock: Clock, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> Described:
    """Make the provider of a table with `file`. Raises ConnectorRefused with every mistake, those of the file with their lines."""
    if not settings.file:
        raise ConnectorRefused(name, [SettingsProblem("file", "is missing: the description of the upstream")])
    examined = examine(Path(settings.file))
    problems = list(examined.problems)
    description = examined.description
    if description is None:
        raise ConnectorRefused(name, problems)
    problems += _settings_problems(settings, description, examined.name)
    base_url = settings.base_url.strip().rstrip("/") or description.base_url
    if not base_url:
        problems.append(SettingsProblem("base_url", f"is missing, and {examined.name} names none in [upstream]"))
    if problems:
        raise ConnectorRefused(name, problems)
    secrets = {key: value for key in SECRETS if (value := getattr(settings, key)) is not None}
    timeout_s = max(settings.timeout_s, description.timeout_s)
    return Described(
        name,
        description,
        base_url,
        _traits(description, timeout_s),
        secrets,
        timeout_s=timeout_s,
        transport=transport,
    )


def _settings_problems(settings: ProviderSettings, description: Description, file: str) -> list[SettingsProblem]:
    problems = []
    for key in SECRETS:
        given = getattr(settings, key)
        if key in description.secrets and given is None:
            problems.append(SettingsProblem(key, f"is missing: {file} sends {{{key}}}"))
        elif key not in description.secrets and given is not None:
            problems.append(SettingsProblem(key, f"is not used by {file}"))
    if settings.token_url:
        problems.append(SettingsProblem("token_url", "is not used by the connector http"))
    return problems


def _traits(description: Description, timeout_s: float) -> ProviderTraits:
    """The traits of the vendor; `connectors.connect` narrows them to what the settings leave."""
    call_s = call_timeout_s(timeout_s)
    return ProviderTraits(
        timeout_s=call_s,
        settles_after_s=_settles_after_s(description, call_s),
        kinds=frozenset(description.purchases),
        networks=frozenset((description.country, network) for network in description.networks),
        reference_is_key=description.reference.is_key,
        repeat_guard_s=description.repeat_guard_s,
        rate_per_s=description.rate_per_s,
        reference=description.reference.make,
    )


def _settles_after_s(description: Description, call_s: float) -> float:
    """How old an attempt must be before "never heard of it" counts; where nothing means that, the value decides nothing."""
    after = description.requery.not_found_after_s
    if after is None:
        return max(_SETTLES_AFTER_S, call_s)
    # The settings may wait longer for an answer than the file, which was judged by its own time-out.
    return max(after, call_s if description.reference.is_key else 2 * call_s)


def _hidden(description: Description, revealed: Mapping[str, str]) -> list[Secret]:
    """The secrets in every spelling in which a request can hold them."""
    texts = set(revealed.values())
    templates = [*description.headers.values()]
    requests = [*(purchase.request for purchase in description.purchases.values()), description.requery.request]
    if description.balance is not None:
        requests.append(description.balance.request)
    for request in requests:
        templates += request.headers.values()
    for template in templates:
        texts |= {basic(*(revealed[key] for key in part.keys)) for part in template.placeholders if part.keys}
    spellings = {
        spelling for text in texts for spelling in (text, quote(text, safe=""), quote_plus(text), _in_json(text))
    }
    # The longest first: a shorter one may be a part of it.
    return [Secret(text) for text in sorted(spellings, key=len, reverse=True) if text]


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _of_nobody(headers: Mapping[str, Template]) -> dict[str, Template]:
    """The headers that need no delivery: a request for the float is about none."""
    return {name: template for name, template in headers.items() if template.names <= WITHOUT_DELIVERY}


def _headers(
    request: Request, common: Mapping[str, Template], words: Words
) -> tuple[dict[str, str], dict[str, Render]]:
    """The headers that are the same in each request, and those that are not."""
    merged = {name.lower(): template for name, template in (*common.items(), *request.headers.items())}
    fixed: dict[str, str] = {"accept": "application/json"}
    if request.body and request.encoding in _TYPES:
        fixed["content-type"] = _TYPES[request.encoding]
    varying: dict[str, Render] = {}
    for name, template in merged.items():
        render = words.render(template)
        if template.names <= WITHOUT_DELIVERY:
            fixed[name] = _header(render(_NOBODY))
        else:
            varying[name] = render
    return fixed, varying


def _header(value: Any) -> str:
    text = str(value)
    if not text.isascii() or not text.isprintable():
        raise CannotBeSaid("a header would hold something else than printable ASCII")
    return text


def _url(template: Template, words: Words) -> Callable[[Delivery], str]:
    """The path with what is filled in, percent-encoded: a slash in a reference is no step of the path."""
    fills: list[str | Render] = [
        part if isinstance(part, str) else words.render(Template((part,))) for part in template.parts
    ]
    if all(isinstance(fill, str) for fill in fills):
        whole = "".join(str(fill) for fill in fills)
        return lambda _: whole
    return lambda delivery: "".join(
        [fill if isinstance(fill, str) else quote(str(fill(delivery)), safe="") for fill in fills]
    )


def _fill(body: Body, words: Words) -> Fill | None:
    """What makes the values of a body; None where it has none."""
    return _leaf(body, words) if body else None


def _leaf(leaf: Any, words: Words) -> Fill:
    if isinstance(leaf, Template):
        return words.render(leaf)
    if isinstance(leaf, Mapping):
        fills = [(name, _leaf(inner, words)) for name, inner in leaf.items()]
        return lambda delivery: {name: fill(delivery) for name, fill in fills}
    if isinstance(leaf, list):
        items = [_leaf(inner, words) for inner in leaf]
        return lambda delivery: [fill(delivery) for fill in items]
    constant: str | int | bool | Decimal | None = leaf
    return lambda _: constant


def _nobody() -> Delivery:
    from telvend.kit.money import NGN

    nothing = Money(0, NGN)
    return Delivery("", "", "", "", "", "", None, "", nothing, nothing)


_NOBODY: Final = _nobody()
"""For requests that are about no delivery."""
