"""The operator's side: subscribers with balances, and what changes and reads them.

`subscribers/` accounts, buckets and postings; `entitlements/` what a product or a refill turns into; `provisioning/` what
was sold arrives; `usage/` what is consumed and reserved; `plans/` what partners read; `vouchers/`; `refills/`, which is a
sale; `premiums/`.
"""
