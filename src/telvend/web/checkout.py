"""The pages that a payer sees: the checkout of the gateway that pretends, and where every gateway sends payers back to.

    GET  /pay/sandbox/TOKEN      what is to be paid, and three ways to pretend to
    POST /pay/sandbox/TOKEN      decision=pay|decline|abandon, method=card|bank_transfer|ussd, urlencoded
    GET  /pay/return/REFERENCE   asks the gateway, then goes on to the shop's redirect_url, or says how it stands

A payment is decided once: a second decision, whatever it is, goes where the first one went. What the page decides reaches
the shop as a real gateway's word would: a signed notice that is stored, and then a question. The pages need no scripts.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit, urlunsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from telvend.errors import Busy, NotFound, TelvendError
from telvend.funding.model import Funding, FundingState
from telvend.funding.service import RETURN_PATH, Fundings
from telvend.gateways.checkout import Checkout, Decision, Payment, PaymentState
from telvend.gateways.contract import Method
from telvend.kit import log
from telvend.kit.turnstile import Turnstile
from telvend.web.markup import HtmlPage, Markup, fill
from telvend.web.site import Site

BASE: Final = "/pay"
"""What the paths of these pages begin with."""

FORM_LIMIT_BYTES: Final = 8 * 1024

# How many are looked up in the database together, and how many may wait for that: anybody may come to these pages. A payer who
# has come back may wait for the gateway meanwhile.
_PAYING_AT_ONCE: Final = (4, 256)
_RETURNING_AT_ONCE: Final = (64, 256)

_log = log.get(__name__)
_not_taken = log.LogLimit()

STATUS_BY_STATE: Final = {
    FundingState.PENDING: "pending",
    FundingState.COMPLETED: "completed",
    FundingState.FAILED: "failed",
    FundingState.EXPIRED: "failed",
}
"""The word that is added to redirect_url as `status`. It is a courtesy: only the API's word may be relied on."""


def checkout(fundings: Fundings, gateway: Checkout) -> Site:
    """All of `/pay`."""

    returning = Turnstile(*_RETURNING_AT_ONCE)

    async def back(request: Request) -> Response:
        try:
            async with returning:
                funding = await fundings.returned(request.path_params["reference"])
        except NotFound:
            return _nothing()
        if funding.redirect_url is not None:
            # Nothing of what the gateway has put into this address is passed on, nor believed.
            return _see(funding.redirect_url, reference=funding.reference, status=STATUS_BY_STATE[funding.state])
        return _result(funding)

    counter = _Counter(fundings, gateway)
    routes = [
        Route(f"{RETURN_PATH}/{{reference}}", _Methods(GET=back)),
        Route(f"{gateway.page}/{{token}}", _Methods(GET=counter.show, POST=counter.decide)),
    ]
    return Site(Router(routes=routes, default=_default, redirect_slashes=False), _error_page)


class _Counter:
    """The page of a gateway that has none of its own: shows a payment, and takes the payer's decision."""

    def __init__(self, fundings: Fundings, gateway: Checkout) -> None:
        self._fundings = fundings
        self._gateway = gateway
        self._turnstile = Turnstile(*_PAYING_AT_ONCE)

    async def show(self, request: Request) -> Response:
        async with self._turnstile:
            payment = await self._gateway.payment(request.path_params["token"])
        if payment is None:
            return _nothing()
        if self._gateway.refuses(payment):
            return _refused(payment)
        return _checkout(payment) if payment.state is PaymentState.OPEN else _decided(payment)

    async def decide(self, request: Request) -> Response:
        form = await _form(request)
        try:
            decision = Decision(form["decision"])
            method = Method(form["method"]) if "method" in form else None
        except (KeyError, ValueError):
            return _message("This form cannot be read", "Please go back and choose again.", 422)
        async with self._turnstile:
            payment = await self._gateway.decide(request.path_params["token"], decision, method)
        if payment is None:
            return _nothing()
        if self._gateway.refuses(payment):
            return _refused(payment, status=409)
        if payment.state is PaymentState.EXPIRED:
            return _decided(payment)
        headers, body = self._gateway.notice(payment)
        try:
            await self._fundings.notice(self._gateway.name, headers, body)
        except Busy:
            # A real gateway would send it again. Here the shop asks by itself soon enough.
            _not_taken.write(_log.warning, "sandbox_notice_not_taken", payment=payment.gateway_reference)
        return _see(payment.return_url, reference=payment.reference)


