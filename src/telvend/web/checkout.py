"""The pages that a payer sees: the checkout of the gateway that pretends, and where every gateway sends payers back to.

    GET  /pay/sandbox/TOKEN      what is to be paid, and three ways to pretend to
    POST /pay/sandbox/TOKEN      decision=pay|decline|abandon, method=card|bank_transfer|ussd, urlencoded
    GET  /pay/return/REFERENCE   asks the gateway, then goes on to the shop's redirect_url, or says how it stands

A payment is decided once: a second decision, whatever it is, goes where the first one went. What the page decides reaches
the shop as a real gateway's word would: a signed notice that is stored, and then a question. The pages need no scripts.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final
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
from telvend.web.shell import Shell, Side, Templates
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


def checkout(fundings: Fundings, gateway: Checkout, templates: Templates) -> Site:
    """All of `/pay`."""

    views = _Views(templates)
    returning = Turnstile(*_RETURNING_AT_ONCE)

    async def back(request: Request) -> Response:
        try:
            async with returning:
                funding = await fundings.returned(request.path_params["reference"])
        except NotFound:
            return views.nothing(request)
        if funding.redirect_url is not None:
            # Nothing of what the gateway has put into this address is passed on, nor believed.
            return _see(funding.redirect_url, reference=funding.reference, status=STATUS_BY_STATE[funding.state])
        return views.result(request, funding)

    counter = _Counter(fundings, gateway, views)
    routes = [
        Route(f"{RETURN_PATH}/{{reference}}", _Methods(views, GET=back)),
        Route(f"{gateway.page}/{{token}}", _Methods(views, GET=counter.show, POST=counter.decide)),
    ]
    return _CheckoutSite(routes, views)


class _Counter:
    """The page of a gateway that has none of its own: shows a payment, and takes the payer's decision."""

    def __init__(self, fundings: Fundings, gateway: Checkout, views: "_Views") -> None:
        self._fundings = fundings
        self._gateway = gateway
        self._views = views
        self._turnstile = Turnstile(*_PAYING_AT_ONCE)

    async def show(self, request: Request) -> Response:
        async with self._turnstile:
            payment = await self._gateway.payment(request.path_params["token"])
        if payment is None:
            return self._views.nothing(request)
        if self._gateway.refuses(payment):
            return self._views.refused(request, payment)
        if payment.state is not PaymentState.OPEN:
            return self._views.decided(request, payment)
        return self._views.payment(request, payment)

    async def decide(self, request: Request) -> Response:
        form = await _form(request)
        try:
            decision = Decision(form["decision"])
            method = Method(form["method"]) if "method" in form else None
        except (KeyError, ValueError):
            return self._views.message(request, "This form cannot be read", "Please go back and choose again.", 422)
        async with self._turnstile:
            payment = await self._gateway.decide(request.path_params["token"], decision, method)
        if payment is None:
            return self._views.nothing(request)
        if self._gateway.refuses(payment):
            return self._views.refused(request, payment, status=409)
        if payment.state is PaymentState.EXPIRED:
            return self._views.decided(request, payment)
        headers, body = self._gateway.notice(payment)
        try:
            await self._fundings.notice(self._gateway.name, headers, body)
        except Busy:
            # A real gateway would send it again. Here the shop asks by itself soon enough.
            _not_taken.write(_log.warning, "sandbox_notice_not_taken", payment=payment.gateway_reference)
        return _see(payment.return_url, reference=payment.reference)


