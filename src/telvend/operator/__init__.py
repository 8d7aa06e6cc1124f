"""The operator's side: subscribers with balances, and what changes and reads them.

subscribers     who there is; balances/ buckets, postings and their rules; momo/ mobile money
entitlements    what a product or a refill turns into; the faults of the sandbox
provisioning    delivers what the shop has sold, and what an operator grants
usage           consumes, reserves, captures, releases and corrects; takes away what is over
plans           what partners read
vouchers        batches, vouchers, PINs; guard/ who may try a PIN
premiums        what cover for a transaction costs
refills         a sale: a voucher or a partner's money becomes a balance

`subscribers` stands below the others, then `entitlements`; `refills` stands with the sales.
"""
