"""Reconciliation: a day's attempts at a provider beside what the provider says of them. Moves no money."""