class _Methods:
    """A page for each method; HEAD is GET. A database that is away is a page too."""

    def __init__(self, **pages: Callable[[Request], Awaitable[Response]]) -> None:
        self._pages = pages | ({"HEAD": pages["GET"]} if "GET" in pages else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._pages.get(scope["method"])
        if page is None:
            response: Response = _message("This cannot be done here", "", 405, {"allow": ", ".join(self._pages)})
        else:
            try:
                response = await page(Request(scope, receive))
            except Busy as busy:
                response = _message(
                    "One moment, please",
                    "The shop cannot answer right now. This page tries again by itself.",
                    503,
                    {"retry-after": str(busy.retry_after_s)},
                    refresh_s=5 if scope["method"] == "GET" else None,
                )
        await response(scope, receive, send)


async def _default(scope: Scope, receive: Receive, send: Send) -> None:
    await _nothing()(scope, receive, send)


async def _form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, the first of each name; none of anything else."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > FORM_LIMIT_BYTES:
                return {}
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=20, errors="strict")
    except (ValueError, ClientDisconnect):
        return {}
    return {name: values[0] for name, values in fields.items()}


def _see(url: str, **fields: str) -> Response:
    """Send the browser on."""
    return RedirectResponse(_with(url, **fields), 303)


def _with(url: str, **fields: str) -> str:
    """The address with these fields in its query, in place of what it has under the same names. The rest stays as it is."""
    parts = urlsplit(url)
    kept = [part for part in parts.query.split("&") if part and unquote_plus(part.partition("=")[0]) not in fields]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(fields)])))


# The pages ------------------------------------------------------------------------------------------------------------------

_PLAY: Final = Markup(
    '<p class="note" role="note"><strong>This is play.</strong> No bank is asked and no money moves. '
    "Never enter a real card anywhere on a page like this.</p>"
)

_FACT: Final = "<dt>{name}</dt><dd>{value}</dd>"

_WAYS: Final = (
    (
        Method.CARD,
        "Card",
        "A pretended card, filled in already:",
        (("Number", "5060 6666 6666 6666 666"), ("Expires", "12/99"), ("CVV", "123")),
    ),
    (
        Method.BANK_TRANSFER,
        "Bank transfer",
        "You would send the amount to this pretended account:",
        (("Bank", "Sandbox Bank"), ("Account", "0000 000 000")),
    ),
    (Method.USSD, "USSD", "You would dial this pretended code:", (("Code", "*000*000#"),)),
)

_TAB: Final = (
    '<input class="way" type="radio" name="method" id="{way}" value="{way}"{checked}><label for="{way}">{name}</label>'
)
_PANEL: Final = '<div class="panel {way}-panel"><p class="soft">{text}</p><dl>{facts}</dl></div>'

_CHECKOUT: Final = """{play}
<form class="card" method="post">
<h1>Fund a wallet</h1>
<p class="amount">{amount}</p>
<p class="soft">{reference}. You have until {until} UTC.</p>
<fieldset><legend>How would you like to pay?</legend>
{tabs}
{panels}
</fieldset>
<button class="main" name="decision" value="pay">Pretend to pay {amount}</button>
<button name="decision" value="decline">Have the bank decline</button>
<button name="decision" value="abandon">Leave without paying</button>
</form>"""


