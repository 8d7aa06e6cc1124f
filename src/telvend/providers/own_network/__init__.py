"""Our own network: what the shop sells arrives at the subscribers of `operator/`, at once and once.

No phone gets anything by it. It is the live default of a fresh shop, so that every sale has somewhere to go, and what was
sold can be seen on the subscriber's plans.
"""
