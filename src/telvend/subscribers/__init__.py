"""The operator's side: subscribers, what they have, and what turns money and vouchers into more of it.

`model.py` and `account.py` are the records and the pure rules of one subscriber's balances; the sub-rooms stand on them:
`offering/` (what a product or a refill turns into), `delivering/` (what was sold arrives), `using/` (what is consumed,
reserved and over), `reading/` (plans for partners), `checking/` (whether the books hold), `vouchers/`, `refills/`,
`premiums/`. `together.py` is the lane in which whatever changes something is written.
"""
