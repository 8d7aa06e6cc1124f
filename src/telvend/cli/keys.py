"""`telvend key`: the API keys of resellers."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telvend.bootstrap import APIS
from telvend.cli.common import Output, command, day_text, progress, table, zone_name
from telvend.errors import InvalidInput
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret
from telvend.resellers.model import ApiKey

app = typer.Typer()

if TYPE_CHECKING:
    from telvend.bootstrap import Shop

    Api = str
else:
    Api = StrEnum("Api", [(keys.api, keys.api) for keys in APIS])


def _data(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "api": key.api,
        "mode": key.mode,
        "hint": key.hint,
        "read_limit": key.read_limit,
        "purchase_limit": key.purchase_limit,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "used_at": key.used_at,
    }


@command(app, "add")
async def add(
    shop: "Shop",
    email: Annotated[str, typer.Argument(help="The reseller.")],
    api: Annotated[Api, typer.Option(help="The API that the key is for.")],
    mode: Annotated[
        Mode, typer.Option(help="Real money, or play money that only the simulator delivers for.")
    ] = Mode.LIVE,
    read_limit: Annotated[int | None, typer.Option(min=1, help="Reads a minute; 60 unless raised.")] = None,
    purchase_limit: Annotated[int | None, typer.Option(min=1, help="Purchases a minute; 30 unless raised.")] = None,
) -> Output:
    """Make a key. It is shown this once."""
    key, text, secret = await shop.resellers.add_key(email, api, mode, read_limit, purchase_limit)
    shown = {"key": text.reveal()} | ({"secret": secret.reveal()} if secret else {})
    lines = [text.reveal(), *([f"secret: {secret.reveal()}"] if secret else [])]
    lines += ["", f"This {key.api} key ({key.mode}) is shown only now. Its id, to revoke it: {key.id}"]
    lost = f"Nobody knows the key: telvend key revoke {key.id}, and make another one."
    return Output(_data(key) | shown, "\n".join(lines), if_lost=lost)


@command(app, "revoke")
async def revoke(
    shop: "Shop", key_id: Annotated[str, typer.Argument(help="The id of the key, not the key.")]
) -> Output:
    """Make a key worthless, on every node within a second."""
    key = await shop.resellers.revoke_key(key_id)
    return Output(_data(key), f"The key {key.hint} no longer works.")


@command(app, "limits")
async def limits(
    shop: "Shop",
    key_id: Annotated[str, typer.Argument(help="The id of the key, not the key.")],
    read_limit: Annotated[int, typer.Option(min=1, help="Reads a minute.")],
    purchase_limit: Annotated[int, typer.Option(min=1, help="Purchases a minute.")],
) -> Output:
    """Change how many requests a minute a key may make, on every node within a second."""
    key = await shop.resellers.change_limits(key_id, read_limit=read_limit, purchase_limit=purchase_limit)
    return Output(
        _data(key), f"The key {key.hint} may read {key.read_limit} and buy {key.purchase_limit} times a minute."
    )


_LONGEST_TEXT = 256
ARGUMENT_WARNING = (
    "the key in the arguments can be read by every user of this machine, and stays in the shell's history;"
    " without an argument it is read from stdin"
)


@command(app, "find")
async def find(
    shop: "Shop",
    text: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="The key; without it, it is read from stdin, which is safer.")
    ] = None,
) -> Output:
    """Say whose key a text is, to revoke it: one that has leaked. Also knows OAuth secrets and tokens. Prints no key."""
    if text is not None and text != "-":
        progress(f"telvend: {ARGUMENT_WARNING}.")
    else:
        if sys.stdin.isatty():
            progress("The key:")
        text = sys.stdin.readline(_LONGEST_TEXT)
    text = text.strip()
    if not text:
        raise InvalidInput("key", "is empty: give the text that has leaked")
    key, email = await shop.resellers.find_key(Secret(text))
    if key.revoked_at is None:
        advice = f"To make it worthless: telvend key revoke {key.id}"
    else:
        advice = f"It was revoked on {day_text(key.revoked_at)} ({zone_name()})."
    return Output(
        _data(key) | {"email": email}, f"{key.hint} is a {key.api} key ({key.mode}) of {email}, id {key.id}. {advice}"
    )


@command(app, "list")
async def list_keys(shop: "Shop", email: Annotated[str, typer.Argument(help="The reseller.")]) -> Output:
    """List a reseller's keys; their texts are not kept."""
    keys = await shop.resellers.list_keys(email)
    rows = [
        (
            k.id,
            k.api,
            k.mode,
            k.hint,
            k.read_limit,
            k.purchase_limit,
            day_text(k.created_at),
            day_text(k.revoked_at) if k.revoked_at else "",
            day_text(k.used_at) if k.used_at else "never",
        )
        for k in keys
    ]
    return Output(
        {"keys": [_data(key) for key in keys]},
        show=table(
            "",
            (
                "id",
                "api",
                "mode",
                "key",
                "reads/min",
                "purchases/min",
                f"made ({zone_name()})",
                f"revoked ({zone_name()})",
                f"last used ({zone_name()})",
            ),
            rows,
            "There are no keys yet.",
        ),
    )
