"""Fulfilment: what happens to an order after it has been sold.

`rules.py` decides, without any I/O; `worker.py` is what that claims, calls and settles; `store.py` is all its SQL
behind the port of `ports.py`; `review.py` is what a person can do.
"""

from telvend.fulfilment.ports import Ears, FulfilmentStore
from telvend.fulfilment.review import Review
from telvend.fulfilment.rules import Effect, Policy
from telvend.fulfilment.store import PostgresFulfilmentStore
from telvend.fulfilment.worker import Costs, Fulfilment

__all__ = ["Costs", "Ears", "Effect", "Fulfilment", "FulfilmentStore", "Policy", "PostgresFulfilmentStore", "Review"]
