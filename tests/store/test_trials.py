"""Trials: written down before anything is sent, settled once, asked about while open."""

import asyncio
from dataclasses import replace

import pytest

from telvend.database.connections import Database
from telvend.errors import InvalidInput
from telvend.fulfilment.trials.model import Trial
from telvend.fulfilment.trials.service import Trials
from telvend.kit.money import GHS, NGN, Money
from telvend.orders.model import AttemptState
from telvend.providers.contract import (
    Accepted,
    Delivered,
    Delivery,
    NotSent,
    Outcome,
    ProviderTraits,
    Reason,
    Refused,
    Unknown,
)

WANTED = Delivery(
    reference="",
    kind="airtime",
    country="NG",
    network="mtn",
    product="NG-MTN-AIRTIME",
    size="50.00",
    validity_days=None,
    subscriber="+2348031234567",
    face_value=Money(5_000, NGN),
    cost=Money(4_875, NGN),
    provider_code="mtn",
)


class Scripted:
    """A provider that says what a test sets; `go` lets a delivery end."""

    name = "vt"
    traits = ProviderTraits(timeout_s=5, settles_after_s=60)

    def __init__(self, said: Outcome, truth: Outcome) -> None:
        self.said, self.truth = said, truth
        self.sent: list[Delivery] = []
        self.arrived, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.sent.append(delivery)
        self.arrived.set()
        await self.go.wait()
        return self.said

    async def requery(self, delivery: Delivery) -> Outcome:
        assert delivery == self.sent[0]
        return self.truth

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def trials(database: Database) -> Trials:
    return Trials(database)


async def sent(trials: Trials, provider: Scripted) -> Trial:
    return await trials.deliver(provider, await trials.begin(provider, WANTED, "ada"))


async def test_a_trial_stands_in_the_database_before_anything_is_sent(trials: Trials) -> None:
    provider = Scripted(Delivered("theirs", Money(4_800, NGN)), Unknown())
    begun = await trials.begin(provider, WANTED, "ada")
    assert provider.sent == []
    found = await trials.find(begun.reference)
    assert (found.state, found.delivery, found.by_whom) == (AttemptState.STARTED, begun.delivery, "ada")
    assert found.delivery == replace(WANTED, reference=begun.reference, started_at=begun.started_at)
    done = await trials.deliver(provider, begun)
    assert (done.state, done.charged, done.provider_reference) == (AttemptState.DELIVERED, Money(4_800, NGN), "theirs")
    assert provider.sent == [begun.delivery]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Accepted("theirs"), AttemptState.ACCEPTED), (Refused(Reason.NO_FLOAT, "no"), AttemptState.REFUSED),
        (NotSent(), AttemptState.NOT_SENT), (Unknown("a\x00b"), AttemptState.UNKNOWN),
    ],
)  # fmt: skip
async def test_each_outcome_is_noted(trials: Trials, said: Outcome, state: AttemptState) -> None:
    done = await sent(trials, Scripted(said, Unknown()))
    assert done.state is state
    assert (done.finished_at is None) is state.open


async def test_what_was_settled_meanwhile_is_not_unsettled_by_a_late_answer(trials: Trials) -> None:
    provider = Scripted(Unknown("reset"), Delivered("theirs"))
    provider.go.clear()
    begun = await trials.begin(provider, WANTED, "ada")
    late = asyncio.create_task(trials.deliver(provider, begun))
    await provider.arrived.wait()
    assert (await trials.requery(provider, begun)).state is AttemptState.DELIVERED
    provider.go.set()
    assert (await late).state is AttemptState.DELIVERED
    assert (await trials.find(begun.reference)).text == "Delivered"


async def test_never_heard_of_counts_only_after_a_time(trials: Trials, database: Database) -> None:
    provider = Scripted(Unknown("reset"), NotSent("never heard of it"))
    trial = await sent(trials, provider)
    asked = await trials.requery(provider, trial)
    assert (asked.state, asked.asked) == (AttemptState.UNKNOWN, 1)
    async with database.connection() as tx:
        await tx.execute("update provider_trial set started_at = started_at - interval '61 s'")
    provider.sent[0] = (old := await trials.find(trial.reference)).delivery
    assert (await trials.requery(provider, old)).state is AttemptState.NOT_SENT


async def test_a_cost_in_another_currency_is_not_taken_for_one_of_this(trials: Trials) -> None:
    done = await sent(trials, Scripted(Delivered("theirs", Money(1, GHS)), Unknown()))
    assert (done.state, done.charged) == (AttemptState.DELIVERED, None)


async def test_many_trials_at_once_have_references_of_their_own(trials: Trials) -> None:
    provider = Scripted(Delivered(), Unknown())
    made = await asyncio.gather(*(sent(trials, provider) for _ in range(8)))
    assert len({trial.reference for trial in made}) == len({delivery.reference for delivery in provider.sent}) == 8
    newest, *_ = await trials.page("vt", before=None, limit=3)
    assert newest.id == max(trial.id for trial in made)
    assert await trials.page("other", before=None, limit=3) == []


async def test_what_carries_a_token_cannot_be_tried(trials: Trials) -> None:
    with pytest.raises(InvalidInput, match="token or PIN"):
        await trials.begin(Scripted(Delivered(), Unknown()), replace(WANTED, kind="electricity"), "ada")


async def test_silence_and_what_a_provider_must_not_do_are_unknown(trials: Trials) -> None:
    class Raises(Scripted):
        async def deliver(self, delivery: Delivery) -> Outcome:
            raise RuntimeError(delivery.subscriber)

    class Silent(Scripted):
        traits = ProviderTraits(timeout_s=0.01, settles_after_s=60)

    raised = await sent(trials, Raises(Unknown(), Unknown()))
    assert (raised.state, raised.text) == (AttemptState.UNKNOWN, "RuntimeError")
    silent = Silent(Delivered(), Unknown())
    silent.go.clear()
    assert (await sent(trials, silent)).text == "no answer within 0.01 s"