class _Methods:
    """A page for each method; HEAD is GET. A database that is away is a page too."""

    def __init__(self, views: "_Views", **pages: Callable[[Request], Awaitable[Response]]) -> None:
        self._views = views
        self._pages = pages | ({"HEAD": pages["GET"]} if "GET" in pages else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._pages.get(scope["method"])
        request = Request(scope, receive)
        if page is None:
            allowed = {"allow": ", ".join(self._pages)}
            response = self._views.message(request, "This cannot be done here", "", 405, allowed)
        else:
            try:
                response = await page(request)
            except Busy as busy:
                response = self._views.message(
                    request,
                    "One moment, please",
                    "The shop cannot answer right now. This page tries again by itself.",
                    503,
                    {"retry-after": str(busy.retry_after_s)},
                    refresh_s=5 if scope["method"] == "GET" else None,
                )
        await response(scope, receive, send)


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

_HEADERS: Final = {
    # Forms may lead anywhere, since a browser counts the redirect that follows them, and where payers go afterwards is the
    # business of the shop's customers. Nothing runs here.
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Whose page a payer came from is told to nobody.
    "referrer-policy": "no-referrer",
}

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

_SENTENCE_BY_STATE: Final = {
    PaymentState.PAID: "This was paid already.",
    PaymentState.DECLINED: "The bank has declined this.",
    PaymentState.ABANDONED: "You have left this without paying.",
    PaymentState.EXPIRED: "The time to pay this is over.",
}

_RESULT_BY_STATE: Final = {
    FundingState.PENDING: ("Waiting for the payment", "It has not arrived yet. This page looks again by itself."),
    FundingState.COMPLETED: ("Paid", "The wallet has the money. You can close this page."),
    FundingState.FAILED: ("Not paid", "Nothing was taken into the wallet."),
    FundingState.EXPIRED: ("Not paid in time", "Nothing was taken into the wallet."),
}


class _Views:
    """What a payer sees. Payers do not sign in: no session is looked up, no cookie is set."""

    def __init__(self, templates: Templates) -> None:
        self._shell = Shell(Side("checkout", "__Host-telvend", "/", "/", _nobody), templates)

    def payment(self, request: Request, payment: Payment) -> Response:
        return self._render(request, "checkout/pay.html", payment=payment, ways=_WAYS)

    def decided(self, request: Request, payment: Payment) -> Response:
        return self._over(request, payment, _SENTENCE_BY_STATE[payment.state], "", "Go on")

    def refused(self, request: Request, payment: Payment, status: int = 200) -> Response:
        text = "It sells real things now, or takes real money. Nothing was paid, and nothing goes into the wallet."
        return self._over(request, payment, "This shop takes no play money any more", text, "Go back", status)

    def _over(
        self, request: Request, payment: Payment, sentence: str, text: str, button: str, status: int = 200
    ) -> Response:
        url = _with(payment.return_url, reference=payment.reference)
        return self._render(
            request, "checkout/over.html", status, payment=payment, sentence=sentence, text=text, button=button, url=url
        )

    def result(self, request: Request, funding: Funding) -> Response:
        title, text = _RESULT_BY_STATE[funding.state]
        waits = funding.state is FundingState.PENDING
        if waits and funding.attention:
            title, waits = "Not credited", False
            text = "Something about this payment does not fit. The shop has to look at it."
        refresh_s = 5 if waits else None
        return self._render(
            request, "checkout/result.html", title=title, text=text, funding=funding, refresh_s=refresh_s
        )

    def nothing(self, request: Request) -> Response:
        return self.message(
            request, "There is nothing here", "The address may be incomplete, or no longer in use.", 404
        )

    def error(self, request: Request, status: int, error: TelvendError) -> Response:
        if status == 404:
            return self.nothing(request)
        if status >= 500:
            return self.message(
                request, "Something went wrong", "It has been recorded. Please try again in a moment.", status
            )
        return self.message(request, "This cannot be read", str(error), status)

    def message(
        self,
        request: Request,
        title: str,
        text: str,
        status: int,
        headers: dict[str, str] | None = None,
        *,
        refresh_s: int | None = None,
    ) -> Response:
        return self._render(
            request, "checkout/message.html", status, headers, title=title, text=text, refresh_s=refresh_s
        )

    def _render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> Response:
        return self._shell.render(request, template, status=status, headers=_HEADERS | (headers or {}), **context)


async def _nobody(_: str) -> None:
    return None


class _CheckoutSite(Site):
    """All pages of payers, their errors with them."""

    def __init__(self, routes: list[Route], views: _Views) -> None:
        async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
            await views.nothing(Request(scope))(scope, receive, send)

        super().__init__(
            Router(routes=routes, default=nothing, redirect_slashes=False),
            lambda status, error: views.error(Request({"type": "http", "headers": []}), status, error),
        )
        self._views = views

    def page_of(self, scope: Scope, status: int, error: TelvendError) -> Response:
        return self._views.error(Request(scope), status, error)
