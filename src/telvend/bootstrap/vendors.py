"""Whom a shop reaches: its providers, authorities, gateways and mail server, as the settings name them.

A new connector gets its line in `providers/connectors.py`; another provider, authority or gateway in the function here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from telvend.authorities import dojah, prembly
from telvend.config import OWN_NETWORK, Settings, SettingsRefused
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    from telvend.authorities.contract import Authority
    from telvend.connected import Connected
    from telvend.fulfilment.routing import Router
    from telvend.gateways.contract import Gateway
    from telvend.kit.clock import Clock
    from telvend.operator.entitlements.service import Entitlements
    from telvend.operator.provisioning.service import Provisioning
    from telvend.people.mail.transport import Transport
    from telvend.providers.contract import Provider
    from telvend.providers.simulator.store import PostgresBook
    from telvend.providers.upstream import Upstream


def providers_of(
    settings: Settings, book: "PostgresBook", clock: "Clock", provisioning: "Provisioning", offering: "Entitlements"
) -> "list[Provider]":
    """Every provider of this shop. A new one gets its line here."""
    from telvend.providers.own_network.client import OwnNetwork
    from telvend.providers.simulator.client import Simulator

    made: list[Provider] = [
        Simulator(
            name,
            book,
            clock,
            live=chosen.live,
            steered=chosen.steered,
            timeout_s=chosen.timeout_s,
            concurrency=settings.fulfilment_concurrency,
        )
        for name, chosen in settings.simulators.items()
    ]
    made += _upstreams(settings, clock)
    if settings.own_network:
        made.append(
            OwnNetwork(
                provisioning,
                offering,
                creates_subscribers=settings.own_network_creates_subscribers,
                concurrency=settings.fulfilment_concurrency,
            )
        )
    return made


def _upstreams(settings: Settings, clock: "Clock") -> "list[Upstream]":
    """Every upstream of the settings. Raises SettingsRefused with all that is wrong with all of them."""
    if not settings.providers:
        return []
    from telvend.providers.connectors import connect
    from telvend.providers.upstream import ConnectorRefused, callback_path

    upstreams: list[Upstream] = []
    problems: list[str] = []
    for name, chosen in settings.providers.items():
        try:
            upstream = connect(name, chosen, clock)
        except ConnectorRefused as refused:
            problems += [f"providers.{name}: {problem}" for problem in refused.problems]
            continue
        upstreams.append(upstream)
        form, secret = upstream.callback, chosen.callback_secret
        if form is not None and secret is not None and settings.public_url:
            path = callback_path(name, secret.reveal() if form.signature is None else None)
            upstream.calls_back_at(settings.public_url.rstrip("/") + path, secret)
    if problems:
        raise SettingsRefused(f"{'; '.join(problems)}. `telvend provider check NAME` looks at one alone.")
    return upstreams


def authorities_of(settings: Settings) -> "dict[str, Authority]":
    """The real authorities of this shop, by their names."""
    authorities: dict[str, Authority] = {}
    if settings.prembly_api_key is not None:
        from telvend.authorities.prembly.client import Prembly

        authorities[prembly.NAME] = Prembly(api_key=settings.prembly_api_key, app_id=settings.prembly_app_id)
    if settings.dojah_secret_key is not None:
        from telvend.authorities.dojah.client import Dojah

        authorities[dojah.NAME] = Dojah(secret_key=settings.dojah_secret_key, app_id=settings.dojah_app_id)
    return authorities


def gateways_of(settings: Settings) -> "list[Gateway]":
    """Every gateway of this shop beside the sandbox, the preferred one first."""
    keys = {"paystack": settings.paystack_secret_key, "paystack-test": settings.paystack_test_secret_key}
    gateways: list[Gateway] = []
    for name, key in keys.items():
        if key is not None:
            from telvend.gateways.paystack.client import Paystack

            gateways.append(Paystack(name, key))
    return gateways


def connected_of(providers: "list[Provider]", authorities: "list[Authority]", gateways: "list[Gateway]") -> "Connected":
    from telvend.connected import Connected

    with _side_by_side():
        return Connected.of(providers, authorities, gateways)


@contextmanager
def _side_by_side() -> Iterator[None]:
    """Refuse the settings where what is made of them says, by a ValueError, that two providers do not go together."""
    try:
        yield
    except ValueError as error:
        advice = "What pretends is taken out by own_network = false, and by live = false of a simulator"
        raise SettingsRefused(f"These providers cannot stand side by side: {error}. {advice}.") from None


def router_of(
    settings: Settings, providers: "list[Provider]", clock: "Clock", refuses_live: Callable[[], str | None]
) -> "Router":
    from telvend.fulfilment.routing import Router, Rule

    rules = {name: Rule(priority=chosen.priority) for name, chosen in settings.providers.items()}
    # What a steered simulator does is decided by the number, and says nothing of the next one: no breaker.
    rules |= {name: Rule(priority=chosen.priority, breaker=False) for name, chosen in settings.simulators.items()}
    if settings.own_network:
        # Whoever else was set up for live orders was set up on purpose, and goes first. It fails only where the database
        # does, and then nothing can be claimed for anybody: a breaker would only make it come back later.
        rules[OWN_NETWORK] = Rule(priority=1000, breaker=False)
    with _side_by_side():
        return Router(providers, clock, rules=rules, refuses_live=refuses_live, processes=settings.workers)


def mail_transport(settings: Settings) -> "Transport":
    """How e-mails leave: by the mail server of the settings; else they are kept, beside an embedded database as files too."""
    from telvend.people.mail.transport import FOLDER, KeptHere, MailServer

    if not settings.smtp_host:
        return KeptHere(Path(settings.data_dir) / FOLDER if settings.database_url is None else None)
    password = settings.smtp_password
    if password is None and settings.smtp_password_file:
        try:
            password = Secret(Path(settings.smtp_password_file).read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsRefused(
                f"smtp_password_file: {settings.smtp_password_file} cannot be read: {type(error).__name__}."
            ) from None
    return MailServer(settings.smtp_host, settings.smtp_port, settings.smtp_tls, settings.smtp_user, password)
