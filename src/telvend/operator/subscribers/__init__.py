"""Subscribers: who there is (accounts and lines), what they have (balances/), and their mobile money (momo/)."""
