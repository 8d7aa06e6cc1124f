"""Mobile money of subscribers: the account, and who may read it."""
