"""DT One DVS (the world): airtime and bundles, in two phases. `client.py` is how it is called, `wire.py` what it says."""
