"""Netpluse (Ghana): data bundles. `client.py` is how it is called, `wire.py` what it says. Another Telvend is one too."""
