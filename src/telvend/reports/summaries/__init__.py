"""The figures of days that are over, and of today so far: counted once, as the ledger grows."""
