"""VTpass (Nigeria): airtime and data. `client.py` is how it is called, `wire.py` what it says."""
