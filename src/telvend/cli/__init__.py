"""The command line: one file a subject, each a Typer application; `frame.py` is what all commands share."""

import sys
from typing import Annotated

import typer

from telvend import __version__
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
from telvend.cli.frame import DatabaseUrl, DataDir, Json, common
from telvend.cli.panels import EVERY_DAY, OPERATOR
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


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"telvend {__version__}\n")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
    version: Annotated[  # noqa: ARG001 - its callback has done everything
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    common(context, data_dir, database_url, as_json)


for panel, groups in (
    (
        EVERY_DAY,
        (
            users.app,
            keys.app,
            wallets.app,
            fundings.app,
            products.app,
            networks.app,
            orders.app,
            identity.app,
            ledger.app,
        ),
    ),
    (
        OPERATOR,
        (
            subscribers.app,
            bundles.app,
            bundles.profiles,
            vouchers.app,
            refills.app,
            premiums.app,
            simulator.app,
            database.app,
            shop.app,
        ),
    ),
):
    for group in groups:
        app.add_typer(group, rich_help_panel=panel)
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
