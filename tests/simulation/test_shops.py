"""Shops that sell through the real connectors, in virtual time, with two workers; and proof that the checker can see.

    python -m pytest tests/simulation/test_shops.py                     some thousand orders
    TELVEND_SEED=4711 python -m pytest tests/simulation -k every_shop   one shop again
    TELVEND_ORDERS=1000000 make soak                                    as many orders as there is time for

`TELVEND_PROCESSES` is the number of processes, one for each core without it; on several machines `TELVEND_FIRST_SEED` says where each
begins.

`shop.py` says what happens in a run and what must hold, `far_sides.py` what vendors may do.
"""

import functools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from telvend.fulfilment import weighing
from telvend.fulfilment.model import CalledBack, Effect, FulfilmentPolicy, LockedOrder, ProviderReport
from telvend.providers import contract
from telvend.providers.contract import NotSent, Outcome, Reason, Unknown
from telvend.providers.described import outcomes
from telvend.providers.dtone import wire as dtone
from telvend.providers.dtone.client import DTOne
from telvend.providers.madapi import wire as madapi
from telvend.providers.networkdatasub import search
from telvend.providers.networkdatasub import wire as networkdatasub
from telvend.providers.over_http import ProviderOverHttp, ProviderReply
from telvend.providers.reloadly import wire as reloadly
from telvend.providers.vtpass import wire as vtpass
from telvend.upstreams.callbacks import service as callbacks
from tests.simulation import rules_taken_away
from tests.simulation.far_sides import Fault
from tests.simulation.shop import ORDERS, run_shop
from tests.simulation.world import Broken

SHOPS = 8
SOAK_ORDERS = 1_000_000
FIRST_OF_SOAK = 1_000_000
ORDERS_OF_SOAK = 1_000
"""Orders of one shop of the soak run. A virtual hour costs the same whatever is sold in it."""
PROGRESS_S = 60.0

MET = {
    *("sent again", "repeated", "reversed", "too soon", "token ended", "cancelled", "confirmed too late"),
    *("called back", "called back again", "called back early", "FORGER", "LIAR"),
}
"""What must have happened beside the faults."""

REPEAT = "repeat it with: TELVEND_SEED={} TELVEND_SHOP_ORDERS={} python -m pytest tests/simulation -k every_shop"


@dataclass
class Figures:
    """What became of some shops. `calm` are the orders of those that were not rough, `reviewed` those of them in review."""

    orders: int = 0
    faulty: int = 0
    twice: int = 0
    refunded: int = 0
    calm: int = 0
    reviewed: int = 0
    in_review: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        for name in ("orders", "faulty", "twice", "refunded", "calm", "reviewed", "in_review", "heard", "broken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        return (
            f"{self.orders:,} orders, {self.faulty / self.orders:.1%} of them faulty: {self.twice} delivered twice,"
            f" {self.refunded} delivered and given back; in review {self.in_review.total():,}"
            f" ({self.reviewed / max(1, self.calm):.2%} where requests go wrong at the usual rate): {dict(self.in_review)}"
        )


def _figures(seed: int, sold: int = ORDERS) -> Figures:
    try:
        shop = run_shop(seed, sold)
    except Broken as error:
        text = f"{str(error)[:1500]}\n{REPEAT.format(seed, sold)}"
        return Figures(
            sold, 0, "delivered 2 times" in text, "given back and is delivered" in text, broken=[text], calm=sold
        )
    orders, reviewed = len(shop.store.orders), shop.reviewed.total()
    return Figures(
        orders,
        len(shop.faulty),
        calm=0 if shop.rough else orders,
        reviewed=0 if shop.rough else reviewed,
        in_review=shop.reviewed,
        heard=sum((side.heard for side in shop.sides), Counter()),
    )


