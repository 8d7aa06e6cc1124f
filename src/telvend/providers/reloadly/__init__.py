"""Reloadly (the world): airtime, and bundles of operators with fixed amounts. `client.py` is how it is called, `wire.py` what it says."""
