"""Premiums: what cover for a transaction costs. A calculation; no money moves."""
