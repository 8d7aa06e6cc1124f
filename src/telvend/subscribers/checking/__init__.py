"""Whether what subscribers have follows from what they were given and have used: this room's part of `ledger check`."""
