"""MTN MADAPI: airtime by refill, bundles by subscription. `client.py` is how it is called, `wire.py` what it says.

Another Telvend with MADAPI keys is one too.
"""
