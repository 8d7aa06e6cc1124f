"""Mistakes made good by another entry: a credit taken back, the price of a delivered order given back."""
