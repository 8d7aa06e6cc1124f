"""Credits by hand: money that the operator puts into a wallet, without a gateway."""
