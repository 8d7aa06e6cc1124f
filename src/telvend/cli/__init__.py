"""The command line: one file a subject, each a Typer application; `frame.py` is what all commands share."""

import sys

import typer

from telvend.cli import (
    bundles,
    database,
    demo,
    doctor,
    fundings,
    identity,
    keys,
    ledger,
    networks,
    orders,
    premiums,
    products,
    refills,
    serve,
    settings,
    shop,
    simulator,
    subscribers,
    upgrade,
    users,
    vouchers,
    wallets,
)
from telvend.cli.frame import common
from telvend.cli.streams import OutputLost, install
from telvend.kit import log

app = typer.Typer(
    name="telvend",
    help="Sell airtime, mobile data and identity checks by API, from prepaid wallets that cannot lose money.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(common)
for group in (
    users.app,
    keys.app,
    wallets.app,
    fundings.app,
    products.app,
    networks.app,
    orders.app,
    identity.app,
    subscribers.app,
    bundles.app,
    bundles.profiles,
    vouchers.app,
    refills.app,
    premiums.app,
    ledger.app,
    simulator.app,
    database.app,
    shop.app,
):
    app.add_typer(group)
serve.add_to(app)
demo.add_to(app)
doctor.add_to(app)
settings.add_to(app)
upgrade.add_to(app)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 refused (the sentence is on stderr), 2 wrong usage."""
    install()
    # On stderr, since what stands on stdout is read by programs. A server takes its own level from the settings.
    log.configure("warning")
    try:
        app()
    except OutputLost as error:
        # Of something that is printed piece by piece, or of a page of help.
        if not error.by_reader:
            sys.stderr.write(f"telvend: The output could not be written: {error}.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
