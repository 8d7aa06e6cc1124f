"""Places at providers: deliveries and requeries share the limit, and a claim that does not commit keeps none."""

import pytest

from telvend.fulfilment.places import Places
from telvend.fulfilment.routing import Assignment, RetryLater, Router, RoutingRequest
from telvend.providers.contract import ProviderTraits

WANTED = RoutingRequest("GH", "MTN", test=False)


class Named:
    """As much of a provider as a place needs."""

    name = "only"
    traits = ProviderTraits(timeout_s=1.0, settles_after_s=1.0, concurrency=2)


class Still:
    """A clock that does not move."""

    def monotonic(self) -> float:
        return 100.0


def places() -> tuple[Places, Router]:
    router = Router([Named()], Still())  # type: ignore[arg-type,list-item]
    return Places(router, Still()), router  # type: ignore[arg-type]


def test_deliveries_and_requeries_share_the_providers_limit() -> None:
    made, router = places()
    with made.reserve() as reserved:
        assert reserved.requery("only")
        assert isinstance(reserved.delivery(WANTED), Assignment)
        assert not reserved.requery("only")
        assert isinstance(reserved.delivery(WANTED), RetryLater)
    assert made.in_flight == {"only": 2}
    # The place that the router gave, and that was one too many, is its own again.
    assert router.snapshot()[0].in_flight == 1


def test_a_claim_that_raises_gives_its_places_back() -> None:
    made, router = places()

    def raise_within() -> None:
        with made.reserve() as reserved:
            reserved.requery("only")
            reserved.delivery(WANTED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raise_within()
    assert made.in_flight == {}
    assert router.snapshot()[0].in_flight == 0


def test_a_place_that_was_released_within_the_claim_is_released_once() -> None:
    made, _ = places()

    def raise_within() -> None:
        with made.reserve() as reserved:
            chosen = reserved.delivery(WANTED)
            assert isinstance(chosen, Assignment)
            reserved.release(chosen)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raise_within()
    assert made.in_flight == {}
    assert made.room() == 2


def test_a_requery_at_a_provider_that_is_not_set_up_here_is_never_refused() -> None:
    made, _ = places()
    with made.reserve() as reserved:
        assert all(reserved.requery("gone") for _ in range(5))


def test_while_every_provider_is_full_a_few_orders_are_looked_at_now_and_then() -> None:
    made, _ = places()
    with made.reserve() as reserved:
        assert made.room() == 2
        for _ in range(2):
            reserved.requery("only")
    assert made.room() == 8
    assert made.room() == 0
