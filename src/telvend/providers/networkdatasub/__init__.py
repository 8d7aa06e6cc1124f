"""networkdatasub (Nigeria): airtime and data. `client.py` is how it is called, `wire.py` what it says, `search.py` how a purchase
without an answer is looked for in the list of transactions. Another Telvend is one too, with `caller_reference = true`.
"""
