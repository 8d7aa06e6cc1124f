"""What waits for a person, and what a search has found. No database."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Topic(StrEnum):
    """What a person may have to act on. Each has its page of what to do, under this word."""

    REVIEW = "review"
    OLD_ORDERS = "old-orders"
    APPROVALS = "approvals"
    FUNDINGS = "fundings"
    CLAIMS = "claims"
    STRAYS = "strays"
    PROVIDERS = "providers"
    FLOATS = "floats"
    NETWORKS = "networks"
    WEBHOOKS = "webhooks"
    EMAILS = "emails"
    RECONCILIATION = "reconciliation"
    AUDIT = "audit"
    BACKUPS = "backups"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that waits for a person. `urgent`: it would lose money or stops sales."""

    topic: Topic
    text: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """What a topic means and what to do: the text of its page. `page`: where it is done."""

    title: str
    means: str
    steps: tuple[str, ...]
    page: str


ADVICE: Final = {
    Topic.REVIEW: Advice(
        "Orders in review",
        "Asking has not settled what became of these orders. Their price is held: neither sold nor given back. Nothing settles them"
        " but a person.",
        (
            "Open the oldest order. Its time-line shows what the provider was sent and what it has said.",
            "Choose “Ask the provider again”: it may know by now.",
            "Otherwise look the order up in the provider's own portal, by the reference that it was sent.",
            "Where it was delivered, resolve it as delivered; where the provider confirms that it was not, resolve it as failed, and"
            " the wallet has its money back. Give what you saw as the reason.",
            "Never resolve an order as failed because it takes long: it may still arrive, and then it is delivered for nothing.",
        ),
        "/console/review",
    ),
    Topic.OLD_ORDERS: Advice(
        "Orders that are open for more than 24 hours",
        "Their price is held. The buyer has neither the goods nor the money, and in Nigeria the rules expect an answer within a day.",
        (
            "Open each order and ask the provider again.",
            "Where the provider still does not know, write to its support with the reference that it was sent.",
            "Orders that wait can be resolved like those in review, once you know.",
        ),
        "/console/review",
    ),
    Topic.APPROVALS: Advice(
        "What waits for a second person",
        "Somebody has proposed a credit, a debit, a refund or a decision above the limit. Nothing has moved.",
        (
            "Open the proposal and read its reason and its figures.",
            "Confirm it if it is right: then it is done at once. Reject it otherwise, with a reason.",
            "Nobody confirms what they have proposed themselves. A proposal ends by itself after some days.",
        ),
        "/console/approvals",
    ),
    Topic.FUNDINGS: Advice(
        "Payments that do not fit",
        "The gateway says something else about these payments than was agreed: another amount, currency or owner. Nothing was credited.",
        (
            "Open the funding and compare what the gateway has sent with what was asked for.",
            "“Ask the gateway” reads the payment once more.",
            "Credit by hand what is owed, or pay it back at the gateway; then note on the funding what you decided.",
        ),
        "/console/funding",
    ),
    Topic.CLAIMS: Advice(
        "Claims of payments",
        "A reseller says that a payment was made and is in no wallet.",
        (
            "Open the claim and choose “Ask the gateway and credit”. The next page shows what the gateway says before anything moves.",
            "Where it was paid, credit it: the wallet gets what the gateway has received, once.",
            "Above the limit for one person the credit waits until another one confirms it, below Approvals.",
            "Where the gateway does not know it, refuse the claim and say why; the reseller reads that and may claim again.",
            "Where two resellers claim one payment, find out first whose it is: the reference alone proves nothing.",
        ),
        "/console/funding/claims",
    ),
    Topic.STRAYS: Advice(
        "Payments without an owner",
        "A gateway has sent a signed message about a payment that is none of ours. Money may have come that no wallet has.",
        (
            "Find the payment at the gateway by what its message says.",
            "A reseller who misses it claims it in the portal, and it stands among the claims: credit it there.",
            "Otherwise ask who may have sent it for the bank's reference, and compare amount and time.",
            "Credit the wallet by hand with the gateway's reference as the reference, so that it cannot be credited twice.",
        ),
        "/console/funding",
    ),
    Topic.PROVIDERS: Advice(
        "Providers that get no orders",
        "A provider rests because it has failed several times in a row, or a person has switched it off. Orders go to the others; where"
        " there is none they fail, and the money goes back.",
        (
            "Look at the provider's own status page or ask its support.",
            "One that rests is tried again by itself. Nothing has to be done while others sell.",
            "One that takes money and does not deliver: switch it off, or drain it so that what is open there is finished.",
            "One that was switched off: switch it on again when it works.",
        ),
        "/console/providers",
    ),
    Topic.FLOATS: Advice(
        "Floats that run low",
        "Our money at a provider is nearly used up, or could not be read. Without a float its orders are refused.",
        (
            "Pay into the provider's account.",
            "Record the payment on the provider's page: then its expected float can be compared with what it says.",
            "Until the money has come, drain the provider if another one sells the same.",
        ),
        "/console/providers",
    ),
    Topic.NETWORKS: Advice(
        "Networks that are paused",
        "Nothing is sold of a paused network. Orders that were placed before go on.",
        (
            "One that was paused by itself is tried with a few sales every few minutes, and sold again when one is delivered.",
            "One that a person has paused stays so until a person resumes it.",
        ),
        "/console/providers",
    ),
    Topic.WEBHOOKS: Advice(
        "Webhooks that fail",
        "A reseller's server does not take what it is sent. After three days of failures it is paused, and events wait for it.",
        (
            "Tell the reseller the address and the failure.",
            "When it works, resume the endpoint: what has waited is sent.",
        ),
        "/console/resellers",
    ),
    Topic.EMAILS: Advice(
        "E-mails that were not sent",
        "The mail server did not take them. Who waits for a link to sign in does not get it.",
        (
            "Check the settings of the mail server.",
            "Open the outbox: it names the failure of each.",
        ),
        "/console/emails",
    ),
    Topic.RECONCILIATION: Advice(
        "Days that do not agree with a provider",
        "A provider's statement and our books differ, or days have not been compared. A difference is money that one side has lost.",
        (
            "Open the result: it lists what only one side has, and what differs.",
            "Run “telvend reconcile” with the provider's statement for days that are missing.",
            "Claim from the provider what it has charged and not delivered.",
        ),
        "/console/reconciliations",
    ),
    Topic.AUDIT: Advice(
        "The books",
        "The audit recomputes every balance from the transfers. It was never run here, was run long ago, or has found something.",
        (
            "Run “telvend ledger check” on the server, best every night. It may run while the shop sells.",
            "Where it finds something, stop selling and keep the database as it is; write to whoever maintains this installation.",
        ),
        "/console/books",
    ),
    Topic.BACKUPS: Advice(
        "Backups",
        "There is no backup, or the last one is old. A broken disk would lose every sale since.",
        (
            "Run “telvend backup” on the server, best every night, to another machine.",
            "Restore one now and then, to know that it works.",
        ),
        "/console/settings",
    ),
    Topic.OTHER: Advice(
        "What “telvend doctor” says",
        "The checks of this installation have found something. Each line says what, and what to do about it.",
        ("Follow the advice of each line.", "Run “telvend doctor” on the server to look again."),
        "/console/settings",
    ),
}
"""The page of each topic."""


class Kind(StrEnum):
    """What a search finds."""

    ORDER = "order"
    FUNDING = "funding"
    RESELLER = "reseller"
    VOUCHER = "voucher"
    SUBSCRIBER = "subscriber"


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that a search has found. `key`: what its page is found by; `title` and `text`: what a list shows."""

    kind: Kind
    key: str
    title: str
    text: str
    state: str = ""
