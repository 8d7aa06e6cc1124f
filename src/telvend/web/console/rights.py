"""Who may do what in the console: the one table. A page or verb names the right that it needs, and nothing else decides."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Final

from telvend.people.model import Role


class Right(StrEnum):
    """What a person may do in the console."""

    LOOK = "look"
    """See orders, resellers, money, reports and the audit log."""
    ASK = "ask"
    """Have a provider or gateway asked again; send webhooks again; invite a reseller to the portal."""
    PAUSE = "pause"
    """Pause and resume networks."""
    DECIDE = "decide"
    """Decide orders in doubt; confirm and reject what others have proposed."""
    MONEY = "money"
    """Credit, debit, refund, lend, void."""
    ACCESS = "access"
    """Suspend resellers and let them in again; their keys."""
    PRICES = "prices"
    """Change prices, discounts and what is on sale."""
    PROVIDERS = "providers"
    """Switch providers off and on; record what was paid into their floats."""
    VOUCHERS = "vouchers"
    """Issue and block vouchers."""
    CLOSE = "close"
    """Close a month; run an audit of the books."""
    SETTINGS = "settings"
    """See the settings."""
    MAIL = "mail"
    """Read e-mails, which hold links that open accounts."""
    STAFF = "staff"
    """Invite people to the console and give them roles."""


_EVERYBODY: Final = frozenset(Role)
_MONEY: Final = frozenset({Role.OWNER, Role.FINANCE})
_OWNER: Final = frozenset({Role.OWNER})

ROLES: Final[dict[Right, frozenset[Role]]] = {
    Right.LOOK: _EVERYBODY,
    Right.ASK: _EVERYBODY,
    Right.PAUSE: _EVERYBODY,
    Right.DECIDE: _MONEY,
    Right.MONEY: _MONEY,
    Right.ACCESS: _MONEY,
    Right.PRICES: _MONEY,
    Right.PROVIDERS: _MONEY,
    Right.VOUCHERS: _MONEY,
    Right.CLOSE: _MONEY,
    Right.SETTINGS: _MONEY,
    Right.MAIL: _OWNER,
    Right.STAFF: _OWNER,
}
"""The roles that have each right."""


def may(roles: Iterable[str] | AbstractSet[str], right: Right) -> bool:
    """Whether somebody with these roles has this right."""
    return not ROLES[right].isdisjoint(roles)
