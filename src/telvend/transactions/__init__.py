"""What moved on a wallet as its owner reads it: sales, credits, fundings and verifications in one list."""