def _checkout(payment: Payment) -> Response:
    tabs = Markup(
        "\n".join(
            fill(_TAB, way=way, name=name, checked=Markup(" checked" if way is payment.method else ""))
            for way, name, _, _ in _WAYS
        )
    )
    panels = Markup(
        "\n".join(
            fill(
                _PANEL,
                way=way,
                text=text,
                facts=Markup("".join(fill(_FACT, name=fact, value=value) for fact, value in facts)),
            )
            for way, _, text, facts in _WAYS
        )
    )
    body = fill(
        _CHECKOUT,
        play=_PLAY,
        amount=payment.amount,
        reference=payment.reference,
        until=f"{payment.expires_at:%H:%M}",
        tabs=tabs,
        panels=panels,
    )
    return HtmlPage(f"Pay {payment.amount} (play)", body)


_SENTENCE_BY_STATE: Final = {
    PaymentState.PAID: "This was paid already.",
    PaymentState.DECLINED: "The bank has declined this.",
    PaymentState.ABANDONED: "You have left this without paying.",
    PaymentState.EXPIRED: "The time to pay this is over.",
}

_DECIDED: Final = """{play}
<div class="card"><h1>{sentence}</h1><p class="amount">{amount}</p><p class="soft">{reference}</p>
<a class="button main" href="{url}">Go on</a></div>"""


def _decided(payment: Payment) -> Response:
    body = fill(
        _DECIDED,
        play=_PLAY,
        sentence=_SENTENCE_BY_STATE[payment.state],
        amount=payment.amount,
        reference=payment.reference,
        url=_with(payment.return_url, reference=payment.reference),
    )
    return HtmlPage("Payment (play)", body)


_REFUSED: Final = """{play}
<div class="card"><h1>This shop takes no play money any more</h1><p class="amount">{amount}</p><p class="soft">{reference}</p>
<p>It sells real things now, or takes real money. Nothing was paid, and nothing goes into the wallet.</p>
<a class="button main" href="{url}">Go back</a></div>"""


def _refused(payment: Payment, status: int = 200) -> Response:
    body = fill(
        _REFUSED,
        play=_PLAY,
        amount=payment.amount,
        reference=payment.reference,
        url=_with(payment.return_url, reference=payment.reference),
    )
    return HtmlPage("Payment (play)", body, status_code=status)


_RESULT_BY_STATE: Final = {
    FundingState.PENDING: ("Waiting for the payment", "It has not arrived yet. This page looks again by itself."),
    FundingState.COMPLETED: ("Paid", "The wallet has the money. You can close this page."),
    FundingState.FAILED: ("Not paid", "Nothing was taken into the wallet."),
    FundingState.EXPIRED: ("Not paid in time", "Nothing was taken into the wallet."),
}

_RESULT: Final = """<div class="card" role="status"><h1>{title}</h1><p class="amount">{amount}</p><p class="soft">{reference}</p>
<p>{text}</p></div>"""


def _result(funding: Funding) -> Response:
    title, text = _RESULT_BY_STATE[funding.state]
    waits = funding.state is FundingState.PENDING
    if waits and funding.attention:
        title, text, waits = (
            "Not credited",
            "Something about this payment does not fit. The shop has to look at it.",
            False,
        )
    body = fill(_RESULT, title=title, amount=funding.amount, reference=funding.reference, text=text)
    return HtmlPage(title, body, refresh_s=5 if waits else None)


def _nothing() -> Response:
    return _message("There is nothing here", "The address may be incomplete, or no longer in use.", 404)


def _error_page(status: int, error: TelvendError) -> Response:
    if status == 404:
        return _nothing()
    if status >= 500:
        return _message("Something went wrong", "It has been recorded. Please try again in a moment.", status)
    return _message("This cannot be read", str(error), status)


def _message(
    title: str, text: str, status: int, headers: dict[str, str] | None = None, *, refresh_s: int | None = None
) -> Response:
    body = fill('<div class="card"><h1>{title}</h1><p>{text}</p></div>', title=title, text=text)
    return HtmlPage(title, body, status_code=status, refresh_s=refresh_s, headers=headers)
