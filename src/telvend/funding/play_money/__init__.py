"""Play money in live wallets: how much there is, what it halts, and how it is taken out."""