def _run_all(seeds: range, sold: int = ORDERS, say: Callable[[str], None] = lambda _: None) -> Figures:
    """Run them in so many processes. Fails with the first shops that broke; `say` hears how far it is, every minute."""
    figures = Figures()
    processes = int(os.environ.get("TELVEND_PROCESSES", 0)) or os.cpu_count()
    context = multiprocessing.get_context("spawn")
    said_at = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for one in pool.map(functools.partial(_figures, sold=sold), seeds, chunksize=4 if len(seeds) > 100 else 1):
            figures.add(one)
            if time.monotonic() - said_at >= PROGRESS_S:
                said_at = time.monotonic()
                say(f"{figures.orders / (len(seeds) * sold):.0%}: {figures}")
            if len(figures.broken) >= 3:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    if figures.broken:
        pytest.fail("\n".join([str(figures), *figures.broken]))
    return figures


@pytest.mark.timeout(600)
def test_every_shop_delivers_once_refunds_nothing_delivered_and_comes_to_an_end() -> None:
    single = os.environ.get("TELVEND_SEED")
    if single is not None:
        run_shop(int(single), int(os.environ.get("TELVEND_SHOP_ORDERS", ORDERS)))
        return
    figures = _run_all(range(SHOPS))
    assert figures.faulty >= figures.orders / 5
    assert figures.reviewed < figures.calm * 0.03
    # A simulation in which nothing happens proves nothing.
    assert figures.heard.keys() >= {fault.name for fault in Fault} | MET


@pytest.mark.soak
@pytest.mark.timeout(14400)
def test_a_million_orders_are_delivered_once_and_none_is_refunded_that_was_delivered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    orders = int(os.environ.get("TELVEND_ORDERS", SOAK_ORDERS))
    first = int(os.environ.get("TELVEND_FIRST_SEED", FIRST_OF_SOAK))
    shops = -(-orders // ORDERS_OF_SOAK)
    started = time.monotonic()

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{time.monotonic() - started:.0f} s, {text}", end="", flush=True)

    figures = _run_all(range(first, first + shops), ORDERS_OF_SOAK, say)
    with capsys.disabled():
        print(f"\nShops {first} to {first + shops - 1}: {figures}; {time.monotonic() - started:.0f} s")
        print(f"What was met: {dict(figures.heard)}")
    assert (figures.twice, figures.refunded) == (0, 0)
    assert figures.faulty >= figures.orders / 5
    assert figures.reviewed < figures.calm * 0.03


def test_a_shop_repeats_itself_exactly() -> None:
    first, second = run_shop(3, 100), run_shop(3, 100)
    assert list(first.store.orders.values()) == list(second.store.orders.values())
    assert [side.heard for side in first.sides] == [side.heard for side in second.sides]
    assert first.loop.time() == second.loop.time()


def _run_until_broken(vendors: tuple[str, ...]) -> None:
    for seed in range(40):
        run_shop(seed, 150, vendors)


# Rules that are taken away: the checker has to see it ------------------------------------------------------------------


def _everything_is_sent_again_to_a_provider_that_is_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("telvend.fulfilment.routing.Router.may_resend", lambda *_: True)


def _a_plain_refusal_may_be_tried_elsewhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contract, "ELSEWHERE", contract.ELSEWHERE | {Reason.REFUSED})


def _an_empty_float_fails_the_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contract, "ELSEWHERE", contract.ELSEWHERE - {Reason.NO_FLOAT})


def _wrong_credentials_fail_the_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contract, "ELSEWHERE", contract.ELSEWHERE - {Reason.NOT_ALLOWED})


