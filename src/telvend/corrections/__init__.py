"""Corrections by a new entry: debits take back a credit, refunds give back the price of a delivered order."""
