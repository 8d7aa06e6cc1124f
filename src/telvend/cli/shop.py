"""`telvend shop`: whether this shop sells, and letting it sell again after its database has gone back."""

from typing import TYPE_CHECKING, Annotated

import typer

from telvend.cli.common import Output, command, time_text, zone_name
from telvend.errors import InvalidInput
from telvend.sales.continuity.model import BookRestore, Halt

if TYPE_CHECKING:
    from rich.console import Console

    from telvend.bootstrap import Shop
    from telvend.upkeep.restores import ProviderDays

app = typer.Typer()


@command(app, "status")
async def status(shop: "Shop") -> Output:
    """Say whether sales are halted, and why; exit code 1 where they are. Also the halts that there were."""
    halted = shop.continuity.halted
    halts = await shop.continuity.history(shop.database)
    restores, providers = await _after_restore(shop)
    data = {
        "sells": not shop.gate.reasons,
        "reasons": list(shop.gate.reasons),
        "halts": [_halt(item) for item in halts],
        "restores": [
            {"backup": one.backup, "known_until": one.known_until, "restored_at": one.restored_at} for one in restores
        ],
        "reconcile": [
            {"provider": one.provider, "days": list(one.open_days), "left_over": one.left_over} for one in providers
        ],
    }

    def show(console: "Console") -> None:
        for reason in shop.gate.reasons:
            console.print(reason, markup=False)
        if not shop.gate.reasons:
            console.print("Nothing halts sales.")
        for one in providers:
            if one.open_days:
                console.print(f"To do: {one.text}: `{one.command}`", markup=False)
            else:
                left = f", {one.left_over} left over" if one.left_over else ""
                console.print(f"Done: {one.provider} is reconciled since the restore{left}.", markup=False)
        if restores and not providers:
            console.print("No provider outside of this shop has delivered anything: none has to be reconciled.")
        for item in halts:
            console.print(f"\n{_told(item)}", markup=False)

    return Output(data, show=show, exit_code=0 if halted is None else 1)


@command(app, "release")
async def release(
    shop: "Shop",
    reason: Annotated[str, typer.Option("--reason", help="Why sales may go on; kept with the halt.")],
    by: Annotated[str, typer.Option("--by", help="Who decides.")],
    force: Annotated[
        bool, typer.Option("--force", help="After a restore: although providers are not reconciled.")
    ] = False,
) -> Output:
    """Sell again with the database as it is, after it has gone back or was restored. Every node sells at once.

    What it lacks is gone: compare with what providers have charged first. After a restore each provider has to be reconciled for
    every day since; `telvend shop status` lists them. Where nothing is halted nothing happens.
    """
    _, providers = await _after_restore(shop)
    if missing := [one for one in providers if one.open_days]:
        if not force:
            raise InvalidInput(
                "",
                f"Nothing was released: {'; '.join(one.text for one in missing)}. What was delivered there and is not in the"
                f" books would be lost money: `{missing[0].command}`; or --force, with a --reason that says why not.",
            )
        reason = f"{reason.strip()} (forced: {'; '.join(one.text for one in missing)})"[:500]
    ended = await shop.continuity.release(shop.database, by=by, reason=reason)
    data = {"released": bool(ended), "halts": [_halt(item) for item in ended]}
    if not ended:
        return Output(data, "Nothing was halted.")
    return Output(data, "\n".join(["Sales go on. Released:", *map(_told, ended)]))


@command(app, "halt")
async def halt(
    shop: "Shop",
    reason: Annotated[str, typer.Option("--reason", help="Why nothing may be sold.")],
    by: Annotated[str, typer.Option("--by", help="Who decides.")],
) -> Output:
    """Sell nothing on any node until `telvend shop release`; after a copy of the data directory was put back, above all.

    Orders that are open now are asked about, and never bought again unseen, also after the release.
    """
    await shop.continuity.halt(shop.database, by=by, reason=reason)
    return Output({"halted": True, "why": shop.continuity.halted}, shop.continuity.halted or "")


async def _after_restore(shop: "Shop") -> "tuple[list[BookRestore], list[ProviderDays]]":
    from telvend.upkeep.restores import providers_after_restore  # It knows reconciliations.

    return await providers_after_restore(shop.database, shop.settings)


def _halt(item: Halt) -> dict[str, object]:
    return {
        "node": item.node,
        "why": item.why,
        "detected_at": item.detected_at,
        "released_at": item.released_at,
        "released_by": item.released_by,
        "reason": item.reason,
    }


def _told(item: Halt) -> str:
    text = f"{time_text(item.detected_at)} {zone_name()}: {item.why} (node {item.node})"
    if item.released_at is None:
        return text
    return f"{text}\n  released {time_text(item.released_at)} {zone_name()} by {item.released_by}: {item.reason}"
