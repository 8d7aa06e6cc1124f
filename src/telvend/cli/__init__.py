"""The command line: one file a subject, each a Typer application; `common.py` is what all commands share.

A file is imported when one of its commands is run or asked for its help (lazy.py). Their list stands here.
"""

import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from telvend import __version__
from telvend.cli.former_options import notices
from telvend.cli.lazy import LazyCommand, LazyGroup
from telvend.cli.options import DatabaseUrl, DataDir, Json, common_options
from telvend.cli.streams import OutputLost, install
from telvend.kit import failpoints, log

# The two groups of `telvend --help`.
_EVERY_DAY: Final = "Every day"
_OPERATOR: Final = "The operator's side: our own network, the machine and the database"

COMMANDS: Final = (
    LazyCommand(
        "serve",
        "serve",
        rich_help_panel=_EVERY_DAY,
        help="Serve the API, deliver orders, and keep the embedded database running. SIGTERM drains.",
    ),
    LazyCommand(
        "work",
        "serve",
        rich_help_panel=_OPERATOR,
        help="Deliver orders and nothing else; beside `telvend serve --no-fulfilment`, on this machine or another. Opens no shop.",
    ),
    LazyCommand(
        "_worker", "serve", hidden=True, help="One of several server processes; started by `telvend serve --workers`."
    ),
    LazyCommand(
        "demo",
        "demo",
        rich_help_panel=_EVERY_DAY,
        help="A furnished shop in a folder of its own: sells before your eyes, in three APIs, then serves until Ctrl-C.",
    ),
    LazyCommand(
        "doctor",
        "doctor",
        rich_help_panel=_EVERY_DAY,
        help="""Check this machine and this shop: one line each, and what to do about it.

Changes nothing, works while the server runs, and ends with exit code 1 when something would lose money or stop sales.""",
    ),
    LazyCommand(
        "audit",
        "audit",
        rich_help_panel=_EVERY_DAY,
        help="Say whether the books hold, as `telvend ledger check` does; with --json, also what was seen again.",
    ),
    LazyCommand(
        "settings",
        "settings",
        rich_help_panel=_OPERATOR,
        help="List every setting with its value, where it came from and what it is for. Secrets are starred.",
    ),
    LazyCommand(
        "upgrade",
        "upgrade",
        rich_help_panel=_OPERATOR,
        help="Bring the database's schema to this version, while nodes of the version before go on serving.",
    ),
    LazyCommand(
        "install-service",
        "install_service",
        rich_help_panel=_OPERATOR,
        help="""Make a systemd service of this installation: its user, its data directory, its unit. Run it as root.

Running it again is harmless. A unit that somebody has changed is left as it is, and the difference is shown.
A --database-url is written into a new file of secrets.""",
    ),
    LazyGroup(
        "backup",
        "backups",
        "app",
        "make",
        rich_help_panel=_OPERATOR,
        help="Backups: `telvend backup DIR` takes one while the shop sells; list and verify them.",
    ),
    LazyCommand(
        "restore",
        "restoring",
        rich_help_panel=_OPERATOR,
        help="""Restore a backup into an empty data directory, up to its end or to a moment.

What was sold afterwards is not in it: the shop sells nothing until its providers are reconciled and `telvend shop release`
was said.""",
    ),
    LazyGroup("user", "users", "app", rich_help_panel=_EVERY_DAY, help="The resellers of the shop."),
    LazyGroup("console", "console", "app", rich_help_panel=_EVERY_DAY, help="Who may open the console."),
    LazyGroup("email", "emails", "app", rich_help_panel=_EVERY_DAY, help="The e-mails of the shop."),
    LazyGroup("key", "keys", "app", rich_help_panel=_EVERY_DAY, help="The API keys of resellers."),
    LazyGroup("wallet", "wallets", "app", rich_help_panel=_EVERY_DAY, help="Resellers' money."),
    LazyGroup("funding", "fundings", "app", rich_help_panel=_EVERY_DAY, help="Money that comes through gateways."),
    LazyGroup("product", "products", "app", rich_help_panel=_EVERY_DAY, help="What the shop sells."),
    LazyGroup("network", "networks", "app", rich_help_panel=_EVERY_DAY, help="The networks that are sold."),
    LazyGroup(
        "provider", "providers", "app", rich_help_panel=_EVERY_DAY, help="The upstreams that deliver what is sold."
    ),
    LazyCommand(
        "reconcile",
        "reconcile",
        rich_help_panel=_EVERY_DAY,
        help="""Compare a day with what a provider says of it: its statement, its list of transactions, or its answers.

`only_there` is what the provider delivered and our books do not know or have failed: money lost, also after a restore.
`only_here` is what our books have delivered and the provider does not. Moves no money of a wallet; each line says which command
does. What the provider lists or answers against a decision by hand is entered as a late report, once (`late`); what a statement
says only with --enter-late. What was found is recorded; running it again is harmless. Exit code 1 where anything is left over.""",
    ),
    LazyGroup("order", "orders", "app", rich_help_panel=_EVERY_DAY, help="The sales."),
    LazyGroup(
        "webhook", "webhooks", "app", rich_help_panel=_EVERY_DAY, help="Telling resellers' programs what has happened."
    ),
    LazyGroup("approval", "approvals", "app", rich_help_panel=_EVERY_DAY, help="What waits for a second person."),
    LazyGroup("identity", "identity", "app", rich_help_panel=_EVERY_DAY, help="Identity checks: NIN and BVN."),
    LazyGroup("ledger", "ledger", "app", rich_help_panel=_EVERY_DAY, help="Whether the books hold."),
    LazyGroup(
        "report",
        "reports",
        "app",
        rich_help_panel=_EVERY_DAY,
        help="What was sold and earned, what is owed, and closed months.",
    ),
    LazyGroup(
        "subscriber", "subscribers", "app", rich_help_panel=_OPERATOR, help="Who is on the network, and what they have."
    ),
    LazyGroup("bundle", "bundles", "app", rich_help_panel=_OPERATOR, help="What a product of the network credits."),
    LazyGroup("refill-profile", "bundles", "profiles", rich_help_panel=_OPERATOR, help="What a refill turns into."),
    LazyGroup("voucher", "vouchers", "app", rich_help_panel=_OPERATOR, help="Vouchers: PINs that load a subscriber."),
    LazyGroup("refill", "refills", "app", rich_help_panel=_OPERATOR, help="What subscribers were refilled with."),
    LazyGroup(
        "premium", "premiums", "app", rich_help_panel=_OPERATOR, help="Premiums: what cover for a transaction costs."
    ),
    LazyGroup("simulator", "simulator", "app", rich_help_panel=_OPERATOR, help="The pretended upstream."),
    LazyGroup("db", "database", "app", rich_help_panel=_OPERATOR, help="The database itself."),
    LazyGroup("database", "moving", "app", rich_help_panel=_OPERATOR, help="Moving the shop into another database."),
    LazyGroup("shop", "shop", "app", rich_help_panel=_OPERATOR, help="Whether this shop sells."),
)
"""Every command and group, in the order of `telvend --help`. The help of a command is the docstring of its function, again."""


class _Telvend(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": COMMANDS})


app = typer.Typer(
    cls=_Telvend,
    name="telvend",
    help="Sell airtime, mobile data and identity checks by API, from prepaid wallets that cannot lose money.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from telvend.kit.commit import commit

        built_from = commit()
        sys.stdout.write(f"telvend {__version__}" + (f" (commit {built_from})" if built_from else "") + "\n")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
    version: Annotated[  # noqa: ARG001 - its callback has done everything
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and the commit, and end."),
    ] = False,
) -> None:
    common_options(context, data_dir, database_url, as_json)


if failpoints.armed():
    # It knows every name, and refuses a process in which another is armed; most commands would never import it.
    import telvend.bootstrap  # noqa: F401


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 refused (the sentence is on stderr), 2 wrong usage, 3 waits for a second person."""
    install()
    # On stderr, since what stands on stdout is read by programs. A server takes its own level from the settings.
    log.configure_at_first_line("warning")
    for notice in notices(sys.argv[1:]):
        sys.stderr.write(f"telvend: {notice}\n")
    try:
        app()
    except OutputLost as error:
        # Of something that is printed piece by piece, or of a page of help.
        if not error.by_reader:
            sys.stderr.write(f"telvend: The output could not be written: {error}.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