def _too_soon_fails_the_order(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(vtpass.REASON_BY_CODE, vtpass.Code.LIKELY_DUPLICATE, Reason.REFUSED)


def _a_request_without_an_answer_counts_as_not_sent(patch: pytest.MonkeyPatch) -> None:
    deliver = ProviderOverHttp._deliver

    async def careless(provider: ProviderOverHttp, delivery: contract.Delivery) -> Outcome:
        outcome = await deliver(provider, delivery)
        return NotSent(outcome.text) if outcome.text.startswith("no answer:") else outcome

    patch.setattr(ProviderOverHttp, "_deliver", careless)


def _vtpass_is_believed_after_a_minute(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vtpass, "SETTLES_AFTER_S", 60.0)


def _a_used_request_id_is_a_refusal_of_vtpass(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(vtpass.REASON_BY_CODE, vtpass.Code.REQUEST_ID_REUSED, Reason.NOT_SOLD)


def _a_system_error_is_a_refusal_of_vtpass(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(vtpass.REASON_BY_CODE, vtpass.Code.SYSTEM_ERROR, Reason.DOWN)


def _a_server_error_means_what_its_body_says(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "_says_nothing", lambda _: False)


def _failed_to_purchase_is_a_refusal_of_networkdatasub(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(networkdatasub, "_FAILED_TO_PURCHASE", "never said")


def _a_server_error_is_a_refusal_of_networkdatasub(patch: pytest.MonkeyPatch) -> None:
    outcome_of = networkdatasub.outcome_of

    def credulous(delivery: contract.Delivery, reply: ProviderReply) -> Outcome:
        return outcome_of(delivery, ProviderReply(400 if reply.http_status == 500 else 200, reply.body, reply.headers))

    patch.setattr(networkdatasub, "outcome_of", credulous)


def _nobody_counts_who_could_be_mixed_up_in_a_list(patch: pytest.MonkeyPatch) -> None:
    too_early = search.Search.too_early

    def careless(it: search.Search, now: Any) -> Unknown | None:
        alone = search.Search(replace(it.delivery, rivals=0), it.started_at, it.price, it.timeout_s)
        return too_early(alone, now)

    patch.setattr(search.Search, "too_early", careless)


def _a_created_transaction_is_not_sent_without_being_cancelled(patch: pytest.MonkeyPatch) -> None:
    async def careless(_: DTOne, _delivery: contract.Delivery, created: dtone.Created) -> Outcome:
        return NotSent(f"{created.id} is not confirmed", closed=True)

    patch.setattr(DTOne, "_closed", careless)


def _a_refused_confirmation_counts_as_not_sent(patch: pytest.MonkeyPatch) -> None:
    confirmed_of = dtone.confirmed_of

    def careless(delivery: contract.Delivery, reply: ProviderReply) -> Outcome:
        outcome = confirmed_of(delivery, reply)
        return NotSent(outcome.text, closed=True) if 400 <= reply.http_status < 500 else outcome

    patch.setattr(dtone, "confirmed_of", careless)


def _a_created_transaction_counts_as_delivered(patch: pytest.MonkeyPatch) -> None:
    created_of = dtone.created_of

    def credulous(delivery: contract.Delivery, reply: ProviderReply) -> dtone.Created | Outcome:
        found = created_of(delivery, reply)
        return contract.Delivered(found.id) if isinstance(found, dtone.Created) else found

    patch.setattr(dtone, "created_of", credulous)


def _reloadly_is_believed_after_two_minutes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reloadly, "SETTLES_AFTER_S", 120.0)


def _a_server_error_is_a_refusal_of_reloadly(patch: pytest.MonkeyPatch) -> None:
    outcome_of = reloadly.outcome_of

    def credulous(delivery: contract.Delivery, reply: ProviderReply) -> Outcome:
        return outcome_of(
            delivery, ProviderReply(400 if reply.http_status >= 500 else reply.http_status, reply.body, reply.headers)
        )

    patch.setattr(reloadly, "outcome_of", credulous)


def _a_server_error_is_taken_for_an_ended_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reloadly, "is_token_ended", lambda reply: reply.http_status in (401, 500, 502, 503, 504))


def _recently_recharged_fails_the_order(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(reloadly.REASON_BY_CODE, reloadly.ErrorCode.RECENTLY_RECHARGED, Reason.REFUSED)


def _mtn_is_believed_that_it_has_sold_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(madapi, "_was_never_sold", lambda _delivery, reply, _body: reply.http_status == 404)


def _a_backend_that_is_away_is_a_refusal_of_madapi(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(madapi.REFUSALS, (503, madapi.Code.UNAVAILABLE), Reason.DOWN)


def _a_callback_is_believed(patch: pytest.MonkeyPatch) -> None:
    def credulous(locked: LockedOrder, callback: CalledBack) -> Effect:
        if not locked.attempts or not locked.attempts[-1].state.open:
            return Effect.NOTHING
        said = contract.Delivered("said")
        report = ProviderReport(
            locked.id, locked.wallet_id, callback.number, said, asked=True, age_s=0.0, settles_after_s=0.0, holds=True
        )
        return weighing._weigh_report(locked, report, FulfilmentPolicy())

    patch.setattr(weighing, "_weigh_callback", credulous)


def _nobody_looks_who_has_signed_a_callback(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(callbacks, "is_signed", lambda *_: True)


def _nobody_compares_the_secret_of_an_address(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(callbacks, "is_from", lambda *_: True)


TAKEN_AWAY = (
    (rules_taken_away.never_heard_of_it_is_believed_at_once, ("vt", "waza", "teli")),
    (rules_taken_away.a_refused_resend_is_believed_at_once, ("nds-ref", "teli")),
    (rules_taken_away.unknown_is_taken_for_not_sent, ("vt", "nds", "husmo")),
    (rules_taken_away.an_attempt_that_a_dead_worker_left_is_bought_again, ("vt", "teli")),
    (rules_taken_away.any_reference_is_taken_for_a_key, ("waza", "vt")),
    (_everything_is_sent_again_to_a_provider_that_is_off, ("nds-ref", "teli")),
    (_a_plain_refusal_may_be_tried_elsewhere, ("vt", "teli")),
    (_an_empty_float_fails_the_order, ("vt", "teli")),
    (_wrong_credentials_fail_the_order, ("vt", "teli")),
    (_too_soon_fails_the_order, ("vt",)),
    (_a_request_without_an_answer_counts_as_not_sent, ("waza", "teli")),
    (_vtpass_is_believed_after_a_minute, ("vt",)),
    (_a_used_request_id_is_a_refusal_of_vtpass, ("vt", "teli")),
    (_a_system_error_is_a_refusal_of_vtpass, ("vt", "nds-ref")),
    (_a_server_error_means_what_its_body_says, ("waza", "teli")),
    (_failed_to_purchase_is_a_refusal_of_networkdatasub, ("nds", "teli")),
    (_a_server_error_is_a_refusal_of_networkdatasub, ("nds", "nds-ref")),
    (_nobody_counts_who_could_be_mixed_up_in_a_list, ("nds",)),
    (rules_taken_away.never_heard_of_it_is_believed_at_once, ("rl", "dt")),
    (rules_taken_away.unknown_is_taken_for_not_sent, ("rl", "dt")),
    (rules_taken_away.any_reference_is_taken_for_a_key, ("rl", "dt")),
    (_a_request_without_an_answer_counts_as_not_sent, ("mtn-ng", "teli")),
    (_a_created_transaction_is_not_sent_without_being_cancelled, ("rl", "dt")),
    (_a_refused_confirmation_counts_as_not_sent, ("rl", "dt")),
    (_a_created_transaction_counts_as_delivered, ("rl", "dt")),
    (_reloadly_is_believed_after_two_minutes, ("rl", "dt")),
    (_a_server_error_is_a_refusal_of_reloadly, ("rl", "dt")),
    (_a_server_error_is_taken_for_an_ended_token, ("rl", "dt")),
    (_recently_recharged_fails_the_order, ("rl", "dt")),
    (_mtn_is_believed_that_it_has_sold_nothing, ("mtn-ng", "teli")),
    (_a_backend_that_is_away_is_a_refusal_of_madapi, ("mtn-ng", "teli")),
    (_a_callback_is_believed, ("rl", "dt")),
    (_nobody_looks_who_has_signed_a_callback, ("rl", "dt")),
    (_nobody_compares_the_secret_of_an_address, ("rl", "dt")),
)


@pytest.mark.parametrize("vendors", sorted({vendors for _, vendors in TAKEN_AWAY}), ids="-".join)
def test_the_same_shops_hold_while_every_rule_is_there(vendors: tuple[str, ...]) -> None:
    run_shop(0, 150, vendors)


@pytest.mark.parametrize(
    ("taken_away", "vendors"),
    TAKEN_AWAY,
    ids=[f"{rule.__name__.removeprefix('_')}-{'-'.join(vendors)}" for rule, vendors in TAKEN_AWAY],
)
def test_the_checker_notices_when(
    taken_away: Callable[[pytest.MonkeyPatch], None], vendors: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_away(monkeypatch)
    with pytest.raises(Broken):
        _run_until_broken(vendors)
