"""Links by which a receipt is passed on to a customer who has no account."""
