"""What moved on a wallet as its owner reads it: sales, credits, fundings, verifications and refills in one list."""
