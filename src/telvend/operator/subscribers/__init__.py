"""Subscribers: accounts, the buckets of what they have, and the postings that change them."""
