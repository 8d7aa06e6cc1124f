"""Provisional credits: the price of an order whose outcome is unknown for long, lent to its wallet by the house."""
