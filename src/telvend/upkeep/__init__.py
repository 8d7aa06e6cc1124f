"""Keeping a shop over the years: what is looked at, and what the operator is told about it."""
