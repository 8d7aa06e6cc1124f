"""Backups of a shop: taking, listing, verifying and restoring them, and archiving the write-ahead log in between."""
