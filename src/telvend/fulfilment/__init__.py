"""Fulfilment: what happens to an order after it has been sold.

`rules.py` (what to do next) and `weighing.py` (what a word means) decide, without any I/O; `worker.py` is what claims, calls and
settles. Behind the port of `ports.py` stand the two transactions, the claim in `postgres.py` and the settlement in
`settlement.py`, and all SQL in `store.py`. `review.py` is what a person can do.
"""
