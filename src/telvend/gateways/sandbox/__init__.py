"""A pretended gateway: it moves no money, keeps its own book of payments, and has a page on which a payer decides.

`client.py` is how it is called and `wire.py` what it says, as for every gateway. Behind them is what a real one keeps to
itself: `store.py`, its book. Its page is served by `telvend/web/checkout.py`, which sees it as a `gateways/checkout.py`.
"""
