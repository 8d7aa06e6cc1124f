"""Vouchers: issued once in batches, loaded once, never guessed."""
