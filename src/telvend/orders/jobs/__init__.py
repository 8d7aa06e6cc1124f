"""Fulfilment: what happens to an order after it has been sold.

`rules.py` decides, without any I/O; `loop.py` is the worker that claims, calls and settles; `store.py` is all its SQL
behind the port of `ports.py`; `review.py` is what a person can do.
"""

from telvend.orders.jobs.loop import Costs, Fulfilment
from telvend.orders.jobs.ports import Ears, FulfilmentStore
from telvend.orders.jobs.review import Review
from telvend.orders.jobs.rules import Effect, Policy
from telvend.orders.jobs.store import PostgresFulfilmentStore

__all__ = ["Costs", "Ears", "Effect", "Fulfilment", "FulfilmentStore", "Policy", "PostgresFulfilmentStore", "Review"]
